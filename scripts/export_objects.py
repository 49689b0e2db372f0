"""Write objects for other programs: meshes (.ply) and centrelines (.swc)."""

import os
import shutil
from pathlib import Path

from blockface.exports import export_lines, export_meshes
from blockface.long_tables import line_parts
from blockface.object_index import read_index
from blockface.volume import open_volume


def main(*, objects, index, centrelines, exports, formats, files, threads):
    """Write the ``formats`` (ply, swc) into the folder ``exports``, a file per class or object."""
    table = read_index(index)
    making, each = Path(f"{exports}.partial"), files == "object"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    if "ply" in formats:
        export_meshes(open_volume(objects), table, making, each)
    if "swc" in formats:
        export_lines(line_parts([centrelines]), table, making, each)
    shutil.rmtree(exports, ignore_errors=True)
    os.replace(making, exports)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
