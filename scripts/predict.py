"""Make whole volumes of the slabs that were predicted; the files are linked, not copied."""

from blockface.job import run
from blockface.volume import join_slabs


def main(*, slabs, boundary_slabs, votes_slabs, volume, boundary, votes, threads) -> None:
    for parts, whole in ((slabs, volume), (boundary_slabs, boundary), (votes_slabs, votes)):
        join_slabs(parts, whole)


if __name__ == "__main__":
    run(main, snakemake)
