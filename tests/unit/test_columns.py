"""Columns of the tables against formulas for bodies of known form."""

import numpy as np
import pandas as pd
import pytest

from blockface.measure import join_sums, shapes, slab_sums
from blockface.object_tables import neighbour_table
from blockface.volume import slab_rows
from object_shapes import (
    SPACINGS,
    ellipsoid,
    helix,
    index_of,
    mask_of,
    measured,
    rod,
    rod_extent,
    scale,
    store,
    torus,
    tube,
)

AXES = [(1, 0, 0), (0, 0, 1), (1, 0.4, -0.3)]


def all_of(path, mask, spacing) -> pd.Series:
    """What is measured of one object: of its sums, and of its centreline."""
    labels = mask.astype(np.uint32)
    array, index = store(path, labels, spacing), index_of(labels)
    rows = slab_rows(labels.shape)
    sums = join_sums(pd.concat(slab_sums(array, index, rows)), index)
    whole = shapes(sums, index, mask.shape, spacing)
    return pd.concat([whole.iloc[0], measured(array, index, rows)[0].iloc[0]])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", AXES)
def test_a_rod(tmp_path, axis, spacing):
    k = scale(spacing)
    length, radius = 1800 * k, 90 * k
    mask = mask_of(rod(axis, length, radius), rod_extent(axis, length, radius), spacing)
    row = all_of(tmp_path / "o.zarr", mask, spacing)
    assert row.cross_section_area_um2 == pytest.approx(np.pi * radius**2 / 1e6, rel=0.06)
    assert row.tortuosity == pytest.approx(1, abs=0.01)
    assert row.diameter_sd_nm < 0.03 * 2 * radius


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", AXES)
def test_form_of_a_rod(tmp_path, axis, spacing):
    radius = {10.0: 150, 50.0: 300, 200.0: 900}[spacing[0]]  # as thick as its surface needs
    length = 12 * radius
    mask = mask_of(rod(axis, length, radius), rod_extent(axis, length, radius), spacing)
    labels = mask.astype(np.uint32)
    array, index = store(tmp_path / "o.zarr", labels, spacing), index_of(labels)
    sums = pd.concat(slab_sums(array, index, slab_rows(mask.shape)))
    row = shapes(join_sums(sums, index), index, mask.shape, spacing).iloc[0]
    assert row.elongation == pytest.approx(length / radius / np.sqrt(3), rel=0.03)
    area, volume = 2 * np.pi * radius * (length + radius), np.pi * radius**2 * length
    assert row.sphericity == pytest.approx(np.cbrt(36 * np.pi * volume**2) / area, rel=0.04)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_ball_and_a_ring(tmp_path, spacing):
    k = scale(spacing)
    ball = all_of(
        tmp_path / "b", mask_of(ellipsoid(*[300 * k] * 3), [600 * k] * 3, spacing), spacing
    )
    assert ball.sphericity == pytest.approx(1, abs=0.03)
    assert ball.elongation == pytest.approx(1, abs=0.02)
    ring = mask_of(torus((1, 0.5, 0), 450 * k, 90 * k), [1100 * k] * 3, spacing)
    row = all_of(tmp_path / "r", ring, spacing)
    area, volume = 4 * np.pi**2 * 450 * 90 * k**2, 2 * np.pi**2 * 450 * 90**2 * k**3
    assert row.surface_area_um2 == pytest.approx(area / 1e6, rel=0.03)
    assert row.sphericity == pytest.approx(np.cbrt(36 * np.pi * volume**2) / area, rel=0.04)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_helix(tmp_path, spacing):
    k = scale(spacing)
    line, length = helix(400 * k, 1600 * k, 2)
    mask = mask_of(tube(line, 90 * k), np.ptp(line, axis=0) + 180 * k, spacing)
    row = all_of(tmp_path / "o.zarr", mask, spacing)
    assert row.tortuosity == pytest.approx(length / (2 * 1600 * k), rel=0.03)
    area = 2 * np.pi * 90 * k * (length + 90 * k)  # Pappus
    assert row.surface_area_um2 == pytest.approx(area / 1e6, rel=0.03)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_cone_cut_off(tmp_path, spacing):
    """From 400 to 200 nm across; a slice of 0.75 diameters at each end is left out."""
    k = scale(spacing)

    def inside(z, y, x):
        return (np.abs(z) < 1500 * k) & (y**2 + x**2 < (150 * k - z / 30) ** 2)

    row = all_of(
        tmp_path / "o.zarr", mask_of(inside, [3000 * k, 400 * k, 400 * k], spacing), spacing
    )
    assert row.length_nm == pytest.approx(3000 * k, rel=0.03 if spacing[0] == 200 else 0.01)
    assert row.diameter_mean_nm == pytest.approx(300 * k, rel=0.03)
    assert row.diameter_sd_nm == pytest.approx(0.85 * 200 * k / np.sqrt(12), rel=0.03)
    mean_area = np.pi * (200**2 + 200 * 100 + 100**2) / 3 * k**2
    assert row.cross_section_area_um2 == pytest.approx(mean_area / 1e6, rel=0.06)


def test_centres_of_neighbours_and_their_classes():
    objects = pd.DataFrame({
        "object_id": [3, 7, 9], "class": ["cell", "fibril", "fibril"],
        "centroid_z_nm": [0.0, 30.0, 0.0], "centroid_y_nm": [0.0, 40.0, 0.0],
        "centroid_x_nm": [0.0, 0.0, 120.0],
    })  # fmt: skip
    near = pd.DataFrame({
        "object_id": [9, 9, 3, 3, 7], "neighbour_id": [3, 7, 9, 7, 9], "rank": [0, 1, 2, 1, 0],
        "class_rank": [1, 1, 2, 1, 1], "surface_distance_nm": [110.0, 100.0, 90.0, 20.0, 100.0],
    })  # fmt: skip
    table = neighbour_table(near, objects.set_index("object_id"))
    assert table[["object_id", "neighbour_id"]].to_numpy().tolist() == [
        [3, 7],
        [3, 9],
        [7, 9],
        [9, 7],
        [9, 3],
    ]
    assert table["centre_distance_nm"].tolist() == [50, 120, 130, 130, 120]
    assert table["class"].tolist() == ["cell", "cell", "fibril", "fibril", "fibril"]
    assert table["neighbour_class"].tolist() == [*["fibril"] * 4, "cell"]
