"""Packing of fibrils into the plane, between the clefts: random, one by one, close together."""

import numpy as np

PIXEL_NM = 10.0


def _room(shape, margin: int, clefts, cells) -> np.ndarray:
    """Distance (px) of every point of the plane, ``margin`` wider than the image, to a cleft."""
    v, u = np.mgrid[-margin : shape[1] + margin, -margin : shape[2] + margin].astype(np.float32)
    free = np.full(v.shape, 40, np.float32)
    for cleft in clefts:
        along, across = cleft.axes(v, u)
        thick = 7 + 2.5 * np.sin(along / 31 + cleft.phase)
        for cell in cells:
            if cell.cleft is cleft:
                body, wing = cell.half_thickness(along, 0, factor=1.15)
                thick = np.maximum(thick, body + np.maximum(wing, 0) + 5)
        slope = np.gradient(thick, axis=1)
        free = np.minimum(free, (np.abs(across) - thick) / np.sqrt(1 + slope**2))
    return free


def pack(
    shape, margin: int, clefts, cells, rng, dense: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) and radii (n,) of discs packed one by one, each close to what is there.

    Few of them touch, unless they are ``dense``: then nearly all do.
    """
    free = _room(shape, margin, clefts, cells)
    centres, radii, misses = [], [], 0
    while misses < 150:
        large = rng.random() < 0.45
        diameter_nm = np.clip(rng.normal(165, 20) if large else rng.normal(90, 14), 60, 210)
        radius = diameter_nm / 2 / PIXEL_NM
        touches = dense or rng.random() < 0.08
        gap = rng.uniform(0, 0.6) if touches else rng.uniform(2.0, 4.0)
        near = rng.integers((0, 0), free.shape, (200, 2))
        spare = free[near[:, 0], near[:, 1]] - radius - gap
        if not (spare >= 0).any():
            near = np.argwhere(free >= radius + gap)
            spare = free[near[:, 0], near[:, 1]] - radius - gap
        fits = spare >= 0
        if not fits.any():
            misses += 1
            continue
        y, x = near[np.argmin(np.where(fits, spare, np.inf))]
        centres.append((y - margin, x - margin))
        radii.append(radius)
        reach = int(radius) + 28
        ys, xs = slice(max(y - reach, 0), y + reach), slice(max(x - reach, 0), x + reach)
        v, u = np.ogrid[
            ys.start : ys.start + free[ys, xs].shape[0], xs.start : xs.start + free[ys, xs].shape[1]
        ]
        free[ys, xs] = np.minimum(free[ys, xs], np.hypot(v - y, u - x) - radius)
    return np.array(centres, float).reshape(-1, 2), np.array(radii)
