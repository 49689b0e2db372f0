"""How points lie to one another: radial distribution and nearest neighbours, freed of the edge.

The points are objects' centroids in the box of the volume (3-D), or the places where their
centrelines cross planes (in the plane). Both windows are all that lies between pairs of parallel
sides, so what the corrections ask - how much of a window overlaps with itself when shifted, how
much is left without its rim, where an object has room in it - is its content with the sides moved.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import gamma

POINTS = 4000  # from which distances are taken; all points are looked at from there
REACH = {2: 5.0, 3: 4.0}  # farthest distance, in mean spacings of the points
TOGETHER = 256  # of them at a time
BIN = 0.1  # width of a bin in mean spacings
FEWEST = 10  # points below which a window says nothing
UNSEEN = 0.05  # share of distances that may be larger than any that the window can hold whole
FLAT = 1e-6  # a side whose normal is shorter, seen in the plane, is the plane's own


class Window:
    """Points of the box from 0 to ``size`` (3,) nm: all of it, or those of a plane.

    Points are (n, d): z, y, x, or coordinates along the two rows of ``across`` from ``at``.
    """

    def __init__(self, size, across=None, at=(0.0, 0.0, 0.0)):
        self.size, self.at = np.asarray(size, float), np.asarray(at, float)
        self.across = np.eye(3) if across is None else np.asarray(across, float)
        self.steep = np.linalg.norm(self.across, axis=0)  # of each of the box's three axes
        self.sides = np.zeros((1, 3)), self.size[None]
        self.whole = float(self.content(*self.sides)[0])
        self.narrow = 2 * self._deepest()

    @classmethod
    def plane(cls, size, axis, at) -> "Window":
        """The plane across ``axis`` through ``at`` (z, y, x)."""
        axis = np.asarray(axis, float) / np.linalg.norm(axis)
        first = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
        first /= np.linalg.norm(first)
        return cls(size, np.stack([first, np.cross(axis, first)]), at)

    def content(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Content (n,) of what lies between ``low`` and ``high`` (n, 3) along z, y and x."""
        wide = np.maximum(high - low, 0)
        if len(self.across) == 3:
            return wide.prod(axis=1)
        # a parallelogram between the two pairs of sides that cross best, cut by the third
        turns = {
            (i, j): np.linalg.det(self.across[:, [i, j]]) for i, j in combinations(range(3), 2)
        }
        pair = max(turns, key=lambda p: abs(turns[p]))
        (third,) = {0, 1, 2} - set(pair)
        pair = list(pair)
        slope = np.linalg.solve(self.across[:, pair], self.across[:, third])
        start = self.at[third] + (low[:, pair] - self.at[pair]) @ slope
        start = start + (wide[:, pair] * np.minimum(slope, 0)).sum(axis=1)
        steep = np.maximum(np.abs(slope), FLAT)
        u, v = (wide[:, pair] * steep).T
        upper, lower = (_below(side[:, third] - start, u, v) for side in (high, low))
        return np.maximum(upper - lower, 0) / steep.prod() / abs(turns[tuple(pair)])

    def _deepest(self) -> float:
        """How far the innermost point is from the rim."""
        low, high = 0.0, float(self.size.max())
        for _ in range(50):
            middle = (low + high) / 2
            full = self.inner(np.array([middle]))[0] > 0
            low, high = (middle, high) if full else (low, middle)
        return low

    def overlap(self, shift: np.ndarray, room=None) -> np.ndarray:
        """Content of ``room``, (low, high) or all, shared with the window shifted by (n, d)."""
        (low, high), moved = room or self.sides, shift @ self.across
        return self.content(np.maximum(low, -moved), np.minimum(high, self.size - moved))

    def inner(self, rim: np.ndarray, room=None) -> np.ndarray:
        """Content of ``room``, (low, high) or all, without a rim of the window, (n,) wide."""
        (low, high), rim = room or self.sides, rim[:, None] * self.steep
        return self.content(np.maximum(low, rim), np.minimum(high, self.size - rim))

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Distance (n,) of points from the rim."""
        where, sides = self.unfold(points), self.steep > FLAT
        near = np.minimum(where, self.size - where)[:, sides] / self.steep[sides]
        return near.min(axis=1)

    def unfold(self, points: np.ndarray) -> np.ndarray:
        """z, y, x (n, 3) of points."""
        return self.at + points @ self.across

    def crossings(self, line: np.ndarray, whose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (n, 2) where lines through ``line`` (m, 3) cross the plane, and whose they are."""
        height = (line - self.at) @ np.cross(*self.across)
        below = height < 0
        hit = np.flatnonzero((below[1:] != below[:-1]) & (whose[1:] == whose[:-1]))
        share = height[hit] / (height[hit] - height[hit + 1])
        there = line[hit] + share[:, None] * (line[hit + 1] - line[hit])
        return (there - self.at) @ self.across.T, whose[hit]


def _below(c: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Area of the part of the rectangle from 0 to ``u``, ``v`` where x + y is below ``c``."""
    most, least = np.clip(c, 0, v), np.clip(c - u, 0, v)  # height at x = 0 and at x = u
    return (most - least) * (most + least) / 2 + v * np.clip(c - v, 0, u)


class Reach(Protocol):
    """Reaches that are made for the points asked for, as those of all take much room."""

    def __getitem__(self, which: np.ndarray) -> np.ndarray: ...


@dataclass
class Hosts:
    """The objects whose points count: a weight (n,), 0 for none, and how far they reach, in nm.

    ``reach`` (n, 2, 3): how far from the window's sides at low and at high z, y, x the point is at
    least, as the object is known whole only where it has room. An array, or what gives that of
    some points when it is indexed.
    """

    weight: np.ndarray
    reach: np.ndarray | Reach

    def room(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Between what sides (n, 3) of the ``window`` the points can lie."""
        return self.reach[:, 0], window.size - self.reach[:, 1]

    def some(self, which: np.ndarray) -> "Hosts":
        """Those of ``which``."""
        return Hosts(self.weight[which], self.reach[which])

    @classmethod
    def all(cls, n: int) -> "Hosts":
        """Every point counts alike, wherever it lies."""
        return cls(np.ones(n), np.broadcast_to(0.0, (n, 2, 3)))


@dataclass
class Pattern:
    """Radial distribution ``g`` in bins with ``edges`` (nm), and nearest neighbours of a pattern.

    ``pairs`` are those counted per bin. ``nearest`` is the mean distance in nm to the nearest
    point, ``regularity`` that over the mean of as many points at random (Clark & Evans 1954).
    """

    edges: np.ndarray
    g: np.ndarray
    pairs: np.ndarray
    nearest: float
    nearest_sd: float
    regularity: float


def ball(d: int, r):
    """Content of a ball of radius ``r`` in ``d`` dimensions."""
    return np.pi ** (d / 2) / gamma(d / 2 + 1) * r**d


def bins(windows: list[Window], points: list[np.ndarray]) -> np.ndarray:
    """Edges (n + 1,) of bins of distance that serve all ``windows``; none for too few points."""
    counts = np.array([len(p) for p in points])
    if not len(counts) or counts.max() < FEWEST:
        return np.zeros(1)
    d = points[0].shape[1]
    spacing = (sum(w.whole for w in windows) / counts.sum()) ** (1 / d)
    reach = min(REACH[d] * spacing, min(w.narrow for w in windows) / 2)
    return np.arange(0, reach / (BIN * spacing) + 1e-9) * BIN * spacing


def pair_sums(window: Window, points: np.ndarray, hosts: Hosts, edges: np.ndarray):
    """Pairs in each bin, their sum corrected by translation, and what it is at random.

    Ohser & Stoyan 1981, Biometrical Journal 23: each pair counts as the inverse of the share of the
    window in which it is seen when shifted; here of the room that the first one's object has, the
    mean over the shift and its reverse, of which one may lead out of the window. Of many points,
    every nth is a first point.
    """
    d, n = points.shape[1], len(points)
    zero = np.zeros(len(edges) - 1)
    counted = np.flatnonzero(hosts.weight > 0)
    if n < 2 or not len(counted):
        return zero, zero, zero
    first = counted[:: -(-len(counted) // POINTS)]
    tree, pairs, found = cKDTree(points), zero.copy(), zero.copy()
    for some in np.array_split(first, len(first) // TOGETHER + 1):
        near = tree.query_ball_point(points[some], edges[-1])
        one = np.repeat(some, [len(k) for k in near])
        other = np.concatenate([np.asarray(k, int) for k in near])
        one, other = one[one != other], other[one != other]
        shift, room = points[other] - points[one], hosts.some(one).room(window)
        free = window.content(*room)
        seen = (window.overlap(shift, room) + window.overlap(-shift, room)) / 2
        number = np.searchsorted(edges, np.linalg.norm(shift, axis=1), "right") - 1
        ok = (number < len(zero)) & (seen > 1e-3 * free)
        pairs += np.bincount(number[ok], minlength=len(zero))
        each = hosts.weight[one[ok]] * free[ok] / seen[ok]
        found += np.bincount(number[ok], each, minlength=len(zero))
    shells = np.diff(ball(d, edges))
    return pairs, found, hosts.weight[first].sum() * (n - 1) / window.whole * shells


def nearest_neighbours(window: Window, points: np.ndarray, hosts: Hosts) -> tuple[float, float]:
    """Mean and SD of the distance to the nearest point, freed of the edge.

    Only points nearer to their neighbour than to the rim count, each as the inverse of the share of
    its object's room that is left without a rim of that width (Hanisch 1984, Mathematische
    Operationsforschung und Statistik 15). Nothing is told (NaN) of fewer than FEWEST such points,
    nor where more than UNSEEN of all distances are beyond what fits in the window: it is too thin.
    """
    counted = np.flatnonzero(hosts.weight > 0)
    if min(len(points), len(counted)) < FEWEST:
        return np.nan, np.nan
    tree, found = cKDTree(points), []
    for some in np.array_split(counted, len(counted) // POINTS + 1):
        own, near = points[some], hosts.some(some)
        distance, room = tree.query(own, 2)[0][:, 1], near.room(window)
        inner = window.inner(distance, room)
        seen = (distance <= window.depth(own)) & (inner > 0)
        each = near.weight * window.content(*room) / np.where(seen, inner, np.inf)
        found.append((distance, seen, each))
    distance, seen, weight = map(np.concatenate, zip(*found, strict=True))
    if np.mean(distance > window.narrow / 2) > UNSEEN or seen.sum() < FEWEST:
        return np.nan, np.nan
    distance, weight = distance[seen], weight[seen]
    mean = np.average(distance, weights=weight)
    return mean, np.sqrt(np.average((distance - mean) ** 2, weights=weight))


def pattern(
    windows: list[Window], points: list[np.ndarray], edges: np.ndarray, hosts=None
) -> Pattern:
    """Pattern of ``points`` (each (n, d)) in their ``windows``, added up over these.

    Neighbours are all points; ``hosts`` (`Hosts` for each window) say which are looked at from, if
    they are FEWEST at least.
    """
    empty = np.full(len(edges) - 1, np.nan)
    if len(edges) < 2:
        return Pattern(edges, empty, empty, np.nan, np.nan, np.nan)
    hosts = hosts or [Hosts.all(len(p)) for p in points]
    if sum(np.count_nonzero(h.weight) for h in hosts) < FEWEST:
        return Pattern(edges, empty, empty, np.nan, np.nan, np.nan)
    sums = [pair_sums(*given, edges) for given in zip(windows, points, hosts, strict=True)]
    pairs, found, random = (np.sum(part, axis=0) for part in zip(*sums, strict=True))
    g = np.divide(found, random, out=empty.copy(), where=random > 0)
    each = [nearest_neighbours(*given) for given in zip(windows, points, hosts, strict=True)]
    told = [(m, s, h.weight.sum()) for (m, s), h in zip(each, hosts, strict=True) if m == m]
    if not told:
        return Pattern(edges, g, pairs, np.nan, np.nan, np.nan)
    means, sds, weight = np.array(told).T
    mean = np.average(means, weights=weight)
    sd = np.sqrt(np.average(sds**2 + (means - mean) ** 2, weights=weight))  # of all windows' points
    d = points[0].shape[1]
    density = sum(map(len, points)) / sum(w.whole for w in windows)
    random = gamma(1 + 1 / d) / (density * ball(d, 1)) ** (1 / d)
    return Pattern(edges, g, pairs, float(mean), float(sd), float(mean / random))
