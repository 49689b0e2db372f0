"""What links cross-sections: objects as expected in a slice, and what they overlap there."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

SAMPLES = 64  # points of an ellipse whose overlap is looked up
_TURN = np.arange(SAMPLES) * np.pi * (3 - np.sqrt(5))
DISC = np.sqrt((np.arange(SAMPLES) + 0.5) / SAMPLES) * np.stack([np.sin(_TURN), np.cos(_TURN)])
COLUMNS = {
    "number": (np.int64, ()),
    "place": (float, (2,)),
    "velocity": (float, (2,)),
    "moments": (float, (3,)),
    "area": (float, ()),
    "age": (np.int64, ()),
    "missed": (np.int64, ()),
    "inside": (np.int64, ()),
    "last": (float, (3,)),
    "edge": (bool, ()),
}


@dataclass
class Tracks:
    """Objects at one slice, one per row of each array. Lengths in pixels of y and x.

    ``number`` of the object, -1 as long as it has no cross-section; ``place`` y, x, where it is or
    is expected; ``velocity`` in pixels per slice; ``moments`` yy, yx, xx and ``area`` of its
    cross-section; ``age``: cross-sections seen; ``missed``: slices since the last one; ``inside``:
    the object in whose cross-section it was lost, or -1; ``last``: z, y, x of the last one;
    ``edge``: whether that reaches the border of the image, where objects leave unended.
    """

    number: np.ndarray
    place: np.ndarray
    velocity: np.ndarray
    moments: np.ndarray
    area: np.ndarray
    age: np.ndarray
    missed: np.ndarray
    inside: np.ndarray
    last: np.ndarray
    edge: np.ndarray

    @classmethod
    def blank(cls, n: int = 0) -> "Tracks":
        """As many objects, all values 0."""
        return cls(**{k: np.zeros((n, *more), dtype) for k, (dtype, more) in COLUMNS.items()})

    def __len__(self) -> int:
        return len(self.number)

    def taken(self, which) -> "Tracks":
        """Some of them."""
        return Tracks(**{name: value[which] for name, value in vars(self).items()})

    def joined(self, other: "Tracks") -> "Tracks":
        """These and others."""
        return Tracks(**{k: np.concatenate([v, getattr(other, k)]) for k, v in vars(self).items()})

    def samples(self) -> np.ndarray:
        """Points (n, `SAMPLES`, 2) spread evenly over each one's ellipse, y, x."""
        yy, yx, xx = self.moments.T[:, :, None]
        a = np.sqrt(yy)
        b = yx / a
        c = np.sqrt(np.maximum(xx - b * b, 1e-6))
        return self.place[:, None] + 2 * np.stack([a * DISC[0], b * DISC[0] + c * DISC[1]], axis=-1)


def overlaps(tracks: Tracks, plane: np.ndarray, count: int) -> csr_array:
    """Share (tracks, sections) of each one's ellipse that lies in each section of ``plane``.

    Parts of an ellipse beyond the border of the image do not count.
    """
    at = np.rint(tracks.samples()).astype(np.int64)
    within = ((at >= 0) & (at < plane.shape)).all(axis=-1)
    y, x = np.where(within[..., None], at, 0).transpose(2, 0, 1)
    label = np.where(within, plane[y, x], 0).astype(np.int64)
    row = np.broadcast_to(np.arange(len(tracks))[:, None], label.shape)
    share = np.broadcast_to(1 / np.maximum(within.sum(axis=1), 1)[:, None], label.shape)
    hit = label > 0
    summed = csr_array((share[hit], (row[hit], label[hit] - 1)), shape=(len(tracks), count))
    summed.sum_duplicates()
    return summed


def matched(row, column, value, least: float, shape: tuple[int, int]) -> np.ndarray:
    """Column of each row (-1: none), one to one, with the largest sum of ``value - least``.

    Pairs come as three arrays; ``least`` and below is no pair. Sparse Jonker-Volgenant (Crouse
    2016, IEEE Transactions on Aerospace and Electronic Systems 52).
    """
    n, m = shape
    good = value > least
    row, column, value = row[good], column[good], value[good]
    partner = np.full(n, -1)
    if not len(row):
        return partner
    top = 1 + value.max()
    # a column of its own for each row, in case it finds none
    cost = np.concatenate([top - value, np.full(n, top - least)])
    row, column = np.concatenate([row, np.arange(n)]), np.concatenate([column, m + np.arange(n)])
    a, b = min_weight_full_bipartite_matching(csr_array((cost, (row, column)), shape=(n, m + n)))
    partner[a] = np.where(b < m, b, -1)
    return partner


@dataclass
class Parts:
    """What tracks were given in a slice: index of the track, area, centroid, second moments."""

    track: np.ndarray
    area: np.ndarray
    place: np.ndarray
    moments: np.ndarray

    @classmethod
    def of(cls, sections: np.ndarray, which: np.ndarray, track: np.ndarray) -> "Parts":
        """Whole cross-sections (`slices.SECTION`), given to tracks."""
        own = sections[which]
        place = np.stack([own["y"], own["x"]], axis=1)
        moments = np.stack([own["yy"], own["yx"], own["xx"]], axis=1)
        return cls(track, own["area"].astype(float), place, moments)

    @classmethod
    def of_pixels(cls, y, x, owner, n: int) -> "Parts":
        """Pixels of the tracks 0 … ``n`` - 1, given the ``owner`` of each pixel."""
        area = np.bincount(owner, minlength=n).astype(float)
        some = np.maximum(area, 1)
        my, mx = np.bincount(owner, y, n) / some, np.bincount(owner, x, n) / some
        dy, dx = y - my[owner], x - mx[owner]
        moments = [np.bincount(owner, a, n) / some for a in (dy * dy, dy * dx, dx * dx)]
        moments = np.stack(moments, axis=1) + np.array([1, 0, 1]) / 12
        return cls(np.arange(n), area, np.stack([my, mx], axis=1), moments)

    @classmethod
    def summed(cls, parts: list["Parts"]) -> "Parts":
        """One part per track, of all that it was given."""
        track, part = np.unique(np.concatenate([p.track for p in parts]), return_inverse=True)
        area, place, moments = (
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("area", "place", "moments")
        )
        total = np.bincount(part, area, len(track))

        def mean(values):
            sums = [np.bincount(part, area * column, len(track)) for column in values.T]
            return np.stack(sums, axis=1) / total[:, None]

        middle = mean(place)
        dy, dx = (place - middle[part]).T
        spread = mean(moments + np.stack([dy * dy, dy * dx, dx * dx], axis=1))
        return cls(track, total, middle, spread)
