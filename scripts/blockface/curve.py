"""Smooth lines through points, open or closed, and points of space projected onto them."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dgtsv
from scipy.spatial import cKDTree

from blockface.runs import Runs

ALIKE = 0.7  # cosine of the angle between curvatures that agree
FULL = 5  # points of a line from which on it ends bent; of fewer the centroids are too uncertain
STRAIGHT = 1.0  # radian: as much as a line turns at most beyond its ends
FEW_PAIRS = 200_000  # of points and samples of which all distances are looked at


@dataclass
class Projected:
    """Points projected onto lines: arc length ``s`` (n,), ``offset`` (3, n) from the line.

    ``tangent`` (3, n) is the line's direction there, ``stretch`` (n,) 1 - curvature times offset.
    """

    s: np.ndarray
    offset: np.ndarray
    tangent: np.ndarray
    stretch: np.ndarray


class Curves:
    """Cubic splines through the points (3, n) of objects, sampled every ``step`` (k,) nm.

    An open one goes on for ``beyond`` (k,) nm along the circle that it ends as; a ``closed`` (k,)
    one comes back to its first point. ``at``, ``tangent`` and ``bend`` (curvature vector, 1/nm) of
    the samples are (3, m), ``s`` (m,) is the arc length from the first point, ``length`` (k,) that
    of the spline; ``ends`` are the point, the direction outward and the curvature vector there, all
    (3, k).
    """

    def __init__(self, points: np.ndarray, runs: Runs, step, beyond, closed: np.ndarray):
        self.closed = closed
        if closed.any():
            whole = Runs(runs.counts + closed)
            back = whole.within % whole.spread(runs.counts) + whole.spread(runs.first)
            points, runs = points.take(back, axis=1), whole
        chord = np.zeros(points.shape[1])
        chord[1:] = np.sqrt((np.diff(points) ** 2).sum(axis=0))
        chord[runs.first] = 0
        chord = runs.cumulated(chord)
        long = chord[runs.last]
        count = np.maximum(2, np.ceil(long / step)).astype(int)
        core = Runs(count + 1)
        t = core.within * core.spread(long / count)
        t[core.last] = long
        second = second_derivatives(chord, points, runs, closed)
        at, speed, second = spline(chord, points, second, runs, t, core)
        pace = np.sqrt((speed**2).sum(axis=0))
        tangent = speed / pace
        bend = (second - (second * tangent).sum(axis=0) * tangent) / pace**2
        s = np.zeros(len(t))
        s[1:] = (pace[1:] + pace[:-1]) / 2 * np.diff(t)
        s[core.first] = 0
        s = core.cumulated(s)
        self.length = s[core.last]
        most = STRAIGHT / np.maximum(beyond, step)
        self.ends = [
            (at[:, row], side * tangent[:, row], limited(bend[:, row], most))
            for row, side in ((core.first, -1), (core.last, 1))
        ]
        more = np.where(closed, 0, np.ceil(beyond / step)).astype(int)
        self.runs = Runs(core.counts + 2 * more)
        number = self.runs.within - self.runs.spread(more)
        inside = np.clip(number, 0, self.runs.spread(count))
        out = (number - inside) * self.runs.spread(step)
        rows = inside + self.runs.spread(core.first)
        self.tangent = tangent.take(rows, axis=1)
        self.at = at.take(rows, axis=1) + out * self.tangent
        self.bend = bend.take(rows, axis=1) * (out == 0)
        self.s = s.take(rows) + out
        for (point, outward, curved), side in zip(self.ends, (-1, 1), strict=True):
            past = np.flatnonzero((side * out > 0) & self.runs.spread(curved.any(axis=0)))
            owner, far = self.runs.owner[past], np.abs(out[past])
            self.at[:, past], away = on_circle(point, outward, curved, owner, far)
            self.tangent[:, past] = side * away

    def project(self, at: np.ndarray, runs: Runs) -> Projected:
        """The points ``at`` (3, n) on the lines of the objects whose they are."""
        nearest = self.nearest(at, runs)
        tangent = self.tangent.take(nearest, axis=1)
        offset = at - self.at.take(nearest, axis=1)
        s = self.s.take(nearest) + (offset * tangent).sum(axis=0)
        if self.closed.any():
            s = np.where(runs.spread(self.closed), s % runs.spread(self.length), s)
        stretch = 1 - (self.bend.take(nearest, axis=1) * offset).sum(axis=0)
        return Projected(s, offset, tangent, np.clip(stretch, 0.3, 3))

    def nearest(self, at: np.ndarray, runs: Runs) -> np.ndarray:
        """Sample (n,) nearest to each of the points ``at`` (3, n)."""
        points = np.concatenate([at, np.ones((1, at.shape[1]))]).T
        samples = np.concatenate([-2 * self.at, (self.at**2).sum(axis=0)[None]])
        out = np.empty(len(points), np.intp)
        for rows, mine in zip(runs.slices, self.runs.slices, strict=True):
            if (rows.stop - rows.start) * (mine.stop - mine.start) <= FEW_PAIRS:
                (points[rows] @ samples[:, mine]).argmin(axis=1, out=out[rows])
            else:
                tree = cKDTree(self.at[:, mine].T, balanced_tree=False, compact_nodes=False)
                out[rows] = tree.query(at[:, rows].T)[1]
        out += runs.spread(self.runs.first)
        return out

    def point(self, s: np.ndarray, runs: Runs) -> np.ndarray:
        """Points (3, n) of the lines at arc lengths ``s`` (n,); ``runs`` says of whose."""
        return self.runs.between(self.s, self.at, runs, s)

    def direction(self, s: np.ndarray, runs: Runs) -> np.ndarray:
        """Unit tangents (3, n) at arc lengths ``s`` (n,); ``runs`` says of whose."""
        found = self.runs.between(self.s, self.tangent, runs, s)
        return found / np.sqrt((found**2).sum(axis=0))


def limited(vectors: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Vectors (3, k), shortened where they are longer than ``most`` (k,)."""
    length = np.sqrt((vectors**2).sum(axis=0))
    return vectors * np.minimum(1, most / np.maximum(length, most))


def on_circle(point, outward, curved, owner, far) -> tuple[np.ndarray, np.ndarray]:
    """Points (3, n) ``far`` (n,) nm along circles from their ends on, and the directions there.

    The ends (3, k) of ``owner`` (n,) are a ``point``, the direction and the curvature vector, which
    is not 0.
    """
    point, ahead, curved = (v.take(owner, axis=1) for v in (point, outward, curved))
    curvature = np.sqrt((curved**2).sum(axis=0))
    normal, turn = curved / curvature, curvature * far
    # sin(t) / t and (1 - cos(t)) / t, right for small turns, too
    along, aside = np.sinc(turn / np.pi), np.sinc(turn / 2 / np.pi) ** 2 * turn / 2
    at = point + far * (along * ahead + aside * normal)
    return at, np.cos(turn) * ahead + np.sin(turn) * normal


def second_derivatives(t, points: np.ndarray, runs: Runs, closed: np.ndarray) -> np.ndarray:
    """Those (3, n) at ``t`` (n,) of the open, or periodic, cubic splines through ``points``.

    The open ones end as bent as they are at the last point but one, if that is bent like the one
    before it, else straight. They are solved together: nothing links the rows of one object to
    another's.
    """
    h, slope = chords(t, points, runs)
    inner = np.ones(len(t), bool)
    inner[runs.first] = inner[runs.last] = False
    inner &= ~np.repeat(closed, runs.counts)
    diagonal, right = np.ones(len(t)), np.zeros_like(points)
    diagonal[1:-1][inner[1:-1]] = 2 * (h[:-1] + h[1:])[inner[1:-1]]
    right[:, inner] = 6 * np.diff(slope)[:, inner[1:-1]]
    # the row of an inner point has h to either side; that of an end is M = 0, or M - M beside = 0
    below, above = np.where(inner[1:], h, 0), np.where(inner[:-1], h, 0)
    out = dgtsv(below, diagonal, above, right.T)[3].T
    long = ~closed & (runs.counts >= FULL)
    above[alike(out, runs.first[long], 1)] = -1
    below[alike(out, runs.last[long], -1) - 1] = -1
    out = dgtsv(below, diagonal, above, right.T)[3].T
    for k in np.flatnonzero(closed):
        rows = runs.slices[k]
        mine = slice(rows.start, rows.stop - 1)
        out[:, rows] = periodic(h[mine], slope[:, mine])
    return out


def alike(second, ends: np.ndarray, inwards: int) -> np.ndarray:
    """Those of the ``ends`` whose next two points inwards are bent to the same side."""
    one, two = (second.take(ends + n * inwards, axis=1) for n in (1, 2))
    size = np.sqrt((one**2).sum(axis=0) * (two**2).sum(axis=0))
    return ends[(one * two).sum(axis=0) > ALIKE * size]


def chords(t: np.ndarray, points: np.ndarray, runs: Runs) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (n - 1,) from point to point and slopes (3, n - 1); 1 and 0 between objects."""
    h, slope = np.diff(t), np.diff(points)
    h[runs.last[:-1]] = 1
    slope[:, runs.last[:-1]] = 0
    return h, slope / np.where(h > 0, h, 1)


def periodic(h: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Second derivatives (3, n + 1) of the periodic spline of chords ``h`` (n,)."""
    n, before = len(h), np.roll(h, 1)
    matrix, at = np.diag(2 * (before + h)), np.arange(n)
    matrix[at, (at + 1) % n] += h
    matrix[at, at - 1] += before
    found = np.linalg.solve(matrix, 6 * (slope - np.roll(slope, 1, axis=1)).T)
    return np.concatenate([found, found[:1]]).T


def spline(knots, points, second, runs: Runs, t: np.ndarray, wanted: Runs):
    """Values, first and second derivatives (3, m) at ``t`` of the cubic splines of ``second``.

    ``runs`` says whose the knots are, ``wanted`` whose the rows of ``t``.
    """
    low = runs.before(knots, wanted, t)
    high = low + 1
    h = knots.take(high) - knots.take(low)
    h[h == 0] = 1  # two points at one place
    b = (t - knots.take(low)) / h
    a = 1 - b
    p, q, m, n = (v.take(at, axis=1) for v in (points, second) for at in (low, high))
    value = a * p + b * q + ((a * a * a - a) * m + (b * b * b - b) * n) * (h * h) / 6
    first = (q - p) / h + ((3 * (b * b) - 1) * n - (3 * (a * a) - 1) * m) * h / 6
    return value, first, a * m + b * n
