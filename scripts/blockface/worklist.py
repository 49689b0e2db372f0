"""The worklist: which slices a person should correct next, and why, in plain words."""

import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)

SHOWN = (
    "place_score", "place_error", "y0", "y1", "x0", "x1", "expected_error", "disagreement", "jump",
    "uncertain_fraction", "mean_entropy", "distance",
)  # fmt: skip
SHARES = ("place_error", "expected_error", "disagreement", "jump", "uncertain_fraction")


def choose_slices(
    scores: pd.DataFrame,
    count: int,
    min_gap: int | None = None,
    exclude: Iterable[int] = (),
    *,
    controls: int = 0,
    seed: int | list[int] = 0,
) -> pd.DataFrame:
    """The worst slices, at most ``count``, worst first, with rank and a reason in plain words.

    How bad is ``place_score``, or ``score`` where places were not looked for.

    Two of them lie at least ``min_gap`` slices apart (default: half of even spacing, at
    least 2); where that leaves too few the gap is halved. Slices in ``exclude`` (annotated, held
    out) are not chosen. Last come ``controls`` slices drawn at random by ``seed``, whatever their
    score: they tell how good the prediction is where nobody went looking for faults.
    """
    n, exclude = len(scores), set(exclude)
    gap = max(2, n // (2 * count)) if min_gap is None else int(min_gap)
    worst = scores.get("place_score", scores["score"]).sort_values(ascending=False, kind="stable")
    ordered = [int(z) for z in scores.loc[worst.index, "z"]]
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
    chosen.sort(key=ordered.index)
    drawn = [int(z) for z in np.random.default_rng(seed).permutation(n)]
    drawn = [z for z in drawn if z not in exclude and z not in chosen][:controls]
    picked = scores.set_index("z", drop=False).loc[chosen + drawn].reset_index(drop=True)
    picked["rank"] = np.arange(1, len(picked) + 1)
    picked["control"] = picked["z"].isin(drawn)
    medians = scores.median()
    picked["reason"] = [_reason(row, medians) for row in picked.to_dict("records")]
    picked["folder"] = [f"z{z:04d}" for z in picked["z"]]
    shown = [name for name in SHOWN if name in picked]
    return picked[["rank", "z", "score", *shown, "control", "reason", "folder"]]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def _reason(row: dict, medians) -> str:
    if row["control"]:
        return "control: chosen at random, not by its score"
    here, usual = (
        {name: _percent(values[name]) for name in SHARES if name in values}
        for values in (row, dict(medians))
    )
    parts = []
    if "place_error" in here:
        parts.append(
            f"{here['place_error']} of the voxels of this part are expected to be wrong (half "
            f"of the slices: below {usual['place_error']} in their worst part)"
        )
    parts.append(
        f"{here['expected_error']} of the segmentation is expected to be wrong, as a mean of the "
        f"classes (half of the slices: below {usual['expected_error']})"
    )
    if "disagreement" in here:
        parts.append(
            f"the networks of the ensemble differ by {here['disagreement']} (half of the "
            f"slices: below {usual['disagreement']})"
        )
    if row["stands_out"] > 0:
        parts.append(
            f"the shapes differ by {here['jump']} from the slices beside it (half of the "
            f"slices: below {usual['jump']})"
        )
    parts.append(
        f"{here['uncertain_fraction']} of the voxels are undecided (half of the slices: below "
        f"{usual['uncertain_fraction']})"
    )
    slices = int(row["distance"])
    parts.append(f"the nearest annotated slice is {slices} slice{'s' * (slices != 1)} away")
    return "; ".join(parts)
