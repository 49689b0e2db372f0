"""Feret diameters: the largest and smallest distance of two parallel planes that hold an object."""

import numpy as np


def sphere(n: int) -> np.ndarray:
    """Directions (n, 3) spread evenly over half a sphere (Fibonacci lattice)."""
    height = (np.arange(n) + 0.5) / n
    turn = np.pi * (1 + np.sqrt(5)) * np.arange(n)
    ring = np.sqrt(1 - height**2)
    return np.stack([height, ring * np.cos(turn), ring * np.sin(turn)], 1)


DIRECTIONS = sphere(150)
CONE = np.concatenate([[[0.0, 0.0]], *(r * np.stack([np.cos(t), np.sin(t)], 1) for r, t in (
    (0.4, np.arange(6) * np.pi / 3), (1.0, np.arange(10) * np.pi / 5 + 0.2)))])  # fmt: skip
CONES = (0.2, 0.08, 0.03, 0.012)  # radians


def feret(at: np.ndarray, step: np.ndarray) -> tuple[float, float]:
    """Largest and smallest Feret diameter, nm, of the voxels (n, 3) of size ``step`` at ``at``.

    Directions are tried evenly over the sphere of the ellipsoid of equal moments and then ever more
    closely about the best. Each plane lies beyond the last centres by half the distance of the
    layers in which the centres lie there: half a voxel along the axes, next to nothing obliquely.
    """
    offset = at - at.mean(axis=0)
    values, axes = np.linalg.eigh(offset.T @ offset / len(at) + np.diag(step**2) / 12)
    half = np.sqrt(values)
    edge = outermost(offset)
    longest = unit((DIRECTIONS * half) @ axes.T)
    most = longest[np.argmax(widths(edge, longest, step))]
    for _ in range(3):
        along = edge @ most
        apart = edge[np.argmax(along)] - edge[np.argmin(along)]
        if apart @ apart > 0:
            most = apart / np.sqrt(apart @ apart)
    shortest = DIRECTIONS
    for cone in (*CONES, None):
        tried = unit((shortest / half) @ axes.T)
        best = np.argmin(widths(edge, tried, step))
        if cone is not None:
            shortest = around(shortest[best], cone)
    return max(width(offset, most, step), width(offset, tried[best], step), step.max()), width(
        offset, tried[best], step
    )


def outermost(at: np.ndarray) -> np.ndarray:
    """First and last point of every line of voxels along x; ``at`` comes line by line."""
    new = np.flatnonzero((at[1:, 1] != at[:-1, 1]) | (at[1:, 0] != at[:-1, 0])) + 1
    return at[np.union1d(np.r_[0, new], np.r_[new - 1, len(at) - 1])]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, 3) of length 1."""
    return vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))


def around(direction: np.ndarray, cone: float) -> np.ndarray:
    """Directions (n, 3) within ``cone`` radians of one."""
    aside = np.cross(direction, np.eye(3)[np.argmin(np.abs(direction))])
    aside /= np.sqrt(aside @ aside)
    return unit(direction + cone * (CONE @ np.stack([aside, np.cross(direction, aside)])))


def widths(at: np.ndarray, directions: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Extents (n,) of the points along ``directions``, and of a voxel there: what is safe."""
    along = at @ directions.T
    voxel = np.sqrt(((directions * step) ** 2).sum(axis=1))
    return along.max(axis=0) - along.min(axis=0) + voxel


def width(at: np.ndarray, direction: np.ndarray, step: np.ndarray) -> float:
    """Distance of the two planes across ``direction`` between which the object lies."""
    along = at @ direction
    voxel = float(np.sqrt(((direction * step) ** 2).sum()))
    return float(np.ptp(along)) + beyond(along, voxel) + beyond(-along, voxel)


def beyond(along: np.ndarray, voxel: float) -> float:
    """Half the widest gap between the layers of points in the last ``voxel`` nm."""
    last = np.sort(along[along > along.max() - 1.01 * voxel])
    gap = float(np.diff(last).max()) if len(last) > 1 else 0.0
    return (gap if gap > 1e-6 * voxel else voxel) / 2
