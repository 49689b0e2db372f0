"""Separate the objects of one slab: the classes of its voxels, and the pieces they form."""

from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.job import run
from blockface.scores import threshold_of
from blockface.separation import separate_slab
from blockface.volume import open_volume, slab_rows


def main(
    *, local, settings, slab, slabs, threads, probability=None, labels=None, boundary=None
):  # fmt: skip
    volume = probability or labels
    rows = slab_rows(Classes(volume).shape, slab, slabs)
    z = slice(rows[0].start, rows[-1].stop) if rows else slice(0, 0)
    if boundary and not open_volume(boundary).attrs["learnt"]:
        raise InputError(
            f"{boundary}: the network that predicted it learnt no boundaries; expected one that "
            "did; unset datasets.<name>.boundary, or take another segmenter"
        )
    level = threshold_of(open_volume(volume), settings.get("threshold"))
    settings = {**settings, "threshold": level}
    separate_slab(volume, local, z, settings, threads, boundary or None)


if __name__ == "__main__":
    run(main, snakemake)
