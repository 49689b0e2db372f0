"""Estimate the noise of the noisy images from registered pairs, with a picture of it."""

import logging

import numpy as np

from blockface.job import run
from blockface.noise import save_noise
from blockface.noise_estimate import estimate_noise
from blockface.noise_figure import noise_figure
from blockface.pair_split import load_pairs
from blockface.tables import read_table


def main(*, registered, split_table, noise, figure, threads) -> None:
    """Write the model and its picture; pairs that are kept for the test are not looked at."""
    table = read_table(split_table, ("pair", "split"))
    kept = set(table.loc[table["split"] != "test", "pair"])
    pairs = [pair for number, pair in load_pairs(registered).items() if number in kept]
    found = estimate_noise(pairs)
    middle = float(np.sqrt(found.noise.variance(np.average(found.grey, weights=found.pixels))))
    save_noise(
        found.noise, noise, pairs=len(pairs), sd_at_mean_grey=middle,
        partner_variance_share=found.partner,
        measured={"grey": found.grey.tolist(), "variance": found.measured.tolist(),
                  "pixels": found.pixels.tolist()},
    )  # fmt: skip
    noise_figure(found, figure)
    logging.info(
        "noise of SD %.1f at the mean grey level, lines %.1f, next pixel %.2f",
        middle, found.noise.line_sd, found.noise.along[0],
    )  # fmt: skip


if __name__ == "__main__":
    run(main, snakemake)
