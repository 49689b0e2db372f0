"""Diameters along the centrelines of objects, across them, and how the lines tilt in each slice."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array

from blockface.curve import Curves, Projected
from blockface.nodes import Nodes
from blockface.runs import Runs

STEEP = 0.2  # cosine of the tilt up to which an object passes through slices, not along them
OVERLAP = 2  # cross-sections above one another from which no slice across is empty


@dataclass
class Profiles:
    """Slices across lines: arc lengths ``middle`` (n,), nm, and the diameters there (n,), nm.

    ``runs`` says whose they are. ``diameter`` is that of a disc of equal area, ``minor`` the small
    axis of the ellipse of equal second moments. ``free`` (n,) are the slices that no end blunts and
    no gap thins.
    """

    runs: Runs
    middle: np.ndarray
    diameter: np.ndarray
    minor: np.ndarray
    free: np.ndarray


def measured(curves: Curves, ends, nodes: Nodes, volume, gaps: np.ndarray) -> Profiles:
    """Profiles of ``nodes`` in slices of about 0.75 diameters between ``ends`` (2, k).

    The area of a slice is its volume over its advance along the line (Cavalieri), freed of the
    stretch by curvature. ``volume`` (k,) is that of the objects in nm³; ``gaps`` (2, m) are nodes
    between which there is nothing.
    """
    own, length = nodes.runs, ends[1] - ends[0]
    found = curves.project(nodes.at, own)
    wide = np.sqrt(4 / np.pi * volume / length)
    grain = grains(found, nodes, wide)
    n = np.rint(length / np.maximum(0.75 * wide, grain))
    n = np.maximum(np.maximum(n, np.minimum(9, np.floor(length / grain + 0.01))), 1).astype(int)
    runs = Runs(n + 1 - n % 2)
    step = length / runs.counts
    number, share = shared(found, ends, step, nodes, runs, curves.closed)
    moments = summed(number, share * (nodes.count / found.stretch), found, runs)
    diameter = 2 * np.sqrt(moments[0] * nodes.step.prod() / runs.spread(step) / np.pi)
    middle = runs.spread(ends[0]) + (runs.within + 0.5) * runs.spread(step)
    minor = minor_axes(moments, curves.direction(middle, runs), nodes, runs)
    minor = np.where(np.isfinite(minor), minor, diameter)
    # half a diameter, and as far as a slice that cuts an end may reach
    blunt = runs.spread(np.maximum(runs.most(diameter) / 2, grain))
    inner = np.minimum(middle - runs.spread(ends[0]), runs.spread(ends[1]) - middle)
    free = (inner > blunt) | runs.spread(curves.closed)
    free[(runs.first + runs.counts // 2)[runs.sums(free) == 0]] = True
    free &= (diameter > 0) & ~thinned(found.s - own.spread(ends[0]), gaps, nodes, step, runs)
    free[runs.peaks(diameter)[runs.sums(free) == 0]] = True
    return Profiles(runs, middle, diameter, minor, free)


def grains(found: Projected, nodes: Nodes, wide: np.ndarray) -> np.ndarray:
    """Least lengths (k,) of slices across lines, nm: the cells' size along the line.

    Of a leaning object about as ``wide`` (k,) as slices are thick, cross-sections lie apart along
    the line: their distance, as otherwise some of the slices across would be empty.
    """
    grain = nodes.runs.means(widths(found, nodes))
    steep = np.maximum(nodes.runs.means(np.abs(found.tangent[0])), STEEP)
    apart, long = nodes.size[0] / steep, wide * np.sqrt(1 / steep**2 - 1) + grain
    return np.where((steep > STEEP) & (long < OVERLAP * apart), np.maximum(grain, apart), grain)


def widths(found: Projected, nodes: Nodes) -> np.ndarray:
    """Sizes (n,) of the nodes' cells along the line, nm."""
    return np.sqrt(((found.tangent * nodes.runs.spread(nodes.size)) ** 2).sum(axis=0))


def shared(
    found: Projected, ends: np.ndarray, step: np.ndarray, nodes: Nodes, runs: Runs, closed
) -> tuple[np.ndarray, np.ndarray]:
    """Slices (3, n), each ``step`` (k,) long, over which nodes spread, and their shares there.

    What lies beyond the first or the last slice counts to these, of a ring to the next. In whole
    cells, a slice whose border passes through a layer of them would have half of it, and lean.
    """
    own = nodes.runs
    step, n, s = own.spread(step), own.spread(runs.counts), found.s - own.spread(ends[0])
    half = widths(found, nodes) / 2
    begin, end = s - half, s + half
    number = np.floor(begin / step) + np.arange(3)[:, None]
    share = np.maximum(np.minimum((number + 1) * step, end) - np.maximum(number * step, begin), 0)
    held = np.clip(number, 0, n - 1)
    if closed.any():
        held = np.where(own.spread(closed), number % n, held)
    return held.astype(np.int32) + own.spread(runs.first), share / share.sum(axis=0)


def summed(number, weight, found, runs: Runs) -> np.ndarray:
    """Sums (10, n) over slices of the ``weight`` (3, m) of nodes in the slices ``number`` (3, m).

    Of 1, z, y, x, zz, yy, xx, zy, zx, yx of their offsets across the line.
    """
    m = number.shape[1]
    z, y, x = found.offset - (found.offset * found.tangent).sum(axis=0) * found.tangent
    values = np.empty((m, 10))
    for i, value in enumerate((1, z, y, x, z * z, y * y, x * x, z * y, z * x, y * x)):
        values[:, i] = value
    at = np.arange(0, 3 * m + 1, 3)
    return np.asarray(
        csc_array((weight.T.ravel(), number.T.ravel(), at), shape=(runs.starts[-1], m)) @ values
    ).T


def thinned(s, gaps: np.ndarray, nodes: Nodes, step, runs: Runs) -> np.ndarray:
    """Which slices (n,), each ``step`` (k,) long, hold a part of ``gaps`` (2, m) of the object.

    ``s`` (nodes,) are places along the lines, from their beginnings.
    """
    out = np.zeros(runs.starts[-1], bool)
    for one, other in gaps.T:
        k = nodes.runs.owner[one]
        first, last = np.sort(s[[one, other]]) / step[k]
        rows = out[runs.slices[k]]
        rows[max(int(first), 0) : max(int(last), 0) + 1] = True
    return out


def minor_axes(moments, tangent: np.ndarray, nodes: Nodes, runs: Runs) -> np.ndarray:
    """Small axes (n,), nm, of ellipses of the ``moments`` of slices across ``tangent`` (3, n).

    Where that is less than a single voxel's, the voxels' own extent counts too, so that an object
    one slice thick is as thick as the slice. NaN of a slice without nodes.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = moments[1:] / moments[0]
    second = mean[[3, 4, 5, 6, 7, 8]] - mean[[0, 1, 2, 0, 0, 1]] * mean[[0, 1, 2, 1, 2, 2]]
    # the voxels' centres within a full cell
    second += across(runs.spread((nodes.size**2 - nodes.step[:, None] ** 2) / 12), tangent)
    voxel = across(nodes.step[:, None] ** 2 / 12, tangent)
    small = np.full(len(tangent[0]), np.nan)
    full = np.flatnonzero(moments[0] > 0)
    small[full] = middle_eigenvalues(second[:, full])
    thin = full[small[full] < middle_eigenvalues(voxel[:, full])]
    small[thin] = middle_eigenvalues((second + voxel)[:, thin])
    return 4 * np.sqrt(small)


def across(variance: np.ndarray, tangent: np.ndarray) -> np.ndarray:
    """Second moments (6, n), zz, yy, xx, zy, zx, yx, across ``tangent`` of ``variance`` (3, n)."""
    one, other = tangent[[0, 1, 2, 0, 0, 1]], tangent[[0, 1, 2, 1, 2, 2]]
    along = (variance * tangent**2).sum(axis=0)
    both = variance[[0, 1, 2, 0, 0, 1]] + variance[[0, 1, 2, 1, 2, 2]]
    out = one * other * (along - both)
    out[:3] += variance
    return out


def middle_eigenvalues(second: np.ndarray) -> np.ndarray:
    """Second of the three eigenvalues (n,) of symmetric matrices zz, yy, xx, zy, zx, yx, (6, n)."""
    return np.linalg.eigvalsh(second[[0, 3, 4, 3, 1, 5, 4, 5, 2]].T.reshape(-1, 3, 3))[:, 1]


def slice_tangents(curves: Curves, ends, reach, slices: Runs, thick: float) -> np.ndarray:
    """Directions (3, n), z upward, of lines in the objects' ``slices``, each ``thick`` nm, from 0.

    Each is that of the chord from ``reach`` (k,) nm before to as far behind, less towards the ends.
    Where the line passes a slice more than once, their mean; where it does not, that of the nearest
    slice that it passes.
    """
    own, closed = curves.runs, np.repeat(curves.closed, curves.runs.counts)
    begin, end, reach = own.spread(ends[0]), own.spread(ends[1]), own.spread(reach)
    s = curves.s
    near = np.maximum(np.minimum(np.minimum(s - begin, end - s), reach), reach / 10)
    near = np.where(closed, reach, near)
    number = np.floor((curves.at[0] - thick / 2) / thick + 0.5).astype(int)
    held = (s >= begin) & (s <= end) & (number >= 0) & (number < own.spread(slices.counts))
    lost = own.first[own.sums(held) == 0]  # of a line that passes none of its slices
    held[lost], number[lost] = True, 0
    s, near, closed, runs = s[held], near[held], closed[held], own.chosen(held)
    before, behind = s - near, s + near
    if closed.any():
        long = runs.spread(curves.length)
        before, behind = (np.where(closed, v % long, v) for v in (before, behind))
    tangent = curves.point(behind, runs) - curves.point(before, runs)
    at = np.isin(np.flatnonzero(held), lost)
    tangent[:, at] = curves.tangent[:, lost]
    tangent /= np.sqrt((tangent**2).sum(axis=0))
    tangent *= np.where(tangent[0] < 0, -1, 1)
    number = number[held] + runs.spread(slices.first)
    total = slices.starts[-1]
    count = np.bincount(number, minlength=total)
    passed = np.flatnonzero(count)
    mean = np.stack([np.bincount(number, t, total)[passed] for t in tangent]) / count[passed]
    mean = slices.chosen(passed).between(passed, mean, slices, np.arange(total))
    size = np.sqrt((mean**2).sum(axis=0))
    return np.where(size > 1e-9, mean / np.maximum(size, 1e-9), [[0.0], [1.0], [0.0]])
