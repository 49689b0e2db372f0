"""Measure the pairs of one slab: shared faces in its slices, neighbours of what starts in it."""

import os
import shutil
from pathlib import Path

from blockface.contacts import slab_contacts
from blockface.object_index import read_index
from blockface.pair_rows import neighbour_rows
from blockface.tables import Appended
from blockface.volume import open_volume, slab_rows


def main(*, objects, index, part, slab, slabs, settings, threads):
    """Write the tables of slab number ``slab`` of ``slabs`` into the directory ``part``."""
    array = open_volume(objects)
    table = read_index(index)
    rows = slab_rows(array.shape, int(slab), int(slabs))
    making = Path(f"{part}.partial")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    with (
        Appended(making / "contacts.parquet") as contacts,
        Appended(making / "layers.parquet") as layers,
    ):
        for faces, voxels in slab_contacts(array, rows):
            contacts(faces)
            layers(voxels)
    with Appended(making / "neighbours.parquet") as neighbours:
        for found in neighbour_rows(array, table, rows, int(settings["neighbours"])):
            neighbours(found)
    shutil.rmtree(part, ignore_errors=True)
    os.replace(making, part)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
