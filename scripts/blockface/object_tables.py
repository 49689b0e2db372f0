"""The tables of a dataset's objects, joined from the parts that the slabs' jobs measured."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from blockface.cross_sections import ROWS
from blockface.errors import InputError
from blockface.long_tables import by_object

COLUMNS = (
    "object_id", "class", "volume_um3", "surface_area_um2", "sphericity", "elongation",
    "centroid_z_nm", "centroid_y_nm", "centroid_x_nm", "length_nm", "displacement_nm",
    "displacement_z_nm", "displacement_y_nm", "displacement_x_nm", "tortuosity",
    "diameter_mean_nm", "diameter_min_nm", "diameter_max_nm", "direction_z", "direction_y",
    "direction_x", "nearest_id", "nearest_distance_nm", "n_contacts", "touches_border",
    "axis_1_nm", "axis_2_nm", "axis_3_nm", "feret_nm", "feret_min_nm", "cross_section_area_um2",
    "diameter_sd_nm", "diameter_minor_mean_nm", "diameter_minor_min_nm", "diameter_minor_max_nm",
    "curvature_mean_per_um", "curvature_max_per_um", "crimp_period_nm", "crimp_amplitude_nm",
    "helix_pitch_nm", "helix_radius_nm", "handedness", "branch_points", "loops", "ends_inside",
    "pieces",
    "box_z_min_nm", "box_z_max_nm", "box_y_min_nm", "box_y_max_nm", "box_x_min_nm", "box_x_max_nm",
    "volume_sensitivity_percent", "length_sensitivity_percent", "diameter_sensitivity_percent",
)  # fmt: skip
NEIGHBOURS = (
    "object_id", "class", "neighbour_id", "neighbour_class", "rank", "class_rank",
    "surface_distance_nm", "centre_distance_nm",
)  # fmt: skip
PLACE = ("object_id", "class", "centroid_z_nm", "centroid_y_nm", "centroid_x_nm")
INTENSITY = ("intensity_mean_grey", "intensity_sd_grey")


def object_table(
    shapes: pd.DataFrame, lines: Iterable[pd.DataFrame], near: Iterable[pd.DataFrame], contacts,
    intensity,
) -> pd.DataFrame:  # fmt: skip
    """COLUMNS, one row per object of ``shapes`` (`measure.shapes`, sorted by object_id).

    ``lines`` and ``near`` are the slabs' tables: of the centrelines, and the neighbours of rank 1.
    An object without a neighbour has nearest_id 0 and an empty nearest_distance_nm. With
    ``intensity``, when there was a stack, the columns INTENSITY follow.
    """
    ids = shapes.object_id.to_numpy()
    table = {name: shapes[name].to_numpy() for name in shapes}
    table |= spread_out(lines, ids)
    table |= {"nearest_id": np.zeros(len(ids), np.int64)}
    table |= {"nearest_distance_nm": np.full(len(ids), np.nan)}
    for part in near:
        at = np.searchsorted(ids, part.object_id)
        table["nearest_id"][at] = part.neighbour_id
        table["nearest_distance_nm"][at] = part.surface_distance_nm
    both = np.concatenate([contacts.object_a, contacts.object_b])
    table["n_contacts"] = np.bincount(np.searchsorted(ids, both), minlength=len(ids))
    names = [*COLUMNS, *(INTENSITY if intensity else ())]
    return pd.DataFrame({name: table[name] for name in names}, copy=False)


def spread_out(parts: Iterable[pd.DataFrame], ids: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of all ``parts`` but object_id, a value for each of ``ids`` (sorted)."""
    columns, seen = {}, np.zeros(len(ids), int)
    for part in parts:
        at = np.searchsorted(ids, part.object_id)
        seen[at] += 1
        for name in part.columns.drop("object_id"):
            if name not in columns:
                columns[name] = np.zeros(len(ids), part[name].dtype)
            columns[name][at] = part[name]
    if (seen != 1).any():
        wrong = np.flatnonzero(seen != 1)[0]
        raise InputError(
            f"object {ids[wrong]} was measured {seen[wrong]} times, expected once; remove the "
            "folders tables.slabs and run again"
        )
    return columns


def neighbour_tables(folders: list[str], objects: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The table of neighbours by object_id, in pieces of a limited number of rows.

    ``folders`` are the slabs' with neighbours.parquet; ``objects`` hold PLACE of all objects,
    sorted by object_id.
    """
    known = objects.set_index("object_id")
    for near in by_object(folders, "neighbours", objects.object_id.to_numpy(), ROWS):
        yield neighbour_table(near, known)


def neighbour_table(near: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """NEIGHBOURS, sorted by object; those with rank 0, beyond the nearest of all, come last."""
    ends = [known.reindex(near[c]) for c in ("object_id", "neighbour_id")]
    near["class"], near["neighbour_class"] = (e["class"].astype(str).to_numpy() for e in ends)
    apart = np.subtract(*(e[list(PLACE[2:])].to_numpy(float) for e in ends))
    near["centre_distance_nm"] = np.linalg.norm(apart, axis=1).round(6)
    near["surface_distance_nm"] = near.surface_distance_nm.round(6)
    last = near["rank"].where(near["rank"] > 0, np.inf)
    order = np.lexsort((near.neighbour_id, last, near.object_id))
    return near.iloc[order][list(NEIGHBOURS)].reset_index(drop=True)
