"""Separate the objects of one slab: the classes of its voxels, and the pieces they form."""

from blockface.foreground import Classes
from blockface.job import run
from blockface.separation import separate_slab
from blockface.volume import slab_rows


def main(*, local, settings, slab, slabs, threads, probability=None, labels=None):
    volume = probability or labels
    rows = slab_rows(Classes(volume).shape, slab, slabs)
    z = slice(rows[0].start, rows[-1].stop) if rows else slice(0, 0)
    separate_slab(volume, local, z, settings, threads)


if __name__ == "__main__":
    run(main, snakemake)
