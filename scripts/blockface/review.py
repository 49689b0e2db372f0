"""Where a prediction is worst, and how well an earlier one agreed with what people corrected.

What a slice is ranked by is in units of 1 - Dice, so that its parts add up: the error the network
itself expects, how far the members of an ensemble disagree, and jumps of shape that stand out.
Uncertainty is the binary entropy of the most undecided class, in bits: 0 for a probability of 0 or
1, and 1 for one half (Shannon 1948, doi:10.1002/j.1538-7305.1948.tb01338.x).
"""

import logging
import time
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.ndimage import median_filter

from blockface.annotations import seen_slices
from blockface.places import Places, doubts
from blockface.reviewed import seen_for, without_of
from blockface.scores import UNKNOWN, Scores, confusion, to_labels
from blockface.volume import slab_rows

log = logging.getLogger(__name__)

UNCERTAIN = 64  # a voxel is undecided from a probability of 1/4 to one of 3/4, times 255
BAND = 13  # a voxel takes part in the mean entropy from a probability of 0.05 on, times 255
SMALL = 1e-3  # share of a slice below which a change of shape does not count
LITTLE = 0.25  # share of a class's usual area below which its expected error hardly counts
AROUND = 9  # slices whose median jump is the usual one
LEAST_JUMP = 0.05  # what a jump is above the usual one before it stands out
FAR = 0.02  # how much more the slice farthest from every annotated one weighs: it decides ties


def entropy_table() -> np.ndarray:
    """Binary entropy in bits for each of the 256 stored probabilities."""
    p = np.arange(256) / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    return np.nan_to_num(bits).astype(np.float32)


def slice_scores(
    probability,
    annotated: Iterable[int],
    values: list[int],
    threshold: float = 0.5,
    disagreement: np.ndarray | None = None,
    places: Places | None = None,
) -> pd.DataFrame:
    """One row per slice, with a score that is higher the more a look at it should teach.

    ``probability`` is (class, z, y, x), uint8, 255 being 1; it is read one slice at a time within
    rows. ``disagreement`` (z,), if there is an ensemble, is 1 - the mean pairwise Dice of its
    members. Columns: z; expected_error, 1 - the Dice that the probabilities themselves expect of
    the segmentation, mean of the classes; disagreement, if given; uncertain_fraction, the share of
    voxels with a class between 1/4 and 3/4; mean_entropy (bits) over voxels where a class has 0.05
    or more; jump, 1 - Dice of the segmentation against the more alike of the two slices beside it;
    stands_out, how far that lies above the usual jump around; distance (slices) to the nearest of
    ``annotated``; score, the sum of expected_error, disagreement and stands_out. With ``places``
    those of its table, and place_score, the same for the place that would be handed out.
    """
    bits, n = entropy_table(), probability.shape[1]
    undecided = np.zeros((2, n))
    areas = np.zeros((3, n, len(values)))  # segmented, its probability, all probability
    step = np.zeros(n + 1)  # step[z] between z - 1 and z
    before, told = None, time.monotonic()
    for row in slab_rows(probability.shape):
        block = probability[:, row]
        for z in range(row.start, row.stop):
            here = block[:, z - row.start]
            doubt = doubts(here)
            if places is not None:
                places.look(z, doubt)
            undecided[:, z] = _undecided(doubt, here.max(axis=0), bits)
            labels = to_labels(here, values, threshold)
            areas[:, z] = _areas(here, labels, values)
            if before is not None:
                step[z] = _unlike(before, labels)
            before = labels
        if time.monotonic() - told > 10:
            log.info("ranked %d of %d slices", row.stop, n)
            told = time.monotonic()
    step[0], step[n] = (step[1], step[n - 1]) if n > 1 else (0, 0)
    jump = np.minimum(step[:-1], step[1:])
    members = {} if disagreement is None else {"disagreement": np.asarray(disagreement, float)}
    scores = pd.DataFrame(
        {
            "z": np.arange(n),
            "expected_error": _expected_error(*areas),
            **members,
            "uncertain_fraction": undecided[0],
            "mean_entropy": undecided[1],
            "jump": jump,
            "stands_out": _stands_out(jump),
            "distance": _distances(n, annotated),
        }
    )
    scores["score"] = _combined(scores, scores["expected_error"])
    if places is None:
        return scores
    usual = areas[2].sum(axis=1).mean() / np.prod(probability.shape[-2:])
    return _with_places(scores, places, usual)


def _undecided(doubt: np.ndarray, best: np.ndarray, bits: np.ndarray) -> tuple[float, float]:
    """Share of undecided voxels of a slice, and mean entropy (bits) where there may be a class."""
    counts = np.bincount(doubt[best >= BAND], minlength=128)
    uncertain = np.count_nonzero(doubt >= UNCERTAIN) / doubt.size
    return uncertain, counts @ bits[:128] / max(1, counts.sum())


def _areas(shares: np.ndarray, labels: np.ndarray, values: list[int]) -> np.ndarray:
    """Voxels (3, class) of a slice: segmented, and of probability among them and in all."""
    inside = [own[labels == value] for value, own in zip(values, shares, strict=True)]
    return np.transpose(
        [(i.size, i.sum() / 255, own.sum() / 255) for i, own in zip(inside, shares, strict=True)]
    )


def _with_places(scores: pd.DataFrame, places: Places, usual: float) -> pd.DataFrame:
    """``scores`` with the columns of places; of a slice a share ``usual`` is of some class."""
    scores = scores.join(places.table())
    wrong = scores["expected_error"] if places.whole else scores["place_error"] / (usual + 1e-9)
    ranked = _combined(scores, wrong)
    # what is said of a whole slice is said of no place that was reviewed, in it or beside it
    return scores.assign(place_score=ranked if places.whole else ranked.where(wrong > 0, 0))


def _expected_error(segmented: np.ndarray, sure: np.ndarray, total: np.ndarray) -> np.ndarray:
    """1 - expected Dice (z,), mean of the classes, of areas (z, class) in voxels.

    A segmentation s is expected to have Dice 2 Σ_s p / (|s| + Σ p) with what is there, if the
    probabilities p are right. Of a class that a slice hardly has, only little is said.
    """
    spare = LITTLE * (segmented + total).mean(axis=0) + 1e-9
    error = 1 - (2 * sure + spare) / (segmented + total + spare)
    return (1 + LITTLE) * error.mean(axis=1)  # the true one for a class of its usual area


def _stands_out(jump: np.ndarray) -> np.ndarray:
    """How far each jump (z,) lies above what is usual: the median around and five robust SD."""
    over = jump - median_filter(jump, AROUND, mode="nearest")
    spread = 1.4826 * np.median(np.abs(over))
    return np.maximum(0, over - max(LEAST_JUMP, 5 * spread))


def _unlike(a: np.ndarray, b: np.ndarray) -> float:
    same = np.count_nonzero((a == b) & (a > 0))
    spare = SMALL * a.size  # so that a few voxels that come or go make no jump
    return 1 - (2 * same + spare) / (np.count_nonzero(a) + np.count_nonzero(b) + spare)


def _distances(n: int, annotated: Iterable[int]) -> np.ndarray:
    annotated = np.array(sorted(annotated), int)
    if not len(annotated):
        return np.full(n, n)
    return np.abs(np.arange(n)[:, None] - annotated).min(axis=1)


def _combined(scores: pd.DataFrame, wrong: pd.Series) -> pd.Series:
    total = wrong + scores["stands_out"] + scores.get("disagreement", 0)
    return total * (1 + FAR * scores["distance"] / max(1, scores["distance"].max()))


def annotated_percent(annotations, held_out: Iterable[int]) -> float:
    """Percent of all voxels that somebody reviewed, for a class at least, and may be learnt from.

    ``annotations`` is the volume of labels (255 unknown); slices ``held_out`` do not count.
    """
    held_out = set(held_out)
    learnt = [int(z) for z in seen_slices(annotations) if int(z) not in held_out]
    known = sum(np.count_nonzero(annotations[z] != UNKNOWN) for z in learnt)
    return 100 * known / np.prod(annotations.shape)


def score_slices(
    probability, annotations, slices: Iterable[int], values, threshold, *, only=None
) -> tuple[dict[int, Scores], int]:
    """Counts of each class over the known voxels of ``slices``, and how many slices had any.

    Where only some classes were reviewed, voxels count for these. ``threshold`` is one for all
    slices, or a dict of each one's. ``only``, if given, is (volume of rounds, number): then just
    the voxels of that round count.
    """
    totals, used = dict.fromkeys(values, Scores()), 0
    slices, without = set(slices), without_of(annotations.attrs)
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
            level = threshold[z] if isinstance(threshold, dict) else threshold
            labels = to_labels(predicted[:, z - row.start], values, level)
            for value in values:
                totals[value] += confusion(labels, seen_for(truth, value, without), value)
    return totals, used


def agreement(
    previous_probability, annotations, rounds, number: int, slices, threshold=0.5
) -> pd.DataFrame:
    """How well the previous prediction agreed with what was corrected in round ``number``.

    One row per class: class, slices, voxels, dice, iou, precision, recall, changed (voxels that
    the person set otherwise). ``rounds`` says for each voxel which round reviewed it; those that
    were changed in a slice of context do not count: of these only what was wrong is known.
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
