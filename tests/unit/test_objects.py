"""Objects against a plain version of the method on the whole volume, and against known truth."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.heights import heights, metric, squared_distances
from blockface.objects import Settings, separate_slab
from blockface.stitch import Joined, join_objects
from blockface.volume import create_volume, open_volume

ISO, FLAT, ODD = (10, 10, 10), (50, 10, 10), (29.3, 5, 5)
slow = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def separated(classes, method, size=ISO, cuts=(), block=(64, 512, 512), threads=1, least=0,
              boundary=None, **how):  # fmt: skip
    """Ids and index of a class volume, made in slabs cut at ``cuts`` and in ``block``s."""
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/labels.zarr"
        names = {str(v): f"class{v}" for v in range(1, max(2, int(classes.max()) + 1))}
        create_volume(source, classes.shape, np.uint8, size, classes=names)[:] = classes
        slabs, edge = [], None
        if boundary is not None:
            edge = f"{folder}/edge.zarr"
            create_volume(edge, classes.shape, np.uint8, size)[:] = boundary
        for z0, z1 in pairwise([0, *cuts, len(classes)]):
            slabs.append(f"{folder}/{z0}")
            given_ = source, slabs[-1], slice(z0, z1), Settings(method, **how), threads, block
            separate_slab(*given_, boundary=edge)
        index, _ = join_objects([Joined(slabs)], f"{folder}/objects.zarr", least)
        return open_volume(f"{folder}/objects.zarr")[:], index


def plain(classes, size, ratio, slack):
    """The watershed by its definition: every pair of neighbours from the highest pass down."""
    units = metric(size, 16 * min(size))
    height = heights(classes, squared_distances(classes, units), units).astype(int)
    grid = np.arange(classes.size).reshape(classes.shape)
    flat, parent = height.ravel(), np.arange(classes.size)
    pairs, best = [], {}
    for axis in range(3):
        a, b = np.take(grid, range(classes.shape[axis] - 1), axis), None
        b = np.take(grid, range(1, classes.shape[axis]), axis).ravel()
        a = a.ravel()
        keep = (classes.ravel()[a] == classes.ravel()[b]) & (classes.ravel()[a] > 0)
        for p, q in zip(a[keep].tolist(), b[keep].tolist(), strict=True):
            pairs.append((-min(flat[p], flat[q]), p * 3 + axis, p, q))
            for one, other in ((p, q), (q, p)):
                here = best.setdefault(one, (-flat[one], -1))  # itself wins against its equals
                best[one] = min(here, (-flat[other], other))

    def root(p):
        while parent[p] != p:
            p = parent[p]
        return p

    tops = {one for one, (_, to) in best.items() if to == -1}
    for one, (_, to) in best.items():
        parent[one] = one if one in tops else to
    for _, _, p, q in pairs:
        if p in tops and q in tops:
            parent[root(p)] = root(q)
    peak = flat.copy()
    for minus, _, p, q in sorted(pairs):
        p, q = root(p), root(q)
        low, high = (p, q) if peak[p] < peak[q] else (q, p)
        if low != high and -minus >= min(ratio * peak[low], peak[low] - slack * units.one_voxel):
            parent[low] = high
    return np.array([root(p) + 1 for p in range(classes.size)]).reshape(classes.shape) * (
        classes > 0
    )


def same(a, b):
    """Whether two label volumes are equal up to numbering."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs) and np.array_equal(
        a > 0, b > 0
    )


def ids_in_raster_order(ids):
    """Whether ids are 1..n in order of their first voxels."""
    values, first = np.unique(ids, return_index=True)
    first = first[values > 0]
    return np.array_equal(values[values > 0], np.arange(1, len(first) + 1)) and np.all(
        np.diff(first) > 0
    )


@st.composite
def scenes(draw):
    """Blobs, diagonal sheets and U shapes in one or two classes; slab cuts and a block size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.tuples(st.integers(2, 14), st.integers(3, 24), st.integers(3, 24))))
    kind = draw(st.sampled_from(["blobs", "sheets", "u", "full"]))
    z, y, x = np.indices(shape)
    if kind == "blobs":
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.4, 2.5))
        mask = noise > np.quantile(noise, rng.uniform(0.3, 0.9))
    elif kind == "sheets":
        mask = (z + y + x) % int(rng.integers(3, 7)) <= 1
    elif kind == "u":
        mask = ((x % 4 == 1) & (y % 3 < 2)) | ((z == shape[0] - 1) & (y % 6 < 2))
    else:
        mask = np.ones(shape, bool)
    classes = mask.astype(np.uint8)
    if draw(st.booleans()):
        classes[mask & (ndimage.gaussian_filter(rng.standard_normal(shape), 2) > 0)] = 2
    cuts = sorted({int(c) for c in rng.integers(1, shape[0], draw(st.integers(0, 3)))})
    return classes, cuts, tuple(int(b) for b in rng.integers(1, 18, 3))


@slow
@given(scenes())
def test_components_are_those_of_scipy_whatever_the_blocks(scene):
    classes, cuts, block = scene
    ids, index = separated(classes, "components", cuts=cuts, block=block)
    expected, n = np.zeros(classes.shape, int), 0
    for value in (1, 2):
        found, count = ndimage.label(classes == value)
        expected[found > 0] = found[found > 0] + n
        n += count
    assert same(ids, expected)
    assert ids_in_raster_order(ids)
    assert len(index) == n


@st.composite
def edges(draw, shape):
    """Boundary uint8 of such a shape: sheets, specks, all of it; or None."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["none", "sheets", "specks", "all"]))
    if kind == "none":
        return None
    if kind == "all":
        return np.full(shape, 255, np.uint8)
    if kind == "specks":
        return rng.integers(0, 256, shape, np.uint8)
    z, y, x = np.indices(shape)
    return (((z + 2 * y - x) % int(rng.integers(3, 8)) == 0) * 255).astype(np.uint8)


@slow
@given(st.data(), scenes(), st.sampled_from([ISO, FLAT, ODD]), st.integers(1, 2))
def test_watershed_is_the_same_whatever_the_blocks(data, scene, size, threads):
    classes, cuts, block = scene
    boundary = data.draw(edges(classes.shape))
    whole, table = separated(classes, "watershed", size, boundary=boundary)
    ids, index = separated(classes, "watershed", size, cuts, block, threads, boundary=boundary)
    assert np.array_equal(ids, whole)
    assert index.equals(table)
    assert ids_in_raster_order(ids)
    assert np.array_equal(ids > 0, classes > 0)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenes(), st.sampled_from([ISO, FLAT]), st.sampled_from([0.5, 0.75, 0.9, 1.0]))
def test_watershed_is_what_its_definition_says(scene, size, ratio):
    classes, cuts, block = scene
    ids, _ = separated(classes, "watershed", size, cuts, block, merge_ratio=ratio, slack_voxels=0.0)
    assert same(ids, plain(classes, size, ratio, 0.0))


@slow
@given(scenes())
def test_index_says_what_is_there(scene):
    classes, cuts, block = scene
    ids, index = separated(classes, "watershed", FLAT, cuts, block)
    for row, where in zip(index.itertuples(), ndimage.find_objects(ids), strict=True):
        own = ids == row.object_id
        assert row.voxels == own.sum()
        box = (row.z0, row.z1, row.y0, row.y1, row.x0, row.x1)
        assert box == tuple(v for s in where for v in (s.start, s.stop))
        assert set(np.unique(classes[own])) == {int(row._2[-1])}


def balls(size, centres, radius_nm, shape):
    """Mask of balls, positions in nm."""
    at = np.stack(np.indices(shape), -1) * np.array(size)
    return np.any([((at - c) ** 2).sum(-1) < radius_nm**2 for c in centres], axis=0)


@pytest.mark.parametrize(("size", "smooth"), [(ISO, True), (FLAT, True), (FLAT, False)])
def test_touching_balls_are_two(size, smooth):
    radius = 250 if size == FLAT else 120
    apart = 1.8 * radius
    shape = tuple(int(n) for n in np.array([3, 3, 5]) * radius // size)
    middle = 1.5 * radius
    centres = [(middle, middle, middle), (middle, middle, middle + apart)]
    mask = balls(size, centres, radius, shape).astype(np.uint8)
    ids, index = separated(mask, "watershed", size, smooth_slices=smooth, max_radius_nm=400)
    assert len(index) == 2
    left, right = (ids[tuple(int(v) for v in np.array(c) / size)] for c in centres)
    assert left != right
    assert abs(index.voxels[0] - index.voxels[1]) < 0.05 * index.voxels.sum()
    assert len(separated(mask, "components", size)[1]) == 1


@pytest.mark.parametrize("size", [FLAT, (200.0, 10.0, 10.0)])
def test_balls_thicker_than_is_looked_at_are_told_and_come_apart_with_a_larger_radius(size, caplog):
    radius = 900
    shape = tuple(int(n) for n in np.array([2.4, 2.4, 4.3]) * radius // size)
    centres = [(1.2 * radius,) * 3, (1.2 * radius, 1.2 * radius, 3.1 * radius)]
    mask = balls(size, centres, radius, shape).astype(np.uint8)
    assert len(separated(mask, "watershed", size)[1]) == 1
    assert "thicker than twice max_radius_nm (160 nm; places: 1)" in caplog.text
    assert "in a neck of some 240 nm or more" in caplog.text
    caplog.clear()
    assert len(separated(mask, "watershed", size, max_radius_nm=1000)[1]) == 2
    assert "thicker" not in caplog.text


@pytest.mark.parametrize("size", [ISO, FLAT])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_a_long_fibril_and_an_ellipsoid_stay_whole(size, tilt):
    shape = (120 if size == ISO else 40, 90, 60)
    z, y, x = np.stack(np.indices(shape)) * np.array(size, float)[:, None, None, None]
    radius = 60 + 6 * np.sin(z / 150)
    fibril = np.hypot(y - 200 - tilt * z + 20 * np.sin(z / 120), x - 150) < radius
    middle = np.array(shape) * size / 2
    ellipsoid = ((z - middle[0]) / 500) ** 2 + ((x - 450) / 90) ** 2 + ((y - 450) / 90) ** 2 < 1
    for mask in (fibril, ellipsoid):
        assert len(separated(mask.astype(np.uint8), "watershed", size)[1]) == 1


def test_small_objects_are_left_out_and_the_rest_numbered_through():
    mask = np.zeros((4, 9, 9), np.uint8)
    mask[0, 0, 0] = mask[1:3, 2:5, 2:5] = mask[3, 8, 7:9] = 1
    ids, index = separated(mask, "components", least=2e-6)
    assert list(index.voxels) == [18, 2]
    assert ids[0, 0, 0] == 0
    assert list(index.object_id) == [1, 2]
    assert ids.max() == 2


@pytest.mark.parametrize("method", ["components", "watershed"])
def test_nothing_and_single_voxels(method):
    ids, index = separated(np.zeros((3, 5, 5), np.uint8), method, cuts=[1])
    assert len(index) == 0
    assert not ids.any()
    assert list(index.columns[:3]) == ["object_id", "class", "voxels"]
    one = np.zeros((1, 1, 4), np.uint8)
    one[0, 0, 2] = 1
    assert list(separated(one, method)[1].voxels) == [1]


def test_more_objects_than_16_bits():
    mask = np.zeros((9, 256, 256), np.uint8)
    mask[::2, ::2, ::2] = 1
    ids, index = separated(mask, "components", cuts=[4], block=(4, 100, 100))
    assert len(index) == ids.max() == 5 * 128 * 128
    assert ids_in_raster_order(ids)


def test_the_likeliest_class_above_the_threshold(tmp_path):
    given_ = np.zeros((2, 1, 1, 4), np.uint8)
    given_[:, 0, 0] = [[200, 100, 120, 127], [100, 210, 120, 128]]
    path = str(tmp_path / "probability.zarr")
    volume = create_volume(path, given_.shape, np.uint8, ISO, classes=["a", "b"], values=[3, 7])
    volume[:] = given_
    region = (slice(None),) * 3
    assert Classes(path, 0.5).read(region).ravel().tolist() == [3, 7, 0, 7]
    assert Classes(path, 0.3).read(region).ravel().tolist() == [3, 7, 3, 7]


def test_a_killed_slab_goes_on_after_its_last_band(tmp_path, monkeypatch):
    from blockface import objects

    rng = np.random.default_rng(3)
    classes = (ndimage.gaussian_filter(rng.standard_normal((24, 30, 30)), 1.5) > 0).astype(np.uint8)
    source = str(tmp_path / "labels.zarr")
    create_volume(source, classes.shape, np.uint8, ISO, classes={"1": "a"})[:] = classes
    calls, real = [], objects.prepared

    def dying(source, core, *rest):
        calls.append(core[0].start)
        if len(calls) == 11:
            raise KeyboardInterrupt
        return real(source, core, *rest)

    def work():
        folder = str(tmp_path / "slab")
        separate_slab(source, folder, slice(0, 24), Settings("watershed"), block=(6, 16, 16))
        join_objects([Joined([folder])], str(tmp_path / "objects.zarr"))
        return open_volume(tmp_path / "objects.zarr")[:]

    monkeypatch.setattr(objects, "prepared", dying)
    with pytest.raises(KeyboardInterrupt):
        work()
    ids = work()
    assert calls[11:][0] == 12  # bands 0 and 1 are not done again
    assert np.array_equal(ids, separated(classes, "watershed")[0])
    assert not list(Path(tmp_path).glob("*.partial"))


def test_a_radius_in_another_unit_is_refused():
    with pytest.raises(InputError, match=r"max_radius_nm is 1e\+06, 100000 times .* at most 1000"):
        separated(np.ones((4, 8, 8), np.uint8), "watershed", max_radius_nm=1e6)


@pytest.mark.parametrize(
    "wrong",
    [{"method": "magic"}, {"threshold": 1.2}, {"merge_ratio": 0}, {"max_radius_nm": -1}, {"x": 1}],
)
def test_wrong_settings_are_told_in_one_line(wrong):
    with pytest.raises(InputError, match="expected") as error:
        Settings.of(wrong).check()
    assert "\n" not in str(error.value)
