"""Train the segmentation network of one iteration, from scratch, on all rounds up to it."""

from functools import partial
from pathlib import Path

import numpy as np

from blockface.augment import UNKNOWN, Augmentation
from blockface.calibration import calibrate, set_aside
from blockface.job import run
from blockface.network import Network
from blockface.patches import load_patches
from blockface.predict import Tiling, normalised
from blockface.reviewed import fully_known, in_channels, without_of
from blockface.segmentation import finisher, label_channels, objective, sampler, training_dice
from blockface.tables import write_table
from blockface.touching import boundaries
from blockface.train import Training, fit, fitting
from blockface.unet import Hardware, save_model


def main(*, patches, model, history, settings, seed, threads) -> None:
    hardware, boundary = Hardware.best(threads), settings["boundary"]
    stored, attributes, digest = load_patches(patches)
    grey, classes = attributes["grey"], attributes["classes"]
    values = sorted(int(value) for value in classes)
    network = Network(
        outputs=1 + len(values) + boundary,
        context=attributes["context"],
        volumetric=attributes["volumetric"],
        voxel_size_nm=tuple(attributes["voxel_size_nm"]),
        **settings["network"],
    )
    normalise = partial(normalised, low=grey["p1"], high=grey["p99"])
    images = stored[:, : network.inputs]  # made floats a few at a time: there may be gigabytes
    masks = stored[:, network.inputs :].astype(np.uint8)
    training = fitting(Training(seed=seed, **settings["training"]), images.shape[-1], network)
    codes = without_of(attributes)
    without = in_channels(codes, values)
    channels = label_channels(masks, values, without)
    labels, aside = set_aside(channels, attributes["places"], settings["calibration"], seed)
    kinds = with_boundary(labels, fully_known(masks, codes)) if boundary else labels[:, None]
    some = np.linspace(0, len(images) - 1, min(8, len(images))).astype(int)
    shown = normalise(images[some]), labels[some]

    def validate(net):
        numbers = training_dice(net, *shown, len(values), hardware, without)
        # nothing is set aside to choose weights by: the last average is kept
        return {"score": 0.0, **numbers}

    augmentation = Augmentation(**settings["augmentation"])
    trained, log = fit(
        network,
        training,
        sample=sampler(images, kinds, training, augmentation, hardware, network, normalise),
        loss=partial(objective, without=without),
        validate=validate,
        checkpoint=Path(f"{model}.checkpoint"),
        made_from={"settings": settings, "seed": seed, "patches": digest},
        hardware=hardware,
    )
    write_table(log, history)
    tiling, finish = Tiling(views=settings["views"]), finisher(boundary)
    calibration = {}
    if settings["calibration"] > 0:
        known = map(normalise, images), aside, attributes["places"]
        calibration = calibrate(trained, *known, finish, tiling, hardware, len(values), without)
    task = {
        "kind": "segmenter",
        "views": settings["views"],
        "values": values,
        "classes": [classes[str(v)] for v in values],
        "voxel_size_nm": attributes["voxel_size_nm"],
        "denoised": attributes["denoised"],
        "boundary": boundary,
        "calibration": calibration,
    }
    save_model(model, trained, task)
    Path(f"{model}.checkpoint").unlink(missing_ok=True)


def with_boundary(labels: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Labels (n, 2, slices, y, x): ``labels``, and where in ``masks`` objects touch, if known."""
    edges = boundaries(masks.reshape(-1, *masks.shape[2:])).reshape(masks.shape)
    return np.stack([labels, np.where(labels == UNKNOWN, UNKNOWN, edges)], 1)


if __name__ == "__main__":
    run(main, snakemake)
