"""Look whether a denoiser's pairs fit the stack it is to denoise, before it is trained."""

import json
from pathlib import Path

from blockface.job import run
from blockface.pixel_sizes import check_pixel_sizes
from blockface.tables import read_table


def main(*, stack, registration, checked, dataset, denoiser, threads) -> None:
    voxel_nm = json.loads(Path(stack).read_text())["voxel_size_nm"]
    pairs = read_table(registration, ("noisy", "accepted", "pixel_size_nm"))
    told = check_pixel_sizes(pairs, voxel_nm, dataset=dataset, denoiser=denoiser)
    Path(checked).write_text(json.dumps({"stack_pixel_nm": voxel_nm[1:], "pairs": told}, indent=1))


if __name__ == "__main__":
    run(main, snakemake)
