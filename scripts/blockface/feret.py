"""Feret diameters: the largest and smallest distance of two parallel planes that hold an object."""

import numpy as np

from blockface.nodes import Points
from blockface.runs import Runs


def sphere(n: int) -> np.ndarray:
    """Directions (4 n, 3) spread over half a sphere, the same in each of its quarters.

    So what is mirrored is measured alike. A quarter holds a Fibonacci lattice.
    """
    height = (np.arange(n) + 0.5) / n
    turn = np.pi / 2 * (np.arange(n) * (np.sqrt(5) - 1) / 2 % 1)
    ring = np.sqrt(1 - height**2)
    quarter = np.stack([height, ring * np.cos(turn), ring * np.sin(turn)], 1)
    return np.concatenate([quarter * (1, y, x) for y in (1, -1) for x in (1, -1)])


DIRECTIONS = np.concatenate([sphere(38), np.eye(3)])
CONE = np.concatenate([[[0.0, 0.0]], *(r * np.stack([np.cos(t), np.sin(t)], 1) for r, t in (
    (0.4, np.arange(6) * np.pi / 3), (1.0, (np.arange(10) + 0.5) * np.pi / 5)))])  # fmt: skip
CONES = (0.2, 0.08, 0.03, 0.012)  # radians
OBLIQUE = 1.1  # voxels, up to which layers may lie apart


def feret(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Largest and smallest Feret diameters (k,), nm, of objects of ``points``.

    Directions are tried evenly over the sphere of the ellipsoid of equal moments and then ever more
    closely about the best. Each plane lies beyond the last centres by half the distance of the
    layers in which the centres lie there: half a voxel along the axes, next to nothing obliquely.
    """
    runs, step = points.runs, points.size.T
    offset = points.at - runs.spread(np.stack([runs.means(a) for a in points.at]))
    second = np.stack([offset[:, rows] @ offset[:, rows].T for rows in runs.slices])
    second = second / runs.counts[:, None, None] + step[:, None] ** 2 * np.eye(3) / 12
    values, axes = np.linalg.eigh(second)
    half, axes = np.sqrt(values)[:, None], axes.swapaxes(1, 2)
    edge, edges = outermost(offset, runs)
    longest = unit((DIRECTIONS * half) @ axes)
    most = best(longest, -widths(edge, edges, longest, step))
    for _ in range(3):
        along = (edge * edges.spread(most.T)).sum(axis=0)
        apart = (edge[:, edges.peaks(along)] - edge[:, edges.peaks(-along)]).T
        far = np.sqrt((apart**2).sum(axis=1, keepdims=True))
        most = np.where(far > 0, apart / np.where(far > 0, far, 1), most)
    shortest = np.broadcast_to(DIRECTIONS, longest.shape)
    for cone in (*CONES, None):
        tried = unit((shortest / half) @ axes)
        extent = widths(edge, edges, tried, step)
        if cone is not None:
            shortest = around(best(shortest, extent), cone)
    least = width(offset, runs, best(tried, extent), step)
    box = np.stack([runs.most(a) - runs.least(a) for a in offset], 1) + step
    least = np.minimum(least, box.min(axis=1))
    return np.maximum(np.maximum(width(offset, runs, most, step), least), step.max(axis=1)), least


def best(directions: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Of each object's ``directions`` (k, n, 3) that of the lowest ``cost`` (k, n), (k, 3)."""
    return directions[np.arange(len(cost)), cost.argmin(axis=1)]


def outermost(at: np.ndarray, runs: Runs) -> tuple[np.ndarray, Runs]:
    """First and last point of every line of voxels along x; ``at`` (3, n) comes line by line."""
    new = np.ones(at.shape[1] + 1, bool)
    new[1:-1] = (at[1, 1:] != at[1, :-1]) | (at[0, 1:] != at[0, :-1])
    new[runs.starts] = True
    edge = np.flatnonzero(new[1:] | new[:-1])
    return at.take(edge, axis=1), runs.chosen(edge)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length 1."""
    return vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True))


def around(direction: np.ndarray, cone: float) -> np.ndarray:
    """Directions (k, n, 3) within ``cone`` radians of (k, 3)."""
    aside = unit(cross(direction, np.eye(3)[np.abs(direction).argmin(axis=1)]))
    both = np.stack([aside, cross(direction, aside)], 1)
    return unit(direction[:, None] + cone * (CONE @ both))


def cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cross products (k, 3)."""
    (a, b, c), (d, e, f) = one.T, other.T
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], 1)


def widths(at: np.ndarray, runs: Runs, directions: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Extents (k, n) of the points along ``directions`` (k, n, 3), and of a voxel: what is safe."""
    found = np.empty(directions.shape[:2])
    for out, rows, mine in zip(found, runs.slices, directions, strict=True):
        along = mine @ at[:, rows]
        out[:] = np.maximum.reduce(along, axis=1) - np.minimum.reduce(along, axis=1)
    return found + np.sqrt(((directions * step[:, None]) ** 2).sum(axis=-1))


def width(at: np.ndarray, runs: Runs, direction: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Distances (k,) of the two planes across ``direction`` (k, 3) that hold the objects.

    At least a voxel.
    """
    along = (at * runs.spread(direction.T)).sum(axis=0)
    voxel = np.sqrt(((direction * step) ** 2).sum(axis=1))
    extent = runs.most(along) - runs.least(along)
    return np.maximum(extent + beyond(along, runs, voxel) + beyond(-along, runs, voxel), voxel)


def beyond(along: np.ndarray, runs: Runs, voxel: np.ndarray) -> np.ndarray:
    """Half the widest gaps (k,) between the layers of points in the last ``voxel`` (k,) nm.

    A little farther is looked, as layers that are oblique to the plane lie farther apart along it.
    """
    last = np.flatnonzero(along > runs.spread(runs.most(along) - OBLIQUE * voxel))
    along, owner = along[last], runs.owner[last]
    order = np.lexsort((along, owner))
    gap = np.diff(along[order], prepend=-np.inf)
    top = runs.chosen(last)
    gap[top.first] = 0
    gap = top.most(gap)
    return np.where(gap > 0, np.minimum(gap, voxel), voxel) / 2
