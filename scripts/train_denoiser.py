"""Train the denoising network on patches of registered pairs and score it on the others."""

from dataclasses import asdict
from pathlib import Path

from blockface.augment import Augmentation
from blockface.denoising import (
    ExtraNoise,
    denoise_image,
    load_pairs,
    loss,
    sampler,
    score_pairs,
)
from blockface.job import run
from blockface.noise import load_noise
from blockface.patches import load_patches
from blockface.pictures import denoised_pairs
from blockface.predict import Tiling, normalised
from blockface.residuals import residual_figure
from blockface.tables import read_table, write_table
from blockface.train import Training, fit, fitting
from blockface.unet import Hardware, Network, save_model


def main(
    *, patches, registered, split_table, noise, model, history, scores, figure, residuals,
    settings, seed, threads
) -> None:  # fmt: skip
    hardware = Hardware.best(threads)
    grey, attributes, digest = load_patches(patches)
    low, high = attributes["grey"]
    network = Network(outputs=1, residual=True, **settings["network"])
    training = Training(seed=seed, **settings["training"])
    training = fitting(training, grey.shape[-1], network)
    table = read_table(split_table)
    split = dict(zip(table["pair"], table["split"], strict=True))
    pairs = load_pairs(registered)
    seen, strength = load_noise(noise), settings["extra_noise"]
    extra = ExtraNoise(seen, (low, high), strength) if strength else None
    validation = {p: pair for p, pair in pairs.items() if split[p] == "validation"}

    def score(net, chosen, views):
        def denoise(noisy):
            return denoise_image(net, noisy, (low, high), Tiling(views=views), hardware)

        return score_pairs(chosen, split, denoise, attributes["span"])

    def validate(net):
        table = score(net, validation, views=1)
        psnr = table["psnr_denoised"].mean()
        return {
            "score": psnr,
            "validation_psnr": psnr,
            "validation_ssim": table["ssim_denoised"].mean(),
        }

    trained, log = fit(
        network,
        training,
        sample=sampler(
            normalised(grey, low, high),
            training,
            Augmentation(**settings["augmentation"]),
            hardware,
            extra,
        ),
        loss=loss,
        validate=validate,
        checkpoint=Path(f"{model}.checkpoint"),
        made_from={
            "settings": settings,
            "seed": seed,
            "patches": digest,
            "noise": asdict(seen),
        },
        hardware=hardware,
    )
    write_table(log, history)
    final = score(trained, pairs, views=settings["views"])
    write_table(final, scores)
    shown = {}
    for p in final["pair"]:
        noisy, clean = pairs[p]
        shown[p] = noisy, denoise_image(trained, noisy, (low, high), Tiling(), hardware), clean
    denoised_pairs(shown, final, figure)
    residual_figure(shown, residuals)
    task = {"kind": "denoiser", "views": settings["views"], "grey": [low, high]}
    save_model(model, trained, task)
    Path(f"{model}.checkpoint").unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, snakemake)
