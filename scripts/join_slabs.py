"""Make one volume of its slabs; the files are linked, not copied."""

from blockface.job import run
from blockface.volume import join_slabs


def main(*, slabs, volume, threads) -> None:
    join_slabs(slabs, volume)


if __name__ == "__main__":
    run(main, snakemake)
