"""Rule rank_slices: the slices that a person should look at next, worst first."""

import logging

from blockface.annotations import known_slices
from blockface.job import run
from blockface.review import annotated_percent, slice_scores
from blockface.tables import read_table, write_table
from blockface.volume import open_volume
from blockface.worklist import choose_slices

log = logging.getLogger(__name__)


def main(
    *, probability, annotations, worklist, slices, settings, held_out_slices, seed, threshold=0.5,
    disagreement=None, threads=1,
):  # fmt: skip
    """``slices`` gets the scores of all slices, ``worklist`` the chosen ones and why.

    ``disagreement``, where an ensemble was trained, is a table with a row per slice (z,
    disagreement).
    """
    predicted, labels = open_volume(probability), open_volume(annotations)
    held = {int(z) for z in held_out_slices}
    known = [z for z in known_slices(labels).tolist() if z not in held]
    differ = None
    if disagreement:
        differ = read_table(disagreement, ("z", "disagreement")).sort_values("z")["disagreement"]
    scores = slice_scores(predicted, known, list(predicted.attrs["values"]), threshold, differ)
    chosen = choose_slices(
        scores,
        int(settings.get("count", 4)),
        settings.get("min_gap"),
        {*known, *held},
        controls=int(settings.get("controls", 0)),
        seed=seed,
    )
    percent = annotated_percent(labels, held)
    chosen.insert(chosen.columns.get_loc("reason"), "annotated_percent", percent)
    marked = scores.assign(annotated=scores["z"].isin(known), held_out=scores["z"].isin(held))
    write_table(marked, slices)
    write_table(chosen, worklist)
    log.info("%.3g %% of the voxels of the stack are annotated so far", percent)
    for row in chosen.to_dict("records"):
        log.info("slice %(z)d: %(reason)s", row)


if __name__ == "__main__":
    run(main, snakemake)
