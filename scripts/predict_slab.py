"""Predict class probabilities for one slab of a stack."""

from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.job import run
from blockface.predict import Tiling, normalised, predict_slab
from blockface.segmentation import finish
from blockface.unet import Hardware, load_model
from blockface.volume import create_volume, open_volume, voxel_size


def main(*, image, model, probability, classes, slab, slabs, threads) -> None:
    hardware = Hardware.best(threads)
    source = open_volume(image)
    network, task = load_model(model, hardware, kind="segmenter")
    if classes and set(classes.values()) != set(task["classes"]):
        raise InputError(
            f"{model}: this network knows the classes {', '.join(task['classes'])}; expected "
            f"{', '.join(classes.values())}; name the same classes in the configuration"
        )
    check_stack(source, image, model, task, axes=slice(0 if network.network.context else 1, 3))
    grey = source.attrs["grey"]

    def make(path):
        shape = (len(task["classes"]), *source.shape)
        known = {"classes": task["classes"], "values": task["values"]}
        return create_volume(path, shape, np.uint8, voxel_size(source), **known)

    predict_slab(
        network,
        model,
        image,
        probability,
        make,
        slab=slab,
        slabs=slabs,
        normalise=lambda image: normalised(image, grey["p1"], grey["p99"]),
        encode=lambda shares: (shares * 255).round().astype(np.uint8),
        finish=finish,
        tiling=Tiling(views=task["views"]),
        hardware=hardware,
    )


def check_stack(source, image, model, task, axes) -> None:
    """Refuse a stack that looks otherwise than the one the network was trained on."""
    found, expected = np.array([voxel_size(source), task["voxel_size_nm"]])
    if (abs(found - expected) > 0.1 * expected)[axes].any():
        raise InputError(
            f"{image}: voxels of {found.tolist()} nm (z, y, x); {model} was trained on voxels of "
            f"{expected.tolist()} nm, expected the same within a tenth; resample the stack, or "
            "train a network of its own"
        )
    if (Path(image).stem == "denoised") != task["denoised"]:
        kinds = "a raw stack", "a denoised stack"
        raise InputError(
            f"{image}: {model} was trained on {kinds[task['denoised']]}, this is "
            f"{kinds[not task['denoised']]}; expected the same; set the dataset's denoiser so"
        )


if __name__ == "__main__":
    run(main, snakemake)
