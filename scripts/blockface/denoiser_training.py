"""The training of a denoiser on registered pairs, judged by whole pairs that are kept out."""

from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from numpy.typing import NDArray

from blockface.augment import Augmentation
from blockface.denoising import ExtraNoise, denoise_image, loss, sampler, score_pairs
from blockface.noise import Noise
from blockface.patches import load_patches
from blockface.predict import Tiling, normalised
from blockface.train import Training, fit, fitting
from blockface.unet import Hardware, Network, UNet

STEPS_APART = 25  # at least, from one validation to the next


def train_on_pairs(
    patches: str | Path,
    pairs: dict[int, NDArray],
    split: dict[int, str],
    noise: Noise,
    settings: dict,
    seed: int,
    checkpoint: Path,
    hardware: Hardware,
) -> tuple[UNet, tuple[float, float], float, pd.DataFrame]:
    """Trained network, the grey levels that are -1 and 1 to it, span for PSNR, and its history.

    ``settings`` has network, training, augmentation and extra_noise, the largest strength of noise
    like that of the pairs that is added to them.
    """
    stored, attributes, digest = load_patches(patches)
    levels, span = tuple(attributes["grey"]), attributes["span"]
    network = Network(outputs=1, residual=True, **settings["network"])
    training = Training(seed=seed, **settings["training"])
    # whole images take as long as some twenty steps
    often = max(1, min(training.validations, training.steps // STEPS_APART))
    training = fitting(replace(training, validations=often), stored.shape[-1], network)
    strength = settings["extra_noise"]
    judges = [pair for pair in pairs if split[pair] == "validation"]

    def validate(net):
        one_view = Tiling(views=1)
        made = {p: denoise_image(net, pairs[p][0], levels, one_view, hardware) for p in judges}
        means = score_pairs(pairs, split, made, span).mean(numeric_only=True)
        psnr = means["psnr_denoised"]
        return {
            "score": psnr, "validation_psnr": psnr, "validation_ssim": means["ssim_denoised"]
        }  # fmt: skip

    model, history = fit(
        network,
        training,
        sample=sampler(
            normalised(stored, *levels),
            training,
            Augmentation(**settings["augmentation"]),
            hardware,
            ExtraNoise(noise, levels, strength) if strength else None,
        ),
        loss=loss,
        validate=validate,
        checkpoint=checkpoint,
        made_from={"settings": settings, "seed": seed, "patches": digest, "noise": asdict(noise)},
        hardware=hardware,
    )
    return model, levels, span, history
