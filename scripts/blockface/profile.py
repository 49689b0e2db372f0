"""Diameters along the centreline of one object, across it, and how the line tilts in each slice."""

from dataclasses import dataclass

import numpy as np

from blockface.curve import Curve
from blockface.nodes import Nodes


@dataclass
class Profile:
    """Slices across the line: arc lengths ``middle`` (n,), nm, and the diameters there (n,), nm.

    ``diameter`` is that of a disc of equal area, ``minor`` the small axis of the ellipse of equal
    second moments. ``free`` (n,) are the slices that neither end blunts.
    """

    middle: np.ndarray
    diameter: np.ndarray
    minor: np.ndarray
    free: np.ndarray

    def at(self, arcs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``diameter`` and ``minor`` at arc lengths ``arcs``."""
        return np.interp(arcs, self.middle, self.diameter), np.interp(arcs, self.middle, self.minor)


def measured(curve: Curve, ends: tuple[float, float], nodes: Nodes, main: np.ndarray) -> Profile:
    """Profile of the nodes ``main`` in slices of about 0.75 diameters between ``ends``.

    The area of a slice is its volume over its advance along the line (Cavalieri), freed of the
    stretch by curvature.
    """
    at, count = nodes.at[main], nodes.count[main]
    s, nearest, stretch = curve.project(at)
    tangent = curve.tangent[nearest]
    length, unit = ends[1] - ends[0], nodes.step.prod()
    wide = np.sqrt(4 / np.pi * nodes.count.sum() * unit / length)
    spread = np.sqrt(((tangent * nodes.cell) ** 2).sum(axis=1))
    grain = spread.mean()
    n = max(round(length / max(0.75 * wide, grain)), min(9, int(length / grain + 0.01)), 1)
    n += 1 - n % 2
    number, share = shared(s - ends[0], spread, length / n, n, curve.closed)
    weight = share * (count / stretch)
    diameter = 2 * np.sqrt(
        np.bincount(number.ravel(), weight.ravel(), n) * unit * n / length / np.pi
    )
    middle = ends[0] + (np.arange(n) + 0.5) * (length / n)
    offset = at - curve.at[nearest]
    offset -= np.einsum("ij,ij->i", offset, tangent)[:, None] * tangent
    minor = minor_axes(number, weight, offset, curve.direction(middle), nodes)
    minor = np.where(np.isfinite(minor), minor, diameter)
    blunt = diameter.max() / 2
    free = (np.minimum(middle - ends[0], ends[1] - middle) > blunt) | curve.closed
    free[n // 2] |= not free.any()
    free &= diameter > 0
    if not free.any():
        free[np.argmax(diameter)] = True
    return Profile(middle, diameter, minor, free)


def shared(s, spread, step: float, n: int, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Slices (3, m), each ``step`` long, over which nodes at ``s`` spread, and their shares there.

    What lies beyond the first or the last slice counts to these, of a ring to the next.
    """
    first = np.floor((s - spread / 2) / step)
    number = first + np.arange(3)[:, None]
    begin = np.maximum(number * step, s - spread / 2)
    end = np.minimum((number + 1) * step, s + spread / 2)
    share = np.maximum(end - begin, 0)
    number = number % n if closed else np.clip(number, 0, n - 1)
    return number.astype(int), share / share.sum(axis=0)


def minor_axes(number, weight, offset, tangent, nodes: Nodes) -> np.ndarray:
    """Small axes (n,), nm, of the ellipses of equal moments of slices across ``tangent`` (n, 3).

    ``offset`` (m, 3) from the line, across it, of the nodes with ``weight`` (3, m) in the slices
    ``number`` (3, m). No less than that of a single voxel; NaN of a slice without nodes.
    """
    n, number = len(tangent), number.ravel()
    total = np.bincount(number, weight.ravel(), n)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = [np.bincount(number, (weight * offset[:, i]).ravel(), n) / total for i in range(3)]
        second = np.empty((n, 3, 3))
        for i in range(3):
            for j in range(i + 1):
                product = (weight * (offset[:, i] * offset[:, j])).ravel()
                product = np.bincount(number, product, n) / total
                second[:, i, j] = second[:, j, i] = product - mean[i] * mean[j]
    across = np.eye(3) - tangent[:, :, None] * tangent[:, None, :]
    # the voxels' centres within a full cell, and a voxel's own extent
    second += across @ (np.diag(nodes.cell**2 - nodes.step**2) / 12) @ across
    least = across @ (np.diag(nodes.step**2) / 12) @ across
    found = np.full(n, np.nan)
    full = total > 0
    small = np.linalg.eigvalsh(second[full])[:, 1]
    found[full] = 4 * np.sqrt(np.maximum(small, np.linalg.eigvalsh(least[full])[:, 1]))
    return found


def slice_tangents(curve: Curve, ends, z: np.ndarray, thick: float) -> np.ndarray:
    """Directions (n, 3), z upward, of the line in slices with middles ``z`` and ``thick`` nm.

    Where it passes a slice more than once, their mean; where it does not, that of the nearest slice
    that it passes.
    """
    inside = (curve.s >= ends[0]) & (curve.s <= ends[1])
    at, tangent = curve.at[inside], curve.tangent[inside]
    number = np.floor((at[:, 0] - z[0]) / thick + 0.5).astype(int)
    held = (number >= 0) & (number < len(z))
    if not held.any():
        at, tangent, number, held = curve.at[:1], curve.tangent[:1], np.zeros(1, int), [True]
    number, tangent = number[held], tangent[held]
    tangent = tangent * np.where(tangent[:, :1] < 0, -1, 1)
    count = np.bincount(number, minlength=len(z))
    filled = np.flatnonzero(count)
    mean = np.stack(
        [
            np.interp(
                np.arange(len(z)),
                filled,
                np.bincount(number, tangent[:, i], len(z))[filled] / count[filled],
            )
            for i in range(3)
        ],
        1,
    )
    size = np.sqrt((mean**2).sum(axis=1, keepdims=True))
    return np.where(size > 1e-9, mean / np.where(size > 1e-9, size, 1), [0.0, 1.0, 0.0])
