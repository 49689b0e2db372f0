"""Train a denoising network on the noisy stack itself, where there are no pairs."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from blockface.augment import Augmentation
from blockface.job import run
from blockface.predict import normalised
from blockface.self_supervision import draw_patches, loss, sampler
from blockface.tables import write_table
from blockface.train import Training, fit, fitting, generator
from blockface.unet import Hardware, Network, save_model
from blockface.volume import open_volume

KEPT_OUT = 16  # patches that only judge


def main(*, raw, model, history, settings, seed, threads) -> None:
    hardware = Hardware.best(threads)
    stack = open_volume(raw)
    low, high = stack.attrs["grey"]["p1"], stack.attrs["grey"]["p99"]
    count, size = settings["patches"], min(settings["patch_size"], *stack.shape[1:])
    patches = normalised(draw_patches(stack, count + KEPT_OUT, size, seed, raw), low, high)
    digest = hashlib.sha256(patches.tobytes()).hexdigest()
    network = Network(outputs=1, residual=True, **settings["network"])
    training = fitting(Training(seed=seed, **settings["training"]), size // 2, network)
    # both see the same mirrored lines, so what is added must be the same in both
    augmentation = Augmentation(noise=0, blur=0)
    order = np.random.default_rng([seed, 6]).permutation(len(patches))
    judged = sampler(patches[order[:KEPT_OUT]], training, augmentation, hardware)

    def validate(net):
        with torch.no_grad(), hardware.autocast():
            images, others = judged(generator(seed, -1))
            error = loss(net(images).float(), others).item()
        return {"score": -error, "validation_loss": error}

    trained, log = fit(
        network,
        training,
        sample=sampler(patches[order[KEPT_OUT:]], training, augmentation, hardware),
        loss=loss,
        validate=validate,
        checkpoint=Path(f"{model}.checkpoint"),
        made_from={"settings": settings, "seed": seed, "patches": digest},
        hardware=hardware,
    )
    write_table(log, history)
    save_model(
        model, trained, {"kind": "denoiser", "views": settings["views"], "grey": [low, high]}
    )
    Path(f"{model}.checkpoint").unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, snakemake)
