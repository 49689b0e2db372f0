"""Patches: what may be learnt from, what not, and a row for each place that says why."""

import itertools

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.errors import InputError
from blockface.patch_grid import grid, regions, starts
from blockface.patches import (
    check_size,
    choose,
    cut,
    load_patches,
    store_patches,
)
from blockface.scores import UNKNOWN

CLASSES = {1: "fibril", 2: "cell"}


def painted(seed, depth=12, size=40, slices=(2, 5, 9)):
    """Labels with blobs of both classes on some slices, the rest unknown."""
    rng = np.random.default_rng(seed)
    labels = np.full((depth, size, size), UNKNOWN, np.uint8)
    for z in slices:
        labels[z] = 0
        for value in (1, 2):
            y, x = rng.integers(0, size - 8, 2)
            labels[z, y : y + 8, x : x + 8] = value
    return labels


def chosen(labels, slices, **changes):
    options = {
        "held_out": [], "classes": CLASSES, "size": 16, "seed": 1,
        "min_foreground": {"fibril": 0.05, "cell": 0.05}, "background_share": 0.0,
    }  # fmt: skip
    return choose(labels, slices, **{**options, **changes})


@given(
    n=st.integers(2, 300), a=st.integers(0, 299), b=st.integers(0, 299), size=st.integers(2, 300)
)
def test_patches_lie_about_what_was_reviewed(n, a, b, size):
    first, last = sorted((a % n, b % n))
    size = min(size, n)
    seen = np.zeros(n, bool)
    seen[[first, last]] = True
    found = starts(seen, size)
    assert found[0] <= first
    assert last < found[-1] + size <= n
    assert all(s < e + size for s, e in zip(found[1:], found, strict=False))
    if last - first < size:
        assert len(found) == 1
        left, right = first - found[0], found[0] + size - 1 - last
        assert abs(left - right) <= 1 or found[0] in (0, n - size)
    assert starts(np.ones(n, bool), size) == grid(n, size, size // 2)


def test_a_small_correction_is_one_patch_with_all_of_it():
    labels = np.full((3, 64, 64), UNKNOWN, np.uint8)
    labels[1, 20:36, 41:57] = 1
    table = chosen(labels, [1], size=24)
    assert table[["y", "x"]].to_numpy().tolist() == [[16, 37]]
    assert table["reviewed"].tolist() == [pytest.approx(16 * 16 / 24**2)]


def test_places_of_one_slice_are_learnt_from_as_often_as_those_of_two():
    labels = np.full((3, 200, 200), UNKNOWN, np.uint8)
    labels[0, 10:42, 20:52] = labels[1, 10:42, 20:52] = 1
    labels[0, 100:132, 130:162] = labels[2, 100:132, 130:162] = 1
    table = chosen(labels, [0, 1, 2], size=40)
    both = table.loc[table["z"] == 0, ["y", "x", "reviewed"]].to_numpy().tolist()
    alone = table.loc[table["z"] > 0, ["y", "x", "reviewed"]].to_numpy().tolist()
    assert both == alone == [[6, 16, 0.64], [96, 126, 0.64]]


def test_strokes_near_each_other_are_one_patch():
    labels = np.full((1, 200, 200), UNKNOWN, np.uint8)
    labels[0, 50:80:10, 60:90:10] = 1  # nine voxels, apart
    assert chosen(labels, [0], size=40)[["y", "x"]].to_numpy().tolist() == [[41, 51]]


@given(st.integers(0, 10**6), st.integers(8, 60), st.integers(0, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_all_that_was_reviewed_is_in_a_patch_and_regions_are_apart(seed, size, n, dust):
    rng = np.random.default_rng(seed)
    known = rng.random((90, 120)) < (0.002 if dust else 0)
    for y, x, h, w in rng.integers(1, 60, (n, 4)):
        known[y : y + h // 3, 2 * x : 2 * x + w] = True
    boxes, held = regions(known, size), np.zeros(known.shape, int)
    for box in boxes:
        held[box] += 1
    assert held.max(initial=0) <= 1  # a region is not learnt from twice
    assert held[known].all()
    labels = np.where(known, 1, UNKNOWN).astype(np.uint8)[None]
    if known.any():
        least = dict.fromkeys(CLASSES.values(), 0.0)
        for row in chosen(labels, [0], size=size, min_foreground=least).itertuples():
            known[row.y : row.y + size, row.x : row.x + size] = False
        assert not known.any()


def test_corrected_background_is_let_through_but_no_more_than_has_objects():
    labels = np.full((6, 64, 64), UNKNOWN, np.uint8)
    labels[1], labels[1, :, 20:24] = 0, 1  # painted first: two patches wide, all with a fibril
    labels[3] = labels[4] = 0  # where nothing is, once painted so, once corrected
    rounds = np.where(labels == UNKNOWN, UNKNOWN, 0).astype(np.uint8)
    rounds[4] = 1
    wide = {"size": 32, "min_foreground": {"fibril": 0.02, "cell": 0.02}}
    table = chosen(labels, [1, 3, 4], rounds=rounds, **wide)
    kept = table.groupby("z")["kept"].sum()
    assert kept[1] > 0
    assert kept[3] == 0
    assert kept[4] == min(kept[1], 9)
    assert table.loc[table["kept"] & (table["z"] == 4), "reason"].eq("background corrected").all()
    assert not chosen(labels, [1, 3, 4], **wide).query("z == 4")["kept"].any()


@given(length=st.integers(1, 500), size=st.integers(1, 500), step=st.integers(1, 300))
def test_patches_cover_and_stay_inside(length, size, step):
    if size > length or step > size:
        return
    corners = grid(length, size, step)
    assert corners == sorted(set(corners))
    assert (corners[0], corners[-1]) == (0, length - size)
    assert all(b - a <= step for a, b in itertools.pairwise(corners))


@given(seed=st.integers(0, 500), context=st.integers(0, 3), held=st.sets(st.integers(0, 11)))
@settings(max_examples=40, deadline=None)
def test_a_held_out_slice_is_never_in_a_patch(seed, context, held):
    labels = painted(seed)
    image = np.arange(12, dtype=np.uint8)[:, None, None] * np.ones((12, 40, 40), np.uint8)
    try:
        table = chosen(labels, [2, 5, 9], held_out=sorted(held), background_share=1.0)
    except InputError:
        assert held >= {2, 5, 9}
        return
    for patch in cut(image, labels, table, 16, context, held):
        assert not held & set(np.unique(patch[:-1]).tolist())
    refused = table[table["reason"].str.startswith("held-out")]
    assert not refused["kept"].any()


@given(seed=st.integers(0, 500), least=st.floats(0.01, 0.25), share=st.floats(0, 2))
@settings(max_examples=30, deadline=None)
def test_kept_patches_have_enough_foreground_or_are_background_let_through(seed, least, share):
    labels = painted(seed)
    limits = {"fibril": least, "cell": least / 2}
    table = chosen(labels, [2, 5, 9], min_foreground=limits, background_share=share)
    enough = (table["foreground_fibril"] >= least) | (table["foreground_cell"] >= least / 2)
    background = table["reason"] == "background let through"
    assert (table["kept"] == (enough | background)).all()
    spare = (~enough).sum()
    assert background.sum() == min(spare, round(share * enough.sum()))
    assert table["reason"].isin(
        ["background let through", "too little foreground", "enough fibril", "enough cell",
         "enough fibril, cell"]
    ).all()  # fmt: skip
    for row in table.itertuples():
        patch = labels[row.z, row.y : row.y + 16, row.x : row.x + 16]
        assert row.foreground_fibril == pytest.approx((patch == 1).mean())
        assert row.reviewed == 1


def test_the_share_is_of_what_was_reviewed():
    labels = np.full((1, 16, 16), UNKNOWN, np.uint8)
    labels[0, :4, :4] = 0
    labels[0, :2, :4] = 1
    row = chosen(labels, [0], background_share=0).iloc[0]
    assert row["foreground_fibril"] == 0.5
    assert row["reviewed"] == pytest.approx(16 / 256)


def test_a_class_that_no_place_shows_is_told(caplog):
    labels = np.where(painted(3) == 2, 0, painted(3)).astype(np.uint8)
    chosen(labels, [2, 5, 9])
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "annotations: Nothing of class cell is painted in any place that is learnt from, so none "
        "will be found; paint some, or take it out of classes."
    ]


def test_classes_reviewed_in_different_places_only_are_told(caplog):
    labels = painted(3)
    labels[2][labels[2] == 0], labels[5][labels[5] == 0] = 254, 253
    without = {254: frozenset({1}), 253: frozenset({2})}
    chosen(labels[:6], [2, 5], without=without)
    assert "nothing tells them from it" in caplog.text
    caplog.clear()
    chosen(labels, [2, 5, 9], without=without)
    assert "nothing tells" not in caplog.text


def test_the_draw_belongs_to_the_seed():
    labels = painted(3)
    kept = [chosen(labels, [2, 5, 9], seed=s, background_share=0.3)["kept"] for s in (1, 1, 2)]
    assert kept[0].equals(kept[1])
    assert not kept[0].equals(kept[2])


def test_nothing_above_the_limit_is_told_with_the_best_there_is():
    labels = painted(0)
    with pytest.raises(InputError) as caught:
        chosen(labels, [2, 5, 9], min_foreground={"fibril": 0.9, "cell": 0.8}, source="a.zarr")
    message = str(caught.value)
    assert message.startswith("a.zarr: no patch of 16 × 16 pixels reaches min_foreground")
    assert "fibril 0.2500 (expected 0.9)" in message
    assert "lower patches.min_foreground" in message
    assert "\n" not in message


def test_cut_patches_hold_the_neighbours_and_then_the_labels():
    labels = painted(1, slices=(0, 5, 11))
    image = np.random.default_rng(0).integers(0, 255, labels.shape, dtype=np.uint16)
    table = chosen(labels, [0, 5, 11])
    patches = list(cut(image, labels, table, 16, 1))
    assert {p.shape for p in patches} == {(4, 16, 16)}
    kept = table[table["kept"]]
    for patch, row in zip(patches, kept.itertuples(), strict=True):
        part = (slice(row.y, row.y + 16), slice(row.x, row.x + 16))
        for channel, z in enumerate((row.z - 1, row.z, row.z + 1)):
            assert np.array_equal(patch[channel], image[np.clip(z, 0, 11)][part])
        assert np.array_equal(patch[-1], labels[row.z][part])


def test_stored_patches_come_back_with_a_digest_of_content_and_attributes(tmp_path):
    patches = list(np.random.default_rng(0).integers(0, 9, (5, 2, 8, 8), dtype=np.uint16))
    digests = []
    for name, stored, note in (("a", patches, 1), ("b", patches, 1), ("c", patches, 2),
                               ("d", patches[::-1], 1)):  # fmt: skip
        store_patches(tmp_path / name, iter(stored), len(stored), note=note)
        values, attributes, digest = load_patches(tmp_path / name)
        assert np.array_equal(values, stored)
        assert attributes == {"note": note}
        digests.append(digest)
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3
    assert sum(f.is_file() for f in (tmp_path / "a").rglob("*")) == 2  # few files
    assert zarr.open_array(str(tmp_path / "a")).dtype == np.uint16


def test_a_patch_larger_than_the_image_is_refused_with_the_key():
    check_size(40, (40, 50), "s", "k")
    with pytest.raises(
        InputError, match=r"stack.zarr: a patch of 41 × 41 .* 40 × 50 .*lower k to 40"
    ):
        check_size(41, (40, 50), "stack.zarr", "k")
