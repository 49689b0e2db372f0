"""A smooth line through points, open or closed, and points of space projected onto it."""

import numpy as np
from scipy.linalg.lapack import dgtsv
from scipy.spatial import cKDTree


class Curve:
    """Cubic spline through points (n, 3), sampled every ``step`` nm.

    An open one ends without curvature and goes on straight for ``beyond`` nm; a ``closed`` one
    comes back to its first point. ``at``, ``tangent`` and ``bend`` (curvature vector, 1/nm) are
    (m, 3), ``s`` (m,) is the arc length from the first point, ``length`` that of the spline.
    """

    def __init__(self, points: np.ndarray, step: float, beyond: float = 0, closed: bool = False):
        if closed:
            points = np.concatenate([points, points[:1]])
        chord = np.r_[0, np.cumsum(np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1)))]
        t = np.linspace(0, chord[-1], max(2, int(np.ceil(chord[-1] / step))) + 1)
        at, speed, second = spline(chord, points, second_derivatives(chord, points, closed), t)
        pace = np.sqrt((speed**2).sum(axis=1, keepdims=True))
        tangent = speed / pace
        bend = (second - (second * tangent).sum(axis=1, keepdims=True) * tangent) / pace**2
        s = np.r_[0, np.cumsum((pace[1:, 0] + pace[:-1, 0]) / 2 * np.diff(t))]
        self.closed, self.length = closed, s[-1]
        self.ends = (at[0], -tangent[0]), (at[-1], tangent[-1])
        if not closed:
            out = np.arange(1, int(np.ceil(beyond / step)) + 1)[:, None] * step
            none = np.zeros((len(out), 3))
            at = np.concatenate([at[0] - out[::-1] * tangent[0], at, at[-1] + out * tangent[-1]])
            tangent = np.concatenate([none + tangent[0], tangent, none + tangent[-1]])
            bend = np.concatenate([none, bend, none])
            s = np.concatenate([-out[::-1, 0], s, s[-1] + out[:, 0]])
        self.at, self.tangent, self.bend, self.s = at, tangent, bend, s
        self.tree = cKDTree(at, balanced_tree=False, compact_nodes=False)

    def project(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Arc length of each point (n, 3), its nearest sample, and 1 - curvature times offset."""
        nearest = self.tree.query(at)[1]
        offset = at - self.at[nearest]
        s = self.s[nearest] + np.einsum("ij,ij->i", offset, self.tangent[nearest])
        stretch = 1 - np.einsum("ij,ij->i", self.bend[nearest], offset)
        return s % self.length if self.closed else s, nearest, np.clip(stretch, 0.3, 3)

    def point(self, s: np.ndarray) -> np.ndarray:
        """Points (n, 3) of the line at arc lengths ``s``."""
        return np.stack([np.interp(s, self.s, self.at[:, i]) for i in range(3)], 1)

    def direction(self, s: np.ndarray) -> np.ndarray:
        """Unit tangents (n, 3) at arc lengths ``s``."""
        found = np.stack([np.interp(s, self.s, self.tangent[:, i]) for i in range(3)], 1)
        return found / np.sqrt((found**2).sum(axis=1, keepdims=True))


def second_derivatives(t: np.ndarray, points: np.ndarray, closed: bool) -> np.ndarray:
    """Those (n, 3) at ``t`` of the natural, or periodic, cubic spline through ``points``."""
    h = np.diff(t)
    slope = np.diff(points, axis=0) / h[:, None]
    out = np.zeros_like(points)
    if closed:
        n, before = len(h), np.roll(h, 1)
        matrix = np.diag(2 * (before + h))
        at = np.arange(n)
        matrix[at, (at + 1) % n] += h
        matrix[at, at - 1] += before
        out[:-1] = np.linalg.solve(matrix, 6 * (slope - np.roll(slope, 1, axis=0)))
        out[-1] = out[0]
    elif len(points) == 3:
        out[1] = 3 * (slope[1] - slope[0]) / (h[0] + h[1])
    elif len(points) > 3:
        inner = h[1:-1]
        out[1:-1] = dgtsv(inner, 2 * (h[1:] + h[:-1]), inner, 6 * np.diff(slope, axis=0))[3]
    return out


def spline(knots, points, second, t):
    """Values, first and second derivatives (m, 3) at ``t`` of the cubic spline of ``second``."""
    at = np.clip(np.searchsorted(knots, t, side="right") - 1, 0, len(knots) - 2)
    h = np.diff(knots)[at, None]
    b = (t[:, None] - knots[at, None]) / h
    a = 1 - b
    p, q, m, n = points[at], points[at + 1], second[at], second[at + 1]
    value = a * p + b * q + ((a**3 - a) * m + (b**3 - b) * n) * h**2 / 6
    first = (q - p) / h + ((3 * b**2 - 1) * n - (3 * a**2 - 1) * m) * h / 6
    return value, first, a * m + b * n
