"""The tables of a dataset's objects, joined from the parts that the slabs' jobs measured."""

import numpy as np
import pandas as pd

from blockface.measure import add_contacts, join_sums, shapes

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
    "box_z_min_nm", "box_z_max_nm", "box_y_min_nm", "box_y_max_nm", "box_x_min_nm", "box_x_max_nm",
    "volume_sensitivity_percent", "length_sensitivity_percent", "diameter_sensitivity_percent",
)  # fmt: skip
INTENSITY = ("intensity_mean_grey", "intensity_sd_grey")
SUMMED = (
    "length_nm",
    "diameter_mean_nm",
    "volume_um3",
    "surface_area_um2",
    "sphericity",
    "elongation",
    "tortuosity",
    "nearest_distance_nm",
)


def contact_table(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """object_a, object_b, contact_area_um2, one row per touching pair."""
    contacts = add_contacts(parts)
    return pd.DataFrame(
        {
            "object_a": contacts.object_a,
            "object_b": contacts.object_b,
            "contact_area_um2": contacts.contact_nm2 / 1e6,
        }
    )


def object_table(
    parts: dict[str, list[pd.DataFrame]], index: pd.DataFrame, contacts, shape, spacing, intensity
) -> pd.DataFrame:
    """COLUMNS, one row per object of ``index`` (sorted by object_id).

    ``parts`` holds the slabs' tables: "sums", "lines" and "neighbours". An object without a
    neighbour has nearest_id 0 and an empty nearest_distance_nm. With ``intensity``, when there was
    a stack, the columns INTENSITY follow.
    """
    table = shapes(join_sums(parts["sums"], index), index, shape, spacing)
    table = table.merge(stacked(parts["lines"]), on="object_id", how="left", validate="1:1")
    near = stacked(parts["neighbours"])
    near = near[near["rank"] == 1].set_index("object_id")
    table["nearest_id"] = table.object_id.map(near.neighbour_id).fillna(0).astype(np.int64)
    table["nearest_distance_nm"] = table.object_id.map(near.surface_distance_nm).astype(float)
    both = pd.concat([contacts.object_a, contacts.object_b])
    table["n_contacts"] = table.object_id.map(both.value_counts()).fillna(0).astype(np.int64)
    return table[[*COLUMNS, *(INTENSITY if intensity else ())]]


def neighbour_table(parts: list[pd.DataFrame], objects: pd.DataFrame) -> pd.DataFrame:
    """object_id, neighbour_id, rank, surface_distance_nm, centre_distance_nm, sorted."""
    near = stacked(parts).sort_values(["object_id", "rank"], ignore_index=True)
    centres = objects.set_index("object_id")[[f"centroid_{a}_nm" for a in "zyx"]]
    ends = (centres.reindex(near[c]).to_numpy() for c in ("object_id", "neighbour_id"))
    apart = np.subtract(*ends)
    near["centre_distance_nm"] = np.linalg.norm(apart, axis=1)
    return near


def stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts; empty ones only give their columns."""
    full = [part for part in parts if len(part)]
    return pd.concat(full, ignore_index=True) if full else parts[0]


def summary_table(
    objects: pd.DataFrame, index: pd.DataFrame, classes: list[str], shape, spacing
) -> pd.DataFrame:
    """One row per class: numbers, densities, mean, median and SD of the measures, direction.

    ``classes`` have a row even if no object of them was found.
    """
    rows = [
        {
            "class": name,
            **class_summary(
                objects[objects["class"] == name], index[index["class"] == name], shape, spacing
            ),
        }
        for name in sorted({*classes, *objects["class"]})
    ]
    if not rows:
        empty = class_summary(objects, index, shape, spacing)
        return pd.DataFrame(columns=["class", *empty])
    return pd.DataFrame(rows)


def class_summary(objects: pd.DataFrame, index: pd.DataFrame, shape, spacing) -> dict[str, float]:
    """Values of ``summary_table`` for the objects of one class."""
    volume_um3 = float(np.prod(shape) * np.prod(spacing) / 1e9)
    inside = objects[~objects.touches_border.astype(bool)]
    unbiased = miles_lantuejoul(index[index.object_id.isin(inside.object_id)], shape)
    out = {
        "n_objects": len(objects),
        "n_inside": len(inside),
        "n_unbiased": unbiased,
        "volume_fraction": objects.volume_um3.sum() / volume_um3,
        "number_density_per_um3": len(objects) / volume_um3,
        "number_density_unbiased_per_um3": unbiased / volume_um3,
        "length_density_um_per_um3": objects.length_nm.sum() / 1e3 / volume_um3,
        "surface_density_um2_per_um3": objects.surface_area_um2.sum() / volume_um3,
    }
    for name in SUMMED:
        values = objects[name].astype(float)
        out |= {
            f"{name}_mean": values.mean(),
            f"{name}_median": values.median(),
            f"{name}_sd": values.std(ddof=1),
        }
        out[f"{name}_mean_inside"] = inside[name].astype(float).mean()
    return out | mean_direction(objects)


def miles_lantuejoul(index: pd.DataFrame, shape) -> float:
    """Number of objects free of the border's bias, from those that do not touch it.

    Each counts as the inverse of the chance that the volume holds a box of its size whole
    (Miles 1974; Lantuéjoul 1980).
    """
    size = index[["z1", "y1", "x1"]].to_numpy() - index[["z0", "y0", "x0"]].to_numpy()
    room = np.asarray(shape, float)
    return float(np.prod(room / (room - size), axis=1).sum()) if len(index) else 0.0


def mean_direction(objects: pd.DataFrame) -> dict[str, float]:
    """Axis along which the objects lie, weighted by length, and how well: 0 at random, 1 parallel.

    The order parameter is (3 λ - 1) / 2 of the largest eigenvalue λ of the orientation tensor.
    """
    names = [f"direction_{a}" for a in "zyx"]
    if not len(objects):
        return {f"{name}_mean": np.nan for name in names} | {"order_parameter": np.nan}
    vectors, weight = objects[names].to_numpy(), objects.length_nm.to_numpy()
    values, axes = np.linalg.eigh((vectors * weight[:, None]).T @ vectors / weight.sum())
    axis = axes[:, 2] * (np.sign(axes[np.flatnonzero(np.abs(axes[:, 2]) > 1e-9)[0], 2]) or 1)
    return {f"{name}_mean": float(v) for name, v in zip(names, axis, strict=True)} | {
        "order_parameter": float((3 * values[2] - 1) / 2)
    }
