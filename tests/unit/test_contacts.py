"""Contacts of known area, length and depth, and neighbours in every class."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.contacts import contact_table, layer_of, slab_contacts
from blockface.pair_rows import neighbour_rows
from blockface.volume import slab_rows
from object_shapes import faces_of, index_of, scattered, store

SPACINGS = [(10.0, 10.0, 10.0), (50.0, 10.0, 13.0), (200.0, 10.0, 10.0)]


def contacts(path, labels, spacing, slabs=1, name="fibril"):
    array = store(path, labels.astype(np.uint32), spacing)
    rows = [slab_rows(labels.shape, s, slabs) for s in range(slabs)]
    parts = [faces for some in rows for faces, _ in slab_contacts(array, some)]
    classes = index_of(labels, name).set_index("object_id")["class"]
    return contact_table(pd.concat(parts), classes, spacing)


def brute(labels, spacing):
    """Faces and area of every touching pair, voxel by voxel."""
    found = {}
    for axis in range(3):
        for at in np.argwhere(labels > 0):
            other = at + np.eye(3, dtype=int)[axis]
            if other[axis] == labels.shape[axis] or labels[tuple(other)] in (0, labels[tuple(at)]):
                continue
            pair = tuple(sorted((int(labels[tuple(at)]), int(labels[tuple(other)]))))
            faces, area = found.get(pair, (0, 0.0))
            found[pair] = faces + 1, area + np.prod(spacing) / spacing[axis]
    return found


@pytest.mark.parametrize("spacing", SPACINGS)
def test_cube_in_a_cube(tmp_path, spacing):
    a, b, c = spacing
    labels = np.zeros((12, 12, 12), np.uint32)
    labels[1:-1, 1:-1, 1:-1] = 70_000
    labels[4:8, 4:8, 4:8] = 3
    row = contacts(tmp_path / "o.zarr", labels, spacing, 1, {3: "cell", 70_000: "fibril"}).iloc[0]
    assert (row.object_a, row.object_b, row.class_a, row.class_b) == (3, 70_000, "cell", "fibril")
    assert row.contact_faces == 96
    assert row.contact_area_um2 == pytest.approx(32 * (a * b + b * c + a * c) / 1e6)
    assert (row.z0, row.z1, row.n_slices, row.persistence_nm) == (4, 8, 4, 4 * a)
    assert [row[f"contact_{i}_nm"] for i in "zyx"] == pytest.approx(6 * np.array(spacing))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), slabs=st.integers(1, 3))
def test_equals_every_face_counted(tmp_path_factory, seed, slabs):
    labels = scattered(seed, (34, 9, 11), 12, (20.0, 10.0, 10.0))
    spacing = (40.0, 10.0, 13.0)
    table = contacts(tmp_path_factory.mktemp("o") / "o.zarr", labels, spacing, slabs)
    found = {
        (r.object_a, r.object_b): (r.contact_faces, r.contact_area_um2 * 1e6)
        for r in table.itertuples()
    }
    wanted = brute(labels, spacing)
    assert found.keys() == wanted.keys()
    for pair, (faces, area) in wanted.items():
        assert found[pair][0] == faces
        assert found[pair][1] == pytest.approx(area)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_long_contact_along_z_and_one_in_plane(tmp_path, spacing):
    """Two rods side by side over 30 slices; two others over 40 pixels of x."""
    labels = np.zeros((60, 20, 60), np.uint32)
    labels[5:50, 5, 5], labels[20:55, 5, 6] = 1, 2
    labels[10:12, 15, 10:50], labels[10:12, 16, 5:55] = 3, 4
    table = contacts(tmp_path / "o.zarr", labels, spacing).set_index(["object_a", "object_b"])
    along, across = table.loc[(1, 2)], table.loc[(3, 4)]
    assert along.contact_length_nm == pytest.approx(max(30 * spacing[0], spacing[1]))
    assert (along.z0, along.z1, along.n_slices) == (20, 50, 30)
    assert along.persistence_nm == 30 * spacing[0]
    assert across.contact_length_nm == pytest.approx(max(40 * spacing[2], 2 * spacing[0]))
    assert across.persistence_nm == 2 * spacing[0]


def test_a_contact_that_pauses_and_one_across_z(tmp_path):
    labels = np.zeros((20, 6, 6), np.uint32)
    labels[2:18, 1, 1] = 1
    labels[4:7, 1, 2], labels[4:15, 1, 3], labels[12:15, 1, 2] = 2, 2, 2
    labels[18, 1, 1] = 3
    table = contacts(tmp_path / "o.zarr", labels, SPACINGS[1]).set_index(["object_a", "object_b"])
    assert table.loc[(1, 2), ["z0", "z1", "n_slices"]].tolist() == [4, 15, 6]
    stacked = table.loc[(1, 3)]
    assert stacked[["contact_faces", "z0", "z1", "n_slices"]].tolist() == [1, 18, 18, 0]
    assert stacked.persistence_nm == 0
    assert stacked.contact_area_um2 == pytest.approx(10 * 13 / 1e6)


def test_slabs_change_nothing(tmp_path):
    labels = scattered(2, (90, 40, 50), 60)
    whole = contacts(tmp_path / "a.zarr", labels, SPACINGS[1])
    assert len(whole) > 20
    for slabs in (2, 5):
        cut = contacts(tmp_path / f"{slabs}.zarr", labels, SPACINGS[1], slabs)
        pd.testing.assert_frame_equal(whole, cut, rtol=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_nothing_changes_with_place_and_pose(tmp_path, spacing):
    """Padding, flipping, renumbering: the same contacts, to a rounding."""
    labels = np.pad(scattered(4, n=25), 2)
    names = ["contact_faces", "contact_area_um2", "contact_length_nm", "n_slices", "persistence_nm"]
    wanted = contacts(tmp_path / "o.zarr", labels, spacing)[names].sort_values(names)
    for number, other in enumerate(
        [
            np.pad(labels, ((3, 9), (5, 0), (1, 17))),
            labels[::-1, :, ::-1],
            np.where(labels > 0, 1000 - labels, 0),
        ]
    ):
        found = contacts(tmp_path / f"{number}.zarr", other, spacing)[names].sort_values(names)
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_layers_hold_every_voxel_once(tmp_path):
    labels = scattered(3, (37, 20, 30), 12)
    array = store(tmp_path / "o.zarr", labels, SPACINGS[0])
    rows = [slab_rows(labels.shape, s, 2) for s in range(2)]
    parts = [layers for some in rows for _, layers in slab_contacts(array, some)]
    table = pd.concat(parts).groupby(["object_id", "layer"]).voxels.sum()
    for (object_id, layer), voxels in table.items():
        own = [z for z in range(37) if layer_of(z, 37) == layer]
        assert (labels[own] == object_id).sum() == voxels
    assert table.sum() == (labels > 0).sum()


def test_ids_of_more_than_16_bits_that_touch(tmp_path):
    labels = np.zeros((3, 3, 4), np.uint32)
    labels[1, 1, 1], labels[1, 1, 2] = 4_000_000_000, 65_536
    row = contacts(tmp_path / "o.zarr", labels, SPACINGS[0]).iloc[0]
    assert (row.object_a, row.object_b, row.contact_faces) == (65_536, 4_000_000_000, 1)


def gaps(labels, spacing):
    """Surface distance of every pair of objects, from all faces on their surfaces."""
    faces = {int(i): faces_of(labels, i) * spacing for i in np.unique(labels[labels > 0])}
    return {
        (a, b): np.linalg.norm(one[:, None] - two, axis=2).min()
        for a, one in faces.items()
        for b, two in faces.items()
    }


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 4))
def test_nearest_of_every_class_as_by_brute_force(tmp_path_factory, seed, k):
    labels = scattered(seed, (8, 16, 18), 12, (40.0, 10.0, 10.0))
    spacing = (40.0, 10.0, 13.0)
    names = {i: ("fibril", "cell", "vessel")[(i // 7) % 3] for i in range(1000)}
    index = index_of(labels, names)
    array = store(tmp_path_factory.mktemp("o") / "o.zarr", labels, spacing)
    table = pd.concat(neighbour_rows(array, index, slab_rows(labels.shape), k))
    apart, ids = gaps(labels, spacing), index.object_id.tolist()
    for one in ids:
        own = table[table.object_id == one]
        near = own[own["rank"] > 0].sort_values("rank")
        others = sorted(apart[one, b] for b in ids if b != one)
        assert near.surface_distance_nm.tolist() == pytest.approx(others[:k])
        for name in {names[b] for b in ids if b != one}:
            first = own[(own.neighbour_id.map(names) == name) & (own.class_rank == 1)]
            wanted = min(apart[one, b] for b in ids if b != one and names[b] == name)
            assert first.surface_distance_nm.tolist() == pytest.approx([wanted])
