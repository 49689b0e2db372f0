"""How points lie to one another: radial distribution and nearest neighbours, freed of the edge.

The points are objects' centroids in the box of the volume (3-D), or the places where their
centrelines cross planes (in the plane). What a window must say for the corrections is in `Box` and
`Plane`: its size, how much of it overlaps with itself when shifted, how much is left of it when its
rim is taken away, and how far a point is from the rim.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.spatial import cKDTree
from scipy.special import gamma

PIXELS = 256  # across each side of a plane's window, which may be long and thin
POINTS = 4000  # from which distances are taken; all points are looked at from there
REACH = {2: 5.0, 3: 4.0}  # farthest distance, in mean spacings of the points
TOGETHER = 256  # of them at a time
BIN = 0.1  # width of a bin in mean spacings
FEWEST = 10  # points below which a window says nothing


class Box:
    """Window with straight sides of lengths ``size`` (d,), from the origin."""

    def __init__(self, size):
        self.size = np.asarray(size, float)
        self.content, self.narrow = float(self.size.prod()), float(self.size.min())

    def overlap(self, shift: np.ndarray) -> np.ndarray:
        """Content shared with the window shifted by (n, d)."""
        return np.maximum(self.size - np.abs(shift), 0).prod(axis=1)

    def inner(self, rim: np.ndarray) -> np.ndarray:
        """Content left without a rim of width (n,)."""
        return np.maximum(self.size - 2 * rim[:, None], 0).prod(axis=1)

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Distance (n,) of points from the rim."""
        return np.minimum(points, self.size - points).min(axis=1)


class Plane:
    """Part of the plane across ``axis`` through ``at`` that is in the box from 0 to ``size`` (3,).

    Its points are (n, 2) coordinates along two vectors across the axis.
    """

    def __init__(self, size, axis: np.ndarray, at: np.ndarray):
        size = np.asarray(size, float)
        self.axis, self.at = axis / np.linalg.norm(axis), np.asarray(at, float)
        first = np.cross(self.axis, np.eye(3)[np.argmin(np.abs(self.axis))])
        first /= np.linalg.norm(first)
        self.across = np.stack([first, np.cross(self.axis, first)])
        corners = np.array(list(np.ndindex(2, 2, 2))) * size
        flat = self.flatten(corners)
        self.low, self.step = flat.min(axis=0), np.ptp(flat, axis=0) / PIXELS
        self.pixel = float(self.step.prod())
        middle = np.arange(PIXELS) + 0.5
        grid = np.stack(np.meshgrid(middle, middle, indexing="ij"), -1) * self.step + self.low
        where = self.at + grid @ self.across
        mask = ((where >= 0) & (where <= size)).all(axis=-1)
        self.content = mask.sum() * self.pixel
        padded = [2 * n for n in mask.shape]
        shared = irfft2(np.abs(rfft2(mask, padded)) ** 2, padded) * self.pixel
        self.shared = np.fft.fftshift(shared)
        self.rim = distance_transform_edt(np.pad(mask, 1), sampling=self.step)[1:-1, 1:-1]
        self.sorted = np.sort(self.rim[mask])
        self.narrow = 2 * float(self.rim.max())

    def flatten(self, points: np.ndarray) -> np.ndarray:
        """Coordinates (n, 2) of points (n, 3) seen along the axis."""
        return (points - self.at) @ self.across.T

    def overlap(self, shift: np.ndarray) -> np.ndarray:
        """As of `Box`."""
        at = (shift / self.step).T + np.array(self.shared.shape)[:, None] // 2
        return map_coordinates(self.shared, at, order=1)

    def inner(self, rim: np.ndarray) -> np.ndarray:
        """As of `Box`."""
        return (len(self.sorted) - np.searchsorted(self.sorted, rim)) * self.pixel

    def depth(self, points: np.ndarray) -> np.ndarray:
        """As of `Box`."""
        at = ((points - self.low) / self.step).T - 0.5
        return map_coordinates(self.rim, at, order=1)

    def crossings(self, line: np.ndarray, whose: np.ndarray) -> np.ndarray:
        """Points (n, 2) where lines through ``line`` (m, 3), one line per ``whose``, cross it."""
        height = (line - self.at) @ self.axis
        below = height < 0
        hit = np.flatnonzero((below[1:] != below[:-1]) & (whose[1:] == whose[:-1]))
        share = height[hit] / (height[hit] - height[hit + 1])
        return self.flatten(line[hit] + share[:, None] * (line[hit + 1] - line[hit]))


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


def bins(windows: list, points: list[np.ndarray]) -> np.ndarray:
    """Edges (n + 1,) of bins of distance that serve all ``windows``; none for too few points."""
    counts = np.array([len(p) for p in points])
    if not len(counts) or counts.max() < FEWEST:
        return np.zeros(1)
    d = points[0].shape[1]
    content = sum(w.content for w in windows)
    spacing = (content / counts.sum()) ** (1 / d)
    reach = min(REACH[d] * spacing, min(w.narrow for w in windows) / 2)
    return np.arange(0, reach / (BIN * spacing) + 1e-9) * BIN * spacing


def pair_sums(window, points: np.ndarray, edges: np.ndarray):
    """Pairs in each bin, their sum corrected by translation, and what it is at random.

    Ohser & Stoyan 1981, Biometrical Journal 23: each pair counts as the inverse of the window's
    overlap with itself, shifted by the pair's vector. Of many points, every nth is a first point.
    """
    d, n = points.shape[1], len(points)
    zero = np.zeros(len(edges) - 1)
    if n < 2:
        return zero, zero, zero
    first = np.arange(0, n, -(-n // POINTS))
    tree, pairs, found = cKDTree(points), zero.copy(), zero.copy()
    for some in np.array_split(first, len(first) // TOGETHER + 1):
        near = tree.query_ball_point(points[some], edges[-1])
        one = np.repeat(some, [len(k) for k in near])
        other = np.concatenate([np.asarray(k, int) for k in near])
        shift = (points[other] - points[one])[one != other]
        overlap = window.overlap(shift)
        number = np.searchsorted(edges, np.linalg.norm(shift, axis=1), "right") - 1
        ok = (number < len(zero)) & (overlap > 1e-3 * window.content)
        pairs += np.bincount(number[ok], minlength=len(zero))
        found += np.bincount(number[ok], 1 / overlap[ok], minlength=len(zero))
    shells = np.diff(ball(d, edges))
    return pairs, found, len(first) * (n - 1) / window.content**2 * shells


def nearest_neighbours(window, points: np.ndarray) -> tuple[float, float]:
    """Mean and SD of the distance to the nearest point, freed of the edge.

    Only points nearer to their neighbour than to the rim count, each as the inverse of the window
    without a rim of that width (Hanisch 1984, Mathematische Operationsforschung und Statistik 15).
    """
    if len(points) < FEWEST:
        return np.nan, np.nan
    distance = cKDTree(points).query(points, 2)[0][:, 1]
    inner = window.inner(distance)
    seen = (distance <= window.depth(points)) & (inner > 0)
    if seen.sum() < FEWEST:
        return np.nan, np.nan
    weight = 1 / inner[seen]
    mean = np.average(distance[seen], weights=weight)
    return mean, np.sqrt(np.average((distance[seen] - mean) ** 2, weights=weight))


def pattern(windows: list, points: list[np.ndarray], edges: np.ndarray) -> Pattern:
    """Pattern of ``points`` (each (n, d)) in their ``windows``, added up over these."""
    empty = np.full(len(edges) - 1, np.nan)
    if len(edges) < 2:
        return Pattern(edges, empty, empty, np.nan, np.nan, np.nan)
    sums = [pair_sums(w, p, edges) for w, p in zip(windows, points, strict=True)]
    pairs, found, random = (np.sum(part, axis=0) for part in zip(*sums, strict=True))
    g = np.divide(found, random, out=empty.copy(), where=random > 0)
    each = [nearest_neighbours(w, p) for w, p in zip(windows, points, strict=True)]
    told = np.array([(m, s, len(p)) for (m, s), p in zip(each, points, strict=True) if m == m])
    if not len(told):
        return Pattern(edges, g, pairs, np.nan, np.nan, np.nan)
    mean, sd = np.average(told[:, :2], axis=0, weights=told[:, 2])
    d = points[0].shape[1]
    density = sum(map(len, points)) / sum(w.content for w in windows)
    random = gamma(1 + 1 / d) / (density * ball(d, 1)) ** (1 / d)
    return Pattern(edges, g, pairs, float(mean), float(sd), float(mean / random))
