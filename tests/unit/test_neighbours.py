"""Nearest neighbours against brute force and known gaps."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface import surfaces
from blockface.crops import Crops, pieces
from blockface.neighbours import Candidates, nearest
from blockface.pair_rows import neighbour_rows
from blockface.runs import Runs
from blockface.surfaces import POINT_BYTES, Surfaces, Trees, box_gaps, face_points
from blockface.volume import slab_rows
from object_shapes import ellipsoid, faces_of, index_of, mask_of, scattered, store

SPACINGS = [(10.0, 10.0, 10.0), (50.0, 10.0, 10.0), (200.0, 10.0, 10.0)]


def found(path, labels, spacing, k=3, **limits):
    index = index_of(labels)
    known = Surfaces(Crops(store(path, labels, spacing)), index, spacing, **limits)
    candidates = Candidates(known)
    return index, [nearest(row, k, candidates) for row in range(len(index))]


def brute(labels, spacing):
    """Gap of every pair of objects, from all faces on their surfaces."""
    faces = [faces_of(labels, i) * spacing for i in np.unique(labels[labels > 0])]
    gaps = np.full((len(faces), len(faces)), np.inf)
    for a, one in enumerate(faces):
        for b, two in enumerate(faces[:a]):
            gaps[a, b] = gaps[b, a] = np.linalg.norm(one[:, None] - two, axis=2).min()
    return gaps


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("part_voxels", [2**20, 2000])
def test_equals_brute_force(tmp_path, monkeypatch, spacing, part_voxels):
    monkeypatch.setattr(surfaces, "PART_VOXELS", part_voxels)
    labels = scattered(3, (20, 30, 36), 14, (20.0, 10.0, 10.0))
    gaps = brute(labels, spacing)
    _, rows = found(tmp_path / "o.zarr", labels, spacing, limit=20_000)
    for row, near in enumerate(rows):
        assert [d for d, _ in near] == pytest.approx(np.sort(gaps[row])[:3])
        assert [gaps[row, other] for _, other in near] == pytest.approx([d for d, _ in near])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 4))
def test_equals_brute_force_at_random(tmp_path_factory, seed, k):
    labels = scattered(seed, (8, 14, 16), 9, (40.0, 10.0, 10.0))
    spacing = (40.0, 10.0, 13.0)
    gaps = brute(labels, spacing)
    _, rows = found(tmp_path_factory.mktemp("o") / "o.zarr", labels, spacing, k)
    for row, near in enumerate(rows):
        assert [d for d, _ in near] == pytest.approx(np.sort(gaps[row])[: min(k, len(gaps) - 1)])


@pytest.mark.parametrize("spacing", SPACINGS)
def test_spheres_apart(tmp_path, spacing):
    """Two spheres at a known gap, along each axis: right to half a voxel of that axis."""
    radius, gap = 450.0, 620.0
    ball = mask_of(ellipsoid(radius, radius, radius), [2 * radius] * 3, spacing)
    for axis in range(3):
        shift = round((2 * radius + gap) / spacing[axis])
        true = shift * spacing[axis] - 2 * radius
        labels = np.zeros([n + shift * (i == axis) for i, n in enumerate(ball.shape)], np.uint32)
        first = tuple(slice(0, n) for n in ball.shape)
        labels[first][ball] = 1
        second = tuple(slice(shift * (i == axis), None) for i in range(3))
        labels[second][ball] = 2
        _, rows = found(tmp_path / f"{axis}.zarr", labels, spacing)
        assert rows[0][0][0] == rows[1][0][0]
        assert abs(rows[0][0][0] - true) <= spacing[axis] / 2 + 1e-9


@pytest.mark.parametrize("spacing", SPACINGS)
def test_oblique_gaps_are_right_to_half_a_voxel_at_each_surface(tmp_path, spacing):
    """Balls apart in any direction; the voxel's size is that along the gap."""
    rng, errors = np.random.default_rng(0), []
    radius = max(80, 3 * spacing[0])
    for turn in range(16):
        way = rng.normal(size=3)
        way /= np.linalg.norm(way)
        voxel = np.linalg.norm(way * spacing)
        true = rng.uniform(1.5, 4) * voxel
        centre = way * (radius + true / 2)
        steps = np.ceil((np.abs(centre) + radius) / spacing).astype(int) + 1
        at = np.meshgrid(
            *((np.arange(-n, n + 1) + rng.uniform(-0.5, 0.5)) * s
              for n, s in zip(steps, spacing, strict=True)),
            indexing="ij",
        )  # fmt: skip
        labels = np.zeros(at[0].shape, np.uint32)
        for number, side in ((1, 1), (2, -1)):
            apart = sum((a - side * c) ** 2 for a, c in zip(at, centre, strict=True))
            labels[apart < radius**2] = number
        _, rows = found(tmp_path / f"{turn}.zarr", labels, spacing)
        errors.append((rows[0][0][0] - true) / voxel)
    assert np.abs(errors).max() <= 1
    assert abs(np.mean(errors)) <= (0.65 if spacing[0] == 200 else 0.5)


def test_0_apart_are_those_that_share_a_face(tmp_path):
    labels = np.zeros((4, 6, 6), np.uint32)
    labels[1, 1, 1], labels[1, 1, 2], labels[2, 2, 3], labels[1, 1, 5] = 5, 6, 7, 70_000
    index, rows = found(tmp_path / "o.zarr", labels, (50.0, 10.0, 10.0))
    ids = index.object_id.to_numpy()
    assert [(d, ids[i]) for d, i in rows[0]] == [(0, 6), (500**0.5, 7), (30, 70_000)]
    assert rows[1][:2] == [(0, 0), (200**0.5, 2)]


def test_alone_has_no_neighbour(tmp_path):
    labels = np.zeros((3, 4, 4), np.uint32)
    labels[1, 1, 1] = 1
    assert found(tmp_path / "o.zarr", labels, (1.0, 1.0, 1.0))[1] == [[]]


def test_caches_keep_their_limits(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (40, 300, 300)).astype(np.uint32)
    crops = Crops(store(tmp_path / "o.zarr", labels, (1.0, 1.0, 1.0)), limit=9_000_000)
    for corner in [(0, 0, 0), (10, 250, 250), (35, 100, 280)]:
        lo = np.array(corner)
        hi = np.minimum(lo + np.array([7, 60, 40]), labels.shape)
        box = labels[tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))]
        for object_id in (1, 2, 3):
            at = crops.voxels(object_id, lo, hi)
            assert sorted(map(tuple, at - lo)) == sorted(map(tuple, np.argwhere(box == object_id)))
        assert crops.used <= crops.limit


def test_pieces_cover_a_box_once():
    seen = np.zeros((50, 70, 90), int)
    lo, hi = (3, 5, 7), (49, 66, 88)
    for a, b in pieces(lo, hi, (4, 8, 8), 5000):
        seen[tuple(slice(p, q) for p, q in zip(a, b, strict=True))] += 1
        assert np.prod(b - a) <= 5000
    assert seen.sum() == seen[3:49, 5:66, 7:88].sum() == np.prod(np.subtract(hi, lo))
    assert seen.max() == 1


def test_candidates_come_in_order(tmp_path):
    labels, spacing = scattered(5, n=60), np.array([50.0, 10.0, 10.0])
    index = index_of(labels)
    candidates = Candidates(Surfaces(Crops(store(tmp_path / "o", labels, spacing)), index, spacing))
    lo, hi = (index[[f"{a}{e}" for a in "zyx"]].to_numpy() * spacing for e in "01")
    for row in range(len(index)):
        batches = list(candidates.batches(row))
        rows = np.concatenate([b[0] for b in batches])
        gaps = np.concatenate([b[1] for b in batches])
        assert sorted(rows) == sorted(set(range(len(index))) - {row})
        assert (np.diff(gaps) >= 0).all()
        assert gaps == pytest.approx(box_gaps(lo[row], hi[row], lo[rows], hi[rows]))


def test_face_points_of_many_objects_are_those_of_each_alone():
    labels = scattered(4, n=12)
    labels[1:4, 1:4, 1:4] = 99  # a block, whose inside has no part in its surface
    index = index_of(labels)
    lo, hi = (index[[f"{a}{e}" for a in "zyx"]].to_numpy() for e in "01")
    each = [np.argwhere(labels == number).T for number in index.object_id]
    together = face_points(np.concatenate(each, 1), Runs([v.shape[1] for v in each]), lo, hi)
    for number, points in zip(index.object_id, together, strict=True):
        assert sorted(points.tolist()) == sorted(faces_of(labels, number).tolist())
    assert len(together[-1]) == 6 * 3**2


@pytest.mark.parametrize("limit", [1, 20_000])
def test_a_small_cache_changes_nothing(tmp_path, limit):
    labels = scattered(5, n=25)
    whole = found(tmp_path / "a.zarr", labels, SPACINGS[1])[1]
    assert found(tmp_path / "b.zarr", labels, SPACINGS[1], limit=limit)[1] == whole


def trees_made(monkeypatch) -> list:
    """Fills while trees are made, with what each is of."""
    made, keep = [], Trees.keep
    monkeypatch.setattr(Trees, "keep", lambda *given: (made.append(given[1]), keep(*given))[1])
    return made


def test_a_large_object_does_not_push_the_small_ones_out(tmp_path, monkeypatch):
    """A sponge whose tree alone takes more than the room, and rods in it."""
    monkeypatch.setattr(surfaces, "PART_VOXELS", 2**17)
    labels = (np.random.default_rng(0).random((16, 128, 128)) < 0.4).astype(np.uint32)
    for number in range(64):
        y, x = (2 + 16 * k for k in divmod(number, 8))
        labels[:, y - 1 : y + 7, x - 1 : x + 7] = 0
        labels[:, y : y + 6, x : x + 6] = 2 + number
    made = trees_made(monkeypatch)
    _, rows = found(tmp_path / "o.zarr", labels, SPACINGS[1], limit=100_000 * POINT_BYTES)
    assert len(rows) == 65
    assert len(made) <= 3 * len(rows)


def test_trees_that_do_not_fit_together_are_not_made_over_and_over(tmp_path, monkeypatch):
    """Rods that all start in one chunk, as fibrils do, whose trees take five times the room."""
    labels = np.zeros((8, 240, 240), np.uint32)
    for number in range(30**2):
        y, x = (8 * k for k in divmod(number, 30))
        labels[:, y : y + 6, x : x + 6] = 1 + number * 7919 % 900  # ids say nothing of the place
    made = trees_made(monkeypatch)
    index = index_of(labels)
    array = store(tmp_path / "o.zarr", labels, SPACINGS[1])
    monkeypatch.setattr(Surfaces.__init__, "__defaults__", (900 * 264 * POINT_BYTES // 5,))
    rows = pd.concat(neighbour_rows(array, index, slab_rows(labels.shape), 3))
    assert (rows[rows["rank"] <= 2].surface_distance_nm == 20).all()
    assert len(made) <= 3 * len(index)
