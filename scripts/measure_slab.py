"""Measure the objects of one slab: sums over its voxels, and the objects that start in it."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from blockface.cross_sections import SUMS, no_rows
from blockface.errors import InputError
from blockface.measure import slab_sums
from blockface.object_index import read_index
from blockface.object_rows import measure_each
from blockface.tables import Appended
from blockface.volume import open_volume, slab_rows


def main(*, objects, index, part, slab, slabs, threads, image=None):
    """Write the tables of slab number ``slab`` of ``slabs`` into the directory ``part``."""
    array = open_volume(objects)
    grey = open_volume(image) if image else None
    if grey is not None and grey.shape != array.shape:
        raise InputError(
            f"{image}: found a stack of {grey.shape}, expected {array.shape} as {objects} has; "
            "remove the objects and run again to have them made anew from this stack"
        )
    rows = slab_rows(array.shape, int(slab), int(slabs))
    table = read_index(index, rows)
    making = Path(f"{part}.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    with ExitStack() as files:
        sections, sums, *each = (
            files.enter_context(Appended(making / f"{name}.parquet"))
            for name in ("sections", "sums", "lines", "centrelines", "tangents")
        )
        sections(no_rows(SUMS))
        for some in slab_sums(array, table, rows, sections, grey):
            sums(some)
        for tables in measure_each(array, table, rows):
            for write, rows_of in zip(each, tables, strict=True):
                write(rows_of)
    shutil.rmtree(part, ignore_errors=True)
    os.replace(making, part)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
