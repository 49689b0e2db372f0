"""How the objects of a class lie to one another: where their pattern is taken, and its tables.

Long, aligned objects (fibrils) are looked at in planes across their mean direction, where their
centrelines cross them; all others by their centroids, in 3-D.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from blockface.contacts import LAYERS
from blockface.long_tables import those_of
from blockface.point_pattern import Hosts, Window, bins, pattern
from blockface.stack_statistics import Weights, layer_heights, spread_of
from blockface.tables import Columns

ALIGNED = 0.7  # order parameter from which objects have one direction
LONG = 5.0  # median length over diameter from which they are long
COLUMNS = (
    *("class", "space", "r_low_nm", "r_high_nm", "g", "g_inside", "g_unbiased"),
    *("spread", "pairs", "parts"),
)


def is_fibrous(objects: Columns, order: float) -> bool:
    """Whether objects with this order parameter are long and aligned."""
    ratio = pd.Series(objects["length_nm"] / objects["diameter_mean_nm"]).median()
    return bool(order >= ALIGNED and ratio >= LONG)


def planes_across(axis: np.ndarray, shape, spacing) -> list[Window]:
    """Planes across ``axis``, evenly spaced along the axis of the volume nearest to it."""
    size = np.asarray(shape) * np.asarray(spacing, float)
    main, planes = int(np.argmax(np.abs(axis))), []
    for i in range(min(LAYERS, shape[main])):
        at = size / 2
        at[main] = size[main] * (i + 0.5) / min(LAYERS, shape[main])
        planes.append(Window.plane(size, axis, at))
    return planes


def crossings(planes: list[Window], lines: Iterable[pd.DataFrame], ids: np.ndarray):
    """Points (n, 2) per plane of the centrelines of the objects ``ids`` (sorted), and whose.

    ``lines`` are parts of the table of centrelines, each object whole in one of them; whose: the
    number of the object among ``ids``.
    """
    found = [[(np.zeros((0, 2)), np.zeros(0, int))] for _ in planes]
    for part in lines:
        own, whose = those_of(part, ids)
        line = own[["z_nm", "y_nm", "x_nm"]].to_numpy(float)
        for plane, points in zip(planes, found, strict=True):
            points.append(plane.crossings(line, whose))
    each = [list(map(np.concatenate, zip(*points, strict=True))) for points in found]
    return [points for points, _ in each], [whose for _, whose in each]


def in_layers(at: np.ndarray, shape, spacing) -> Iterator[Hosts]:
    """The points ``at`` (n, 3) of each layer of the volume, looked at from there to all others."""
    edges = np.r_[0, np.cumsum(layer_heights(shape[0]))] * float(spacing[0])
    for low, high in pairwise(edges):
        reach = np.array([[low, 0, 0], [edges[-1] - high, 0, 0]])
        inside = (at[:, 0] >= low) & (at[:, 0] < high)
        yield Hosts(inside.astype(float), np.broadcast_to(reach, (len(at), 2, 3)))


def boxes_of(index: pd.DataFrame, spacing) -> np.ndarray:
    """Between what z, y, x (n, 2, 3) nm each object lies, with the half voxel it leaves free.

    An object inside touches no side, so that of W places of its first voxel W - F - 1 remain for F
    voxels: one less than its box alone would leave.
    """
    low, high = (index[[f"{a}{k}" for a in "zyx"]].to_numpy(float) for k in (0, 1))
    return np.stack([low - 0.5, high + 0.5], axis=1) * np.asarray(spacing, float)


@dataclass
class Reaches:
    """How far the objects ``whose``, of an ``index``, reach from their ``points`` in a window."""

    window: Window
    points: np.ndarray
    whose: np.ndarray
    index: pd.DataFrame
    spacing: tuple[float, float, float]

    def __getitem__(self, which: np.ndarray) -> np.ndarray:
        boxes = boxes_of(self.index.iloc[self.whose[which]], self.spacing)
        middles = self.window.unfold(self.points[which])
        return (boxes - middles[:, None]) * np.array([[-1.0], [1.0]])


def class_pattern(
    objects: Columns, index: pd.DataFrame, weights: Weights, axis, order, lines, shape, spacing
) -> tuple[dict, pd.DataFrame]:
    """Summary rows by measure, and the radial distribution (COLUMNS without class), of a class.

    ``objects`` and ``index`` hold the same objects, sorted by id.
    """
    if is_fibrous(objects, order):
        space, windows = "plane", planes_across(axis, shape, spacing)
        points, whose = crossings(windows, lines, objects["object_id"])
        parts = [([w], [p], None) for w, p in zip(windows, points, strict=True)]
    else:
        at = np.stack([objects[f"centroid_{a}_nm"] for a in "zyx"], 1)
        space, windows = "3-D", [Window(np.asarray(shape) * np.asarray(spacing, float))]
        points, whose = [at], [np.arange(len(at))]
        parts = ((windows, points, [hosts]) for hosts in in_layers(at, shape, spacing))
    edges = bins(windows, points)
    whole = {"all": pattern(windows, points, edges)}
    places = list(zip(windows, points, whose, strict=True))
    for name in ("inside", "unbiased"):
        weight = getattr(weights, name)
        hosts = [Hosts(weight[place[2]], Reaches(*place, index, spacing)) for place in places]
        whole[name] = pattern(windows, points, edges, hosts)
    each = [pattern(*where, edges, hosts) for *where, hosts in parts]
    rows = {}
    for measure, name in (
        ("nearest_centre_{}_nm_mean", "nearest"),
        ("nearest_centre_{}_nm_sd", "nearest_sd"),
        ("clark_evans_ratio_{}", "regularity"),
    ):
        rows[measure.format({"plane": "in_plane", "3-D": "3d"}[space])] = {
            **{key: getattr(found, name) for key, found in whole.items()},
            **spread_of([getattr(p, name) for p in each]),
        }
    return rows, distribution(space, whole, each)


def distribution(space: str, whole: dict, each: list) -> pd.DataFrame:
    """The radial distribution, with its SD between planes or layers that have pairs enough."""
    told = whole["all"]
    n = len(told.g)
    parts = np.array([p.g for p in each if len(p.g) == n and np.isfinite(p.g).all()])
    spread = np.std(parts, axis=0, ddof=1) if len(parts) > 1 else np.full(n, np.nan)
    return pd.DataFrame(
        {
            "space": np.full(n, space, object), "r_low_nm": told.edges[:-1],
            "r_high_nm": told.edges[1:], "g": told.g, "g_inside": whole["inside"].g,
            "g_unbiased": whole["unbiased"].g, "spread": spread, "pairs": told.pairs,
            "parts": np.full(n, len(parts)),
        }
    )  # fmt: skip
