"""The table of cross-sections: every object in every slice that it passes.

Each slab sums the pixels of its own slices. Displacement from the slice before and the tilt of the
centreline are joined to them afterwards, a run of slices at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy.spatial import cKDTree

from blockface.heap import give_back
from blockface.long_tables import between, by_object, in_pieces

COLUMNS = (
    "object_id", "slice", "centroid_z_nm", "centroid_y_nm", "centroid_x_nm", "displacement_nm",
    "displacement_y_nm", "displacement_x_nm", "relative_displacement_nm",
    "relative_displacement_y_nm", "relative_displacement_x_nm", "area_um2", "diameter_nm",
    "diameter_minor_nm", "tilt_deg", "diameter_sensitivity_percent",
)  # fmt: skip
SUMS = ("object_id", "slice", "pixels", "y", "x", "yy", "xx", "yx")
POINTS = (
    "object_id", "point", "arc_nm", "z_nm", "y_nm", "x_nm", "diameter_nm", "diameter_minor_nm",
)  # fmt: skip
TANGENTS = ("object_id", "slice", "along_z", "along_y", "along_x")
WHOLE = {"object_id", "slice", "point"}
NEAR = 8  # objects around whose mean displacement is taken off
STEEP = 60  # degrees of tilt up to which a slice is a cross-section
ROWS = 10_000  # at a time


def no_rows(columns: tuple[str, ...]) -> pd.DataFrame:
    """A table of ``columns`` without rows, of the types that its rows have."""
    kinds = {c: pd.Series(dtype=np.int64 if c in WHOLE else float) for c in columns}
    return pd.DataFrame(kinds)


def section_sums(z: int, sums: np.ndarray, index: pd.DataFrame) -> pd.DataFrame:
    """Pixels, mean position and central second moments (columns SUMS), in pixels, of slice ``z``.

    ``sums`` (objects, 10) as from ``measure.run_sums``; positions count from pixel (0, 0)'s centre.
    """
    held = np.flatnonzero(sums[:, 0])
    n, _, sy, sx, _, syy, sxx, _, _, syx = sums[held].T
    y, x = sy / n, sx / n
    return pd.DataFrame(
        {
            "object_id": index.object_id.to_numpy()[held],
            "slice": np.full(len(held), z, np.int64),
            "pixels": n,
            "y": y + index.y0.to_numpy()[held],
            "x": x + index.x0.to_numpy()[held],
            "yy": syy / n - y * y,
            "xx": sxx / n - x * x,
            "yx": syx / n - y * x,
        }
    )


def cross_sections(folders: list[str], shape, spacing) -> Iterator[pd.DataFrame]:
    """The table, slice by slice and by object_id, in pieces of about ROWS rows.

    ``folders`` are the slabs' with sections.parquet and tangents.parquet, ``shape`` and
    ``spacing`` (nm) the volume's.
    """
    total = sum(pq.read_metadata(Path(f) / "sections.parquet").num_rows for f in folders)
    depth = shape[0]
    pieces = min(depth, total // ROWS + 1)
    edges = np.arange(pieces + 1) * depth // pieces
    with in_pieces(folders, "tangents", "slice", edges) as tangents:
        for piece in range(pieces):
            first, last = edges[piece : piece + 2]
            rows = between(folders, "sections", "slice", first - 1, last)
            yield sections_of(rows, tangents(piece), first, spacing)
            give_back()


def centrelines(folders: list[str], ids: pd.Series) -> Iterator[pd.DataFrame]:
    """The points of all centrelines (columns POINTS) by object_id, in pieces of about ROWS rows.

    ``ids`` are those of all objects, ascending.
    """
    for part in by_object(folders, "centrelines", ids.to_numpy(), ROWS):
        rows = part.sort_values(["object_id", "point"], ignore_index=True)
        rows[rows.columns[2:]] = rows[rows.columns[2:]].round(6) + 0.0
        yield rows


def sections_of(rows: pd.DataFrame, tangents: pd.DataFrame, first: int, spacing) -> pd.DataFrame:
    """COLUMNS of ``rows`` (SUMS) in slice ``first`` and later; they hold the slice before too."""
    rows = rows.sort_values(["slice", "object_id"], ignore_index=True)
    sz, sy, sx = spacing
    pixels = rows.pixels.to_numpy()
    centre = np.stack([(rows.y + 0.5) * sy, (rows.x + 0.5) * sx], 1)
    moved = displacement(rows.object_id.to_numpy(), rows["slice"].to_numpy(), centre)
    relative = moved - around(rows["slice"].to_numpy(), centre, moved)
    ahead = rows[["object_id", "slice"]].merge(tangents, how="left", on=["object_id", "slice"])
    ahead = ahead[["along_z", "along_y", "along_x"]].to_numpy()
    steep = np.degrees(np.arccos(np.clip(ahead[:, 0], 0, 1)))
    diameter = 2 * np.sqrt(pixels * sy * sx * ahead[:, 0] / np.pi)
    minor = minor_axis(rows, ahead, sy, sx)
    across = steep <= STEEP
    diameter, minor = np.where(across, diameter, np.nan), np.where(across, minor, np.nan)
    table = pd.DataFrame(
        {
            "object_id": rows.object_id,
            "slice": rows["slice"],
            "centroid_z_nm": (rows["slice"] + 0.5) * sz,
            "centroid_y_nm": centre[:, 0],
            "centroid_x_nm": centre[:, 1],
            "displacement_nm": np.hypot(*moved.T),
            "displacement_y_nm": moved[:, 0],
            "displacement_x_nm": moved[:, 1],
            "relative_displacement_nm": np.hypot(*relative.T),
            "relative_displacement_y_nm": relative[:, 0],
            "relative_displacement_x_nm": relative[:, 1],
            "area_um2": pixels * sy * sx / 1e6,
            "diameter_nm": diameter,
            "diameter_minor_nm": minor,
            "tilt_deg": steep,
            "diameter_sensitivity_percent": 100 * np.sqrt(sy * sx) / diameter,
        }
    )
    clean = table.columns[4:]
    table[clean] = table[clean].round(6) + 0.0  # no rounding errors, no -0
    return table[(rows["slice"] >= first).to_numpy()].reset_index(drop=True)


def displacement(object_id, number, centre) -> np.ndarray:
    """Shift (n, 2), nm, of each section's centre from that in the slice before; NaN without one.

    Rows are sorted by slice ``number`` and ``object_id``.
    """
    out = np.full(centre.shape, np.nan)
    if not len(object_id):
        return out
    width = int(object_id.max()) + 1
    key = number.astype(np.int64) * width + object_id
    at = np.minimum(np.searchsorted(key, key - width), len(key) - 1)
    found = key[at] == key - width
    out[found] = centre[found] - centre[at[found]]
    return out


def around(number, centre, moved) -> np.ndarray:
    """Mean displacement (n, 2) of the NEAR other sections around each in its slice; NaN if none."""
    out = np.full(moved.shape, np.nan)
    known = np.flatnonzero(np.isfinite(moved[:, 0]))
    edges = np.flatnonzero(np.diff(number[known])) + 1
    for rows in np.split(known, edges):
        n = min(NEAR, len(rows) - 1)
        if n > 0:
            near = cKDTree(centre[rows]).query(centre[rows], n + 1)[1]
            other = near != np.arange(len(rows))[:, None]
            other[other.all(axis=1), -1] = False  # it lies on others and was not found itself
            out[rows] = moved[rows][near[other].reshape(len(rows), n)].mean(axis=1)
    return out


def minor_axis(rows: pd.DataFrame, ahead: np.ndarray, sy: float, sx: float) -> np.ndarray:
    """Small axis (n,), nm, of the ellipse of equal moments, seen along the centreline ``ahead``.

    The section is squeezed by cos(tilt) along the way it leans; no less than one pixel's.
    """
    yy, xx, yx = (
        rows.yy.to_numpy() * sy**2,
        rows.xx.to_numpy() * sx**2,
        rows.yx.to_numpy() * sy * sx,
    )
    lean = np.hypot(ahead[:, 1], ahead[:, 2])
    safe = np.where(lean > 1e-9, lean, 1)
    u, v = (
        np.where(lean > 1e-9, ahead[:, 1] / safe, 1),
        np.where(lean > 1e-9, ahead[:, 2] / safe, 0),
    )
    along = (u * u * yy + 2 * u * v * yx + v * v * xx) * ahead[:, 0] ** 2
    aside = v * v * yy - 2 * u * v * yx + u * u * xx
    both = (u * v * (xx - yy) + (u * u - v * v) * yx) * ahead[:, 0]
    least = (along + aside) / 2 - np.hypot((along - aside) / 2, both)
    return 4 * np.sqrt(np.maximum(least, min(sy, sx) ** 2 / 12))
