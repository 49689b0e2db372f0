"""Make whole objects of the pieces in all slabs: the volume of ids and its index."""

import logging

from blockface.job import run
from blockface.separation import join_slabs
from blockface.tables import write_table
from blockface.volume import open_volume

log = logging.getLogger(__name__)


def main(
    *, slabs, objects, index, links, threads, min_volume_um3=0, slices=None, probability=None,
    labels=None,
):  # fmt: skip
    folders = [slabs] if isinstance(slabs, str) else [str(folder) for folder in slabs]
    found, linked = join_slabs(folders, objects, min_volume_um3, slices)
    write_table(found, index)
    write_table(linked, links)
    counts = found["class"].value_counts()
    for name in open_volume(objects).attrs["classes"].values():
        if name in counts:
            log.info("%s: %d objects", name, counts[name])
        else:
            log.warning(
                "%s: no objects; look at the prediction, threshold and min_volume_um3", name
            )


if __name__ == "__main__":
    run(main, snakemake)
