"""Centrelines of objects: lines through the centroids of slices across the lines themselves.

They begin with the centroids of bands of equal walking distance (``bands``). Then every voxel is
projected onto the line, and the centroids of slices across it make the next one.
"""

from dataclasses import dataclass

import numpy as np

from blockface.bands import Walks, walk
from blockface.curve import Curves
from blockface.nodes import Nodes, Points
from blockface.profile import Profiles, measured, shared
from blockface.runs import Runs

ROUNDS = 2
FORK = 1.15  # times the mean volume, above which a slice of a branched object holds another branch
WHOLE = 0.95  # of the next slice's volume that a slice at an end must have


@dataclass
class Centrelines:
    """Lines of objects: ``curves`` between arc lengths ``ends`` (2, k), and what lies along them.

    Of a ring the line comes back to its beginning. Lengths in nm, places from the corner of the
    object's box.
    """

    curves: Curves
    ends: np.ndarray
    profiles: Profiles
    walks: Walks

    @property
    def closed(self) -> np.ndarray:
        """Which objects (k,) are rings."""
        return self.curves.closed

    @property
    def length(self) -> np.ndarray:
        """From surface to surface, or once round, (k,)."""
        return self.ends[1] - self.ends[0]

    def arcs(self) -> tuple[np.ndarray, Runs]:
        """Arc lengths (n,) of the points of the lines: the ends, between them the slices' middles.

        Of a ring the slices' middles, and the first one once more.
        """
        middle, runs = self.profiles.middle, self.profiles.runs
        points = Runs(runs.counts + np.where(self.closed, 1, 2))
        arcs, row = np.empty(points.starts[-1]), runs.within + ~np.repeat(self.closed, runs.counts)
        arcs[row + np.repeat(points.first, runs.counts)] = middle
        arcs[points.first] = np.where(self.closed, middle[runs.first], self.ends[0])
        arcs[points.last] = np.where(self.closed, middle[runs.first], self.ends[1])
        return arcs, points

    @property
    def displacement(self) -> np.ndarray:
        """Vectors (3, k) from end to end; 0 of a ring."""
        one, other = (self.curves.point(end, Runs(np.ones(len(end), int))) for end in self.ends)
        return np.where(self.closed, 0, other - one)


def centrelines(nodes: Nodes, exact: Points) -> Centrelines:
    """Centrelines of objects from their ``nodes``, with ends from the points ``exact``."""
    walks = walk(nodes)
    main, bent, volume = nodes.rows(walks.main), walks.walked, nodes.volume
    points, room = [np.zeros((3, 0))] * len(bent), np.full((4, len(bent)), np.inf)
    if not bent.all():
        ends, room[:2, ~bent] = axes(nodes.objects(~bent))
        for k, (one, other) in zip(np.flatnonzero(~bent), ends, strict=True):
            points[k] = np.stack([one, other], 1)
    if bent.any():
        found, runs, room[:, bent] = refined(walks, main.objects(bent), volume[bent])
        for k, rows in zip(np.flatnonzero(bent), runs.slices, strict=True):
            points[k] = found[:, rows]
    step, beyond, reach, aside = room
    runs = Runs([p.shape[1] for p in points])
    curves = Curves(np.concatenate(points, axis=1), runs, step, beyond, walks.closed)
    ends = extents(curves, exact, reach, aside)
    gaps = np.cumsum(walks.main)[walks.bridges[:, walks.main[walks.bridges].all(axis=0)]] - 1
    return Centrelines(curves, ends, measured(curves, ends, main, volume, gaps), walks)


def axes(nodes: Nodes) -> tuple[np.ndarray, np.ndarray]:
    """Two points (k, 2, 3) on the principal axis of objects too short to bend, by the centroid.

    And the sampling of the line and how far beyond it goes, (2, k).
    """
    runs, size = nodes.runs, nodes.size
    offset = nodes.at - runs.spread(nodes.centre)
    second = np.zeros((len(runs), 3, 3))
    for i in range(3):
        for j in range(i + 1):
            second[:, i, j] = runs.sums(nodes.count * offset[i] * offset[j]) / nodes.voxels
            second[:, j, i] = second[:, i, j]
        second[:, i, i] += size[i] ** 2 / 12
    axis = np.linalg.eigh(second)[1][:, :, 2].T
    far = runs.most(np.abs((offset * runs.spread(axis)).sum(axis=0))) + 2 * size.max(axis=0)
    half = axis * size.min(axis=0) / 2
    ends = np.stack([nodes.centre - half, nodes.centre + half]).transpose(2, 0, 1)
    return ends, np.stack([far / 20, far * 1.1])


def refined(walks: Walks, nodes: Nodes, volume: np.ndarray):
    """Points (3, n) of lines through the centroids of slices across the lines, a few rounds.

    And the runs of them and the ``limits`` of the lines; of the objects that were walked.
    """
    bent = walks.walked
    points, width, closed = walks.points, walks.width[bent], walks.closed[bent]
    runs = Runs(walks.runs.counts[bent])
    trimmed = ~closed & (runs.counts > 4)
    outer = (runs.within == 0) | (runs.within == runs.spread(runs.counts - 1))
    kept = ~(outer & runs.spread(trimmed))
    points, runs = points[:, kept], runs.chosen(kept)
    for _ in range(ROUNDS):
        step, beyond, reach, aside = limits(points, runs, width, volume, nodes.size)
        curves = Curves(points, runs, step, beyond, closed)
        ends = extents(curves, nodes, reach, aside)
        found = curves.project(nodes.at, nodes.runs)
        n = np.maximum(4, np.rint((ends[1] - ends[0]) / width)).astype(int)
        weight = nodes.count / found.stretch
        points, runs = slices(curves, found, weight, nodes, ends, n, walks.forked[bent])
        points = calm(points, runs, closed)
    return points, runs, limits(points, runs, width, volume, nodes.size)


def limits(points: np.ndarray, runs: Runs, width, volume, size) -> np.ndarray:
    """Of lines through ``points``, (4, k): how finely they are sampled and how far beyond they go.

    And how far along them and aside of them their last voxels may lie.
    """
    chord = np.zeros(points.shape[1])
    chord[1:] = np.sqrt((np.diff(points) ** 2).sum(axis=0))
    chord[runs.first] = 0
    long = np.maximum(np.maximum(runs.counts, 1) * width, runs.sums(chord))
    wide = np.sqrt(4 / np.pi * volume / long)
    return np.stack([width / 8, 3 * width + wide, 2 * width + wide, 0.8 * wide + size.max(axis=0)])


def extents(curves: Curves, points: Points, reach, aside) -> np.ndarray:
    """Arc lengths (2, k) of the ends of objects of ``points`` that lie near the lines' ends.

    Those less than ``reach`` (k,) along and ``aside`` (k,) nm of the end count. A ring has none:
    it goes from 0 to the length of its line.
    """
    runs, found = points.runs, []
    for point, outward, curved in curves.ends:
        offset = points.at - runs.spread(point)
        ahead = (offset * runs.spread(outward)).sum(axis=0)
        near = np.flatnonzero(np.abs(ahead) < runs.spread(reach))
        offset, ahead, owner = offset.take(near, axis=1), ahead[near], runs.owner[near]
        far = (offset**2).sum(axis=0) - ahead**2
        bent = np.flatnonzero(curved.any(axis=0).take(owner))
        ahead[bent], far[bent] = along_circle(
            offset.take(bent, axis=1), ahead[bent], curved.take(owner[bent], axis=1)
        )
        held = far < (aside**2).take(owner)
        width = np.sqrt(((outward * points.size) ** 2).sum(axis=0))
        found.append(last_of(ahead[held], runs.chosen(near[held]), width))
    zero = np.zeros(len(runs))
    return np.where(curves.closed, [zero, curves.length], [-found[0], curves.length + found[1]])


def along_circle(offset, ahead, curved) -> tuple[np.ndarray, np.ndarray]:
    """How far points lie along circles, and the square of how far aside of them, (n,) each.

    ``offset`` (3, n) from where the circles begin, ``ahead`` (n,) of it in their direction,
    ``curved`` (3, n) their curvature vectors, not 0. Right for circles that are nearly straight.
    """
    curvature = np.sqrt((curved**2).sum(axis=0))
    inwards = (offset * curved).sum(axis=0) / curvature
    over, towards = curvature * ahead, 1 - curvature * inwards
    radial = (curvature * (ahead**2 + inwards**2) - 2 * inwards) / (np.hypot(over, towards) + 1)
    far = np.maximum(0, (offset**2).sum(axis=0) - ahead**2 - inwards**2) + radial**2
    return np.arctan2(over, towards) / curvature, far


def last_of(s: np.ndarray, runs: Runs, width: np.ndarray) -> np.ndarray:
    """Where objects end along s, (k,), from the voxels near: the last centre and what it lacks.

    If the last centres all lie at one s, the object ends half a voxel farther; if they lie at every
    s (an oblique or a round end), it ends at the last one. ``width`` (k,) is a voxel's along s.
    Half a voxel where none is near.
    """
    top = runs.most(s, none=0.0)
    last = s > runs.spread(top - 0.9 * width)
    spread = runs.chosen(last).sds(s[last]) * np.sqrt(12) / (0.9 * width)
    flat = 1 - np.minimum(1, np.where(runs.counts > 0, spread, 0))
    return top + width / 2 * flat


def slices(curves: Curves, found, weight, nodes: Nodes, ends, n: np.ndarray, forked: np.ndarray):
    """Centroids (3, m) of ``n`` (k,) equal slices between ``ends``, and the runs of them.

    No empty ones, no wedges; of ``forked`` (k,) objects none where a branch would draw the line
    towards itself. The centroid of a slice of length w of a line of curvature c lies
    c w²/24 inwards of the line. That is taken off of rings; of open lines it is less than what it
    would add to their small bends.
    """
    bins, step = Runs(n), (ends[1] - ends[0]) / n
    number, share = shared(found, ends, step, nodes, bins, curves.closed)
    number, weight = number.ravel(), (share * weight).ravel()
    total = np.bincount(number, weight, bins.starts[-1])
    points = np.stack([np.bincount(number, weight * np.tile(a, 3), len(total)) for a in nodes.at])
    held = total > 0
    held &= ~bins.spread(forked) | (total < FORK * bins.spread(bins.means(total)))
    long = bins.spread(step)
    middle = bins.spread(ends[0]) + (bins.within + 0.5) * long
    inwards = curves.runs.between(curves.s, curves.bend, bins, middle) * long**2 / 24
    inwards *= bins.spread(curves.closed)
    points = points[:, held] / total[held] - inwards[:, held]
    runs = bins.chosen(held)
    begin, end = np.where(curves.closed, 0, wedges(total[held], runs))
    whole = (runs.within >= runs.spread(begin)) & (runs.within < runs.spread(runs.counts - end))
    return points[:, whole], runs.chosen(whole)


def wedges(volumes: np.ndarray, runs: Runs) -> np.ndarray:
    """How many slices (2, k) at each end are wedges, cut obliquely, whose centroids lie aside.

    Those that have less than WHOLE of the next one's volume, up to two.
    """
    most = np.clip((runs.counts - 4) // 2, 0, 2)
    cut = np.zeros((2, len(runs)), int)
    for side, end, step in ((0, runs.first, 1), (1, runs.last, -1)):
        for i in range(2):
            this, other = volumes.take([end + i * step, end + (i + 1) * step], mode="clip")
            cut[side] += (cut[side] == i) & (i < most) & (this < WHOLE * other)
    return cut


def calm(points: np.ndarray, runs: Runs, closed: np.ndarray) -> np.ndarray:
    """Points with what changes from one to the next taken out; cubic curves stay as they are."""
    many, closed = (np.repeat(v, runs.counts) for v in (runs.counts >= 7, closed))
    n, at = np.repeat(runs.counts, runs.counts), runs.within
    rows = np.flatnonzero(many & (closed | (at >= 2) & (at < n - 2)))
    at, n, first = at[rows], n[rows], (np.arange(len(n)) - at)[rows]
    two, one, after, next_ = (points[:, first + (at + d) % n] for d in (-2, -1, 1, 2))
    out = points.copy()
    out[:, rows] = (10 * points[:, rows] + 4 * (one + after) - two - next_) / 16
    return out
