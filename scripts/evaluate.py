"""Rule evaluate: how good this iteration is, beside all the ones before."""

import logging
from pathlib import Path

import pandas as pd

from blockface.annotations import known_slices
from blockface.job import run
from blockface.review import agreement, annotated_percent, score_slices
from blockface.rounds import RECORD, read_record
from blockface.scores import threshold_of
from blockface.tables import read_table, write_table
from blockface.volume import open_volume

log = logging.getLogger(__name__)

COLUMNS = [
    "iteration", "split", "class", "slices", "voxels", "dice", "iou", "precision", "recall",
    "changed", "annotated_percent",
]  # fmt: skip


def main(
    *,
    probability,
    annotations,
    evaluation,
    threshold,
    held_out_slices,
    iteration,
    previous_probability=None,
    earlier=None,
    rounds=None,
    threads=1,
):
    """Write one row per iteration, split and class; ``iteration`` is the one whose network it was.

    held_out: the prediction against the held-out slices. corrected: the *previous* prediction
    against the voxels reviewed in this round, so those rows carry the number of the iteration
    before. Rows of ``earlier`` (the evaluation before) stand in front. ``changed`` are the voxels
    in which prediction and person differ, ``annotated_percent`` (of the voxels of the stack) is
    what the iteration's network could learn from.
    """
    held_out = sorted({int(z) for z in held_out_slices})
    predicted, truth = open_volume(probability), open_volume(annotations)
    values, names = list(predicted.attrs["values"]), predicted.attrs["classes"]
    # an iteration closed by an earlier version lacks the last columns
    rows = [read_table(earlier, tuple(COLUMNS[:-2]))] if earlier else []
    if previous_probability:
        rounds = open_volume(rounds or Path(annotations).with_name("annotation_rounds.zarr"))
        before = open_volume(previous_probability)
        shown = handed_out_thresholds(Path(previous_probability).with_name("corrections"))
        usual = min(shown.values(), default=threshold_of(before, threshold))
        levels = {int(z): shown.get(int(z), usual) for z in known_slices(truth)}
        rows.append(corrected(before, truth, rounds, int(iteration), held_out, levels))
    percent = annotated_percent(truth, held_out)
    level = threshold_of(predicted, threshold)
    totals, used = score_slices(predicted, truth, held_out, values, level)
    rows.append(
        pd.DataFrame(
            [
                {
                    "iteration": int(iteration),
                    "split": "held_out",
                    "class": name,
                    "slices": used,
                    **totals[value].row(),
                    "changed": totals[value].changed,
                    "annotated_percent": percent,
                }
                for name, value in zip(names, values, strict=True)
            ]
        )
    )
    if not used:
        log.warning(
            "no held-out slice is annotated, so this iteration has no score; name some in "
            "held_out_slices and paint them in any round"
        )
    write_table(pd.concat(rows, ignore_index=True).reindex(columns=COLUMNS), evaluation)


def handed_out_thresholds(folder: Path) -> dict[int, float]:
    """Threshold of the masks handed out in ``folder``, corrections/ of an iteration, by slice.

    The setting may have been changed since, and between two of them.
    """
    found = {}
    for path in sorted(folder.glob(f"*/{RECORD}")):
        record = read_record(path.parent)
        found[int(record["z"])] = float(record["threshold"])
    return found


def corrected(before, truth, rounds, iteration, held_out, levels) -> pd.DataFrame:
    """Rows of the prediction ``before`` against what the person then made of it, and its log.

    ``levels``: the threshold of each known slice.
    """
    slices = [z for z in levels if z not in held_out]
    found = agreement(before, truth, rounds, iteration, slices, levels)
    for row in found.to_dict("records"):
        log.info("%(class)s: %(changed)d of %(voxels)d corrected voxels were changed", row)
        if row["dice"] < 0.05:
            log.warning(
                "%(class)s: prediction and correction hardly overlap (Dice %(dice).3f);"
                " was hardly any of it predicted? If not so, do the masks belong to this stack?",
                row,
            )
    return found.assign(iteration=iteration - 1, split="corrected")


if __name__ == "__main__":
    run(main, snakemake)
