"""Train the denoising network on patches of registered pairs and score it on the others."""

from pathlib import Path

from blockface.denoiser_training import train_on_pairs
from blockface.denoising import denoise_image, score_pairs
from blockface.job import run
from blockface.noise import load_noise
from blockface.pair_split import load_pairs
from blockface.pictures import denoised_pairs
from blockface.predict import Tiling
from blockface.residuals import residual_figure
from blockface.tables import read_table, write_table
from blockface.unet import Hardware, save_model


def main(
    *, patches, registered, split_table, noise, model, history, scores, figure, residuals,
    settings, seed, threads
) -> None:  # fmt: skip
    hardware, checkpoint = Hardware.best(threads), Path(f"{model}.checkpoint")
    table, pairs = read_table(split_table), load_pairs(registered)
    split = dict(zip(table["pair"], table["split"], strict=True))
    trained, levels, span, log = train_on_pairs(
        patches, pairs, split, load_noise(noise), settings, seed, checkpoint, hardware
    )
    write_table(log, history)
    tiling = Tiling(views=settings["views"])
    made = {
        number: denoise_image(trained, noisy, levels, tiling, hardware)
        for number, (noisy, _) in pairs.items()
        if split[number] != "train"
    }
    final = score_pairs(pairs, split, made, span)
    write_table(final, scores)
    shown = {number: (pairs[number][0], made[number], pairs[number][1]) for number in made}
    denoised_pairs(shown, final, figure)
    residual_figure(shown, residuals)
    task = {"kind": "denoiser", "views": settings["views"], "grey": list(levels)}
    save_model(model, trained, task)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, snakemake)
