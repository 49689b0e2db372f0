"""Measure the objects of one slab: sums over its voxels, and the objects that start in it."""

import os
import shutil
from pathlib import Path

from blockface.measure import slab_sums
from blockface.object_rows import measure_each
from blockface.tables import read_table
from blockface.volume import open_volume, slab_rows

INDEX = ("object_id", "class", "voxels", "z0", "z1", "y0", "y1", "x0", "x1")


def main(*, objects, index, part, slab, slabs, settings, threads):
    """Write the tables of slab number ``slab`` of ``slabs`` into the directory ``part``."""
    array = open_volume(objects)
    table = read_table(index, INDEX).sort_values("object_id", ignore_index=True)
    rows = slab_rows(array.shape, int(slab), int(slabs))
    sums, contacts = slab_sums(array, table, rows)
    lines, centrelines, neighbours = measure_each(
        array, table, rows, int(settings.get("neighbours", 3))
    )
    making = Path(f"{part}.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    for name, frame in {
        "sums": sums,
        "contacts": contacts,
        "lines": lines,
        "centrelines": centrelines,
        "neighbours": neighbours,
    }.items():
        frame.to_parquet(making / f"{name}.parquet", index=False)
    shutil.rmtree(part, ignore_errors=True)
    os.replace(making, part)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
