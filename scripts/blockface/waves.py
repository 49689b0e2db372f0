"""Curvature of a centreline, and the wave in it: planar crimp, or a helix and its hand."""

from dataclasses import dataclass

import numpy as np

from blockface.runs import Runs

PERIODS = 1.5  # that a crimp must show; a helix one turn
EXPLAINED = 0.7  # share of the line's deviation from straight that the wave must explain
FEWEST = 10  # points of a line in which a wave is sought
THREE = np.array([-1, 0, 1]) / 2, np.array([1, -2, 1])  # slope and bend of a parabola
FIVE = np.array([-2, -1, 0, 1, 2]) / 10, np.array([2, -1, -2, -1, 2]) / 7
ROUND = 0.5  # circularity from which a wave is a helix: 1 helix, 0 planar


@dataclass
class Wave:
    """What swings about the line's axis: lengths in nm, ``hand`` 1 right, -1 left, 0 none."""

    crimp_period: float = np.nan
    crimp_amplitude: float = np.nan
    helix_pitch: float = np.nan
    helix_radius: float = np.nan
    hand: int = 0


def curvature(points: np.ndarray, runs: Runs, step: np.ndarray, closed: np.ndarray) -> np.ndarray:
    """Mean and largest curvatures (2, k), 1/nm, of lines with ``points`` (3, n) every ``step`` nm.

    From the parabola through five points each (Savitzky & Golay 1964), of the inner n - 4, or of
    all of a ``closed`` (k,) line; from three points where there are fewer than seven; 0 of fewer
    than three. ``step`` is (k,), of arc.
    """
    n, closed = np.repeat(runs.counts, runs.counts), np.repeat(closed, runs.counts)
    at, step, first = runs.within, np.repeat(step, runs.counts), np.arange(len(n)) - runs.within
    found, held = np.zeros(len(n)), np.zeros(len(n), bool)
    fewest = 0
    for most, reach, (slope, bend) in ((7, 1, THREE), (np.inf, 2, FIVE)):
        inner = closed | (at >= reach) & (at < n - reach)
        rows = np.flatnonzero(inner & (n + 4 * closed >= fewest) & (n + 4 * closed < most))
        near = [points.take((first + (at + d) % n)[rows], axis=1) for d in range(-reach, reach + 1)]
        run = sum(w * p for w, p in zip(slope, near, strict=True)) / step[rows]
        turn = sum(w * p for w, p in zip(bend, near, strict=True)) / step[rows] ** 2
        aside = turn - run * ((run * turn).sum(axis=0) / (run**2).sum(axis=0))
        found[rows] = np.sqrt((aside**2).sum(axis=0))
        held[rows] = True
        fewest = most
    runs = runs.chosen(held)
    mean = runs.sums(found[held]) / np.maximum(runs.counts, 1)
    return np.stack([mean, runs.most(found[held], none=0.0)])


def wave(points: np.ndarray, smallest: np.ndarray) -> Wave:
    """The wave in a line of ``points`` (n, 3), if one explains how it swings.

    The points' offsets across the line's principal axis are fitted by a sinusoid about a straight
    line, at every period from twice the line down to four points. ``smallest`` (3,) is the size
    along z, y, x below which an amplitude is none: half a voxel.
    """
    if len(points) < FEWEST:
        return Wave()
    centre = points - points.mean(axis=0)
    axis = np.linalg.eigh(centre.T @ centre)[1][:, 2]
    if axis @ (points[-1] - points[0]) < 0:
        axis = -axis
    t = centre @ axis
    if (np.diff(t) <= 0).any():  # it turns back: no wave about an axis
        return Wave()
    one = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    one /= np.sqrt(one @ one)
    across = np.stack([one, np.cross(one, axis)])  # z, y, x is left-handed, x, y, z right-handed
    t = t - t[0]
    flat = np.linalg.qr(np.stack([np.ones_like(t), t], 1))[0]
    offset = centre @ across.T
    offset -= flat @ (flat.T @ offset)
    count = np.arange(0.5, len(t) / 4, 0.05)  # periods within the line
    angle = 2 * np.pi * t[:, None] * (count / t[-1])
    cosine, sine = np.cos(angle), np.sin(angle)
    c, s = cosine - flat @ (flat.T @ cosine), sine - flat @ (flat.T @ sine)
    cc, ss, cs = (c * c).sum(axis=0), (s * s).sum(axis=0), (c * s).sum(axis=0)
    a, b = c.T @ offset, s.T @ offset
    fit = np.maximum(cc * ss - cs**2, 1e-12 * (cc + ss) ** 2 + 1e-300)[:, None]
    p, q = (ss[:, None] * a - cs[:, None] * b) / fit, (cc[:, None] * b - cs[:, None] * a) / fit
    gain = (p * a + q * b).sum(axis=1)
    best = int(np.argmax(gain))
    total = (offset**2).sum()
    if total == 0 or gain[best] < EXPLAINED * total:
        return Wave()
    return swing(p[best], q[best], count[best], t[-1], across, smallest)


def swing(p, q, count, length, across, smallest) -> Wave:
    """Wave of the sinusoid p cos + q sin, (2,) each, across the line, ``count`` times in it."""
    power = (p @ p + q @ q) / 2
    axes, (major, _), _ = np.linalg.svd(np.stack([p, q], 1))
    least = np.sqrt(((axes[:, 0] @ across * smallest) ** 2).sum())
    turning = (p[0] * q[1] - p[1] * q[0]) / power
    if abs(turning) > ROUND and count >= 1 and np.sqrt(power) > least:
        return Wave(
            helix_pitch=float(length / count),
            helix_radius=float(np.sqrt(power)),
            hand=int(np.sign(turning)),
        )
    if abs(turning) <= ROUND and count >= PERIODS and major > least:
        return Wave(crimp_period=float(length / count), crimp_amplitude=float(major))
    return Wave()
