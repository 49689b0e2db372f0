"""Fibrils cut across: packed phantoms of known truth, damage, the same whatever the blocks."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from blockface import slices
from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.motion import local_motion
from blockface.slice_objects import Linked, links_of
from blockface.stitch import join_objects
from blockface.volume import create_volume, open_volume
from demo.fates import LEAST, false_ends, fates, in_runs, millimetres
from demo.phantom import make_phantom
from demo.scene import paint_fibrils

EDGE, DEPTH = 256, 44


def separated(classes, size=(50, 10, 10), cuts=(), block=(256, 512), boundary=None, **how):
    """Ids, index and links of a class volume, made in slabs cut at ``cuts`` and in ``block``s."""
    least, threads = how.pop("least", 0), how.pop("threads", 1)
    chosen = slices.Settings.of(how)
    with tempfile.TemporaryDirectory() as folder:
        source = f"{folder}/labels.zarr"
        names = {str(v): f"class{v}" for v in range(1, max(2, int(classes.max()) + 1))}
        create_volume(source, classes.shape, np.uint8, size, classes=names)[:] = classes
        slabs = []
        if boundary is not None:
            create_volume(f"{folder}/edge.zarr", boundary.shape, np.uint8, size)[:] = boundary
            boundary = f"{folder}/edge.zarr"
        for z0, z1 in pairwise([0, *cuts, len(classes)]):
            slabs.append(f"{folder}/{z0}_{z1}")
            given_ = Classes(source, boundary=boundary), slabs[-1], slice(z0, z1), chosen
            slices.separate_slab(*given_, threads, block)
        sources = Linked.of_all(slabs, chosen, folder)
        index, ids = join_objects(sources, f"{folder}/objects.zarr", least)
        links = links_of(list(zip(sources, ids, strict=True)))
        return open_volume(f"{folder}/objects.zarr")[:], index, links


@pytest.fixture(scope="module", params=[1, 4], ids=["5:1", "20:1"])
def packed(request):
    """True ids of touching crimped fibrils, and the slice distance in nm."""
    every, ids = request.param, np.zeros((DEPTH, EDGE, EDGE), np.uint32)
    phantom = make_phantom((DEPTH * every, EDGE, EDGE), 3, dense=True)
    for z in range(DEPTH):
        paint_fibrils(phantom, ids[z], z * every)
    ids = in_runs(ids)
    assert ndimage.label(ids[0] > 0)[1] < 0.5 * len(np.unique(ids[0]))  # they do touch
    return ids, 50 * every


def test_packed_fibrils_are_found_one_by_one(packed):
    truth, slice_nm = packed
    mask = (truth > 0).astype(np.uint8)
    size = (slice_nm, 10, 10)
    found, _, links = separated(mask, size, least=LEAST * np.prod(size) / 1e9)
    fate = fates(found, truth)
    assert fate["matched"] >= 0.98 * fate.sum()
    assert fate["merged"] + fate["split"] <= 0.01 * fate.sum()
    assert false_ends(found, truth) <= max(1, millimetres(truth, slice_nm))
    assert set(links["kind"]) <= {"start", "end", "split", "merge", "gap"}
    assert links["kind"].isin(["split", "merge"]).sum() <= 0.02 * fate.sum()  # none is true


def test_blank_and_shifted_slices_are_bridged(packed):
    truth, slice_nm = packed
    damaged = truth.copy()
    damaged[12:14] = damaged[20] = 0
    damaged[30] = np.roll(truth[30], (6, -9), (0, 1))
    damaged[30, :6] = damaged[30, :, -9:] = 0
    mask = (damaged > 0).astype(np.uint8)
    size = (slice_nm, 10, 10)
    least = LEAST * np.prod(size) / 1e9
    found, _, links = separated(mask, size, least=least)
    fate = fates(found, damaged)
    assert fate["matched"] >= 0.97 * fate.sum()
    assert false_ends(found, damaged, 4) <= max(2, 2 * millimetres(truth, slice_nm))
    gaps = links[links["kind"] == "gap"].groupby("slice")["missing_slices"].agg(["count", "median"])
    many = gaps[gaps["count"] > 0.5 * len(np.unique(truth[14]))]
    assert many["median"].to_dict() == {14: 2, 21: 1}
    assert not found[12:14].any()
    _, _, links = separated(mask, size, least=least, max_gap=1)
    ends = links[links["kind"] == "end"]["slice"].value_counts()
    assert ends[11] > 0.5 * len(np.unique(truth[11]))


@pytest.mark.parametrize(("y", "x"), [(16, 12), (-20, 15), (0, -22)])
def test_one_slice_displaced_by_several_radii_is_followed_there_and_back(y, x):
    rng, shape, places = np.random.default_rng(0), (16, 160, 160), []
    while len(places) < 100:
        radius = rng.uniform(4.5, 8)
        at = rng.uniform(radius + 2, 158 - radius, 2)
        if all(np.hypot(*(at - b)) > radius + r for b, r in places):
            places.append((at, radius))
    truth, grid = np.zeros(shape, np.uint32), np.mgrid[:160, :160]
    for z in range(16):
        sway = 2 * np.array([np.sin(z / 8), np.cos(z / 11)])
        for number, (at, radius) in enumerate(places, 1):
            truth[z][np.hypot(*(grid - (at + sway)[:, None, None])) < radius] = number
    moved = np.pad(truth[8], 22)  # nothing comes in from the other side
    truth[8] = moved[22 - y : 182 - y, 22 - x : 182 - x]
    found, _, _ = separated((truth > 0).astype(np.uint8))
    assert fates(found, truth)["matched"] >= 95


@st.composite
def scenes(draw):
    """Rods, blobs and noise in one or two classes; slab cuts and a block size."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.tuples(st.integers(1, 20), st.integers(3, 40), st.integers(3, 40))))
    z, y, x = np.indices(shape)
    if draw(st.booleans()):
        mask = np.zeros(shape, bool)
        for _ in range(rng.integers(1, 9)):
            at, tilt = rng.uniform(0, shape[1:], 2), rng.normal(0, 1, 2)
            far = np.hypot(y - at[0] - tilt[0] * z, x - at[1] - tilt[1] * z)
            mask |= (far < rng.uniform(1, 6)) & (z >= rng.integers(-5, 4))
        mask[rng.random(shape[0]) < 0.1] = False
    else:
        noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.4, 2.5))
        mask = noise > np.quantile(noise, rng.uniform(0.3, 0.9))
    classes = mask.astype(np.uint8)
    if draw(st.booleans()):
        classes[mask & (ndimage.gaussian_filter(rng.standard_normal(shape), 2) > 0)] = 2
    cuts = sorted({int(c) for c in rng.integers(0, shape[0] + 1, draw(st.integers(0, 3)))})
    return classes, [c for c in cuts if 0 < c < shape[0]], tuple(rng.integers(2, 30, 2).tolist())


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenes(), st.integers(1, 2), st.integers(0, 2), st.sampled_from([None, 2, 5]))
def test_slabs_blocks_and_threads_do_not_matter(scene, threads, max_gap, apart):
    classes, cuts, block = scene
    boundary = None  # or sheets, so many pixels apart
    if apart:
        z, y, x = np.indices(classes.shape)
        boundary = (((z + y - 2 * x) % apart == 0) * 255).astype(np.uint8)
    how = {"max_gap": max_gap, "boundary": boundary}
    whole, table, events = separated(classes, **how)
    ids, index, links = separated(classes, cuts=cuts, block=block, threads=threads, **how)
    np.testing.assert_array_equal(ids, whole)
    pd.testing.assert_frame_equal(index, table)
    pd.testing.assert_frame_equal(links, events)
    values, first = np.unique(ids, return_index=True)
    assert np.all(np.diff(first[values > 0]) > 0)
    assert len(index) == (values > 0).sum()
    for row, where in zip(index.itertuples(), ndimage.find_objects(ids), strict=True):
        own = ids == row.object_id
        assert row.voxels == own.sum()
        box = (row.z0, row.z1, row.y0, row.y1, row.x0, row.x1)
        assert box == tuple(v for s in where for v in (s.start, s.stop))
        assert {f"class{c}" for c in np.unique(classes[own])} == {row._2}


def test_who_loses_all_of_its_cross_section_to_others_counts_none_of_it():
    """A cut may leave a sliver of it to the object that was found there, which then has nothing."""
    rng = np.random.default_rng(19)
    noise = ndimage.gaussian_filter(rng.standard_normal((6, 30, 40)), 1.2)
    z, y, x = np.indices(noise.shape)
    sheets = (((z + y - 2 * x) % 2 == 0) * 255).astype(np.uint8)
    mask = (noise > np.quantile(noise, 0.35)).astype(np.uint8)
    ids, index, _ = separated(mask, max_gap=2, boundary=sheets)
    assert len(index) > 20
    assert index.voxels.tolist() == np.bincount(ids.ravel())[index.object_id].tolist()


def rods(depth, *places, radius=6, shape=(48, 64)):
    """Mask of discs: each place a function of z that gives y, x, or None."""
    mask = np.zeros((depth, *shape), np.uint8)
    y, x = np.indices(shape)
    for z in range(depth):
        for at in (place(z) for place in places):
            if at is not None:
                mask[z][np.hypot(y - at[0], x - at[1]) < radius] = 1
    return mask


def test_objects_that_fuse_for_a_while_stay_two():
    def apart(z):
        return max(9, 2 + abs(z - 12))

    mask = rods(24, lambda z: (20, 30 - apart(z) / 2), lambda z: (20, 30 + apart(z) / 2))
    ids, index, _ = separated(mask)
    assert [ndimage.label(mask[z])[1] for z in (2, 12, 22)] == [2, 1, 2]
    assert len(index) == 2
    assert (index["z1"] - index["z0"]).tolist() == [24, 24]
    assert abs(np.diff(index["voxels"])[0]) < 0.1 * index["voxels"].mean()
    assert np.array_equal(ids > 0, mask > 0)


def test_thick_discs_that_touch_are_told_and_come_apart_with_a_larger_radius(caplog):
    radius, neck = 40, 0.6  # pixels; half the neck by the radius
    y, x = np.mgrid[:220, :120]
    apart = radius * np.sqrt(1 - neck**2)
    plane = np.any([np.hypot(y - 110 - s * apart, x - 60) < radius for s in (-1, 1)], axis=0)
    classes = np.repeat(plane[None], 5, axis=0).astype(np.uint8)
    assert len(separated(classes)[1]) == 1
    assert "thicker than twice max_radius_nm (160 nm; places: 5)" in caplog.text
    caplog.clear()
    assert len(separated(classes, max_radius_nm=500)[1]) == 2
    assert "thicker" not in caplog.text


def test_ends_merges_and_splits_are_told():
    def joins(z):
        return (20, 30 + max(0, 20 - 1.5 * z)) if z < 20 else None

    mask = rods(30, lambda z: (20, 30), joins, lambda z: (40, 10) if 5 <= z < 12 else None)
    _, index, links = separated(mask)
    assert len(index) == 3
    told = links.set_index("kind")
    assert told.loc["start", ["object_id", "slice"]].tolist() == [3, 5]
    assert told.loc["end", ["object_id", "slice"]].tolist() == [3, 11]
    assert told.loc["end", ["z_nm", "y_nm", "x_nm"]].tolist() == [575, 405, 105]
    assert sorted(told.loc["merge", ["object_id", "other_id"]]) == [1, 2]
    assert 7 <= told.loc["merge", "slice"] <= 19
    _, _, turned = separated(mask[::-1])
    assert turned["kind"].tolist().count("split") == 1
    split = turned[turned["kind"] == "split"].iloc[0]
    assert split["other_id"] > 0
    assert 18 <= split["slice"] <= 27


@pytest.mark.parametrize("aside", [4, 6, 7])
def test_a_fibril_that_parts_in_two_is_told_whichever_way_it_is_gone_through(aside):
    """Among straight ones, where the arms part at once and lie mostly beside the trunk's middle."""
    z, y, x = np.indices((40, 140, 140))

    def disc(cy, cx, radius):
        return (y - cy) ** 2 + (x - cx) ** 2 < radius**2

    places = (15, 45, 95, 125)
    mask = np.any([disc(cy, cx, 6) for cy in places for cx in places], axis=0)
    mask |= (z < 20) & disc(70, 70, 7)
    for side in (-1, 1):
        mask |= (z >= 20) & disc(70 - side * (aside + 0.8 * (z - 20)), 70, 6)
    for way, kind in ((1, "split"), (-1, "merge")):
        _, index, links = separated(mask[::way].astype(np.uint8))
        assert len(index) == 18
        assert links["kind"].tolist() == [kind]
        assert links["other_id"].gt(0).all()


def test_who_crosses_the_border_of_the_image_neither_starts_nor_ends():
    """One leans out of the image and one into it; a third ends beside them."""

    def out(z):
        return (20, 50 + z)

    mask = rods(30, out, lambda z: (40, z - 12), lambda z: (24, 20) if z < 15 else None)
    _, index, links = separated(mask)
    assert len(index) == 3
    assert links[["kind", "slice"]].to_numpy().tolist() == [["end", 14]]


@pytest.mark.parametrize("depth_nm", [50, 200])
@pytest.mark.parametrize("scatter", [0, 1])
def test_evenly_spaced_fibrils_that_end_or_are_missing_do_not_change_places(depth_nm, scatter):
    """8 × 8 rods of 5 px, 20 px apart: half of them end at once, one by one, or are missing."""
    off = np.random.default_rng(0).uniform(-scatter, scatter, (64, 2))
    at = np.stack(np.divmod(np.arange(64), 8), 1) * 20 + 15 + off
    y, x = np.indices((170, 170))
    discs = [np.hypot(y - cy, x - cx) < 5 for cy, cx in at]
    whole = np.zeros((24, 170, 170), np.uint16)
    for n, disc in enumerate(discs, 1):
        whole[:, disc] = n
    at_once, one_by_one, missing = whole.copy(), whole.copy(), whole.copy()
    for n, disc in enumerate(discs):
        if n % 8 >= 4:
            at_once[12:, disc] = 0
        one_by_one[8 + n % 8 :, disc] = 0
    missing[12, :, 85:] = 0
    for truth, ended in ((at_once, 32), (one_by_one, 64), (missing, 0)):
        ids, index, links = separated((truth > 0).astype(np.uint8), size=(depth_nm, 10, 10))
        assert len(index) == 64
        assert all(len(np.unique(ids[truth == n])) == 1 for n in range(1, 65))
        assert links["kind"].tolist().count("end") == ended
        assert set(links["kind"]) <= {"end", "gap"}


def test_a_boundary_parts_what_touches():
    mask, edge = np.zeros((8, 20, 40), np.uint8), np.zeros((8, 20, 40), np.uint8)
    mask[:, 5:15, 5:35] = 1
    edge[:, :, 19] = 255
    assert len(separated(mask)[1]) == 1
    ids, index, _ = separated(mask, boundary=edge)
    assert index["voxels"].sum() == mask.sum()  # voxels of the boundary belong to either
    assert index["voxels"].tolist() in ([8 * 10 * 15, 8 * 10 * 15], [8 * 10 * 14, 8 * 10 * 16])
    assert (ids[:, 5:15, 5:19] == ids[0, 5, 5]).all()
    with pytest.raises(InputError, match="expected that of"):
        separated(mask, boundary=edge[:, :-1])


def test_nothing_single_voxels_and_what_is_too_small(caplog):
    _, index, links = separated(np.zeros((3, 9, 9), np.uint8))
    assert len(index) == len(links) == 0
    one = np.zeros((3, 9, 9), np.uint8)
    one[1, 4, 4] = 1
    assert len(separated(one)[1]) == 0
    assert "1 cross-sections of less than 9 pixels belong to no fibril" in caplog.text
    assert separated(one, min_area_nm2=100)[1]["voxels"].tolist() == [1]


def test_motion_is_found_beyond_the_distance_of_neighbours():
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*[np.arange(0, 300, 14.0)] * 2), -1).reshape(-1, 2)
    places += rng.uniform(-3, 3, places.shape)
    areas = np.pi * rng.uniform(4, 7, len(places)) ** 2
    moved = places + np.stack([17 + places[:, 1] / 60, -6 + places[:, 0] / 60], axis=1)
    seen = rng.random(len(places)) < 0.9
    motion = local_motion(places, areas, moved[seen], areas[seen])
    assert np.abs(motion - (moved - places)).max() < 1.5


def test_a_killed_slab_goes_on_after_its_last_row(tmp_path, monkeypatch):
    mask = rods(40, lambda z: (20, 20), lambda z: (20, 33))
    source = str(tmp_path / "labels.zarr")
    create_volume(source, mask.shape, np.uint8, (50, 10, 10), classes={"1": "class1"})[:] = mask
    rows, real = [], slices.row_sections

    def dying(apart, *rest):
        rows.append(apart.z.start)
        if len(rows) == 3:
            raise KeyboardInterrupt
        return real(apart, *rest)

    def work():
        folder, chosen = str(tmp_path / "slab"), slices.Settings()
        slices.separate_slab(Classes(source), folder, slice(0, 40), chosen)
        join_objects(Linked.of_all([folder], chosen, tmp_path), str(tmp_path / "objects.zarr"))
        return open_volume(tmp_path / "objects.zarr")[:]

    monkeypatch.setattr(slices, "row_sections", dying)
    with pytest.raises(KeyboardInterrupt):
        work()
    ids = work()
    assert rows == [0, 16, 32, 32]
    assert np.array_equal(ids, separated(mask)[0])
    assert not list(Path(tmp_path).glob("*.partial"))


@pytest.mark.parametrize("wrong", [{"max_gap": -1}, {"merge_ratio": 2}, {"h_maxima": 1}])
def test_wrong_settings_are_told_in_one_line(wrong):
    with pytest.raises(InputError, match="expected") as error:
        slices.Settings.of(wrong)
    assert "\n" not in str(error.value)


def test_more_classes_than_slices_can_tell_apart_are_refused():
    classes = np.zeros((2, 8, 130), np.uint8)
    classes[:, 2:4, 1:129] = np.arange(1, 129)
    with pytest.raises(InputError, match="128 classes; expected at most 127"):
        separated(classes)
