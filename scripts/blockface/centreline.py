"""Centreline of one object: a line through the centroids of slices across the line itself.

It begins with the centroids of bands of equal walking distance (``bands``). Then every voxel is
projected onto the line, and the centroids of slices across it make the next one.
"""

from dataclasses import dataclass, field

import numpy as np

from blockface.bands import Walk, walk
from blockface.curve import Curve
from blockface.nodes import Nodes
from blockface.profile import Profile, measured

ROUNDS = 2
WHOLE = 0.9  # of the next slice's volume that a slice at an end must have


@dataclass
class Centreline:
    """Line of an object: ``curve`` between arc lengths ``ends``, and what was measured along it.

    Of a ring, ``closed``, the line comes back to its beginning. ``walked`` is None where the line
    is straight. Lengths in nm, places from the corner of the object's box.
    """

    curve: Curve
    ends: tuple[float, float]
    profile: Profile
    walked: Walk | None = None
    closed: bool = field(init=False)

    def __post_init__(self):
        self.closed = self.curve.closed

    @property
    def length(self) -> float:
        """From surface to surface, or once round."""
        return float(self.ends[1] - self.ends[0])

    @property
    def points(self) -> np.ndarray:
        """Points (n, 3): the ends, and between them the middles of the slices."""
        return self.curve.point(self.arcs)

    @property
    def arcs(self) -> np.ndarray:
        """Arc length (n,) of ``points``."""
        if self.closed:
            return np.r_[self.profile.middle, self.profile.middle[0] + self.length] % self.length
        return np.r_[self.ends[0], self.profile.middle, self.ends[1]]

    @property
    def displacement(self) -> np.ndarray:
        """Vector (3,) from end to end; 0 of a ring."""
        ends = self.curve.point(np.array(self.ends))
        return np.zeros(3) if self.closed else ends[1] - ends[0]


def centreline(nodes: Nodes, voxels: np.ndarray | None) -> Centreline:
    """Centreline of an object from its ``nodes`` and, for exact ends, its ``voxels`` (n, 3) nm."""
    volume = nodes.count.sum() * nodes.step.prod()
    exact, step = (nodes.at, nodes.cell) if voxels is None else (voxels, nodes.step)
    walked = walk(nodes, volume)
    if walked is None:
        main = np.ones(len(nodes.at), bool)
        curve, ends = straight(nodes, exact, step)
    else:
        main = walked.main
        curve, ends = refine(walked, nodes, exact, step, volume)
    return Centreline(curve, ends, measured(curve, ends, nodes, main), walked)


def straight(nodes: Nodes, exact: np.ndarray, step: np.ndarray):
    """Line along the principal axis through the centroid, for objects too short to bend."""
    centre = nodes.count @ nodes.at / nodes.count.sum()
    offset = nodes.at - centre
    second = (offset * nodes.count[:, None]).T @ offset / nodes.count.sum()
    axis = np.linalg.eigh(second + np.diag(nodes.cell**2) / 12)[1][:, 2]
    reach = np.abs(offset @ axis).max() + nodes.cell.max() * 2
    half = axis * nodes.cell.min() / 2
    curve = Curve(np.stack([centre - half, centre + half]), reach / 20, reach * 1.1)
    return curve, extent(curve, exact, step, np.inf, np.inf)


def refine(walked: Walk, nodes: Nodes, exact, step, volume: float):
    """Curve through the centroids of slices across the curve itself, a few rounds, and its ends."""
    at, count = nodes.at[walked.main], nodes.count[walked.main]
    points, width, closed = walked.points, walked.width, walked.closed
    if not closed and len(points) > 4:
        points = points[1:-1]
    for _ in range(ROUNDS):
        curve, reach, aside = line_through(points, width, closed, volume, nodes.cell)
        ends = (0.0, curve.length) if closed else extent(curve, at, nodes.cell, reach, aside)
        s, _, stretch = curve.project(at)
        n = max(4, round((ends[1] - ends[0]) / width))
        points, volumes = slices(s, count / stretch, at, ends, n)
        if not closed:
            points = points[whole(volumes)]
        points = calm(points, closed)
    curve, reach, aside = line_through(points, width, closed, volume, nodes.cell)
    return curve, (0.0, curve.length) if closed else extent(curve, exact, step, reach, aside)


def line_through(points, width, closed, volume, cell):
    """Curve through ``points``, and how far along it and aside of it its last voxels may lie."""
    long = max(len(points) * width, width)
    if len(points) > 1:
        long = max(long, np.sqrt((np.diff(points, axis=0) ** 2).sum(axis=1)).sum())
    wide = np.sqrt(4 / np.pi * volume / long)
    curve = Curve(points, width / 8, 3 * width + wide, closed)
    return curve, 2 * width + wide, 0.8 * wide + cell.max()


def extent(curve: Curve, at: np.ndarray, step: np.ndarray, reach: float, aside: float):
    """Arc lengths of the two ends of an object of points ``at`` (voxels, or cells, of ``step``)."""
    found = []
    for point, outward in curve.ends:
        offset = at - point
        ahead = offset @ outward
        if np.isfinite(reach):
            near = np.abs(ahead) < reach
            ahead, offset = ahead[near], offset[near]
            ahead = ahead[np.einsum("ij,ij->i", offset, offset) - ahead**2 < aside**2]
        width = np.sqrt(((outward * step) ** 2).sum())
        found.append(end_of(ahead, width) if len(ahead) else width / 2)
    return -found[0], curve.length + found[1]


def end_of(s: np.ndarray, width: float) -> float:
    """Where the object ends along s, from the voxels near: their last centre and what it lacks.

    If the last centres all lie at one s, the object ends half a voxel farther; if they lie at every
    s (an oblique or a round end), it ends at the last one. ``width`` is a voxel's along s.
    """
    top = s.max()
    spread = s[s > top - 0.9 * width].std() * np.sqrt(12) / (0.9 * width)
    return float(top + width / 2 * (1 - min(1.0, spread)))


def slices(s, weight, at, ends, n) -> tuple[np.ndarray, np.ndarray]:
    """Centroids (m, 3) and weights (m,) of ``n`` equal slices between ``ends``; no empty ones."""
    number = np.clip((s - ends[0]) * (n / (ends[1] - ends[0])), 0, n - 1).astype(int)
    total = np.bincount(number, weight, n)
    points = np.stack([np.bincount(number, weight * at[:, i], n) for i in range(3)], 1)
    return points[total > 0] / total[total > 0, None], total[total > 0]


def whole(volumes: np.ndarray) -> slice:
    """The slices without the wedges at ends that are cut obliquely, whose centroids lie aside.

    At each end up to two that have less than WHOLE of the next one's volume.
    """
    cut = []
    for side in (volumes, volumes[::-1]):
        most = min(2, (len(side) - 4) // 2)
        cut.append(next((i for i in range(most) if side[i] >= WHOLE * side[i + 1]), max(most, 0)))
    return slice(cut[0], len(volumes) - cut[1])


def calm(points: np.ndarray, closed: bool) -> np.ndarray:
    """Points with what changes from one to the next taken out; cubic curves stay as they are."""
    if len(points) < 7:
        return points
    if closed:
        return calm(np.concatenate([points[-4:], points, points[:4]]), False)[4:-4]
    out = points.copy()
    out[2:-2] = (
        10 * points[2:-2] + 4 * (points[1:-3] + points[3:-1]) - points[:-4] - points[4:]
    ) / 16
    return out
