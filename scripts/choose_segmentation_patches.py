"""Choose the annotated places that the segmentation network learns from, and say why."""

import zarr

from blockface.annotations import seen_slices
from blockface.job import run
from blockface.network import neighbours
from blockface.patches import check_size, choose
from blockface.reviewed import without_of
from blockface.tables import write_table
from blockface.volume import open_volume, voxel_size


def main(
    *, raw, annotations, table, settings, classes, held_out_slices, seed,
    threads, folder="", context=None, network=None, rounds=None,
) -> None:  # fmt: skip
    stack, labels = open_volume(raw), zarr.open_array(annotations, mode="r")
    classes = {int(value): name for value, name in classes.items()}
    size, least = settings["size"], settings["min_foreground"]
    if size is None:
        size = min(320, *stack.shape[1:])
    check_size(size, stack.shape[1:], raw, "datasets.<name>.patches.size")
    slices = neighbours(context, settings["context"], network or {}, voxel_size(stack))
    chosen = choose(
        labels,
        seen_slices(labels).tolist(),
        held_out=held_out_slices,
        classes=classes,
        size=size,
        min_foreground={
            name: least.get(name, 0.02) if isinstance(least, dict) else least
            for name in classes.values()
        },
        background_share=settings["background_share"],
        seed=seed,
        source=folder or str(annotations),
        without=without_of(labels.attrs),
        rounds=open_volume(rounds) if rounds else None,
    )
    write_table(chosen.assign(size=size, context=slices), table)


if __name__ == "__main__":
    run(main, snakemake)
