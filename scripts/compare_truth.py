"""Compare segmentation, objects and sizes with a known truth (datasets.<name>.truth)."""

import logging

from blockface.job import run
from blockface.tables import read_table, write_table
from blockface.truth import add_sizes, class_voxels, false_objects, match, overlaps, score

log = logging.getLogger(__name__)


def main(
    *, objects, objects_table, truth_objects, truth_table, comparison, matches, threshold,
    threads, probability=None, min_volume_um3=0.0,
):  # fmt: skip
    """``probability`` may be a label volume; it is left out where a dataset enters with objects.

    True objects below ``min_volume_um3`` are not looked for: the user has them dropped.
    """
    found = read_table(objects_table, columns=("object_id", "class"))
    truth = read_table(truth_table, columns=("object_id", "class"))
    wanted = truth
    if "volume_um3" in truth:
        wanted = truth[truth["volume_um3"] >= float(min_volume_um3)]
        log.info("%d of %d true objects are large enough", len(wanted), len(truth))
    voxels = None
    if probability:
        class_of = dict(zip(truth["object_id"], truth["class"], strict=True))
        voxels = class_voxels(str(probability), truth_objects, class_of, threshold)
    overlap = overlaps(objects, truth_objects)
    matched = add_sizes(match(overlap, found, wanted), found, wanted)
    scores = score(matched, found, false_objects(overlap, found, truth), voxels)
    write_table(matched, matches)
    write_table(scores, comparison)
    for row in scores.itertuples(index=False):
        log.info("%s %s: %.4g %s", *row)


if __name__ == "__main__":
    run(main, snakemake)
