"""Sums, surface and axes of objects of known size, and what must not change them."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from blockface.errors import InputError
from blockface.measure import join_sums, shapes, slab_sums
from blockface.object_rows import measure_each
from blockface.pair_rows import neighbour_rows
from blockface.volume import slab_rows
from object_shapes import ellipsoid, index_of, mask_of, rod, rod_extent, scattered, store

SPACINGS = [(10.0, 10.0, 10.0), (50.0, 10.0, 10.0), (200.0, 10.0, 10.0)]


def measured(path, labels, spacing, slabs=1):
    index = index_of(labels)
    array = store(path, labels.astype(np.uint32), spacing)
    rows = [slab_rows(labels.shape, s, slabs) for s in range(slabs)]
    parts = [part for some in rows for part in slab_sums(array, index, some)]
    return shapes(join_sums(pd.concat(parts), index), index, labels.shape, spacing)


def spheroid_area(long, short):
    """Area of a prolate spheroid."""
    e = np.sqrt(1 - (short / long) ** 2)
    return 2 * np.pi * short**2 * (1 + long / short / e * np.arcsin(e))


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("slices", "wide"), [(2, 2), (2, 3), (3, 3), (3, 5), (4, 8)])
def test_surface_of_thin_bars_in_plane(tmp_path, slices, wide, spacing):
    """Edges are rounded off, which takes some; nothing more is lost, however thick the slices."""
    z, y, x = np.array(spacing) * (slices, wide, 200)
    mask = np.pad(np.ones((slices, wide, 200), bool), 3)
    turned = mask.transpose(0, 2, 1)
    for number, bar in enumerate((mask, turned)):
        row = measured(tmp_path / f"{number}.zarr", bar, spacing).iloc[0]
        assert 0.7 < 1e6 * row.surface_area_um2 / (2 * (z * y + z * x + y * x)) < 1.01


@pytest.mark.parametrize("spacing", SPACINGS)
def test_surface_and_axes_of_round_bodies(tmp_path, spacing):
    k = {10.0: 1, 50.0: 2, 200.0: 4}[spacing[0]]
    ball, long, short = 300 * k, 600 * k, 250 * k
    for number, (axes, area) in enumerate(
        [
            ((ball,) * 3, 4 * np.pi * ball**2),
            ((long, short, short), spheroid_area(long, short)),
            ((short, short, long), spheroid_area(long, short)),
        ]
    ):
        mask = mask_of(ellipsoid(*axes), 2 * np.array(axes), spacing)
        row = measured(tmp_path / f"{number}.zarr", mask, spacing).iloc[0]
        assert row.volume_um3 == pytest.approx(mask.sum() * np.prod(spacing) / 1e9)
        assert row.surface_area_um2 == pytest.approx(area / 1e6, rel=0.03)
        sizes = sorted(2.0 * np.array(axes), reverse=True)
        assert row[["axis_1_nm", "axis_2_nm", "axis_3_nm"]].tolist() == pytest.approx(sizes, 0.02)


@pytest.mark.parametrize(
    "axis", [(1, 0, 0), (0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0.3, -0.2), (0.3, 1, 0.5)]
)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_surface_and_direction_of_rods(tmp_path, axis, spacing):
    radius = {10.0: 150, 50.0: 300, 200.0: 900}[spacing[0]]
    length = 20 * radius
    mask = mask_of(rod(axis, length, radius), rod_extent(axis, length, radius), spacing)
    row = measured(tmp_path / "o.zarr", mask, spacing).iloc[0]
    area = 2 * np.pi * radius * (length + radius)
    assert row.surface_area_um2 == pytest.approx(area / 1e6, rel=0.03)
    along = row[["direction_z", "direction_y", "direction_x"]].to_numpy(float)
    cosine = abs(along @ axis) / np.linalg.norm(axis)
    assert np.degrees(np.arccos(min(cosine, 1))) < 1
    assert row.direction_z > -1e-9


@pytest.mark.parametrize("spacing", SPACINGS)
def test_one_and_two_voxels_are_boxes(tmp_path, spacing):
    labels = np.zeros((4, 6, 6), np.uint32)
    labels[1, 1, 1] = 1
    labels[2, 3, 3:5] = 2
    table = measured(tmp_path / "o.zarr", labels, spacing)
    a, b, c = spacing
    box = [2 * (a * b + b * c + a * c), 2 * (a * b + 2 * b * c + 2 * a * c)]
    assert table.surface_area_um2.tolist() == pytest.approx(np.array(box) / 1e6)
    assert (table.sphericity < 1).all()
    assert np.isfinite(table.select_dtypes("number").to_numpy()).all()


@pytest.mark.parametrize("slabs", [2, 3, 5])
def test_slabs_add_up_to_the_whole(tmp_path, slabs):
    labels = scattered(2, (70, 50, 60), 40)
    whole = measured(tmp_path / "a.zarr", labels, (50.0, 10.0, 10.0))
    cut = measured(tmp_path / "b.zarr", labels, (50.0, 10.0, 10.0), slabs)
    pd.testing.assert_frame_equal(whole, cut, rtol=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_nothing_changes_with_place_and_pose(tmp_path, spacing):
    """Padding, flipping, transposing y and x, renumbering: the same values."""
    labels = np.pad(scattered(4, n=25), 2)
    names = ["volume_um3", "surface_area_um2", "sphericity", "elongation", "axis_1_nm"]
    table = measured(tmp_path / "o.zarr", labels, spacing)
    for number, (other, order) in enumerate(
        [
            (np.pad(labels, ((3, 9), (5, 0), (1, 17))), None),
            (labels[::-1, :, ::-1], None),
            (labels.transpose(0, 2, 1), None),
            (np.where(labels > 0, 1000 - labels, 0), slice(None, None, -1)),
        ]
    ):
        changed = measured(tmp_path / f"{number}.zarr", other, spacing)
        values = changed[names].to_numpy()[order or slice(None)]
        assert values == pytest.approx(table[names].to_numpy(), rel=1e-5)


def test_border_is_told(tmp_path):
    labels = np.zeros((5, 6, 6), np.uint32)
    labels[0, 2, 2], labels[2, 2, 2], labels[2, 4, 5] = 1, 2, 3
    assert measured(tmp_path / "o.zarr", labels, SPACINGS[0]).touches_border.tolist() == [
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("known", [lambda index: index[:1], lambda index: index[1:].assign(z1=0)])
def test_an_object_that_the_table_lacks(tmp_path, known):
    labels = np.zeros((3, 4, 4), np.uint32)
    labels[1, 3, 3], labels[2, 1, 1] = 9, 1
    index = known(index_of(labels))
    array = store(tmp_path / "o.zarr", labels, SPACINGS[0])
    with pytest.raises(InputError, match="object 9 is in the volume"):
        list(slab_sums(array, index, slab_rows(labels.shape)))


@pytest.mark.parametrize("voxels", [1, 2**20])
@pytest.mark.parametrize("measure", [measure_each, partial(neighbour_rows, k=1)])
def test_an_object_that_the_volume_lacks(tmp_path, monkeypatch, measure, voxels):
    monkeypatch.setattr("blockface.surfaces.PART_VOXELS", voxels)
    labels = scattered(3, (37, 20, 30), 6)
    index = index_of(labels)
    index = pd.concat([index, index[:1].assign(object_id=999)], ignore_index=True)
    array = store(tmp_path / "o.zarr", labels, SPACINGS[1])
    with pytest.raises(InputError, match="object 999 is in the table of objects, but not in the"):
        list(measure(array, index, slab_rows(labels.shape)))


def test_a_table_of_another_volume(tmp_path):
    labels = np.zeros((3, 4, 4), np.uint32)
    labels[1, 1, 1] = 1
    index = index_of(labels).assign(voxels=2)
    array = store(tmp_path / "o.zarr", labels, SPACINGS[0])
    sums = pd.concat(slab_sums(array, index, slab_rows(labels.shape)))
    with pytest.raises(InputError, match="has 1 voxels, the table of objects says 2"):
        join_sums(sums, index)
