"""Take in a segmentation made elsewhere: a map of class values."""

from blockface.entry import enter_labels
from blockface.job import run
from blockface.stack import open_stack


def main(*, labels_in, labels, threads, classes=None, voxel_size_nm=None, dataset=None):
    enter_labels(open_stack(labels_in, voxel_size_nm, dataset, labels=True), labels, classes)


if __name__ == "__main__":
    run(main, snakemake)
