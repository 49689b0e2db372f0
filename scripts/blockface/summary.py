"""The tables of a whole stack: summary, distribution of diameters, radial distribution."""

from collections.abc import Callable, Iterable

import pandas as pd

from blockface import spatial
from blockface.directions import direction_vectors, mean_direction
from blockface.stack_statistics import (
    Weights,
    class_rows,
    diameter_histogram,
    layer_shares,
    table_of,
)

DIAMETERS = ("class", "low_nm", "high_nm", "all", "inside", "unbiased", "spread")


def stack_tables(
    objects: pd.DataFrame,
    index: pd.DataFrame,
    layers: list[pd.DataFrame],
    lines: Callable[[], Iterable[pd.DataFrame]],
    classes: list[str],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> dict[str, pd.DataFrame]:
    """Tables "summary", "diameters" and "radial_distribution"; every one of ``classes`` has rows.

    ``objects`` and ``index`` hold the same objects in the same order, sorted by id; ``layers`` are
    tables of their voxels by layer; ``lines`` gives the centrelines in parts, each time it is
    called.
    """
    shares = layer_shares(layers, index.object_id.to_numpy(), shape[0])
    rows, diameters, radial = {}, [], []
    for name in sorted({*classes, *objects["class"]}):
        own = (objects["class"] == name).to_numpy()
        part = objects if own.all() else objects[own].reset_index(drop=True)  # no copy of all
        weights = Weights(part, index[own], shares[own], shape)
        axis, spread = mean_direction(direction_vectors(part), part.length_nm.to_numpy(float))
        given = part, index[own], weights, axis, spread[0], lines()
        pattern, g = spatial.class_pattern(*given, shape, spacing)
        rows[name] = class_rows(part, weights, shape, spacing) | pattern
        diameters.append(diameter_histogram(part, weights).assign(**{"class": name}))
        radial.append(g.assign(**{"class": name}))
    return {
        "summary": table_of(rows),
        "diameters": stacked(diameters, DIAMETERS),
        "radial_distribution": stacked(radial, spatial.COLUMNS),
    }


def stacked(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows of all ``parts``, in the order ``columns``."""
    full = [part for part in parts if len(part)] or parts[:1]
    if not full:
        return pd.DataFrame(columns=list(columns))
    return pd.concat(full, ignore_index=True)[list(columns)]
