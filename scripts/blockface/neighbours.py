"""Nearest neighbours of objects by the gap between their surfaces, exact, over the whole volume."""

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from blockface.surfaces import Surfaces, box_gaps

NEAR = 16  # objects of like size that are looked at first


class Candidates:
    """Other objects, or those at rows ``among``, in ascending order of the boxes' distance.

    They are looked for by their centres, those of like size apart from others: how far the centre
    of a near object can be hangs on its size.
    """

    def __init__(self, surfaces: Surfaces, among: np.ndarray | None = None):
        self.surfaces = surfaces
        among = np.arange(len(surfaces.ids)) if among is None else among
        half = self.half(among)
        size = np.ceil(np.log2(np.maximum(half / np.median(half), 1))) if len(among) else half
        self.groups = [
            (among[alike], half[alike].max(), cKDTree(self.centre(among[alike])))
            for alike in (size == level for level in np.unique(size))
        ]
        self.first: dict[int, tuple[np.ndarray, np.ndarray, float]] = {}

    def box(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Box (..., 3) and (..., 3), nm, of the objects at ``rows`` (...)."""
        surfaces = self.surfaces
        return surfaces.lo[rows] * surfaces.spacing, surfaces.hi[rows] * surfaces.spacing

    def centre(self, rows: np.ndarray) -> np.ndarray:
        """Middle of the boxes, nm."""
        return np.add(*self.box(rows)) / 2

    def half(self, rows: np.ndarray) -> np.ndarray:
        """Half of the boxes' diagonals, nm."""
        return np.linalg.norm(np.subtract(*self.box(rows)), axis=-1) / 2

    def look_ahead(self, rows: np.ndarray) -> None:
        """Find the first batches of objects at ``rows`` in one go; earlier ones are forgotten."""
        self.first = dict(zip(rows.tolist(), self.look(rows, NEAR), strict=True))

    def look(self, rows: np.ndarray, k: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
        """Of each object: other rows, their box distances, and up to which distance it is all.

        The ``k`` whose centres are nearest are looked at in each group.
        """
        found, bound = [np.zeros((len(rows), 0), int)], np.full(len(rows), np.inf)
        centre, half = self.centre(rows), self.half(rows)
        for own, limit, tree in self.groups:
            some = min(k, tree.n)
            distance, at = tree.query(centre, [*range(1, some + 1)])
            found.append(own[at])
            if some < tree.n:
                bound = np.minimum(bound, distance[:, -1] - half - limit)
        others = np.concatenate(found, axis=1)
        gaps = box_gaps(*self.box(rows[:, None]), *self.box(others))
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


def nearest(row: int, k: int, candidates: Candidates) -> list[tuple[float, int]]:
    """The ``k`` objects nearest to object number ``row``: (surface distance nm, row), in order.

    Of those at the same distance, the one whose box is centred nearer comes first, then the one
    with the smaller id.
    """
    best: list[tuple[float, float, int]] = []
    for rows, gaps in candidates.batches(row):
        apart = np.linalg.norm(candidates.centre(rows) - candidates.centre(row), axis=1)
        for other, gap, far in zip(rows.tolist(), gaps.tolist(), apart.tolist(), strict=True):
            limit = best[k - 1][0] if len(best) >= k else np.inf
            if gap > limit:
                return [(distance, at) for distance, _, at in best]
            distance = candidates.surfaces.gap(row, other, limit)
            if distance <= limit and distance < np.inf:
                best = sorted([*best, (distance, far, other)])[:k]
    return [(distance, at) for distance, _, at in best]
