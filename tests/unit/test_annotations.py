"""Rounds of annotations against labels known beforehand."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.annotations import check_held_out, import_rounds, known_slices
from blockface.errors import InputError
from blockface.reviewed import seen_for, without_of
from blockface.rounds import class_of_name
from blockface.seg3d import write_nrrd
from blockface.volume import open_volume

SHAPE, VOXEL = (20, 30, 40), (50.0, 10.0, 12.0)
CLASSES = {1: "fibril", 2: "cell"}


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "annotations" / "demo"
    (folder / "00").mkdir(parents=True)
    return folder


def box(z, y, x, shape=SHAPE):
    array = np.zeros(shape, np.uint8)
    array[slice(*z), slice(*y), slice(*x)] = 1
    return array


def save(path, array, offset=(0, 0, 0), voxel=VOXEL):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nrrd(path, array, voxel, offset)


def imported(home, rounds=1, classes=CLASSES, **given):
    out = home.parents[1] / "out"
    table = import_rounds(
        home, range(rounds), classes, SHAPE, VOXEL, out / "a.zarr", rounds_path=out / "r.zarr",
        **given,
    )  # fmt: skip
    return open_volume(out / "a.zarr"), open_volume(out / "r.zarr"), table


def test_whole_stack_masks_count_as_reviewed_where_either_has_paint(home, caplog):
    fibril, cell = box((5, 6), (2, 8), (2, 8)), box((9, 10), (20, 25), (20, 25))
    save(home / "00" / "fibril.nrrd", fibril)
    save(home / "00" / "Cell.nrrd", cell)
    labels, rounds, table = imported(home)
    truth = np.full(SHAPE, 255, np.uint8)
    for z in (5, 9):
        truth[z] = fibril[z] + 2 * cell[z]
    assert np.array_equal(labels[:], truth)
    assert np.array_equal(rounds[:] == 0, truth != 255)
    assert known_slices(labels).tolist() == [5, 9]
    assert table["voxels_painted"].tolist() == [25, 36]
    assert table["voxels_reviewed"].tolist() == [2400, 2400]
    assert table["file"].tolist() == ["00/Cell.nrrd", "00/fibril.nrrd"]
    assert labels.attrs["classes"] == {"1": "fibril", "2": "cell"}
    assert "no fibril in 1 slice (9), where others of its folder are painted" in caplog.text
    assert "no cell in 1 slice (5)" in table.loc[0, "note"]
    caplog.clear()
    save(home / "00" / "fibril.nrrd", np.maximum(fibril, box((9, 10), (2, 8), (2, 8))))
    assert "no cell in 1 slice (5)" in imported(home)[2].loc[0, "note"]
    assert "folder are painted" not in caplog.text  # a class that some slices lack is usual


def test_the_extent_of_crops_counts_and_empty_classes_are_absent_there(home):
    crop = np.zeros((1, 10, 12), np.uint8)
    crop[0, 3:6, 4:9] = 1
    save(home / "00" / "z0007" / "z0007_fibril.nrrd", crop, (7, 5, 6))
    save(home / "00" / "z0007" / "z0007_cell.nrrd", crop * 0, (7, 5, 6))
    labels, _, table = imported(home)
    truth = np.full(SHAPE, 255, np.uint8)
    truth[7, 5:15, 6:18] = crop[0]
    assert np.array_equal(labels[:], truth)
    assert table.loc[0, ["z0", "z1", "y0", "y1", "x0", "x1"]].tolist() == [7, 8, 5, 15, 6, 18]


@pytest.mark.parametrize("painted", [SHAPE[0], 3])
def test_a_crop_through_the_whole_stack_is_told_where_it_has_unpainted_slices(home, painted):
    mask = np.zeros((SHAPE[0], SHAPE[1] - 4, SHAPE[2]), np.uint8)
    mask[:painted, 3:6, 4:9] = 1
    save(home / "00" / "fibril.nrrd", mask, (0, 2, 0))
    table = imported(home)[2]
    told = f"{SHAPE[0] - painted} without paint count as reviewed"
    assert (told in str(table["note"][0])) == (painted < SHAPE[0])


@pytest.mark.parametrize("less", [(0, 4, 0), (0, 0, 3), (2, 0, 0)])
def test_a_mask_of_a_smaller_stack_is_refused_unless_it_is_painted_all_through(home, less):
    size = np.subtract(SHAPE, less)
    fibril, cell = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    fibril[:3, 3:6, 4:9] = 1
    save(home / "00" / "fibril.nrrd", fibril)
    save(home / "00" / "cell.nrrd", cell)
    with pytest.raises(InputError, match=r"cell.nrrd: .*, from its first voxel on, and"):
        imported(home)
    regions(home / "00", ("*", 0, 3, 0, 10, 0, 10))
    assert imported(home)[2]["voxels_reviewed"].tolist() == [300, 300]
    (home / "00" / "regions.tsv").unlink()
    cell[3:, 8:9, 4:9] = 1
    save(home / "00" / "cell.nrrd", cell)
    assert imported(home)[2]["voxels_reviewed"].tolist() == [size.prod(), size.prod()]


def test_label_maps_and_tiff_stacks_give_the_same_labels(home):
    both = box((3, 5), (2, 8), (2, 8)) + 2 * box((3, 5), (20, 25), (20, 25))
    save(home / "00" / "labels.nrrd", both)
    first = imported(home)[0][:]
    (home / "00" / "labels.nrrd").unlink()
    tifffile.imwrite(home / "00" / "labels.tif", both.astype(np.uint16), compression="zlib")
    assert np.array_equal(imported(home)[0][:], first)
    (home / "00" / "labels.tif").unlink()
    for value, name in CLASSES.items():
        tifffile.imwrite(home / "00" / f"{name}.tif", 255 * (both == value).astype(np.uint8))
    again, _, table = imported(home)
    assert np.array_equal(again[:], first)
    assert "0 and 255" in table["note"][0]


def regions(folder, *rows):
    head = ("file", "z0", "z1", "y0", "y1", "x0", "x1")
    lines = ["\t".join(map(str, row)) for row in (head, *rows)]
    (folder / "regions.tsv").write_text("\n".join(lines) + "\n")


def test_regions_place_tiff_crops_and_say_what_was_reviewed(home):
    crop = np.zeros((2, 4, 5), np.uint8)
    crop[:, 1, 1] = 2
    tifffile.imwrite(home / "00" / "some_labels.tif", crop)
    regions(home / "00", ("some_labels.tif", 4, 6, 10, 14, 20, 25))
    labels = imported(home)[0][:]
    truth = np.full(SHAPE, 255, np.uint8)
    truth[4:6, 10:14, 20:25] = crop
    assert np.array_equal(labels, truth)


def test_regions_make_an_empty_whole_stack_mask_speak(home):
    save(home / "00" / "fibril.nrrd", box((5, 6), (2, 8), (2, 8)))
    save(home / "00" / "cell.nrrd", box((0, 0), (0, 0), (0, 0)))
    with pytest.raises(InputError, match=r"cell.nrrd: an empty mask"):
        imported(home)
    regions(home / "00", ("*", 4, 7, 0, 10, 0, 40))
    labels, _, table = imported(home)
    truth = np.full(SHAPE, 255, np.uint8)
    truth[4:7, :10] = box((5, 6), (2, 8), (2, 8))[4:7, :10]
    assert np.array_equal(labels[:], truth)
    assert set(table["voxels_reviewed"]) == {3 * 10 * 40}


def test_paint_outside_the_regions_is_left_out_and_told(home, caplog):
    save(home / "00" / "fibril.nrrd", box((5, 6), (2, 8), (2, 8)))
    save(home / "00" / "cell.nrrd", box((5, 6), (8, 10), (2, 8)))
    regions(home / "00", ("*", 5, 6, 0, 5, 0, 40))
    labels, _, table = imported(home)
    assert (labels[5, 5:] == 255).all()
    assert table.set_index("class")["note"]["cell"].startswith("12 painted voxels lie outside")


@pytest.mark.parametrize(
    ("row", "message"),
    [(("nobody.nrrd", 0, 1, 0, 5, 0, 5), "expected a file"), (("*", 0, 99, 0, 5, 0, 5), "inside"),
     (("*", 3, 3, 0, 5, 0, 5), "half-open"), (("*", "a", 3, 0, 5, 0, 5), "whole numbers"),
     (("*", 2.6, 3, 0, 5, 0, 5), "whole numbers")],
)  # fmt: skip
def test_regions_that_make_no_sense_are_refused(home, row, message):
    save(home / "00" / "fibril.nrrd", box((5, 6), (2, 8), (2, 8)))
    regions(home / "00", row)
    with pytest.raises(InputError, match=message):
        imported(home)


def test_without_a_file_for_every_class_the_unpainted_is_not_the_others(home, caplog):
    fibril = box((5, 6), (2, 8), (2, 8))
    save(home / "00" / "fibril.nrrd", fibril)
    labels, rounds, table = imported(home)
    (code,) = without_of(labels.attrs)
    assert without_of(labels.attrs)[code] == {1}
    reviewed = fibril.any(axis=(1, 2))[:, None, None]
    assert np.array_equal(labels[:], np.where(fibril, 1, np.where(reviewed, code, 255)))
    assert np.array_equal(rounds[:] == 0, np.broadcast_to(reviewed, SHAPE))
    assert "no file for cell" in table["note"][0]
    assert "no file for cell" in caplog.text


def test_later_rounds_override_earlier_ones_where_both_were_reviewed(home):
    save(home / "00" / "labels.nrrd", 2 * box((5, 7), (2, 8), (2, 8)))
    crop = box((0, 1), (0, 4), (0, 4), (1, 10, 10))
    save(home / "01" / "corrected" / "z0005_fibril.nrrd", crop, (5, 0, 0))
    save(home / "01" / "corrected" / "z0005_cell.nrrd", crop * 0, (5, 0, 0))
    labels, rounds, _ = imported(home, 2)
    truth = np.full(SHAPE, 255, np.uint8)
    truth[5:7] = 2 * box((5, 7), (2, 8), (2, 8))[5:7]
    truth[5, :10, :10] = crop[0]
    assert np.array_equal(labels[:], truth)
    which = np.full(SHAPE, 255, np.uint8)
    which[5:7] = 0
    which[5, :10, :10] = 1
    assert np.array_equal(rounds[:], which)
    assert np.array_equal(imported(home, 1)[1][:] == 0, imported(home, 1)[0][:] != 255)


def test_paint_taken_away_by_a_round_of_one_class_may_be_any_other(home):
    save(home / "00" / "labels.nrrd", box((5, 6), (2, 8), (2, 8)))
    smaller = box((0, 1), (2, 8), (2, 5), (1, 30, 40))
    save(home / "01" / "fibril.nrrd", smaller, (5, 0, 0))
    labels, rounds, _ = imported(home, 2)
    truth = np.zeros((30, 40), np.uint8)
    truth[2:8, 2:5], truth[2:8, 5:8] = 1, 255
    assert np.array_equal(seen_for(labels[5], 2, without_of(labels.attrs)), truth)
    truth[2:8, 5:8] = 0
    assert np.array_equal(seen_for(labels[5], 1, without_of(labels.attrs)), truth)
    assert rounds[5, 3, 6] == 1
    assert rounds[5, 3, 3] == 1
    assert rounds[5, 20, 20] == 0


def test_what_rounds_say_of_one_class_each_adds_up(home):
    painted = {n: box((5, 6), (2 + 9 * n, 8 + 9 * n), (2, 8)) for n in range(2)}
    save(home / "00" / "cell.nrrd", painted[0])
    save(home / "01" / "fibril.nrrd", painted[1])
    labels, rounds, _ = imported(home, 2)
    truth = np.full(SHAPE, 255, np.uint8)
    truth[5] = (2 * painted[0] + painted[1])[5]
    assert np.array_equal(labels[:], truth)  # neither of both is background
    assert np.array_equal(rounds[5], np.where(painted[0][5], 0, 1))
    assert known_slices(labels).tolist() == [5]


def test_folders_of_one_round_may_speak_of_a_class_each_but_not_against_each_other(home):
    fibril, cell = box((5, 6), (2, 8), (2, 8)), box((5, 6), (4, 8), (8, 12))
    save(home / "00" / "a" / "fibril.nrrd", fibril)
    save(home / "00" / "b" / "cell.nrrd", cell)
    assert np.array_equal(imported(home)[0][5], (fibril + 2 * cell)[5])
    save(
        home / "00" / "c" / "labels.nrrd", 2 * box((0, 1), (2, 8), (8, 12), (1, 30, 40)), (5, 0, 0)
    )
    with pytest.raises(InputError, match=r"disagree in \d+ voxels, inside z 5:6, y 2:8, x 2:12"):
        imported(home)


def test_an_empty_correction_means_that_all_was_removed(home):
    save(home / "00" / "labels.nrrd", box((5, 6), (2, 8), (2, 8)))
    for name in CLASSES.values():
        save(home / "01" / f"z0005_{name}.nrrd", np.zeros((1, 30, 40), bool), (5, 0, 0))
    assert not imported(home, 2)[0][5].any()


def test_two_classes_at_once_are_refused_with_count_and_box(home):
    save(home / "00" / "fibril.nrrd", box((5, 8), (2, 8), (2, 8)))
    save(home / "00" / "cell.nrrd", box((6, 9), (6, 20), (7, 20)))
    with pytest.raises(InputError, match=r"in 4 voxels, inside z 6:8, y 6:8, x 7:8"):
        imported(home)
    assert not (home.parents[1] / "out" / "a.zarr").exists()


@pytest.mark.parametrize("order", [["fibril"], ["cell", "fibril"]])
def test_what_two_masks_hold_belongs_to_the_class_named_first(home, order):
    fibril, cell = box((5, 8), (2, 8), (2, 8)), box((6, 9), (6, 20), (7, 20))
    save(home / "00" / "fibril.nrrd", fibril)
    save(home / "00" / "cell.nrrd", cell)
    labels, _, table = imported(home, class_priority=order)
    by_hand = np.maximum(fibril, 2 * cell)
    if order[0] == "fibril":
        by_hand[fibril > 0] = 1
    assert (labels[5:9] == by_hand[5:9]).all()
    assert table["note"].str.contains("4 voxels are painted as another class, too").sum() == 1


def test_a_third_class_without_priority_still_may_not_cross_another(home):
    classes = {1: "fibril", 2: "cell", 3: "vessel"}
    for name, x in (("fibril", (2, 8)), ("cell", (7, 20)), ("vessel", (19, 30))):
        save(home / "00" / f"{name}.nrrd", box((5, 6), (2, 8), x))
    with pytest.raises(InputError, match=r"in 6 voxels, inside z 5:6, y 2:8, x 19:20.*class_prior"):
        imported(home, classes=classes, class_priority=["fibril"])
    labels, *_ = imported(home, classes=classes, class_priority=["fibril", "cell"])
    assert (labels[5, 3, [6, 7, 8, 18, 19, 20]] == [1, 1, 2, 2, 2, 3]).all()


@pytest.mark.parametrize("first", [1, 2, 3])
def test_where_three_classes_cross_the_one_named_goes_before_whatever_the_order(home, first):
    classes = {1: "fibril", 2: "cell", 3: "vessel"}
    for name in classes.values():
        save(home / "00" / f"{name}.nrrd", box((5, 6), (2, 8), (2, 8)))
    labels, *_ = imported(home, classes=classes, class_priority=[classes[first]])
    assert (labels[5, 2:8, 2:8] == first).all()


def test_two_folders_of_a_round_that_disagree_are_refused(home):
    for name, value in (("a", 0), ("b", 1)):
        for cls in CLASSES.values():
            crop = np.zeros((1, 5, 5), np.uint8)
            crop[0, 0, 0], crop[0, 2, 2] = cls == "cell", value * (cls == "fibril")
            save(home / "00" / name / f"{cls}.nrrd", crop, (3, 4, 5))
    with pytest.raises(InputError, match=r"disagree in 1 voxels, inside z 3:4, y 6:7, x 7:8"):
        imported(home)


def test_a_folder_of_one_class_cannot_take_away_what_its_own_round_painted(home):
    save(home / "00" / "a_labels" / "labels.nrrd", box((5, 6), (2, 8), (2, 8)))
    crop = box((0, 1), (2, 8), (2, 5), (1, 30, 40))
    save(home / "00" / "b" / "fibril.nrrd", crop, (5, 0, 0))
    with pytest.raises(InputError, match=r"disagree in 18 voxels, inside z 5:6, y 2:8, x 5:8"):
        imported(home)


def test_paint_between_two_regions_of_a_slice_stays_unknown(home):
    both = box((5, 6), (2, 8), (2, 38))
    save(home / "00" / "labels.nrrd", both)
    regions(home / "00", ("*", 5, 6, 0, 30, 0, 10), ("labels.nrrd", 5, 6, 0, 30, 20, 30))
    labels = imported(home)[0][5]
    truth = np.full((30, 40), 255, np.uint8)
    truth[:, :10], truth[:, 20:30] = both[5, :, :10], both[5, :, 20:30]
    assert np.array_equal(labels, truth)


def crop_of(value_counts, shape=(4, 30, 40)):
    flat = np.zeros(int(np.prod(shape)), np.uint16)
    at = 0
    for value, count in value_counts.items():
        flat[at : at + count] = value
        at += count
    return flat.reshape(shape)


def test_a_background_with_a_value_of_its_own(home, caplog):
    """As painted in ilastik: 1 is background, and what is 0 was not looked at."""
    painted = np.zeros(SHAPE, np.uint8)
    painted[5, 2:8, 2:20], painted[5, 3:6, 4:9], painted[9, 10:12, 10:30] = 1, 2, 1
    save(home / "00" / "labels.nrrd", painted)
    labels, rounds, table = imported(home, classes={1: "background", 2: "fibril", 3: "cell"})
    truth = np.full(SHAPE, 255, np.uint8)
    truth[painted == 1], truth[painted == 2] = 0, 2
    assert np.array_equal(labels[:], truth)
    assert np.array_equal(rounds[:] == 0, painted > 0)
    assert labels.attrs["classes"] == {"2": "fibril", "3": "cell"}
    assert table.loc[0, ["voxels_reviewed", "voxels_painted"]].tolist() == [148, 15]
    assert table.loc[0, "note"] == f"{painted.size - 148} voxels of value 0 taken as not looked at"
    assert not caplog.text


def test_slices_of_a_map_with_a_background_are_not_those_of_masks_beside_it(home):
    painted = np.zeros(SHAPE, np.uint8)
    painted[5, 2:8, 2:20], painted[5, 3:6, 4:9] = 1, 2
    save(home / "00" / "labels.nrrd", painted)
    save(home / "00" / "cell.nrrd", box((12, 13), (20, 25), (20, 25)))
    labels = imported(home, classes={1: "background", 2: "fibril", 3: "cell"})[0]
    assert np.array_equal((labels[5] != 255), painted[5] > 0)
    assert (labels[12] != 255).all()
    assert set(np.flatnonzero((labels[:] != 255).any((1, 2)))) == {5, 12}


def test_background_and_a_class_at_once(home):
    painted = np.zeros(SHAPE, np.uint8)
    painted[5, 2:8, 2:20] = 1
    save(home / "00" / "labels.nrrd", painted)
    save(home / "00" / "cell.nrrd", box((5, 6), (6, 9), (3, 7)))
    with pytest.raises(InputError, match=r"a class and background .* in 8 voxels.* y 6:8, x 3:7"):
        imported(home, classes={1: "background", 2: "fibril", 3: "cell"})


def test_a_background_that_never_occurs(home, caplog):
    save(home / "00" / "labels.nrrd", 2 * box((5, 6), (2, 8), (2, 8)))
    imported(home, classes={1: "background", 2: "fibril"})
    assert "that of the background, 1, is not among them" in caplog.text
    save(home / "00" / "fibril_background.nrrd", box((5, 6), (2, 8), (2, 8)))
    with pytest.raises(InputError, match="name is none of the classes"):
        imported(home)


def test_no_class_beside_the_background(home):
    with pytest.raises(InputError, match="expected values from 1 to 254"):
        imported(home, classes={1: "background"})


REFUSED = {
    "values without a class": ("labels.nrrd", crop_of({1: 5, 7: 3}), r"7 \(3 voxels\).*class: 7"),
    "no background": ("labels.nrrd", crop_of({1: 4000, 2: 800}), "0 for the background is absent"),
    "image": ("z0003_image.nrrd", crop_of(dict.fromkeys(range(1, 99), 9)), "looks like an image"),
    "label map named as mask": ("fibril.nrrd", crop_of({1: 5, 2: 3}), "expected 0 and 1"),
    "mask without a class": ("MaskLayer_1.nrrd", crop_of({1: 5}), "none of the classes fibril, c"),
    "empty": ("fibril.nrrd", crop_of({}), "empty mask"),
    "project": ("a.s3d", None, "copy the whole folder of the project"),
    "nifti": ("fibril.nii", None, "not a whole NIfTI file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_say_nothing_certain_are_refused(home, name):
    file, array, message = REFUSED[name]
    path = home / "00" / file
    if array is None:
        path.write_bytes(b"")
    else:
        save(path, array.astype(np.uint16), (3, 0, 0))
    with pytest.raises(InputError, match=message) as caught:
        imported(home)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_size_names_both_sizes(home):
    tifffile.imwrite(home / "00" / "fibril.tif", np.ones((20, 30, 41), np.uint8))
    with pytest.raises(InputError, match=r"20 x 30 x 41 voxels .* 20 x 30 x 40"):
        imported(home)
    (home / "00" / "fibril.tif").unlink()
    save(home / "00" / "fibril.nrrd", np.ones((20, 30, 41), np.uint8))
    with pytest.raises(InputError, match=r"41 x 30 x 20 .* 40 x 30 x 20"):
        imported(home)


def test_wrong_voxel_size_and_second_file_for_a_class(home):
    save(home / "00" / "fibril.nrrd", box((5, 6), (2, 8), (2, 8)), voxel=(50, 10, 10))
    with pytest.raises(InputError, match="voxel size 10 x 10 x 50 against 12 x 10 x 50"):
        imported(home)
    save(home / "00" / "fibril.nrrd", box((5, 6), (2, 8), (2, 8)))
    save(home / "00" / "fibril_1.nrrd", box((5, 6), (2, 8), (2, 8)))
    with pytest.raises(InputError, match=r"second mask for the class fibril.*fibril_1"):
        imported(home)


def test_rounds_have_no_gaps(home):
    save(home / "02" / "fibril.nrrd", box((5, 6), (2, 8), (2, 8)))
    with pytest.raises(InputError, match="round 01 is missing, found 00, 02"):
        imported(home)


def test_rounds_are_named_in_two_digits_and_hold_something(home):
    with pytest.raises(InputError, match="no annotation in this round"):
        imported(home)
    with pytest.raises(InputError, match="round 03 is missing"):
        imported(home, 4)
    (home / "1").mkdir()
    with pytest.raises(InputError, match="two digits"):
        imported(home)


def test_of_a_copied_bundle_only_the_corrections_are_read(home, caplog):
    place = home / "00" / "z0005"
    save(place / "z0005_fibril.nrrd", np.ones((1, 30, 40)), (5, 0, 0))
    save(place / "z0005_image.nrrd", np.arange(1200.0).reshape(1, 30, 40), (5, 0, 0))
    (place / "bundle.json").write_text("{}")
    with pytest.raises(InputError, match="without a file in corrected"):
        imported(home)
    save(place / "corrected" / "z0005_fibril.nrrd", box((5, 6), (2, 8), (2, 8))[5:6], (5, 0, 0))
    _, _, table = imported(home)
    assert table["file"].tolist() == ["00/z0005/corrected/z0005_fibril.nrrd"]


def test_annotation_files_are_only_read(home):
    save(home / "00" / "labels.nrrd", box((5, 6), (2, 8), (2, 8)))

    def state():
        return {
            p: (p.stat().st_mtime_ns, hashlib.md5(p.read_bytes()).hexdigest())
            for p in home.rglob("*")
            if p.is_file()
        }

    before = state()
    (home / "00" / "labels.nrrd").chmod(0o444)
    imported(home)
    assert state() == before


def test_only_reviewed_rows_are_stored(tmp_path):
    shape = (512, 64, 64)
    crop = np.zeros((1, 64, 64), np.uint8)
    crop[0, 5, 5] = 1
    save(tmp_path / "in" / "00" / "labels_a.nrrd", crop, (100, 0, 0))
    import_rounds(tmp_path / "in", [0], {"1": "fibril"}, shape, VOXEL, tmp_path / "a.zarr")
    shards = [p for p in (tmp_path / "a.zarr" / "c").rglob("*") if p.is_file()]
    assert len(shards) == 1
    assert np.array_equal(open_volume(tmp_path / "a.zarr")[100], crop[0])


def test_held_out_slices_leave_something_to_train_on(home, caplog):
    save(home / "00" / "labels.nrrd", box((5, 7), (2, 8), (2, 8)))
    labels = imported(home)[0]
    check_held_out(labels, [5])
    check_held_out(labels, [5, 12])
    assert "cannot be scored: 12" in caplog.text
    with pytest.raises(InputError, match="all 2 annotated slices are held out"):
        check_held_out(labels, [5, 6])
    with pytest.raises(InputError, match="20 are not in the stack of 20"):
        check_held_out(labels, [20])


@pytest.mark.parametrize(
    ("stem", "value"),
    [("fibril", 1), ("FIBRIL", 1), ("z0123_fibril", 1), ("fibril_2", 1), ("z0123_fibril_1", 1),
     ("dark_cell", 3), ("z1_dark_cell", 3), ("dark cell", 3), ("cell", 2), ("fibrils", None),
     ("MaskLayer_1", None)],
)  # fmt: skip
def test_class_of_a_file_name(stem, value):
    assert class_of_name(stem, {1: "fibril", 2: "cell", 3: "dark cell"}) == value


def test_a_name_that_fits_two_classes_is_refused():
    with pytest.raises(InputError, match="fits the classes fibril, matrix"):
        class_of_name("fibril_matrix", {1: "fibril", 2: "matrix"})


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_rounds_of_crops_give_what_painting_in_order_gives(tmp_path_factory, seed):
    rng, home = np.random.default_rng(seed), tmp_path_factory.mktemp("a") / "x" / "demo"
    truth, which = np.full(SHAPE, 255, np.uint8), np.full(SHAPE, 255, np.uint8)
    for number in range(3):
        low = [int(rng.integers(0, n - 2)) for n in SHAPE]
        high = [int(rng.integers(a + 2, n)) for a, n in zip(low, SHAPE, strict=True)]
        region = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        crop = rng.integers(0, 3, truth[region].shape).astype(np.uint8)
        crop.flat[:3] = 0, 1, 2
        for value, name in CLASSES.items():
            save(home / f"{number:02d}" / "place" / f"z_{name}.nrrd", crop == value, low)
        truth[region], which[region] = crop, number
    labels, rounds, table = imported(home, 3)
    assert np.array_equal(labels[:], truth)
    assert np.array_equal(rounds[:], which)
    assert isinstance(table, pd.DataFrame)
