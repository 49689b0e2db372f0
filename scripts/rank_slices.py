"""Rule rank_slices: the slices that a person should look at next, worst first."""

import logging

from blockface.annotations import known_slices
from blockface.job import run
from blockface.review import choose_slices, slice_scores
from blockface.scores import threshold_of
from blockface.tables import write_table
from blockface.volume import open_volume

log = logging.getLogger(__name__)


def main(
    *, probability, annotations, worklist, settings, held_out_slices, threshold=0.5, threads=1
):
    predicted = open_volume(probability)
    held = {int(z) for z in held_out_slices}
    known = [z for z in known_slices(open_volume(annotations)).tolist() if z not in held]
    level = threshold_of(predicted, threshold)
    scores = slice_scores(predicted, known, list(predicted.attrs["values"]), level)
    chosen = choose_slices(
        scores,
        int(settings.get("count", 4)),
        settings.get("min_gap"),
        [*known, *(int(z) for z in held_out_slices)],
    )
    write_table(chosen, worklist)
    for row in chosen.to_dict("records"):
        log.info("slice %(z)d: %(reason)s", row)


if __name__ == "__main__":
    run(main, snakemake)
