"""Train the segmentation network of one iteration, from scratch, on all rounds up to it."""

from pathlib import Path

import numpy as np

from blockface.augment import Augmentation
from blockface.job import run
from blockface.patches import load_patches
from blockface.predict import normalised
from blockface.segmentation import label_channels, loss, sampler, training_dice
from blockface.tables import write_table
from blockface.train import Training, fit, fitting
from blockface.unet import Hardware, Network, save_model


def main(*, patches, model, history, settings, seed, threads) -> None:
    hardware = Hardware.best(threads)
    stored, attributes, digest = load_patches(patches)
    grey, classes = attributes["grey"], attributes["classes"]
    images = normalised(stored[:, :-1], grey["p1"], grey["p99"])
    values = sorted(int(value) for value in classes)
    labels = label_channels(stored[:, -1].astype(np.uint8), values)
    training = Training(seed=seed, **settings["training"])
    network = Network(outputs=1 + len(values), context=attributes["context"], **settings["network"])
    training = fitting(training, images.shape[-1], network)
    some = np.linspace(0, len(images) - 1, min(8, len(images))).astype(int)

    def validate(net):
        numbers = training_dice(net, images[some], labels[some], hardware)
        # nothing is set aside to choose weights by: the last average is kept
        return {"score": 0.0, **numbers}

    trained, log = fit(
        network,
        training,
        sample=sampler(
            images, labels, training, Augmentation(**settings["augmentation"]), hardware
        ),
        loss=loss,
        validate=validate,
        checkpoint=Path(f"{model}.checkpoint"),
        made_from={"settings": settings, "seed": seed, "patches": digest},
        hardware=hardware,
    )
    write_table(log, history)
    task = {
        "kind": "segmenter",
        "views": settings["views"],
        "values": values,
        "classes": [classes[str(v)] for v in values],
        "voxel_size_nm": attributes["voxel_size_nm"],
        "denoised": attributes["denoised"],
    }
    save_model(model, trained, task)
    Path(f"{model}.checkpoint").unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, snakemake)
