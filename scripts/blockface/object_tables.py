"""The tables of a dataset's objects, joined from the parts that the slabs' jobs measured."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.cross_sections import ROWS
from blockface.errors import InputError
from blockface.heap import give_back
from blockface.long_tables import batches, by_object, edges_of, in_pieces
from blockface.measure import join_sums, shapes
from blockface.tables import Columns

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
CENTRE = ("centroid_z_nm", "centroid_y_nm", "centroid_x_nm")
OBJECTS = 2000  # at a time
INTENSITY = ("intensity_mean_grey", "intensity_sd_grey")


def object_tables(
    parts: list[str], pairs: list[str], index: pd.DataFrame, contacts: str | Path, shape, spacing,
    intensity: bool,
) -> Iterator[pd.DataFrame]:  # fmt: skip
    """The table of objects by object_id (`object_table`), in pieces of at most OBJECTS of them.

    ``parts`` and ``pairs`` are the folders of the slabs as measure_slab and measure_pairs left
    them, ``contacts`` is the table of contacts, ``index`` holds all objects, sorted by object_id.
    """
    ids = index.object_id.to_numpy()
    pieces = len(ids) // OBJECTS + 1
    edges, touching = edges_of(ids, pieces), contact_counts(contacts, ids)
    with (
        in_pieces(parts, "sums", "object_id", edges) as sums,
        in_pieces(parts, "lines", "object_id", edges) as lines,
        in_pieces(pairs, "neighbours", "object_id", edges) as near,
    ):
        for number, some in enumerate(np.array_split(np.arange(len(ids)), pieces)):
            own = index.iloc[some]
            rows = shapes(join_sums(sums(number), own), own, shape, spacing)
            yield object_table(rows, lines(number), near(number), touching[some], intensity)
            give_back()


def contact_counts(contacts: str | Path, ids: np.ndarray) -> np.ndarray:
    """How many of ``contacts`` (a Parquet file) each of ``ids``, sorted, is part of."""
    counts = np.zeros(len(ids), np.int64)
    for some in batches([contacts]):
        for side in (some.object_a, some.object_b):
            np.add.at(counts, np.searchsorted(ids, side), 1)
    return counts


def object_table(
    shapes: pd.DataFrame, lines: pd.DataFrame, near: pd.DataFrame, touching: np.ndarray,
    intensity: bool,
) -> pd.DataFrame:  # fmt: skip
    """COLUMNS, one row per object of ``shapes`` (`measure.shapes`, sorted by object_id).

    ``lines`` and ``near`` are what was measured of the centrelines and of the neighbours of the
    same objects, ``touching`` the number of contacts of each. An object without a neighbour has
    nearest_id 0 and an empty nearest_distance_nm. With ``intensity``, when there was a stack, the
    columns INTENSITY follow.
    """
    ids = shapes.object_id.to_numpy()
    lines = lines.sort_values("object_id", ignore_index=True)
    if not np.array_equal(lines.object_id, ids):
        counts = lines.object_id.value_counts().reindex(np.union1d(ids, lines.object_id))
        counts = counts.fillna(0).astype(int)
        wrong = next(i for i, n in counts.items() if n != (i in ids))
        raise InputError(
            f"object {wrong} was measured {counts[wrong]} times, expected {int(wrong in ids)}; "
            "remove the folders tables.slabs and run again"
        )
    first = near[near["rank"] == 1].set_index("object_id")
    nearest = first.neighbour_id.reindex(ids, fill_value=0).to_numpy()
    distance = first.surface_distance_nm.reindex(ids).to_numpy()
    table = pd.concat([shapes, lines.drop(columns="object_id")], axis=1)
    table = table.assign(nearest_id=nearest, nearest_distance_nm=distance, n_contacts=touching)
    return table[[*COLUMNS, *(INTENSITY if intensity else ())]]


def neighbour_tables(
    folders: list[str], index: pd.DataFrame, objects: str | Path
) -> Iterator[pd.DataFrame]:
    """The table of neighbours by object_id, in pieces of a limited number of rows.

    ``folders`` are the slabs' with neighbours.parquet, ``objects`` is the table of objects, in the
    order of ``index``.
    """
    places = {name: Columns(objects)[name] for name in CENTRE}
    known = index[["object_id", "class"]].assign(**places).set_index("object_id")
    for near in by_object(folders, "neighbours", known.index.to_numpy(), ROWS):
        yield neighbour_table(near, known)
        give_back()


def neighbour_table(near: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """NEIGHBOURS, sorted by object; those with rank 0, beyond the nearest of all, come last."""
    ends = [known.reindex(near[c]) for c in ("object_id", "neighbour_id")]
    near["class"], near["neighbour_class"] = (e["class"].astype(str).to_numpy() for e in ends)
    apart = np.subtract(*(e[list(CENTRE)].to_numpy(float) for e in ends))
    near["centre_distance_nm"] = np.linalg.norm(apart, axis=1).round(6)
    near["surface_distance_nm"] = near.surface_distance_nm.round(6)
    last = near["rank"].where(near["rank"] > 0, np.inf)
    order = np.lexsort((near.neighbour_id, last, near.object_id))
    return near.iloc[order][list(NEIGHBOURS)].reset_index(drop=True)
