"""Measure the objects of one slab: sums over its voxels, and the objects that start in it."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from blockface.cross_sections import SUMS, no_rows
from blockface.errors import InputError
from blockface.measure import slab_sums
from blockface.object_rows import measure_each
from blockface.tables import Appended, read_table
from blockface.volume import open_volume, slab_rows

INDEX = ("object_id", "class", "voxels", "z0", "z1", "y0", "y1", "x0", "x1")


def main(*, objects, index, part, slab, slabs, threads, image=None):
    """Write the tables of slab number ``slab`` of ``slabs`` into the directory ``part``."""
    array = open_volume(objects)
    grey = open_volume(image) if image else None
    if grey is not None and grey.shape != array.shape:
        raise InputError(
            f"{image}: found a stack of {grey.shape}, expected {array.shape} as {objects} has; "
            "remove the objects and run again to have them made anew from this stack"
        )
    table = read_table(index, INDEX).sort_values("object_id", ignore_index=True)
    rows = slab_rows(array.shape, int(slab), int(slabs))
    if rows:  # no list of all objects is held, but of those that reach into the slab
        there = (table.z1 > rows[0].start) & (table.z0 < rows[-1].stop)
        table = table[there].reset_index(drop=True)
    making = Path(f"{part}.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    with Appended(making / "sections.parquet") as sections:
        sections(no_rows(SUMS))
        sums = slab_sums(array, table, rows, sections, grey)
    sums.to_parquet(making / "sums.parquet", index=False)
    del sums
    names = ("lines", "centrelines", "tangents")
    with ExitStack() as files:
        writers = [files.enter_context(Appended(making / f"{n}.parquet")) for n in names]
        for tables in measure_each(array, table, rows):
            for write, rows_of in zip(writers, tables, strict=True):
                write(rows_of)
    shutil.rmtree(part, ignore_errors=True)
    os.replace(making, part)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
