"""Cut the chosen places, images and labels, for the segmentation network to learn from."""

from pathlib import Path

import zarr

from blockface.job import run
from blockface.patches import cut, store_patches
from blockface.tables import read_table
from blockface.volume import open_volume, voxel_size


def main(
    *, image, annotations, table, patches, classes, held_out_slices=(), context=None, threads
) -> None:
    grey, labels = open_volume(image), zarr.open_array(annotations, mode="r")
    chosen = read_table(table)
    kept = chosen.loc[chosen["kept"], ["z", "y", "x"]]
    size, slices = (int(chosen[name].iloc[0]) for name in ("size", "context"))
    volumetric = context == "3d"
    store_patches(
        patches,
        cut(grey, labels, chosen, size, slices, held_out_slices, volumetric),
        len(kept),
        grey=dict(grey.attrs["grey"]),
        classes={str(value): name for value, name in classes.items()},
        without=labels.attrs.get("without", {}),
        context=slices,
        volumetric=volumetric,
        places=kept.to_numpy().tolist(),
        voxel_size_nm=voxel_size(grey),
        denoised=Path(image).stem == "denoised",
    )


if __name__ == "__main__":
    run(main, snakemake)
