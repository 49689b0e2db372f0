"""What a dwell time 2, 4, 8 or 16 times shorter would cost, with and without denoising."""

from pathlib import Path

from blockface.denoiser_training import train_on_pairs
from blockface.denoising import denoise_image
from blockface.dwell_time import FACTORS, plan, planning_curve
from blockface.job import run
from blockface.noise import load_noise
from blockface.pair_split import load_pairs
from blockface.predict import Tiling
from blockface.tables import read_table, write_table
from blockface.unet import Hardware


def main(
    *, patches, registered, split_table, noise, table, figure, settings, seed, threads
) -> None:
    hardware, checkpoint = Hardware.best(threads), Path(f"{table}.checkpoint")
    pairs, split, seen = load_pairs(registered), read_table(split_table), load_noise(noise)
    split = dict(zip(split["pair"], split["split"], strict=True))
    # one network for every dwell time: it meets all their noise while it is trained
    settings = settings | {"extra_noise": (max(FACTORS) - 1) ** 0.5}
    model, levels, span, _ = train_on_pairs(
        patches, pairs, split, seen, settings, seed, checkpoint, hardware
    )
    kept_out = "test" if "test" in split.values() else "validation"
    unseen = {number: pair for number, pair in pairs.items() if split[number] == kept_out}
    tiling = Tiling(views=settings["views"])
    planned = plan(
        unseen, lambda image: denoise_image(model, image, levels, tiling, hardware), seen, span
    )
    planning_curve(planned, figure)
    write_table(planned, table)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, snakemake)
