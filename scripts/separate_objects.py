"""Make whole objects of the pieces in all slabs: the volume of ids and its index."""

from blockface.job import run
from blockface.stitch import join_objects
from blockface.tables import write_table


def main(*, slabs, objects, index, threads, min_volume_um3=0, probability=None, labels=None):
    folders = [slabs] if isinstance(slabs, str) else [str(folder) for folder in slabs]
    write_table(join_objects(folders, objects, min_volume_um3), index)


if __name__ == "__main__":
    run(main, snakemake)
