"""What is told of a whole stack, class by class: densities, averages, directions, modes, pattern.

Each number is told for all objects, for those the border does not cut, free of the border's bias
where that can be, and with its spread between layers: parts of equal depth of the stack, in which
an object counts by the share of its voxels there.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from blockface.contacts import LAYERS
from blockface.directions import AXES, SPREADS, direction_vectors, mean_direction
from blockface.long_tables import those_of
from blockface.modes import Modes, find_modes
from blockface.tables import Columns

COLUMNS = ("class", "measure", "all", "inside", "unbiased", "spread", "layers")
PLACES = (  # beginnings of columns that tell where an object is, not what it is like
    "object_id", "nearest_id", "centroid_", "direction_", "displacement_z", "displacement_y",
    "displacement_x", "touches_border", "box_", "z0", "z1", "y0", "y1", "x0", "x1",
)  # fmt: skip
MODES = "diameter_mean_nm"  # the measure whose modes are told
BINS = 60


def measures_of(objects: Columns | pd.DataFrame) -> list[str]:
    """Columns of objects.csv that measure an object: numbers, but no ids, places or directions."""
    numbers = [n for n, kind in objects.dtypes.items() if is_numeric_dtype(kind)]
    return [name for name in numbers if not name.startswith(PLACES)]


class Weights:
    """How much each object (n,) of a class counts in each column of the summary.

    ``layers`` (n, layers) are the shares of an object's voxels by layer.
    """

    def __init__(self, objects: Columns, index: pd.DataFrame, layers: np.ndarray, shape):
        self.all = np.ones(len(objects))
        self.inside = (~objects["touches_border"].astype(bool)).astype(float)
        self.unbiased = self.inside * miles_lantuejoul(index, shape)
        self.layers = layers

    @property
    def number(self) -> float:
        """Number of objects free of the border's bias; NaN where the border cuts them all."""
        return self.unbiased.sum() if self.unbiased.any() or not len(self.all) else np.nan

    def row(self, function: Callable, values: np.ndarray) -> dict[str, float]:
        """``function`` of ``values`` and weights, for each column."""
        parts = [function(values, w) for w in self.layers.T]
        return {
            "all": function(values, self.all),
            "inside": function(values, self.inside),
            "unbiased": function(values, self.unbiased),
            **spread_of(parts),
        }


def spread_of(parts) -> dict[str, float]:
    """SD of the finite ones of ``parts``, one per layer, and their number."""
    told = np.asarray(parts, float)
    told = told[np.isfinite(told)]
    return {"spread": np.std(told, ddof=1) if len(told) > 1 else np.nan, "layers": len(told)}


def miles_lantuejoul(index: pd.DataFrame, shape) -> np.ndarray:
    """Weights (n,) of objects inside that free a number of the border's bias.

    Each counts as the inverse of the chance that a box of its size, whose first voxel lies in the
    volume, lies in it whole and touches no side (Miles 1974; Lantuéjoul 1980): of W places along
    an axis, for F voxels, these are W - F - 1. An object too large for that gets 0: it is never
    inside.
    """
    size = index[["z1", "y1", "x1"]].to_numpy(float) - index[["z0", "y0", "x0"]].to_numpy()
    room = np.asarray(shape, float)
    free = room - size - 1
    return np.where((free > 0).all(axis=1), np.prod(room / np.maximum(free, 1), axis=1), 0)


def layer_shares(layers: Iterable[pd.DataFrame], ids: np.ndarray, depth: int) -> np.ndarray:
    """Share (n, layers) of each object's voxels that lies in each layer; ``ids`` are sorted.

    ``layers`` are tables of their voxels by layer, which are added.
    """
    shares = np.zeros((len(ids), min(LAYERS, depth)))
    for table in layers:
        known, at = those_of(table, ids)
        np.add.at(shares, (at, known.layer.to_numpy()), known.voxels.to_numpy(float))
    return shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)


def layer_heights(depth: int) -> np.ndarray:
    """Slices in each layer."""
    n = min(LAYERS, depth)
    return np.bincount(np.arange(depth) * n // depth, minlength=n)


def mean(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted mean of the finite values; NaN for none."""
    ok = np.isfinite(values) & (weight > 0)
    return float(np.average(values[ok], weights=weight[ok])) if ok.any() else np.nan


def sd(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted standard deviation, n - 1 in the denominator where all weights are equal."""
    ok = np.isfinite(values) & (weight > 0)
    n = int(ok.sum())
    if n < 2:
        return np.nan
    around = np.average((values[ok] - mean(values, weight)) ** 2, weights=weight[ok])
    return float(np.sqrt(around * n / (n - 1)))


def median(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted median: between the two middle values where just half the weight is below."""
    ok = np.isfinite(values) & (weight > 0)
    if not ok.any():
        return np.nan
    order = np.argsort(values[ok], kind="stable")
    values, total = values[ok][order], np.cumsum(weight[ok][order])
    low, high = (np.searchsorted(total, total[-1] / 2 * (1 + e)) for e in (-1e-12, 1e-12))
    return float((values[low] + values[min(high, len(values) - 1)]) / 2)


def class_rows(objects: Columns, weights: Weights, shape, spacing) -> dict[str, dict]:
    """Rows of the summary of one class, by measure."""
    volume = float(np.prod(shape) * np.prod(spacing) / 1e9)
    height = layer_heights(shape[0]) / shape[0]
    n = weights.all.sum()
    counts = {"all": n, "inside": weights.inside.sum(), "unbiased": weights.number}
    rows = {"n_objects": {**counts, "spread": np.nan, "layers": 0}}
    for name, amount in (
        ("volume_fraction", objects["volume_um3"]),
        ("number_density_per_um3", np.ones(len(objects))),
        ("length_density_um_per_um3", objects["length_nm"] / 1e3),
        ("surface_density_um2_per_um3", objects["surface_area_um2"]),
    ):
        each = np.nan_to_num(amount)
        parts = each @ weights.layers / (volume * height) if len(each) else np.zeros(len(height))
        unbiased = each @ weights.unbiased / volume if weights.number == weights.number else np.nan
        rows[name] = {
            "all": each.sum() / volume, "inside": each @ weights.inside / volume,
            "unbiased": unbiased, **spread_of(parts),
        }  # fmt: skip
    for name in measures_of(objects):
        values = objects[name].astype(float)
        for function in (mean, median, sd):
            rows[f"{name}_{function.__name__}"] = weights.row(function, values)
    return rows | direction_rows(objects, weights) | mode_rows(objects, weights)


def direction_rows(objects: Columns, weights: Weights) -> dict[str, dict]:
    """Mean direction, weighted by length, and its dispersion.

    ``direction_between_layers_deg`` is the root mean square angle of the layers' axes to it.
    """
    vectors, length = direction_vectors(objects), np.nan_to_num(objects["length_nm"])
    sets = {"all": weights.all, "inside": weights.inside, "unbiased": weights.unbiased}
    found = {name: mean_direction(vectors, length * w) for name, w in sets.items()}
    layers = [mean_direction(vectors, length * w) for w in weights.layers.T]
    layers = [(axis, s) for axis, s in layers if np.isfinite(axis).all()]
    rows = {}
    for i, name in enumerate(AXES):
        rows[f"{name}_mean"] = {k: axis[i] for k, (axis, _) in found.items()}
        rows[f"{name}_mean"] |= {"spread": np.nan, "layers": len(layers)}
    for i, name in enumerate(SPREADS):
        rows[name] = {k: s[i] for k, (_, s) in found.items()}
        rows[name] |= spread_of([s[i] for _, s in layers])
    cosine = [min(abs(float(axis @ found["all"][0])), 1) for axis, _ in layers]
    angle = np.degrees(np.sqrt(np.mean(np.arccos(cosine) ** 2))) if len(cosine) > 1 else np.nan
    rows["direction_between_layers_deg"] = {"all": angle, "layers": len(layers)}
    return rows


def mode_rows(objects: Columns, weights: Weights) -> dict[str, dict]:
    """Number, place and share of the modes of the diameters; of all objects and of those inside."""
    values = objects[MODES]
    ok = np.isfinite(values)
    each: dict[str, Modes] = {
        "all": find_modes(values[ok]),
        "inside": find_modes(values[ok & (weights.inside > 0)]),
    }
    rows = {"diameter_modes_n": {k: len(m.at) for k, m in each.items()}}
    for i in range(max(len(m.at) for m in each.values())):
        there = {k: m for k, m in each.items() if i < len(m.at)}
        rows[f"diameter_mode_{i + 1}_nm"] = {k: m.at[i] for k, m in there.items()}
        rows[f"diameter_mode_{i + 1}_share"] = {k: m.share[i] for k, m in there.items()}
    return rows


def table_of(rows: dict[str, dict[str, dict]]) -> pd.DataFrame:
    """Table COLUMNS of rows by class and measure; what a row does not tell is empty."""
    found = [
        (name, measure, *(row.get(c, np.nan) for c in COLUMNS[2:-1]), int(row.get("layers", 0)))
        for name, measures in rows.items()
        for measure, row in measures.items()
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS))
    kinds = dict.fromkeys(COLUMNS[2:-1], float) | {"layers": np.int64}
    return table.astype({"class": str, "measure": str, **kinds})


def diameter_histogram(objects: Columns, weights: Weights) -> pd.DataFrame:
    """Distribution of the diameters of one class: low_nm, high_nm, and objects in each bin.

    At most 60 bins of a round width; ``all``, ``inside`` and ``unbiased`` as in the summary,
    ``spread`` the SD between layers, each scaled to the number of all objects.
    """
    names = ["low_nm", "high_nm", "all", "inside", "unbiased", "spread"]
    values = objects[MODES]
    ok = np.isfinite(values)
    if not ok.any():
        return pd.DataFrame({n: np.zeros(0) for n in names})
    values, layers = values[ok], weights.layers[ok]
    edges = round_edges(values)
    counts = [np.histogram(values, edges, weights=w[ok])[0] for w in
              (weights.all, weights.inside, weights.unbiased)]  # fmt: skip
    parts = [np.histogram(values, edges, weights=w)[0] / w.sum() for w in layers.T if w.sum() > 0]
    spread = np.std(parts, axis=0, ddof=1) * len(values) if len(parts) > 1 else np.nan * counts[0]
    return pd.DataFrame(dict(zip(names, [edges[:-1], edges[1:], *counts, spread], strict=True)))


def round_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins of a round width (1, 2 or 5 times a power of ten): Freedman and Diaconis."""
    low, high = np.quantile(values, [0.25, 0.75])
    wide = max(2 * (high - low) * len(values) ** (-1 / 3), np.ptp(values) / BINS, 1e-3)
    power = 10 ** np.floor(np.log10(wide))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= wide * (1 - 1e-9))
    first = np.floor(values.min() / step)
    return (first + np.arange(int(values.max() / step - first) + 2)) * step
