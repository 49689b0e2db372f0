"""How the objects of a class lie to one another: where their pattern is taken, and its tables.

Long, aligned objects (fibrils) are looked at in planes across their mean direction, where their
centrelines cross them; all others by their centroids, in 3-D.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import pandas as pd

from blockface.contacts import LAYERS
from blockface.point_pattern import Box, Plane, bins, pattern
from blockface.stack_statistics import layer_heights, spread_of

ALIGNED = 0.7  # order parameter from which objects have one direction
LONG = 5.0  # median length over diameter from which they are long
COLUMNS = ("class", "space", "r_low_nm", "r_high_nm", "g", "spread", "pairs", "parts")


def is_fibrous(objects: pd.DataFrame, order: float) -> bool:
    """Whether objects with this order parameter are long and aligned."""
    ratio = (objects.length_nm / objects.diameter_mean_nm).median()
    return bool(order >= ALIGNED and ratio >= LONG)


def planes_across(axis: np.ndarray, shape, spacing) -> list[Plane]:
    """Planes across ``axis``, evenly spaced along the axis of the volume nearest to it."""
    size = np.asarray(shape) * np.asarray(spacing, float)
    main, planes = int(np.argmax(np.abs(axis))), []
    for i in range(min(LAYERS, shape[main])):
        at = size / 2
        at[main] = size[main] * (i + 0.5) / min(LAYERS, shape[main])
        planes.append(Plane(size, axis, at))
    return planes


def crossings(planes: list[Plane], lines: Iterable[pd.DataFrame], ids) -> list[np.ndarray]:
    """Points (n, 2) per plane of the centrelines of the objects ``ids``.

    ``lines`` are parts of the table of centrelines, each object whole in one of them.
    """
    found = [[np.zeros((0, 2))] for _ in planes]
    for part in lines:
        own = part[part.object_id.isin(ids)]
        whose, line = own.object_id.to_numpy(), own[["z_nm", "y_nm", "x_nm"]].to_numpy(float)
        for plane, points in zip(planes, found, strict=True):
            points.append(plane.crossings(line, whose))
    return [np.concatenate(points) for points in found]


def centroids(objects: pd.DataFrame, shape, spacing) -> tuple[list[Box], list[np.ndarray]]:
    """Layers of the volume as boxes, and the centroids (n, 3) in each, from its corner."""
    at = objects[[f"centroid_{a}_nm" for a in "zyx"]].to_numpy(float)
    size = np.asarray(shape) * np.asarray(spacing, float)
    edges = np.r_[0, np.cumsum(layer_heights(shape[0]))] * float(spacing[0])
    boxes, points = [], []
    for low, high in pairwise(edges):
        boxes.append(Box([high - low, *size[1:]]))
        points.append(at[(at[:, 0] >= low) & (at[:, 0] < high)] - [low, 0, 0])
    return boxes, points


def class_pattern(objects, axis, order, lines, shape, spacing) -> tuple[dict, pd.DataFrame]:
    """Summary rows by measure, and the radial distribution (COLUMNS without class), of a class."""
    if is_fibrous(objects, order):
        space, windows = "plane", planes_across(axis, shape, spacing)
        points = crossings(windows, lines, objects.object_id.to_numpy())
        edges = bins(windows, points)
        whole = pattern(windows, points, edges)
    else:
        space, (windows, points) = "3-D", centroids(objects, shape, spacing)
        size = np.asarray(shape) * np.asarray(spacing, float)
        every = [objects[[f"centroid_{a}_nm" for a in "zyx"]].to_numpy(float)]
        edges = bins([Box(size)], every)
        whole = pattern([Box(size)], every, edges)
    each = [pattern([w], [p], edges) for w, p in zip(windows, points, strict=True)]
    rows = {}
    for measure, name in (
        ("nearest_centre_{}_nm_mean", "nearest"),
        ("nearest_centre_{}_nm_sd", "nearest_sd"),
        ("clark_evans_ratio_{}", "regularity"),
    ):
        rows[measure.format({"plane": "in_plane", "3-D": "3d"}[space])] = {
            "all": getattr(whole, name),
            **spread_of([getattr(p, name) for p in each]),
        }
    return rows, distribution(space, whole, each)


def distribution(space: str, whole, each: list) -> pd.DataFrame:
    """The radial distribution, with its SD between planes or layers that have pairs enough."""
    n = len(whole.g)
    parts = np.array([p.g for p in each if len(p.g) == n and np.isfinite(p.g).all()])
    spread = np.std(parts, axis=0, ddof=1) if len(parts) > 1 else np.full(n, np.nan)
    return pd.DataFrame(
        {
            "space": np.full(n, space, object), "r_low_nm": whole.edges[:-1],
            "r_high_nm": whole.edges[1:], "g": whole.g, "spread": spread,
            "pairs": whole.pairs, "parts": np.full(n, len(parts)),
        }
    )  # fmt: skip
