"""Make whole objects of the pieces in all slabs: the volume of ids and its index."""

from blockface.job import run
from blockface.separation import join_slabs
from blockface.tables import write_table


def main(
    *, slabs, objects, index, links, threads, min_volume_um3=0, slices=None, probability=None,
    labels=None,
):  # fmt: skip
    folders = [slabs] if isinstance(slabs, str) else [str(folder) for folder in slabs]
    found, linked = join_slabs(folders, objects, min_volume_um3, slices)
    write_table(found, index)
    write_table(linked, links)


if __name__ == "__main__":
    run(main, snakemake)
