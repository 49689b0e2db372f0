"""Rows of many objects in one array: the run of the first object, that of the second, ...

What is computed of a run does not depend on the others, not in the last bit: an object's numbers
are the same in whatever company it is measured.
"""

from functools import cached_property
from itertools import pairwise

import numpy as np


class Runs:
    """Which rows are whose: object ``k`` has ``counts[k]`` rows, from ``starts[k]`` on.

    Arrays of rows are (n,) or (..., n), arrays of a value per object (k,) or (..., k).
    """

    def __init__(self, counts: np.ndarray):
        self.counts = np.asarray(counts)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def owner(self) -> np.ndarray:
        """Object (n,) of each row."""
        return np.repeat(np.arange(len(self)), self.counts)

    @cached_property
    def within(self) -> np.ndarray:
        """Number (n,) of each row in its run."""
        return np.arange(self.starts[-1]) - self.spread(self.starts[:-1])

    @cached_property
    def slices(self) -> list[slice]:
        """Rows of each object."""
        return [slice(*ends) for ends in pairwise(self.starts.tolist())]

    @property
    def first(self) -> np.ndarray:
        """First row (k,) of each object."""
        return self.starts[:-1]

    @property
    def last(self) -> np.ndarray:
        """Last row (k,) of each object."""
        return self.starts[1:] - 1

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values (..., k) of the objects for each row, (..., n), or (..., 1) where one has all."""
        return values if len(self) == 1 else np.repeat(values, self.counts, axis=-1)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum (k,) of the ``values`` of each object, added up in their order."""
        return np.bincount(self.owner, values, len(self))

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean (k,) of the ``values`` of each object; NaN of none."""
        with np.errstate(invalid="ignore"):
            return self.sums(values) / self.counts

    def sds(self, values: np.ndarray) -> np.ndarray:
        """Standard deviation (k,), as of a whole population, of the ``values`` of each object."""
        return np.sqrt(self.means((values - self.spread(self.means(values))) ** 2))

    def most(self, values: np.ndarray, none: float = -np.inf) -> np.ndarray:
        """Largest (k,) of the ``values`` of each object; ``none`` where it has no rows."""
        out = np.full(len(self), none, np.result_type(values, none))
        used = self.counts > 0
        if used.any():
            out[used] = np.maximum.reduceat(values, self.first[used])
        return out

    def least(self, values: np.ndarray) -> np.ndarray:
        """Smallest (k,) of the ``values`` of each object; inf where it has no rows."""
        return -self.most(-values)

    def peaks(self, values: np.ndarray) -> np.ndarray:
        """Row (k,) of the largest of the ``values`` of each object, the first if there are more."""
        return self.first + [int(values[rows].argmax()) for rows in self.slices]

    def cumulated(self, values: np.ndarray) -> np.ndarray:
        """Running sums (n,) of the ``values`` of each object."""
        out = np.empty(len(values))
        for rows in self.slices:
            np.cumsum(values[rows], out=out[rows])
        return out

    def chosen(self, rows: np.ndarray) -> "Runs":
        """Runs of the rows where the mask ``rows`` (n,) is true, or of those it numbers, sorted."""
        return Runs(np.bincount(self.owner[rows], minlength=len(self)))

    def before(self, knots: np.ndarray, runs: "Runs", at: np.ndarray) -> np.ndarray:
        """Rows (m,) of the last of each object's sorted ``knots`` (n,) not beyond ``at`` (m,).

        ``runs`` says whose the rows of ``at`` are. Never the last of several knots, nor one before
        the first.
        """
        out = np.empty(len(at), np.intp)
        for mine, rows, first in zip(self.slices, runs.slices, self.first.tolist(), strict=True):
            out[rows] = knots[mine].searchsorted(at[rows], side="right") + (first - 1)
        most = np.maximum(self.last - 1, self.first)
        return np.clip(out, runs.spread(self.first), runs.spread(most))

    def between(self, knots, values: np.ndarray, runs: "Runs", at: np.ndarray) -> np.ndarray:
        """Values (c, m) at ``at`` (m,), linear between those (c, n) at ``knots``, beyond constant.

        ``runs`` says whose the rows of ``at`` are.
        """
        low = self.before(knots, runs, at)
        high = np.minimum(low + 1, runs.spread(self.last))
        start, one = knots.take(low), values.take(low, axis=-1)
        share = np.clip((at - start) / np.maximum(knots.take(high) - start, 1e-300), 0, 1)
        return one + (values.take(high, axis=-1) - one) * share
