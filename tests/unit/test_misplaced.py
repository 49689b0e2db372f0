"""Masks that came back flipped, shifted or of another place are found; honest work never is."""

import shutil

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, binary_erosion, shift

import exchange_files as files
from blockface.annotations import import_rounds
from blockface.errors import InputError
from blockface.misplaced import found_elsewhere
from blockface.predicted import Prediction
from blockface.tables import read_table

SHAPE = (5, 160, 192)
Y, X = np.mgrid[: SHAPE[1], : SHAPE[2]]


def fibrils(seed, count=60, drift=0.6):
    """Discs of 5 to 9 pixels' radius that wander from slice to slice, no two in one place."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (20 * count, 2)) * SHAPE[1:]
    kept = []
    for c in centres:
        if all(np.hypot(*(c - k)) > 18 for k in kept) and len(kept) < count:
            kept.append(c)
    radii, way = rng.uniform(5, 9, len(kept)), rng.normal(0, drift, (len(kept), 2))
    mask = np.zeros(SHAPE, bool)
    for z in range(SHAPE[0]):
        for (y, x), r, (dy, dx) in zip(kept, radii, way, strict=True):
            mask[z] |= (Y - y - z * dy) ** 2 + (X - x - z * dx) ** 2 < r**2
    return mask


def cell(seed):
    """One large thing with a wavy edge that leaves the place on two sides."""
    rng = np.random.default_rng(seed)
    edge = SHAPE[2] * rng.uniform(0.3, 0.6) + rng.uniform(4, 12) * np.sin(Y / rng.uniform(15, 40))
    return np.stack([edge + rng.normal(0, 1) > X for _ in range(SHAPE[0])])


def blobs(seed, share):
    """Discs strewn over the place until they cover about ``share`` of it."""
    rng, mask = np.random.default_rng(seed), np.zeros(SHAPE, bool)
    while mask.mean() < share:
        y, x, r = *(rng.uniform(0, 1, 2) * SHAPE[1:]), rng.uniform(4, 20)
        mask[rng.integers(SHAPE[0])] |= (Y - y) ** 2 + (X - x) ** 2 < r**2
    return mask


HONEST = {
    "untouched": lambda m, s: m,
    "one pixel more": lambda m, s: binary_dilation(m, np.ones((1, 3, 3))),
    "two pixels less": lambda m, s: binary_erosion(m, np.ones((1, 5, 5))),
    "most removed": lambda m, s: m & blobs(s, 0.2),
    "much added": lambda m, s: m | blobs(s, 0.4),
    "half of it redrawn": lambda m, s: np.where(blobs(s, 0.5), fibrils(s + 1), m),
    "all redrawn a little off": lambda m, s: shift(
        binary_dilation(m, np.ones((1, 3, 3))), (0, 0.6, 0.6), order=0
    ),
    "the right side emptied": lambda m, s: m & (X < 60),
    "only the middle slice kept": lambda m, s: m & (np.arange(5) == 2)[:, None, None],
    "all painted over": lambda m, s: ~(~m & blobs(s, 0.02)),
    "nothing": lambda m, s: m & False,
}


@pytest.mark.parametrize("work", HONEST)
@settings(max_examples=4, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), thing=st.sampled_from([fibrils, cell]))
def test_honest_work_however_heavy_is_believed(work, seed, thing):
    before = thing(seed)
    after = HONEST[work](before, seed)
    found = found_elsewhere(before, after, {"another": thing(seed + 1)})
    assert found is None


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), offset=st.integers(-40, 40))
@example(seed=1249, offset=37)
@example(seed=112, offset=-40)
def test_the_edge_of_one_large_thing_may_be_moved(seed, offset):
    """What lies beyond the border comes in after it: np.roll would move the other side, too."""
    before = cell(seed)
    beyond = np.pad(before, ((0, 0), (0, 0), (40, 40)), "edge")
    moved = beyond[:, :, 40 - offset :][:, :, : SHAPE[2]]
    assert found_elsewhere(before, moved, {}) is None


MOVED = {
    "flipped along y": lambda m: np.flip(m, 1),
    "flipped along x": lambda m: np.flip(m, 2),
    "flipped along y and x": lambda m: np.flip(m, (1, 2)),
    "flipped along z and x": lambda m: np.flip(m, (0, 2)),
    "shifted by -1 and 0 voxels": lambda m: np.roll(m, 1, 1),
    "shifted by 17 and -30 voxels": lambda m: np.roll(m, (-17, 30), (1, 2)),
    "flipped along x, shifted by 0 and 1 voxels": lambda m: np.roll(np.flip(m, 2), 1, 2),
}


@pytest.mark.parametrize("work", ["untouched", "much added", "most removed"])
@pytest.mark.parametrize("name", MOVED)
def test_what_was_moved_as_a_whole_is_found_though_it_was_edited(name, work):
    before = fibrils(5)
    edited = before.copy()
    edited[2] = HONEST[work](before, 1)[2]  # the slice that was asked about
    said, certain = found_elsewhere(before, MOVED[name](edited), {})
    assert name in said
    assert certain or "shifted by -1 and 0" in said  # half of the outlines lie on the old ones


def test_masks_of_another_place_or_of_nowhere_are_told():
    before, other = fibrils(1), fibrils(2)
    said, certain = found_elsewhere(before, other, {"that of z0012": other})
    assert "that of z0012" in said
    assert certain
    said, certain = found_elsewhere(before, other, {"that of z0013": fibrils(3)})
    assert "of another place or stack?" in said
    assert not certain
    said, certain = found_elsewhere(before, ~before, {"that of z0013": fibrils(3)})
    assert "inverted" in said
    assert certain


CLASSES, STACK, VOXEL = {1: "fibril", 2: "cell"}, (12, 200, 220), (50.0, 10.0, 12.0)


@pytest.fixture
def place(tmp_path):
    """A place that came back untouched from a program that keeps no coordinates."""
    folder = tmp_path / "annotations" / "00" / "z0006"
    folder.mkdir(parents=True)
    labels = np.where(cell(3), 2, fibrils(3)).astype(np.uint8)
    Prediction(labels, (4, 20, 10), 6).write(folder, CLASSES)
    files.tiff(folder / "labels.tif", labels)
    return folder, labels


def imported(folder):
    home = folder.parents[2]
    import_rounds(
        home / "annotations", [0], CLASSES, STACK, VOXEL, home / "a.zarr",
        report_path=home / "report.tsv",
    )  # fmt: skip
    return read_table(home / "report.tsv")


def test_a_place_that_comes_back_flipped_is_refused_in_one_line(place):
    folder, labels = place
    assert imported(folder)["note"].isna().all()
    files.tiff(folder / "labels.tif", labels[:, ::-1])
    with pytest.raises(InputError, match=r"100% of the outlines .* flipped along y, ") as caught:
        imported(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    (folder / "regions.tsv").write_text(
        "file\tz0\tz1\ty0\ty1\tx0\tx1\nlabels.tif\t4\t9\t20\t180\t10\t202\n"
    )
    assert imported(folder)["status"].tolist()[-1] == "corrected"  # somebody says that it is right


def test_one_class_flipped_alone_and_masks_of_the_place_beside_it_are_refused(place):
    folder, labels = place
    (folder / "labels.tif").unlink()
    files.tiff(folder / "cell.tif", (labels == 2).astype(np.uint8))
    files.tiff(folder / "fibril.tif", (labels == 1)[:, :, ::-1].astype(np.uint8))
    with pytest.raises(InputError, match=r"flipped along x, .* as it is"):
        imported(folder)
    second = folder.with_name("z0009")
    shutil.copytree(folder, second)
    others = np.where(cell(8), 2, fibrils(8)).astype(np.uint8)
    Prediction(others, (5, 0, 0), 7).write(second, CLASSES)
    for value, name in CLASSES.items():
        files.tiff(folder / f"{name}.tif", (others == value).astype(np.uint8))
        files.tiff(second / f"{name}.tif", (others == value).astype(np.uint8))
    with pytest.raises(InputError, match=r"z0006: fibril: 100% .* that of z0009"):
        imported(folder)


def test_masks_of_exchanged_classes_are_refused(place):
    folder, labels = place
    swapped = np.array([0, 2, 1], np.uint8)[labels]
    files.tiff(folder / "labels.tif", swapped)
    with pytest.raises(InputError, match=r"fibril: 100% of the outlines .* as that of cell, "):
        imported(folder)
    (folder / "labels.tif").unlink()
    for value, name in CLASSES.items():
        files.tiff(folder / f"{name}.tif", (swapped == value).astype(np.uint8))
    with pytest.raises(InputError, match=r"each under the name of its class"):
        imported(folder)


def test_an_inverted_mask_is_refused(place):
    folder, labels = place
    (folder / "labels.tif").unlink()
    files.tiff(folder / "fibril.tif", (labels != 1).astype(np.uint8))
    with pytest.raises(InputError, match=r"fibril: .* of the outlines .* as inverted, 0% as it is"):
        imported(folder)


def test_masks_that_fit_nothing_are_told_in_the_report(place, caplog):
    folder, _ = place
    files.tiff(folder / "labels.tif", fibrils(77).astype(np.uint8))
    notes = imported(folder).set_index("class")["note"]
    assert "of another place or stack?" in notes["fibril"]
    assert "of another place or stack?" in caplog.text
