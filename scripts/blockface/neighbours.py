"""Nearest neighbours of objects by the gap between their surfaces, exact, over the whole volume."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from blockface.surfaces import Surfaces, box_gaps

NEAR = 16  # objects of like size that are looked at first


class Candidates:
    """Other objects, or those at rows ``among``, in ascending order of the boxes' distance.

    They are looked for by their centres, those of like size apart from others: how far the centre
    of a near object can be hangs on its size.
    """

    def __init__(self, index: pd.DataFrame, spacing, among: np.ndarray | None = None):
        self.lo = index[["z0", "y0", "x0"]].to_numpy() * np.asarray(spacing, float)
        self.hi = index[["z1", "y1", "x1"]].to_numpy() * np.asarray(spacing, float)
        self.centre = (self.lo + self.hi) / 2
        self.half = np.linalg.norm(self.hi - self.lo, axis=1) / 2
        among = np.arange(len(index)) if among is None else among
        half = self.half[among]
        size = np.ceil(np.log2(np.maximum(half / np.median(half), 1))) if len(among) else half
        alike = [among[size == level] for level in np.unique(size)]
        self.groups = [(rows, self.half[rows].max(), cKDTree(self.centre[rows])) for rows in alike]
        self.first: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def look_ahead(self, rows: np.ndarray) -> None:
        """Find the first batches of objects at ``rows`` in one go; earlier ones are forgotten."""
        self.first = dict(zip(rows.tolist(), self.look(rows, NEAR), strict=True))

    def look(self, rows: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Of each object: other rows, their box distances, and up to which distance it is all.

        The ``k`` whose centres are nearest are looked at in each group.
        """
        found, bound = [np.zeros((len(rows), 0), int)], np.full(len(rows), np.inf)
        for own, limit, tree in self.groups:
            some = min(k, tree.n)
            distance, at = tree.query(self.centre[rows], [*range(1, some + 1)])
            found.append(own[at])
            if some < tree.n:
                bound = np.minimum(bound, distance[:, -1] - self.half[rows] - limit)
        others = np.concatenate(found, axis=1)
        gaps = box_gaps(self.lo[rows, None], self.hi[rows, None], self.lo[others], self.hi[others])
        itself = others == rows[:, None]
        return [
            (o[~i], g[~i], far) for o, g, i, far in zip(others, gaps, itself, bound, strict=True)
        ]

    def batches(self, row: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and box distances of ever farther objects; none in a later batch is nearer."""
        done, k = -1.0, NEAR
        while True:
            known = self.first.get(row) if k == NEAR else None
            rows, gaps, bound = known or self.look(np.array([row]), k)[0]
            take = (gaps > done) & (gaps <= bound)
            order = np.argsort(gaps[take], kind="stable")
            yield rows[take][order], gaps[take][order]
            if np.isinf(bound):
                return
            done, k = max(done, bound), k * 4


def nearest(
    row: int, k: int, surfaces: Surfaces, candidates: Candidates
) -> list[tuple[float, int]]:
    """The ``k`` objects nearest to object number ``row``: (surface distance nm, row), in order.

    Of those at the same distance, the one whose box is centred nearer comes first, then the one
    with the smaller id.
    """
    best: list[tuple[float, float, int]] = []
    for rows, gaps in candidates.batches(row):
        for other, gap in zip(rows.tolist(), gaps.tolist(), strict=True):
            limit = best[k - 1][0] if len(best) >= k else np.inf
            if gap > limit:
                return [(distance, at) for distance, _, at in best]
            distance = surfaces.gap(row, other, limit)
            if distance <= limit and distance < np.inf:
                apart = float(np.linalg.norm(candidates.centre[row] - candidates.centre[other]))
                best = sorted([*best, (distance, apart, other)])[:k]
    return [(distance, at) for distance, _, at in best]
