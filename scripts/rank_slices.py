"""Rule rank_slices: the slices that a person should look at next, worst first."""

import logging

from blockface.annotations import known_slices
from blockface.job import run
from blockface.places import Places
from blockface.review import annotated_percent, slice_scores
from blockface.scores import threshold_of
from blockface.tables import write_table
from blockface.volume import open_volume
from blockface.votes import slice_disagreement
from blockface.worklist import choose_slices

log = logging.getLogger(__name__)


def main(
    *, probability, annotations, worklist, slices, settings, held_out_slices, seed, threshold=0.5,
    votes=None, threads=1,
):  # fmt: skip
    """``slices`` gets the scores of all slices, ``worklist`` the chosen ones and why.

    ``votes`` of the members of an ensemble count where there is one.
    """
    predicted, labels = open_volume(probability), open_volume(annotations)
    held = {int(z) for z in held_out_slices}
    known = [z for z in known_slices(labels).tolist() if z not in held]
    level = threshold_of(predicted, threshold)
    ballots = open_volume(votes) if votes else None
    ensemble = ballots is not None and ballots.attrs.get("members", 1) > 1
    differ = slice_disagreement(ballots) if ensemble else None
    places = Places(labels, known, int(settings.get("max_xy", 2048)))
    values = list(predicted.attrs["values"])
    scores = slice_scores(predicted, known, values, level, differ, places)
    chosen = choose_slices(
        scores,
        int(settings.get("count", 4)),
        settings.get("min_gap"),
        {*places.done, *held},
        controls=int(settings.get("controls", 0)),
        seed=[seed, places.reviewed],  # other ones once more is known
    )
    chosen = places.somewhere(chosen, seed)
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
