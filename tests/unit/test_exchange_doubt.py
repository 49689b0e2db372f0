"""Annotations whose place, extent or form is in doubt: read right, told, or refused in one line."""

import gzip
import shutil

import nrrd
import numpy as np
import pytest
import tifffile
import zarr

import exchange_files as files
import import_annotations
import import_stack
from blockface.annotations import import_rounds, known_slices, seen_slices
from blockface.bundles import export_bundle
from blockface.errors import InputError
from blockface.tables import read_table
from blockface.volume import create_volume, open_volume

SHAPE, VOXEL = (16, 40, 56), (50.0, 10.0, 12.0)
CLASSES = {1: "fibril", 2: "cell"}
HEADER = "file\tz0\tz1\ty0\ty1\tx0\tx1\n"


@pytest.fixture
def truth():
    found = np.zeros(SHAPE, np.uint8)
    found[3, 10:20, 8:30], found[9, 12:18, 30:40], found[9, 5:9, 9:20] = 1, 1, 2
    return found


@pytest.fixture
def folder(tmp_path):
    """Round 00 of a stack without annotations."""
    create_volume(tmp_path / "raw.zarr", SHAPE, np.uint8, VOXEL)
    folder = tmp_path / "annotations" / "00"
    folder.mkdir(parents=True)
    return folder


def imported(folder):
    """Labels as the workflow imports round 00 in ``folder``."""
    home = folder.parents[1]
    import_annotations.main(
        files=[], raw=home / "raw.zarr", annotations=home / "a.zarr",
        table=home / "annotations.tsv", folder=home / "annotations", iteration=0,
        classes=CLASSES, held_out_slices=[],
    )  # fmt: skip
    return open_volume(home / "a.zarr")


def known(truth, *slices):
    labels = np.full(SHAPE, 255, np.uint8)
    labels[list(slices)] = truth[list(slices)]
    return labels


def masks_of(truth):
    return {name: truth == value for value, name in CLASSES.items()}


def stack_on_both_sides_of_zero(home, space, moved):
    """A stack whose own coordinates begin below 0; ``moved``: not as far below as above."""
    first = [-(n - 1) / 2 * v for n, v in zip(SHAPE, VOXEL, strict=True)]
    first = [f + 7 * v * moved * (n > 0) for n, (f, v) in enumerate(zip(first, VOXEL, strict=True))]
    shutil.rmtree(home / "raw.zarr")
    array = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    files.new_style(home / "s.nrrd", array, VOXEL, first, space=space)
    import_stack.main(stack=home / "s.nrrd", raw=home / "raw.zarr", voxel_size_nm=VOXEL)
    return first


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("kind", ["labels", "cut", "whole"])
def test_slicer_does_not_mirror_a_stack_that_lies_about_zero(folder, truth, moved, kind):
    """It opens a stack in RAS and saves LPS, in which the mask would fit mirrored, too."""
    first = stack_on_both_sides_of_zero(folder.parents[1], "right-anterior-superior", moved)
    if kind == "labels":
        sign = np.array([-1.0, -1, 1])
        files.new_style(
            folder / "x-labels.nrrd", truth, VOXEL, first, space="left-posterior-superior",
            **{"space directions": np.diag(VOXEL[::-1]) * sign,
               "space origin": np.array(first[::-1]) * sign},
        )  # fmt: skip
    else:
        options = {"ras": True, "crop": kind == "cut"}
        files.slicer(folder / "x.seg.nrrd", masks_of(truth), VOXEL, first, **options)
    assert np.array_equal(imported(folder)[:], known(truth, 3, 9))


def test_where_nothing_says_which_hand_a_mask_that_fits_in_both_is_refused(folder, truth):
    first = stack_on_both_sides_of_zero(folder.parents[1], "3D-right-handed", False)
    files.slicer(folder / "x.seg.nrrd", masks_of(truth), VOXEL, first, ras=True)
    with pytest.raises(InputError, match=r"in LPS and, mirrored, in RAS.* save the stack as TIFF"):
        imported(folder)


def test_a_label_map_that_slicer_took_for_ras_is_placed(folder, truth):
    sign = np.array([-1.0, -1, 1])
    files.new_style(
        folder / "x-labels.nrrd", truth, VOXEL, (0, 0, 0), space="left-posterior-superior",
        **{"space directions": np.diag(VOXEL[::-1]) * sign},
    )  # fmt: skip
    assert np.array_equal(imported(folder)[:], known(truth, 3, 9))


def test_slicer_on_a_stack_without_voxel_size(folder, truth):
    """A TIFF opens with spacing 1, so the cut-out's origin counts voxels."""
    ones = (1.0, 1.0, 1.0)
    files.slicer(folder / "x.seg.nrrd", masks_of(truth), ones, (0, 0, 0), below=SHAPE)
    assert np.array_equal(imported(folder)[:], known(truth, 3, 9))
    files.slicer(folder / "x.seg.nrrd", masks_of(truth), ones, (0, 0, 0))
    with pytest.raises(InputError, match=r"carries no voxel size.* Volumes > Volume Information"):
        imported(folder)


def test_slicer_that_does_not_say_what_it_was_painted_on(folder, truth, caplog):
    files.slicer(folder / "x.seg.nrrd", masks_of(truth), VOXEL, (0, 0, 0))
    imported(folder)
    told = [r for r in caplog.records if "does not tell on which image" in r.getMessage()]
    assert len(told) == 1  # not once for each segment
    caplog.clear()
    files.slicer(folder / "x.seg.nrrd", masks_of(truth), VOXEL, (0, 0, 0), below=SHAPE)
    imported(folder)
    assert "does not tell" not in caplog.text


@pytest.mark.parametrize("at", [(4, 5, 6), (4, 0, 0)])
def test_one_painted_voxel_is_painted(folder, at):
    one = np.zeros(SHAPE, np.uint8)
    one[at] = 1
    files.slicer(folder / "x.seg.nrrd", {"fibril": one == 1}, VOXEL, (0, 0, 0), below=SHAPE)
    assert np.argwhere(imported(folder)[:] == 1).tolist() == [list(at)]


@pytest.fixture
def place(folder):
    """A place of round 00, with masks in corrected/ as they were handed out."""
    home = folder.parents[1]
    predicted = create_volume(
        home / "p.zarr", (2, *SHAPE), np.uint8, VOXEL, classes=list(CLASSES.values()), values=[1, 2]
    )
    predicted[0, :, 10:30, 20:40] = 255
    part = slice(8, 40), slice(16, 48)
    raw = open_volume(home / "raw.zarr")
    export_bundle(folder / "z0007", 7, raw, predicted, 0.5, part=part, context_slices=2)
    for name in CLASSES.values():
        shutil.copy(folder / f"z0007/z0007_{name}.nrrd", folder / "z0007/corrected")
    return folder / "z0007"


def test_a_place_of_round_00_without_its_prediction_is_refused(folder, place):
    assert known_slices(imported(folder)).tolist() == [7]
    (place / "corrected/predicted.npz").unlink()
    with pytest.raises(InputError, match=r"z0007_\w+\.nrrd: named like a place handed out"):
        imported(folder)


def test_a_slicer_file_cut_to_one_slice_of_a_place_is_refused(folder, truth):
    one = np.where(np.arange(SHAPE[0])[:, None, None] == 3, truth, 0)
    masks = {"z0003_fibril": one == 1, "z0003_cell": one == 2}
    files.new_style(folder / "fibril.nrrd", (truth == 1).astype(np.uint8), VOXEL, (0, 0, 0))
    later = folder.parent / "01"
    later.mkdir()
    files.slicer(later / "z0003.seg.nrrd", masks, VOXEL, (0, 0, 0))
    home = folder.parents[1]
    with pytest.raises(InputError, match=r"z0003_fibril: named like a place handed out"):
        import_annotations.main(
            files=[], raw=home / "raw.zarr", annotations=home / "a.zarr",
            table=home / "annotations.tsv", folder=home / "annotations", iteration=1,
            classes=CLASSES, held_out_slices=[],
        )  # fmt: skip


@pytest.mark.parametrize("shape", [(8, 40, 56), (16, 30, 56)])
def test_a_place_of_a_stack_that_was_cropped_since_is_refused(folder, place, shape):
    home = folder.parents[1]
    shutil.rmtree(home / "raw.zarr")
    create_volume(home / "raw.zarr", shape, np.uint8, VOXEL)
    with pytest.raises(InputError, match=r"predicted.npz: handed out of voxels .* cropped since"):
        imported(folder)


def test_a_tiff_of_a_place_lies_where_it_was_handed_out_whatever_regions_say(folder, place):
    with np.load(place / "corrected/predicted.npz") as kept:
        labels, (z, y, x) = kept["labels"], kept["offset"].tolist()
    for name in CLASSES.values():
        (place / f"corrected/z0007_{name}.nrrd").unlink()
    tifffile.imwrite(place / "corrected/labels.tif", labels)
    rows = f"*\t7\t8\t{y}\t{y + labels.shape[1]}\t{x}\t{x + labels.shape[2]}\n"
    (place / "corrected/regions.tsv").write_text(HEADER + rows)
    found = imported(folder)
    assert known_slices(found).tolist() == [7]
    assert np.array_equal(found[7, y : y + 32, x : x + 32], labels[7 - z])


def test_a_tiff_of_one_slice_of_a_place_is_told(folder, place):
    for name in CLASSES.values():
        (place / f"corrected/z0007_{name}.nrrd").unlink()
    with np.load(place / "corrected/predicted.npz") as kept:
        files.tiff(place / "corrected/labels.tif", kept["labels"][2:3])
    with pytest.raises(InputError, match=r"1 x 32 x 32 voxels .* 5 x 32 x 32; save all 5 slices"):
        imported(folder)


def test_a_tiff_of_a_size_that_no_region_has(folder, truth):
    tifffile.imwrite(folder / "labels.tif", truth[3:5])
    (folder / "regions.tsv").write_text(f"{HEADER}labels.tif\t3\t6\t0\t40\t0\t56\n")
    with pytest.raises(InputError, match=r"2 x 40 x 56 voxels .*, and 0 of the 1 boxes in regions"):
        imported(folder)


def nifti(path, truth, edit):
    files.nifti(path, truth, VOXEL, (0, 0, 0))
    data = bytearray(gzip.decompress(path.read_bytes()))
    edit(data)
    path.write_bytes(gzip.compress(bytes(data)))


def poked(at, value):
    def edit(data):
        data[at : at + len(value)] = value

    return edit


NIFTI = {
    "type": poked(70, b"\x0f\x27"), "unit": poked(123, b"\x07"), "size 0": poked(46, b"\0\0"),
    "negative size": poked(42, b"\xfb\xff"), "offset": poked(108, b"\0\0\xc8\x42"),
    "offset not a number": poked(108, b"\0\0\xc0\x7f"),
}  # fmt: skip


@pytest.mark.parametrize("edit", NIFTI.values(), ids=list(NIFTI))
def test_nifti_with_a_damaged_header(folder, truth, edit):
    nifti(folder / "labels.nii.gz", truth, edit)
    with pytest.raises(InputError, match=r"labels.nii.gz: not a whole NIfTI file .*; save it"):
        imported(folder)


@pytest.mark.parametrize("at", [10, 12, 14, 30])
def test_nifti_with_damaged_packed_data(folder, truth, at):
    files.nifti(folder / "labels.nii.gz", truth, VOXEL, (0, 0, 0))
    data = bytearray((folder / "labels.nii.gz").read_bytes())
    data[at] ^= 0xFF
    (folder / "labels.nii.gz").write_bytes(data)
    with pytest.raises(InputError, match=r"labels\.nii\.gz: [^\n]*$"):
        imported(folder)


def test_a_tiff_cut_anywhere_in_its_pages_tags(folder, truth):
    tifffile.imwrite(folder / "labels.tif", truth, imagej=True)
    data = (folder / "labels.tif").read_bytes()
    for length in range(len(data) - 900, len(data) - 1, 7):
        (folder / "labels.tif").write_bytes(data[:length])
        try:
            assert np.array_equal(imported(folder)[:], known(truth, 3, 9))
        except InputError:
            continue


OME = {
    "no datasets": lambda m: m[0].update(datasets=[]),
    "datasets missing": lambda m: m[0].pop("datasets"),
    "two scales": lambda m: m[0]["datasets"][0]["coordinateTransformations"][0].update(
        scale=[1, 1]
    ),
    "axis without name": lambda m: m[0]["axes"][0].pop("name"),
    "an axis too many": lambda m: m[0]["axes"].insert(0, {"name": "c"}),
}


@pytest.mark.parametrize("edit", OME.values(), ids=list(OME))
def test_ome_zarr_with_damaged_metadata(folder, truth, edit):
    files.ome_zarr(folder / "labels.zarr", truth, VOXEL, (0, 0, 0))
    group = zarr.open_group(str(folder / "labels.zarr"))
    scales = list(group.attrs["multiscales"])
    edit(scales)
    group.attrs["multiscales"] = scales
    with pytest.raises(InputError, match=r"labels.zarr: the OME-Zarr metadata are not whole"):
        imported(folder)


@pytest.mark.parametrize("field", ["Segment0_LabelValue", "Segment0_Layer"])
def test_slicer_header_with_text_for_a_number(folder, truth, field):
    path = folder / "x.seg.nrrd"
    files.slicer(path, masks_of(truth), VOXEL, (0, 0, 0))
    array, header = nrrd.read(str(path), index_order="C")
    nrrd.write(str(path), array, {**header, field: "one"}, index_order="C")
    with pytest.raises(InputError, match="segment fibril: LabelValue and Layer"):
        imported(folder)


@pytest.mark.parametrize("session", ["newest", ""])
def test_sessions_that_are_no_numbers(folder, truth, session):
    files.project(folder / "p.seg3dproj", [masks_of(truth)], VOXEL, (0, 0, 0))
    (folder / "sessions.tsv").write_text(f"project\tsession\np.seg3dproj\t{session}\n")
    with pytest.raises(InputError, match=r"sessions.tsv: session \w+ for p.seg3dproj"):
        imported(folder)


def test_what_macos_lays_beside_a_project_is_no_project(folder, truth):
    files.project(folder / "p.seg3dproj", [masks_of(truth)], VOXEL, (0, 0, 0))
    (folder / "p.seg3dproj/._p.s3d").write_bytes(b"\0\5\x16\7")
    assert np.array_equal(imported(folder)[:], known(truth, 3, 9))


@pytest.mark.parametrize(
    "name", ["cell.h5", "cell.npy", "cell.jpg", "cell.raw", "cell.nml", "cell.zarr", "cell.n5"]
)
def test_segmentations_that_are_not_read_are_not_passed_over(folder, truth, name):
    files.new_style(folder / "fibril.nrrd", (truth == 1).astype(np.uint8), VOXEL, (0, 0, 0))
    (folder / name).write_bytes(b"x")
    with pytest.raises(InputError, match=f"{name}: segmentations of type .* are not read"):
        imported(folder)


def test_other_folders_beside_the_rounds_are_told(folder, truth, caplog):
    files.new_style(folder / "labels.nrrd", truth, VOXEL, (0, 0, 0))
    (folder.parent / "01 (copy)").mkdir()
    imported(folder)
    assert "01 (copy): not named as a round is" in caplog.text


def test_a_mask_saved_over_the_one_handed_out_while_another_was_saved_aside(folder, place):
    """What is in corrected/ is read; a class that is not there may not be lost."""
    shutil.copy(place / "z0007_cell.nrrd", place / "cell.nrrd")
    (place / "cell.nrrd").replace(place / "corrected/z0007_cell.nrrd")
    aside, over = place / "corrected/z0007_fibril.nrrd", place / "z0007_fibril.nrrd"
    mask, header = nrrd.read(str(over))
    nrrd.write(str(over), 1 - mask, header)
    assert known_slices(imported(folder)).tolist() == [7]
    aside.unlink()
    with pytest.raises(InputError, match=r"z0007_fibril.nrrd: saved over .* none is of fibril"):
        imported(folder)


def test_all_places_of_which_nothing_was_saved_are_named(folder, place):
    for name in CLASSES.values():
        (place / f"corrected/z0007_{name}.nrrd").unlink()
    shutil.copytree(place, folder / "z0009")
    with pytest.raises(InputError, match=r"z0007: a correction bundle without .*; so are .*z0009"):
        imported(folder)


def test_a_mask_may_hold_the_value_of_its_class(folder, truth):
    """As napari numbers what is painted in a layer of that class."""
    for value, name in CLASSES.items():
        files.tiff(folder / f"{name}.tif", np.where(truth == value, value, 0))
    assert np.array_equal(imported(folder)[:], known(truth, 3, 9))
    files.tiff(folder / "fibril.tif", np.where(truth == 1, 2, 0))
    with pytest.raises(InputError, match=r"named after the class fibril but holds the values"):
        imported(folder)


@pytest.mark.parametrize(("first", "value"), [("fibril", 1), ("cell", 2)])
def test_class_priority_teaches_nothing_of_context_that_nobody_changed(folder, place, first, value):
    """A mask that also holds what another one, which goes before it, holds all over."""
    home = folder.parents[1]
    for name in CLASSES.values():
        (place / f"corrected/z0007_{name}.nrrd").unlink()
    with np.load(place / "corrected/predicted.npz") as kept:
        labels, given = kept["labels"].copy(), dict(kept)
    labels[labels > 0] = 3 - value
    labels[:, 2:9, 2:9] = value
    np.savez(place / "corrected/predicted.npz", **(given | {"labels": labels}))
    for name in CLASSES.values():
        mask = labels == value if name == first else labels > 0
        files.tiff(place / f"corrected/{name}.tif", mask.astype(np.uint8))
    import_rounds(
        folder.parent, [0], CLASSES, SHAPE, VOXEL, home / "a.zarr",
        class_priority=[first],
    )  # fmt: skip
    assert seen_slices(open_volume(home / "a.zarr")).tolist() == [7]


def test_masks_without_the_slice_that_was_meant_confirm_nothing(folder, place):
    home = folder.parents[1]
    for name in CLASSES.values():
        path = place / f"corrected/z0007_{name}.nrrd"
        mask, header = nrrd.read(str(path))
        nrrd.write(str(path), mask[:, :, :2], header)
    import_rounds(
        folder.parent, [0], CLASSES, SHAPE, VOXEL, home / "a.zarr", report_path=home / "r.tsv"
    )
    report = read_table(home / "r.tsv")
    assert report["status"].tolist() == ["missing"] * 3
    assert report["voxels_reviewed"].tolist() == [0] * 3


@pytest.mark.parametrize("name", ["regions.csv", "Regions.tsv", "region.tsv", "regions.xlsx"])
def test_regions_under_another_name_are_told(folder, truth, name):
    files.new_style(folder / "labels.nrrd", truth, VOXEL, (0, 0, 0))
    (folder / name).write_text(HEADER)
    with pytest.raises(InputError, match=rf"{name}: what was reviewed is read from regions.tsv"):
        imported(folder)


def test_a_link_to_nothing(folder):
    (folder / "fibril.nrrd").symlink_to(folder / "gone.nrrd")
    with pytest.raises(InputError, match=r"fibril.nrrd: a link to nothing"):
        imported(folder)
