"""Where a prediction is worst, and how well an earlier one agreed with what people corrected.

Uncertainty is the binary entropy of the most undecided class, in bits: 0 for a probability of 0 or
1, and 1 for one half (Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x).
"""

import logging
import time
from collections.abc import Iterable

import numpy as np
import pandas as pd

from blockface.annotations import UNKNOWN
from blockface.scores import Scores, confusion, to_labels
from blockface.volume import slab_rows

log = logging.getLogger(__name__)

UNCERTAIN = 64  # a voxel is undecided from a probability of 1/4 to one of 3/4, times 255
BAND = 13  # a voxel takes part in the mean entropy from a probability of 0.05 on, times 255
SMALL = 1e-3  # share of a slice below which a change of shape does not count
WEIGHTS = {"uncertain_fraction": 0.5, "mean_entropy": 0.2, "jump": 0.3}
FAR = 0.25  # how much more a slice far from every annotated one weighs, at most


def entropy_table() -> np.ndarray:
    """Binary entropy in bits for each of the 256 stored probabilities."""
    p = np.arange(256) / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return np.nan_to_num(bits).astype(np.float32)


def slice_scores(
    probability, annotated: Iterable[int], values: list[int], threshold: float = 0.5
) -> pd.DataFrame:
    """One row per slice, with a score that is higher the more a look at it should teach.

    ``probability`` is (class, z, y, x), uint8, 255 being 1; it is read one slice at a time within
    rows. Columns: z; uncertain_fraction, the share of voxels with a class between 1/4 and 3/4;
    mean_entropy (bits) over voxels where a class has 0.05 or more; jump, 1 - Dice of the
    segmentation against the more alike of the two slices beside it; distance (slices) to the
    nearest of ``annotated``; score, 0 to about 1.
    """
    bits, n = entropy_table(), probability.shape[1]
    uncertain, entropy = np.zeros(n), np.zeros(n)
    step = np.zeros(n + 1)  # step[z] between z - 1 and z
    before, told = None, time.monotonic()
    for row in slab_rows(probability.shape):
        block = probability[:, row]
        for z in range(row.start, row.stop):
            here = block[:, z - row.start]
            doubt = np.minimum(here, 255 - here).max(axis=0)  # 0 sure … 127 one half
            uncertain[z] = np.count_nonzero(doubt >= UNCERTAIN) / doubt.size
            counts = np.bincount(doubt[here.max(axis=0) >= BAND], minlength=128)
            entropy[z] = counts @ bits[:128] / max(1, counts.sum())
            labels = to_labels(here, values, threshold)
            if before is not None:
                step[z] = _unlike(before, labels)
            before = labels
        if time.monotonic() - told > 10:
            log.info("ranked %d of %d slices", row.stop, n)
            told = time.monotonic()
    step[0], step[n] = (step[1], step[n - 1]) if n > 1 else (0, 0)
    jump = np.minimum(step[:-1], step[1:])
    scores = pd.DataFrame(
        {
            "z": np.arange(n),
            "uncertain_fraction": uncertain,
            "mean_entropy": entropy,
            "jump": jump,
            "distance": _distances(n, annotated),
        }
    )
    scores["score"] = _combined(scores)
    return scores


def _unlike(a: np.ndarray, b: np.ndarray) -> float:
    same = np.count_nonzero((a == b) & (a > 0))
    spare = SMALL * a.size  # so that a few voxels that come or go make no jump
    return 1 - (2 * same + spare) / (np.count_nonzero(a) + np.count_nonzero(b) + spare)


def _distances(n: int, annotated: Iterable[int]) -> np.ndarray:
    annotated = np.array(sorted(annotated), int)
    if not len(annotated):
        return np.full(n, n)
    return np.abs(np.arange(n)[:, None] - annotated).min(axis=1)


def _combined(scores: pd.DataFrame) -> np.ndarray:
    """Each measure over its 99th percentile, weighted; more for slices far from annotated ones."""
    total = np.zeros(len(scores))
    for name, weight in WEIGHTS.items():
        top = np.percentile(scores[name], 99)
        total += weight * np.minimum(scores[name] / (top or 1), 1.5)
    return total * (1 + FAR * scores["distance"] / max(1, scores["distance"].max())) / (1 + FAR)


def choose_slices(
    scores: pd.DataFrame, count: int, min_gap: int | None = None, exclude: Iterable[int] = ()
) -> pd.DataFrame:
    """The worst slices, at most ``count``, worst first, with rank and a reason in plain words.

    Two of them lie at least ``min_gap`` slices apart (default: half of even spacing, at
    least 2); where that leaves too few the gap is halved. Slices in ``exclude`` (annotated, held
    out) are not chosen.
    """
    n, exclude = len(scores), set(exclude)
    gap = max(2, n // (2 * count)) if min_gap is None else int(min_gap)
    ordered = [int(z) for z in scores.sort_values("score", ascending=False, kind="stable")["z"]]
    ordered = [z for z in ordered if z not in exclude]
    chosen: list[int] = []
    while True:
        for z in ordered:
            if len(chosen) < count and all(abs(z - other) >= max(gap, 1) for other in chosen):
                chosen.append(z)
        if len(chosen) >= min(count, len(ordered)):
            break
        gap //= 2
        log.warning("too few slices lie apart enough; slices %d apart are taken too", max(gap, 1))
    if len(chosen) < count:
        log.warning("only %d slices are neither annotated nor held out", len(chosen))
    picked = scores.set_index("z", drop=False).loc[chosen].reset_index(drop=True)
    picked = picked.sort_values("score", ascending=False, kind="stable", ignore_index=True)
    picked["rank"] = np.arange(1, len(picked) + 1)
    medians = scores[list(WEIGHTS)].median()
    picked["reason"] = [_reason(row, medians) for row in picked.to_dict("records")]
    picked["folder"] = [f"z{z:04d}" for z in picked["z"]]
    columns = ["rank", "z", "score", *WEIGHTS, "distance", "reason", "folder"]
    return picked[columns]


def _reason(row: dict, medians) -> str:
    share, usual = (100 * v for v in (row["uncertain_fraction"], medians["uncertain_fraction"]))
    parts = [f"{share:.2g} % of the voxels are undecided (half of the slices: below {usual:.2g} %)"]
    if row["jump"] > max(1.5 * medians["jump"], 0.02):
        parts.append(
            f"the shapes differ by {100 * row['jump']:.2g} % from the slices beside it (half of "
            f"the slices: below {100 * medians['jump']:.2g} %)"
        )
    slices = int(row["distance"])
    parts.append(f"the nearest annotated slice is {slices} slice{'s' * (slices != 1)} away")
    return "; ".join(parts)


def score_slices(
    probability, annotations, slices: Iterable[int], values, threshold, *, only=None
) -> tuple[dict[int, Scores], int]:
    """Counts of each class over the known voxels of ``slices``, and how many slices had any.

    ``only``, if given, is (volume of rounds, number): then just the voxels of that round count.
    """
    totals, used = dict.fromkeys(values, Scores()), 0
    slices = set(slices)
    for row in slab_rows(annotations.shape):
        wanted = [z for z in range(row.start, row.stop) if z in slices]
        if not wanted:
            continue
        row = slice(wanted[0], wanted[-1] + 1)
        known = annotations[row]
        if only is not None:
            known[only[0][row] != only[1]] = UNKNOWN
        predicted = probability[:, row]
        for z in wanted:
            truth = known[z - row.start]
            if (truth == UNKNOWN).all():
                continue
            used += 1
            labels = to_labels(predicted[:, z - row.start], values, threshold)
            for value in values:
                totals[value] += confusion(labels, truth, value)
    return totals, used


def agreement(
    previous_probability, annotations, rounds, number: int, slices, threshold: float = 0.5
) -> pd.DataFrame:
    """How well the previous prediction agreed with what was corrected in round ``number``.

    One row per class: class, slices, voxels, dice, iou, precision, recall, changed (voxels that
    the person set otherwise). ``rounds`` says for each voxel which round reviewed it.
    """
    values = list(previous_probability.attrs["values"])
    totals, used = score_slices(
        previous_probability, annotations, slices, values, threshold, only=(rounds, number)
    )
    names = previous_probability.attrs["classes"]
    return pd.DataFrame(
        [
            {"class": name, "slices": used, **totals[v].row(), "changed": totals[v].changed}
            for name, v in zip(names, values, strict=True)
        ]
    )
