"""Predict class probabilities for one slab of a stack."""

from pathlib import Path

import numpy as np

from blockface.calibration import calibrated
from blockface.errors import InputError
from blockface.job import run
from blockface.predict import Tiling, normalised, predict_slab
from blockface.segmentation import finisher
from blockface.unet import Hardware, load_model
from blockface.volume import create_volume, open_volume, voxel_size
from blockface.votes import votes_of


def main(
    *, image, model, probability, classes, slab, slabs, threads, boundary=None, votes=None,
    size=None,
) -> None:  # fmt: skip
    hardware = Hardware.best(threads)
    source = open_volume(image)
    network, task = load_model(model, hardware, kind="segmenter")
    check_network(model, network.network, task, classes, size or {})
    check_stack(source, image, model, task, axes=slice(0 if network.network.context else 1, 3))
    grey, names = source.attrs["grey"], task["classes"]
    members, calibration = len(getattr(network, "members", [0])), task.get("calibration", {})
    edges = task.get("boundary", False)
    known = {"classes": names, "values": task["values"]}
    targets = {probability: volume_of(source, len(names), **known, **calibration)}
    beside = {
        boundary: (volume_of(source, None, learnt=edges), edges),
        votes: (volume_of(source, len(names), members=members, **known), members > 1),
    }
    for path, (make, used) in beside.items():
        if path and used:
            targets[path] = make
        elif path:
            make(path)  # empty, it takes no room: what is made does not depend on the network

    def encode(outputs):
        shares = outputs.reshape(members, -1, *outputs.shape[1:])
        means = shares.mean(axis=0)
        own = calibrated(means[: len(names)], calibration.get("temperature"))
        made = [as_bytes(own)]
        if boundary in targets:
            made.append(as_bytes(means[-1]))
        if votes in targets:
            made.append(votes_of(shares[:, : len(names)]))
        return made

    predict_slab(
        network,
        model,
        image,
        targets,
        slab=slab,
        slabs=slabs,
        normalise=lambda image: normalised(image, grey["p1"], grey["p99"]),
        encode=encode,
        finish=finisher(edges),
        tiling=Tiling(views=task["views"]),
        hardware=hardware,
    )


def volume_of(source, channels: int | None, **attributes):
    """Function that creates a volume of bytes on the grid of ``source`` at a path."""
    shape = source.shape if channels is None else (channels, *source.shape)
    return lambda path: create_volume(path, shape, np.uint8, voxel_size(source), **attributes)


def as_bytes(shares):
    """Probabilities as uint8, 255 being 1."""
    return (shares * 255).round().astype(np.uint8)


def check_network(model, network, task, classes, size) -> None:
    """Refuse a network of other classes or size, or calibrated as no longer is done."""
    if "temperatures" in task.get("calibration", {}):
        raise InputError(
            f"{model}: this network has a temperature for each class, expected one for all, as "
            "since this version; train it again"
        )
    if classes and set(classes.values()) != set(task["classes"]):
        raise InputError(
            f"{model}: this network knows the classes {', '.join(task['classes'])}; expected "
            f"{', '.join(classes.values())}; name the same classes in the configuration"
        )
    found = {key: getattr(network, key) for key in size}
    if found != size:
        raise InputError(
            f"{model}: a network of {found}, expected {size} as the configuration says, which "
            "trains it; remove the file to have it trained again, or name another iteration's "
            "network under segmenter"
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
