"""How well a prediction agrees with what people said: counts, and the scores they give.

Only known voxels count (255 is unknown). Counts of slices add up, so a stack is scored slice by
slice. Dice: Dice 1945, doi:10.2307/1932409.
"""

from dataclasses import dataclass

import numpy as np

UNKNOWN = 255


@dataclass(frozen=True)
class Scores:
    """Voxels of one class: found and true, found but wrong, missed; of ``voxels`` known ones."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    voxels: int = 0

    def __add__(self, other: "Scores") -> "Scores":
        """Counts of both together."""
        return Scores(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.voxels + other.voxels,
        )

    @property
    def dice(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN if the class is neither there nor found."""
        return _ratio(
            2 * self.true_positive,
            2 * self.true_positive + self.false_positive + self.false_negative,
        )

    @property
    def iou(self) -> float:
        """TP / (TP + FP + FN); NaN if the class is neither there nor found."""
        return _ratio(
            self.true_positive, self.true_positive + self.false_positive + self.false_negative
        )

    @property
    def precision(self) -> float:
        """Share of the found voxels that are right; NaN if none is found."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> float:
        """Share of the true voxels that are found; NaN if there is none."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def changed(self) -> int:
        """Voxels in which prediction and truth differ."""
        return self.false_positive + self.false_negative

    def row(self) -> dict[str, float]:
        """Voxels and scores by the names of their columns in evaluation.csv."""
        names = ("voxels", "dice", "iou", "precision", "recall")
        return {name: getattr(self, name) for name in names}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def confusion(prediction: np.ndarray, truth: np.ndarray, value: int) -> Scores:
    """Counts for the class ``value`` in two label arrays of one shape, where ``truth`` is known."""
    known = truth != UNKNOWN
    found, real = (prediction == value) & known, truth == value
    both = int(np.count_nonzero(found & real))
    return Scores(
        both,
        int(np.count_nonzero(found)) - both,
        int(np.count_nonzero(real)) - both,
        int(np.count_nonzero(known)),
    )


def threshold_of(probability, asked: float | None) -> float:
    """The threshold ``asked`` for, else that the volume ``probability`` (or None) came with."""
    if asked is not None:
        return float(asked)
    return 0.5 if probability is None else float(probability.attrs.get("threshold", 0.5))


def to_labels(probability: np.ndarray, values: list[int], threshold: float) -> np.ndarray:
    """Labels (uint8, 0 nothing) of a (class, …) array of uint8 ``probability``, 255 being 1.

    A voxel gets the most probable class if that reaches ``threshold`` (0 to 1); of two equals, the
    first. ``values`` are the labels of the channels.
    """
    best = probability[0].copy()
    labels = np.full(best.shape, values[0], np.uint8)
    for channel, value in zip(probability[1:], values[1:], strict=True):
        better = channel > best
        labels[better] = value
        np.maximum(best, channel, out=best)
    labels[best < np.ceil(threshold * 255 - 1e-9)] = 0
    return labels
