"""The tables of a whole stack: summary, distribution of diameters, radial distribution."""

from collections.abc import Callable, Iterable
from pathlib import Path

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
from blockface.tables import Columns

DIAMETERS = ("class", "low_nm", "high_nm", "all", "inside", "unbiased", "spread")


def stack_tables(
    objects: str | Path,
    index: pd.DataFrame,
    layers: Iterable[pd.DataFrame],
    lines: Callable[[], Iterable[pd.DataFrame]],
    classes: list[str],
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> dict[str, pd.DataFrame]:
    """Tables "summary", "diameters" and "radial_distribution"; every one of ``classes`` has rows.

    ``objects`` (a Parquet file) and ``index`` hold the same objects in the same order, sorted by
    id; ``layers`` are tables of their voxels by layer; ``lines`` gives the centrelines in parts,
    each time it is called. Of the objects one column at a time is held.
    """
    shares = layer_shares(layers, index.object_id.to_numpy(), shape[0])
    rows, diameters, radial = {}, [], []
    for name in sorted({*classes, *index["class"].unique()}):
        own = (index["class"] == name).to_numpy()
        own = slice(None) if own.all() else own  # no copy of all
        part, boxes = Columns(objects, own), index[own]
        weights = Weights(part, boxes, shares[own], shape)
        axis, spread = mean_direction(direction_vectors(part), part["length_nm"])
        given = part, boxes, weights, axis, spread[0], lines()
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
