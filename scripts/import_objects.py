"""Take in objects separated elsewhere, with the ids they have."""

from blockface.entry import enter_objects
from blockface.job import run
from blockface.stack import open_stack
from blockface.tables import write_table


def main(*, objects_in, objects, index, threads, classes=None, voxel_size_nm=None, dataset=None):
    stack = open_stack(objects_in, voxel_size_nm, dataset, labels=True)
    write_table(enter_objects(stack, objects, classes), index)


if __name__ == "__main__":
    run(main, snakemake)
