"""Predict class probabilities for one slab of a stack."""

import hashlib
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.job import run
from blockface.predict import Tiling, normalised, predict_rows
from blockface.segmentation import finish
from blockface.unet import Hardware, load_model
from blockface.volume import create_volume, open_volume, resumable, voxel_size


def main(*, image, model, probability, classes, slab, slabs, threads) -> None:
    hardware = Hardware.best(threads)
    source = open_volume(image)
    network, task = load_model(model, hardware, kind="segmenter")
    if classes and set(classes.values()) != set(task["classes"]):
        raise InputError(
            f"{model}: this network knows the classes {', '.join(task['classes'])}; expected "
            f"{', '.join(classes.values())}; name the same classes in the configuration"
        )
    grey = source.attrs["grey"]

    def make(path):
        shape = (len(task["classes"]), *source.shape)
        known = {"classes": task["classes"], "values": task["values"]}
        return create_volume(path, shape, np.uint8, voxel_size(source), **known)

    weights = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    made = Path(image, "zarr.json").stat().st_mtime_ns  # grey levels alone do not tell stacks apart
    key = {
        "model": weights,
        "grey": grey,
        "shape": list(source.shape),
        "source": [str(image), made],
    }
    with resumable(probability, key | {"slab": [slab, slabs]}, make) as (target, progress):
        predict_rows(
            network,
            source,
            target,
            progress,
            normalise=lambda image: normalised(image, grey["p1"], grey["p99"]),
            encode=lambda shares: (shares * 255).round().astype(np.uint8),
            finish=finish,
            tiling=Tiling(views=task["views"]),
            hardware=hardware,
            slab=slab,
            slabs=slabs,
        )


if __name__ == "__main__":
    run(main, snakemake)
