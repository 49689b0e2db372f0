"""The index of objects, as separation leaves it: class, voxels, half-open bounding box of each."""

from pathlib import Path

import pandas as pd

from blockface.graph import BOX
from blockface.tables import read_table

INDEX = ("object_id", "class", "voxels", *BOX)


def read_index(path: str | Path, rows: list[slice] | None = None) -> pd.DataFrame:
    """INDEX of the objects, or of those that reach into ``rows`` of slices, sorted by object_id.

    The class is a categorical, which of many objects takes little; all else is int64.

    Raises
    ------
    InputError
        The file is missing, or a column is.
    """
    table = read_table(path, INDEX)[list(INDEX)].astype({"class": "category"})
    if rows is not None:
        first, last = (rows[0].start, rows[-1].stop) if rows else (0, 0)
        table = table[(table.z1 > first) & (table.z0 < last)]
    return table.sort_values("object_id", ignore_index=True)
