"""Denoise one slab of a stack, tile by tile, from zarr to zarr."""

import numpy as np

from blockface.job import run
from blockface.predict import Tiling, normalised, predict_slab
from blockface.unet import Hardware, load_model
from blockface.volume import create_volume, open_volume, voxel_size


def main(*, raw, model, denoised, slab, slabs, threads) -> None:
    hardware = Hardware.best(threads)
    source = open_volume(raw)
    network, task = load_model(model, hardware, kind="denoiser")
    stack_grey = source.attrs["grey"]
    low, high = stack_grey["p1"], stack_grey["p99"]
    limits = np.iinfo(source.dtype) if source.dtype.kind in "iu" else np.finfo(source.dtype)

    def encode(values):
        values = (values + 1) * ((high - low) / 2) + low
        values = values.round() if source.dtype.kind in "iu" else values
        return [np.clip(values[0], limits.min, limits.max).astype(source.dtype)]

    def make(path):
        kept = {k: v for k, v in source.attrs.items() if k not in ("axes", "voxel_size_nm")}
        return create_volume(path, source.shape, source.dtype, voxel_size(source), **kept)

    predict_slab(
        network,
        model,
        raw,
        {denoised: make},
        slab=slab,
        slabs=slabs,
        normalise=lambda grey: normalised(grey, low, high),
        encode=encode,
        finish=lambda output: output,
        tiling=Tiling(views=task["views"]),
        hardware=hardware,
        keep_mean=True,
    )


if __name__ == "__main__":
    run(main, snakemake)
