"""How far the tissue moved from one slice to the next, from the places of cross-sections alone.

All displacements between a cross-section expected and one found nearby are votes. The true pairs
of a neighbourhood agree, the others scatter; the displacement with most votes is its motion. So a
slice that was cut or aligned askew is followed, and motion beyond the distance between neighbours.
"""

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

REACH = 6.0  # radii: the largest motion beyond what is expected
BIN = 1 / 3  # radii
TILE = 16.0  # radii: a neighbourhood
PULL = 4.0  # radii: motion so large needs twice the votes that none would need
LIKE = np.log(2.0)  # areas further apart are not of one object
NEIGHBOURS = 12  # whose mean is taken to be precise


def local_motion(expected, areas, found, found_areas) -> np.ndarray:
    """Motion (n, 2) at each ``expected`` place, in its units, that leads to places ``found``.

    Parameters
    ----------
    expected, found : ndarray (n, 2), (m, 2)
        Centroids y, x.
    areas, found_areas : ndarray (n,), (m,)
        In the unit of the centroids, squared.
    """
    if not len(expected) or not len(found):
        return np.zeros((len(expected), 2))
    radius = float(np.median(np.sqrt(areas / np.pi)))
    motion = voted(expected, areas, found, found_areas, radius)
    return motion + remaining(expected + motion, areas, found, found_areas)


def voted(expected, areas, found, found_areas, radius: float) -> np.ndarray:
    """Motion with most votes, neighbourhood by neighbourhood, interpolated between them."""
    pairs = cKDTree(expected).sparse_distance_matrix(
        cKDTree(found), REACH * radius, output_type="ndarray"
    )
    i, j = pairs["i"], pairs["j"]
    like = np.abs(np.log(areas[i] / found_areas[j])) < LIKE
    i, j = i[like], j[like]
    if not len(i):
        return np.zeros_like(expected)
    low = expected.min(axis=0)
    place = (expected - low) / (TILE * radius)
    tiles = np.floor(place.max(axis=0)).astype(int) + 1
    half = int(np.ceil(REACH / BIN))
    step = np.rint((found[j] - expected[i]) / (BIN * radius)).astype(int) + half
    where = np.concatenate([np.floor(place[i]).astype(int), step], axis=1)
    shape = (*tiles, 2 * half + 1, 2 * half + 1)
    votes = np.bincount(np.ravel_multi_index(where.T, shape), minlength=int(np.prod(shape)))
    votes = gaussian_filter(votes.reshape(shape).astype(np.float32), (0.7, 0.7, 1, 1),
                            mode=("nearest", "nearest", "constant", "constant"))  # fmt: skip
    at = (np.arange(-half, half + 1) * BIN / REACH) ** 2
    votes += 1e-3 * np.exp(-at[:, None] - at)  # where nothing votes, nothing moves
    # evenly spaced ones of which some end would move by one spacing, if a vote were a vote
    votes /= 1 + (REACH / PULL) ** 2 * (at[:, None] + at)
    best = votes.reshape(*tiles, -1).argmax(axis=-1)
    steps = (np.stack(np.divmod(best, 2 * half + 1)) - half) * BIN * radius
    corner = place.T - 0.5
    return np.stack([map_coordinates(s, corner, order=1, mode="nearest") for s in steps], axis=1)


def remaining(expected, areas, found, found_areas) -> np.ndarray:
    """Median of what is left between each place and the one found nearest, over its neighbours."""
    distance, nearest = cKDTree(found).query(expected)
    close = (distance < np.sqrt(areas / np.pi)) & (
        np.abs(np.log(areas / found_areas[nearest])) < LIKE / 2
    )
    close[close] = cKDTree(expected).query(found[nearest[close]])[1] == np.flatnonzero(close)
    if not close.any():
        return np.zeros_like(expected)
    left = found[nearest[close]] - expected[close]
    k = min(NEIGHBOURS, len(left))
    _, around = cKDTree(expected[close]).query(expected, k)
    return np.median(left[around.reshape(len(expected), k)], axis=1)
