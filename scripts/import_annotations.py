"""Rule import_annotations: the rounds 00 … NN of a dataset as one volume of labels."""

import logging
from pathlib import Path

from blockface.annotations import check_held_out, import_rounds
from blockface.grids import Grid
from blockface.job import run
from blockface.tables import write_table
from blockface.volume import open_volume, voxel_size

log = logging.getLogger(__name__)


def main(
    *,
    files,
    raw,
    annotations,
    table,
    folder,
    iteration,
    classes,
    held_out_slices,
    class_priority=(),
    rounds=None,
    report=None,
    digests=None,
    threads=1,
):
    """Read the annotation files below ``folder``; they themselves are never written.

    ``files`` and ``digests`` only tell Snakemake what the result depends on. ``rounds`` is the
    volume that says which round reviewed a voxel; by default annotation_rounds.zarr beside
    ``annotations``; ``report`` the table of what people made of the places handed out, by default
    import_report.tsv there.
    """
    stack = open_volume(raw)
    rounds = rounds or str(Path(annotations).with_name("annotation_rounds.zarr"))
    report = report or Path(annotations).with_name("import_report.tsv")
    found = import_rounds(
        folder,
        range(int(iteration) + 1),
        classes,
        stack.shape,
        voxel_size(stack),
        annotations,
        rounds_path=rounds,
        report_path=report,
        origin_nm=tuple(stack.attrs.get("origin_nm", (0.0, 0.0, 0.0))),
        held_out_slices=held_out_slices,
        class_priority=class_priority,
        world=Grid.of_json(stack.attrs["world"]) if "world" in stack.attrs else None,
    )
    check_held_out(open_volume(annotations), held_out_slices, folder)
    write_table(found, table)
    for row in found.to_dict("records"):
        log.info("%(file)s: %(class)s, %(voxels_painted)d of %(voxels_reviewed)d voxels", row)


if __name__ == "__main__":
    run(main, snakemake)
