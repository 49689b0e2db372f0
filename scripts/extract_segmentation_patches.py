"""Choose and cut the annotated places the segmentation network learns from."""

import numpy as np
import zarr

from blockface.job import run
from blockface.patches import check_size, choose, cut, store_patches
from blockface.tables import read_table, write_table
from blockface.volume import open_volume


def main(
    *, image, annotations, annotations_table, patches, table, settings, classes, held_out_slices,
    seed, threads,
) -> None:  # fmt: skip
    grey, labels = open_volume(image), zarr.open_array(annotations, mode="r")
    classes = {int(value): name for value, name in classes.items()}
    size, context = settings["size"], settings["context"]
    if size is None:
        size = min(320, *grey.shape[1:])
    check_size(size, grey.shape[1:], image, "datasets.<name>.patches.size")
    files = read_table(annotations_table)
    slices = sorted({z for row in files.itertuples() for z in range(int(row.z0), int(row.z1))})
    chosen = choose(
        labels,
        slices,
        held_out=held_out_slices,
        classes=classes,
        size=size,
        context=context,
        min_foreground={
            name: settings["min_foreground"]
            if isinstance(settings["min_foreground"], int | float)
            else settings["min_foreground"].get(name, 0.01)
            for name in classes.values()
        },
        background_share=settings["background_share"],
        seed=seed,
        source=str(annotations),
    )
    write_table(chosen, table)
    store_patches(
        patches,
        list(cut(grey, labels, chosen, size, context)),
        grey=dict(grey.attrs["grey"]),
        classes={str(v): n for v, n in classes.items()},
        context=context,
        known=int(np.count_nonzero(chosen["kept"])),
    )


if __name__ == "__main__":
    run(main, snakemake)
