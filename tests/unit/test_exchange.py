"""What was handed out comes back the same from every program, and what was changed is counted."""

import itertools
import shutil
import warnings

import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

import exchange_files as files
import import_annotations
import import_stack
from blockface.annotations import import_rounds, known_slices, seen_slices
from blockface.bundles import export_bundle
from blockface.errors import InputError
from blockface.grids import Grid
from blockface.reviewed import seen_for, without_of
from blockface.tables import read_table
from blockface.volume import create_volume, open_volume

SHAPE, VOXEL, Z = (16, 40, 56), (50.0, 10.0, 12.0), 7
PART = slice(8, 40), slice(16, 48)
CLASSES = {1: "fibril", 2: "cell"}


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """Folder of a place cut from a stack, its masks by name, and where they lie (nm)."""
    home = tmp_path_factory.mktemp("handed")
    rng = np.random.default_rng(3)
    raw = create_volume(home / "raw.zarr", SHAPE, np.uint8, VOXEL)
    raw[:] = rng.integers(0, 255, SHAPE).astype(np.uint8)
    predicted = create_volume(
        home / "p.zarr", (2, *SHAPE), np.uint8, VOXEL, classes=list(CLASSES.values()), values=[1, 2]
    )
    # the lower right part of slice Z is undecided all over
    coarse = rng.integers(0, 255, (2, 16, 10, 14)).astype(np.uint8)
    predicted[:] = coarse.repeat(4, 2).repeat(4, 3)
    predicted[:, Z, 16:, 20:] = 110 + predicted[:, Z, 16:, 20:] // 8
    predicted[:, Z - 2], predicted[..., -5:] = 3, 3  # what is painted is less than the place
    record = export_bundle(home / "z0007", Z, raw, predicted, 0.5, part=PART, context_slices=2)
    with np.load(home / "z0007" / "corrected" / "predicted.npz") as kept:
        labels, offset = kept["labels"], kept["offset"]
    assert record["offset_voxels_zyx"] == offset.tolist()
    assert offset[1:].any()  # a crop, not the corner of the stack
    z, y, x = record["worst_spot_zyx"]
    assert z == Z
    assert 16 <= y < 40
    assert 20 <= x < 48
    return home / "z0007", labels, tuple(offset.tolist())


def singly(write, ending, **options):
    def save(folder, masks, where):
        for name, mask in masks.items():
            write(folder / f"z0007_{name}{ending}", mask.astype(np.uint8), *where, **options)

    return save


def together(write, name, **options):
    def save(folder, masks, where):
        write(folder / name, files.label_map(masks), *where, **options)

    return save


def unplaced(write, name, factor=1, **options):
    def save(folder, masks, where):
        write(folder / name, files.label_map(masks) * np.uint8(factor), **options)

    return save


def named(write, name, **options):
    def save(folder, masks, where):
        write(folder / name, masks, *where, **options)

    return save


def as_project(folder, masks, where):
    before = {"z0007_fibril": np.ones_like(masks["fibril"])}
    layers = {"threshold": masks["cell"], **{f"z0007_{n}": m for n, m in masks.items()}}
    files.project(folder / "mine.seg3dproj", [before, layers], *where)


def tiff_masks(folder, masks, where):
    for name, mask in masks.items():
        files.tiff(folder / f"z0007_{name}.tif", 255 * mask.astype(np.uint8))


STYLES = {
    "Seg3D new cell": singly(files.new_style, ".nrrd"),
    "Seg3D new node": singly(files.new_style, ".nrrd", centering="node"),
    "Seg3D old cell": singly(files.old_style, ".nrrd"),
    "Seg3D old node": singly(files.old_style, ".nrrd", centering="node"),
    "raw encoding": singly(files.new_style, ".nrrd", encoding="raw"),
    "label map new": together(files.new_style, "labels.nrrd"),
    "label map old": together(files.old_style, "labels.nrrd", centering="node"),
    "turned and flipped": singly(files.turned, ".nrrd"),
    "flipped in x and y": singly(files.turned, ".nrrd", order=(0, 1, 2), flips=(False, True, True)),
    "Seg3D project": as_project,
    "Slicer": named(files.slicer, "s.seg.nrrd"),
    "Slicer, a layer each": named(files.slicer, "s.seg.nrrd", layers=True),
    "Slicer, image taken as RAS": named(files.slicer, "s.seg.nrrd", ras=True),
    "Slicer, not cut": named(files.slicer, "s.seg.nrrd", crop=False, layers=True),
    "ITK-SNAP": together(files.nifti, "labels.nii.gz"),
    "ITK-SNAP unpacked": together(files.nifti, "labels.nii"),
    "NIfTI masks": singly(files.nifti, ".nii.gz"),
    "NIfTI in RAS": together(files.nifti, "labels.nii.gz", ras=True),
    "NIfTI in mm": together(files.nifti, "labels.nii", unit=1e-6),
    "TIFF labels": unplaced(files.tiff, "labels.tif"),
    "TIFF of 32 bits": unplaced(files.tiff, "labels.tif", dtype=np.int32, lead=True),
    "TIFF masks": tiff_masks,
    "zarr": unplaced(files.plain_zarr, "labels.zarr"),
    "zarr 2": unplaced(files.plain_zarr, "labels.zarr", version=2),
    "OME-Zarr": together(files.ome_zarr, "labels.zarr"),
}


def returned(handed_out, home, style, labels=None):
    """Import of a round in which the place came back in ``style``: labels, report, table."""
    folder, predicted, offset = handed_out
    labels = predicted if labels is None else labels
    place = home / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    masks = {name: labels == value for value, name in CLASSES.items()}
    where = (VOXEL, tuple(o * v for o, v in zip(offset, VOXEL, strict=True)))
    STYLES[style](place / "corrected", masks, where)
    return imported(home)


def imported(home, **more):
    report = home / "report.tsv"
    table = import_rounds(
        home / "annotations", [0], CLASSES, SHAPE, VOXEL, home / "a.zarr", report_path=report,
        **more,
    )  # fmt: skip
    return open_volume(home / "a.zarr"), read_table(report).set_index("class"), table


def box(labels, offset):
    return tuple(slice(o, o + n) for o, n in zip(offset, labels.shape, strict=True))


@pytest.mark.parametrize("style", STYLES)
def test_untouched_places_come_back_confirmed_without_a_changed_voxel(handed_out, tmp_path, style):
    _, predicted, offset = handed_out
    labels, report, table = returned(handed_out, tmp_path, style)
    assert report["status"].tolist() == ["confirmed"] * 3
    assert report.loc["all", ["voxels_changed", "context_changed"]].tolist() == [0, 0]
    assert report.loc["all", "voxels_reviewed"] == predicted[0].size
    assert report["correction_rate"].tolist() == [0, 0, 0]
    truth = np.full(SHAPE, 255, np.uint8)
    truth[box(predicted, offset)][2] = predicted[2]
    assert np.array_equal(labels[:], truth)  # the slices of context were not changed: unknown
    assert known_slices(labels).tolist() == [Z]
    assert sorted(set(", ".join(table["class"]).split(", "))) == ["cell", "fibril"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(STYLES)), st.integers(0, 2**32 - 1), st.floats(0, 0.2))
def test_whatever_is_changed_is_counted_and_learnt(
    handed_out, tmp_path_factory, style, seed, share
):
    _, predicted, offset = handed_out
    rng = np.random.default_rng(seed)
    touched = rng.random(predicted.shape) < share
    after = np.where(touched, rng.integers(0, 3, predicted.shape), predicted).astype(np.uint8)
    labels, report, _ = returned(handed_out, tmp_path_factory.mktemp("a"), style, after)
    differ = after != predicted
    own, context = differ[2].sum(), differ[[0, 1, 3, 4]].sum()
    row = report.loc["all"]
    assert [row["voxels_changed"], row["context_changed"]] == [own, context]
    assert row["status"] == ("corrected" if own or context else "confirmed")
    assert row["correction_rate"] == pytest.approx(own / predicted[2].size)
    for value, name in CLASSES.items():
        assert (
            report.loc[name, "voxels_added"] == ((after == value) & (predicted != value))[2].sum()
        )
        assert (
            report.loc[name, "voxels_removed"] == ((after != value) & (predicted == value))[2].sum()
        )
    truth = np.full(SHAPE, 255, np.uint8)
    truth[box(predicted, offset)] = np.where(differ, after, 255)
    truth[box(predicted, offset)][2] = after[2]
    assert np.array_equal(labels[:], truth)


def test_a_class_that_did_not_come_back_is_missing_and_the_other_confirmed(handed_out, tmp_path):
    folder, predicted, offset = handed_out
    place = tmp_path / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    shutil.copy(place / "z0007_fibril.nrrd", place / "corrected")
    labels, report, _ = imported(tmp_path)
    assert report["status"].to_dict() == {
        "fibril": "confirmed", "cell": "missing", "all": "missing"
    }  # fmt: skip
    here = labels[:][box(predicted, offset)][2]
    without = without_of(labels.attrs)
    assert np.array_equal(seen_for(here, 1, without), predicted[2] == 1)
    assert np.array_equal(seen_for(here, 2, without), np.where(predicted[2] == 1, 1, 255))


def test_masks_saved_over_the_prediction_are_taken_and_untouched_ones_refused(handed_out, tmp_path):
    folder, predicted, offset = handed_out
    place = tmp_path / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    with pytest.raises(InputError, match="without a file in corrected"):
        imported(tmp_path)
    where = (VOXEL, tuple(o * v for o, v in zip(offset, VOXEL, strict=True)))
    after = predicted.copy()
    after[2, :3, :3] = 0
    files.new_style(place / "z0007_fibril.nrrd", (after == 1).astype(np.uint8), *where)
    _, report, _ = imported(tmp_path)
    changed = np.count_nonzero(predicted[2, :3, :3] == 1)
    assert report.loc["fibril", "voxels_removed"] == changed
    assert report.loc["cell", "status"] == "confirmed"


def test_an_emptied_slicer_segmentation_says_that_all_was_removed(handed_out, tmp_path):
    _, predicted, _ = handed_out
    STYLES["emptied"] = lambda folder, masks, where: files.slicer(
        folder / "s.seg.nrrd", {n: np.zeros((1, 1, 1), bool) for n in masks}, VOXEL, (0, 0, 0)
    )
    labels, report, _ = returned(handed_out, tmp_path, "emptied")
    del STYLES["emptied"]
    assert report.loc["all", "voxels_removed"] == np.count_nonzero(predicted[2])
    assert not (labels[Z] % 255).any()


def test_a_smaller_piece_that_came_back_speaks_for_itself_only(handed_out, tmp_path):
    folder, predicted, offset = handed_out
    place = tmp_path / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    first = tuple((o + d) * v for o, d, v in zip(offset, (1, 4, 5), VOXEL, strict=True))
    after = predicted[1:4, 4:20, 5:25].copy()
    after[:, 3:6, 2:9] = 2
    for value, name in CLASSES.items():
        path = place / "corrected" / f"{name}.nrrd"
        files.new_style(path, (after == value).astype(np.uint8), VOXEL, first)
    labels, report, _ = imported(tmp_path)
    changed = after != predicted[1:4, 4:20, 5:25]
    assert report.loc["all", "voxels_reviewed"] == 16 * 20
    assert report.loc["all", "voxels_changed"] == changed[1].sum()
    assert report.loc["all", "context_changed"] == changed[[0, 2]].sum()
    here = np.full(predicted.shape, 255, np.uint8)
    here[1:4, 4:20, 5:25] = np.where(changed, after, 255)
    here[2, 4:20, 5:25] = after[1]
    assert np.array_equal(labels[:][box(predicted, offset)], here)


def test_of_each_class_only_what_its_own_file_covers_is_reviewed(handed_out, tmp_path):
    folder, predicted, offset = handed_out
    place = tmp_path / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    for value, name, rows in ((1, "fibril", 24), (2, "cell", 10)):
        mask = (predicted == value)[:, :rows].astype(np.uint8)
        first = tuple(o * v for o, v in zip(offset, VOXEL, strict=True))
        files.new_style(place / "corrected" / f"{name}.nrrd", mask, VOXEL, first)
    _, report, _ = imported(tmp_path)
    assert report["voxels_reviewed"].to_dict() == {
        "fibril": 24 * predicted.shape[2], "cell": 10 * predicted.shape[2],
        "all": 24 * predicted.shape[2],
    }  # fmt: skip


@pytest.fixture
def copied(handed_out, tmp_path):
    """The place in round 00, handed back as it was."""
    folder, _, _ = handed_out
    place = tmp_path / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    for name in CLASSES.values():
        shutil.copy(folder / f"z0007_{name}.nrrd", place / "corrected")
    return place


def test_masks_of_another_place_are_refused(handed_out, copied, tmp_path):
    _, predicted, offset = handed_out
    first = tuple((o + d) * v for o, d, v in zip(offset, (3, 0, 0), VOXEL, strict=True))
    path = copied / "corrected" / "z0007_cell.nrrd"
    files.new_style(path, (predicted == 2).astype(np.uint8), VOXEL, first)
    with pytest.raises(InputError, match=r"lies at z 8 to 12, .* expected inside z 5 to 9, "):
        imported(tmp_path)
    (copied / "corrected" / "regions.tsv").write_text(
        "file\tz0\tz1\ty0\ty1\tx0\tx1\nz0007_cell.nrrd\t8\t13\t16\t40\t20\t52\n"
    )
    imported(tmp_path)


def test_masks_of_the_whole_stack_are_no_correction_of_a_place(copied, tmp_path):
    path = copied / "corrected" / "z0007_cell.nrrd"
    files.new_style(path, np.ones(SHAPE, np.uint8), VOXEL, (0, 0, 0))
    with pytest.raises(InputError, match=r"lies at z 0 to 15, .* expected inside z 5 to 9, "):
        imported(tmp_path)


def test_a_class_renamed_since_is_no_correction(copied, tmp_path):
    for name, new in (("fibril", "collagen"), ("cell", "cell")):
        path = copied / "corrected" / f"z0007_{name}.nrrd"
        path.rename(path.with_name(f"z0007_{new}.nrrd"))
    report = tmp_path / "report.tsv"
    import_rounds(
        tmp_path / "annotations", [0], {1: "collagen", 2: "cell"}, SHAPE, VOXEL,
        tmp_path / "a.zarr", report_path=report,
    )  # fmt: skip
    assert read_table(report)["status"].tolist() == ["confirmed"] * 3


def test_masks_saved_empty_are_told(handed_out, copied, tmp_path, caplog):
    _, predicted, offset = handed_out
    first = tuple(o * v for o, v in zip(offset, VOXEL, strict=True))
    for name in CLASSES.values():
        path = copied / "corrected" / f"z0007_{name}.nrrd"
        files.new_style(path, np.zeros(predicted.shape, np.uint8), VOXEL, first)
    _, report, _ = imported(tmp_path)
    assert "saved empty?" in report.loc["all", "note"]
    assert "saved empty?" in caplog.text


def test_pictures_beside_the_masks_are_let_be(copied, tmp_path):
    (copied / "corrected" / "screenshot.png").write_bytes(b"")
    _, report, _ = imported(tmp_path)
    assert report.loc["all", "status"] == "confirmed"


@pytest.mark.parametrize("damage", ["npz", "npz cut", "json", "zarr", "project beside"])
def test_damaged_bundles_are_told_in_one_line(handed_out, copied, tmp_path, damage):
    _, predicted, _ = handed_out
    corrected, npz = copied / "corrected", copied / "corrected" / "predicted.npz"
    named = npz
    if damage == "npz":
        whole = bytearray(npz.read_bytes())
        whole[60:90] = bytes(30)
        npz.write_bytes(whole)
    elif damage == "npz cut":
        npz.write_bytes(npz.read_bytes()[:200])
    elif damage == "zarr":
        for name in CLASSES.values():
            (corrected / f"z0007_{name}.nrrd").unlink()
        named = corrected / "labels.zarr"
        zarr.save_array(str(named), predicted)
        chunk = max((p for p in named.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        chunk.write_bytes(chunk.read_bytes()[:40])
    else:
        for name in CLASSES.values():
            (corrected / f"z0007_{name}.nrrd").unlink()
        named = copied / "bundle.json"
        if damage == "json":
            named.write_text(named.read_text()[:100])
        else:
            named = "work.seg3dproj"
            (copied / named).mkdir()
            (copied / named / "work.s3d").write_text("")
    with pytest.raises(InputError, match=str(named)) as told:
        imported(tmp_path)
    assert "\n" not in str(told.value)


def test_only_the_folder_corrected_may_be_handed_in(copied, tmp_path):
    aside = (copied / "corrected").rename(tmp_path / "corrected")
    shutil.rmtree(copied)
    aside.rename(copied)
    labels, report, _ = imported(tmp_path)
    assert report.loc["all", ["place", "status"]].tolist() == ["z0007", "confirmed"]
    assert known_slices(labels).tolist() == [Z]


def test_masks_of_a_place_without_its_prediction_are_refused(copied, tmp_path):
    """Their context was nobody's to review; in a first round they may be anybody's crop."""
    first = tmp_path / "annotations" / "00" / "first"
    second = tmp_path / "annotations" / "01"
    for folder in (first, second):
        folder.mkdir()
        for name in CLASSES.values():
            shutil.copy(copied / "corrected" / f"z0007_{name}.nrrd", folder)
    shutil.rmtree(copied)

    def both():
        import_rounds(
            tmp_path / "annotations", [0, 1], CLASSES, SHAPE, VOXEL, tmp_path / "a.zarr",
            report_path=tmp_path / "report.tsv",
        )  # fmt: skip

    with pytest.raises(InputError, match=r"01.z0007_\w+.nrrd: .* 5 slices, but without predicted"):
        both()
    (second / "regions.tsv").write_text("file\tz0\tz1\ty0\ty1\tx0\tx1\n*\t7\t8\t16\t40\t20\t52\n")
    both()


@pytest.mark.parametrize("save", [as_project, named(files.slicer, "z0007.seg.nrrd", crop=False)])
def test_layers_of_a_place_without_its_prediction_are_refused(handed_out, tmp_path, save):
    _, predicted, offset = handed_out
    for number in ("00", "01"):
        (tmp_path / "annotations" / number).mkdir(parents=True)
    where = (VOXEL, tuple(o * v for o, v in zip(offset, VOXEL, strict=True)))
    painted = np.zeros(SHAPE, np.uint8)
    painted[3, :9, :9] = 1
    files.new_style(tmp_path / "annotations/00/fibril.nrrd", painted, VOXEL, (0, 0, 0))
    names = {1: "z0007_fibril", 2: "z0007_cell"} if save is not as_project else CLASSES
    save(tmp_path / "annotations/01", {n: predicted == v for v, n in names.items()}, where)
    with pytest.raises(InputError, match=r"01.*: z0007_\w+: named like a place handed out"):
        import_rounds(tmp_path / "annotations", [0, 1], CLASSES, SHAPE, VOXEL, tmp_path / "a.zarr")


@pytest.mark.parametrize("layers", [False, True])
@pytest.mark.parametrize("below", [None, SHAPE])
def test_of_a_first_painting_in_slicer_the_painted_slices_were_reviewed(tmp_path, layers, below):
    truth = np.zeros(SHAPE, np.uint8)
    truth[3, 10:20, 8:30], truth[9, 12:18, 30:40], truth[9, 5:9, 9:20] = 1, 1, 2
    folder = tmp_path / "annotations" / "00"
    folder.mkdir(parents=True)
    masks = {name: truth == value for value, name in CLASSES.items()}
    options = {"layers": layers, "below": below}
    files.slicer(folder / "Segmentation.seg.nrrd", masks, VOXEL, (0, 0, 0), **options)
    labels, _, _ = imported(tmp_path)
    known = np.full(SHAPE, 255, np.uint8)
    known[[3, 9]] = truth[[3, 9]]
    assert np.array_equal(labels[:], known)
    assert known_slices(labels).tolist() == [3, 9]


def test_a_first_painting_in_slicer_on_a_part_of_the_stack_says_what_was_reviewed(tmp_path):
    folder = tmp_path / "annotations" / "00"
    folder.mkdir(parents=True)
    part, masks = (6, 20, 30), {name: np.zeros((6, 20, 30), bool) for name in CLASSES.values()}
    masks["fibril"][2, 3:9, 4:8], masks["cell"][2, 12:15, 9:12] = True, True
    files.slicer(folder / "s.seg.nrrd", masks, VOXEL, (100, 50, 60), below=part)
    with pytest.raises(InputError, match="painted in 3D Slicer on an image of 6 x 20 x 30 voxels"):
        imported(tmp_path)
    (folder / "regions.tsv").write_text("file\tz0\tz1\ty0\ty1\tx0\tx1\n*\t4\t5\t5\t25\t5\t35\n")
    labels, _, _ = imported(tmp_path)
    known = np.full(SHAPE, 255, np.uint8)
    known[4, 5:25, 5:35] = (masks["fibril"] + 2 * masks["cell"])[2]
    assert np.array_equal(labels[:], known)


def test_an_untouched_place_as_large_as_the_stack_is_confirmed(tmp_path):
    shape = (5, 40, 56)
    raw = create_volume(tmp_path / "raw.zarr", shape, np.uint8, VOXEL)
    raw[:] = 7
    predicted = create_volume(
        tmp_path / "p.zarr", (2, *shape), np.uint8, VOXEL, classes=list(CLASSES.values()),
        values=[1, 2],
    )  # fmt: skip
    found = np.zeros((2, *shape), np.uint8)
    found[0, :3, 5:20, 6:30] = 255  # no cell anywhere
    predicted[:] = found
    place = tmp_path / "annotations" / "00" / "z0002"
    export_bundle(place, 2, raw, predicted, 0.5, context_slices=2, control=True)
    for name in CLASSES.values():
        shutil.copy(place / f"z0002_{name}.nrrd", place / "corrected")
    import_rounds(
        tmp_path / "annotations", [0], CLASSES, shape, VOXEL, tmp_path / "a.zarr",
        report_path=tmp_path / "report.tsv",
    )  # fmt: skip
    report = read_table(tmp_path / "report.tsv")
    assert set(report["status"]) == {"confirmed"}
    assert report["control"].all()
    labels = open_volume(tmp_path / "a.zarr")
    assert known_slices(labels).tolist() == [2]
    assert np.array_equal(labels[2], found[0, 2] // 255)


@pytest.mark.parametrize("slices", [3, 4])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_few_slices_that_tifffile_takes_for_colours_are_slices(
    handed_out, tmp_path, slices, compression
):
    _, predicted, offset = handed_out
    some = predicted[:slices]
    path = tmp_path / "annotations" / "00" / "labels.tif"
    path.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        tifffile.imwrite(path, some, compression=compression)
    first, size = np.array(offset), some.shape
    row = [v for o, n in zip(first, size, strict=True) for v in (o, o + n)]
    (path.parent / "regions.tsv").write_text(
        "file\tz0\tz1\ty0\ty1\tx0\tx1\n" + "\t".join(map(str, ["labels.tif", *row])) + "\n"
    )
    labels, _, _ = imported(tmp_path)
    assert np.array_equal(labels[:][box(some, offset)], some)


def test_regions_say_that_slices_of_context_were_reviewed_as_well(handed_out, copied, tmp_path):
    _, predicted, offset = handed_out
    z, y, x = (v for pair in zip(offset, offset, strict=True) for v in pair[:1])
    n, h, w = predicted.shape
    (copied / "corrected" / "regions.tsv").write_text(
        f"file\tz0\tz1\ty0\ty1\tx0\tx1\n*\t{z}\t{z + n}\t{y}\t{y + h}\t{x}\t{x + w}\n"
    )
    labels, _, _ = imported(tmp_path)
    assert np.array_equal(labels[:][box(predicted, offset)], predicted)


def test_changes_in_context_are_left_out_of_held_out_slices(handed_out, tmp_path):
    _, predicted, _ = handed_out
    after = predicted.copy()
    after[[1, 2]] = 0
    returned(handed_out, tmp_path, "Seg3D new cell", after)
    labels, _, _ = imported(tmp_path, held_out_slices=[Z - 1])
    assert (labels[Z - 1] == 255).all()
    assert (labels[Z] != 255).any()


def test_who_was_asked_about_a_slice_overrules_a_neighbour_that_saw_it_as_context(tmp_path):
    raw = create_volume(tmp_path / "raw.zarr", SHAPE, np.uint8, VOXEL)
    predicted = create_volume(
        tmp_path / "p.zarr", (2, *SHAPE), np.uint8, VOXEL, classes=list(CLASSES.values()),
        values=[1, 2],
    )  # fmt: skip
    for z in (7, 8):
        place = tmp_path / "annotations" / "00" / f"z{z:04d}"
        export_bundle(place, z, raw, predicted, 0.5, context_slices=1)
        for value, name in CLASSES.items():
            mask = np.zeros((3, *SHAPE[1:]), np.uint8)
            mask[:, z, :3] = value == 1  # both paint into the other's slice, elsewhere
            files.new_style(
                place / "corrected" / f"z_{name}.nrrd", mask, VOXEL, ((z - 1) * 50, 0, 0)
            )
    labels, report, _ = imported(tmp_path, rounds_path=tmp_path / "r.zarr")
    for z in (7, 8):
        truth = np.zeros(SHAPE[1:], np.uint8)
        truth[z, :3] = 1
        assert np.array_equal(labels[z], truth)
    assert known_slices(labels).tolist() == [7, 8]
    assert seen_slices(labels).tolist() == [6, 7, 8, 9]  # those changed there are learnt, too
    assert np.count_nonzero(labels[6] != 255) == 3  # context of 7 only
    rounds = open_volume(tmp_path / "r.zarr")
    assert [set(np.unique(rounds[z])) for z in (6, 7, 8)] == [{128, 255}, {0}, {0}]
    assert report.loc["all", "voxels_changed"].tolist() == [3, 3]
    assert report.loc["all", "context_changed"].tolist() == [6, 6]


@pytest.mark.parametrize(
    ("lines", "minutes"),
    [
        ("opened\t2024-05-06T10:00:00Z\nsaved\t2024-05-06T10:12:30Z\n", 12.5),
        ("opened\t2024-05-06T10:00:00Z\nsaved\t2024-05-06T10:05:00Z\nsaved\t2024-05-06T10:10:00Z\n"
         "opened\t2024-05-07T09:00:00Z\nsaved\t2024-05-07T09:03:00Z\n", 13),
        ("opened\t2024-05-06T10:00:00Z\n", None),
        ("opened\t2024-05-06T10:00:00Z\nsaved\t2024-05-06T10:05:00Z\n"
         "opened\t2024-05-07T09:00:00Z\n", 5),
        ("opened\t2024-05-06T10:00:00Z\nsaved\t2024-05-08T10:05:00Z\n"  # left open overnight
         "opened\t2024-05-08T11:00:00Z\nsaved\t2024-05-08T11:07:00Z\n", 7),
        ("opened\t2024-05-06T10:00:00Z\nsaved\t2024-05-06T09:00:00Z\n"  # the clock was set
         "opened\t2024-05-06T11:00:00Z\nsaved\t2024-05-06T11:07:00Z\n", 7),
        ("something else\n", None),
    ],
)  # fmt: skip
def test_minutes_are_summed_over_sittings(handed_out, tmp_path, lines, minutes):
    folder, _, _ = handed_out
    place = tmp_path / "annotations" / "00" / "z0007"
    shutil.copytree(folder, place)
    for name in CLASSES.values():
        shutil.copy(place / f"z0007_{name}.nrrd", place / "corrected")
    (place / "corrected" / "times.tsv").write_text(lines)
    spent = imported(tmp_path)[1].loc["all", "minutes"]
    assert np.isnan(spent) if minutes is None else spent == pytest.approx(minutes)


def stack_file(path, array, size, first, flips):
    """A stack whose file says where it lies, with axes that may run backwards."""
    if path.name.endswith(".nrrd"):
        directions = np.diag(np.where(flips, -1, 1) * np.array(size))[::-1, ::-1]
        files.new_style(
            path, array, size, first,
            **{"space directions": directions, "space origin": np.array(first[::-1])},
        )  # fmt: skip
    else:
        signs = np.where(flips, -1.0, 1.0)[::-1] * (-1, -1, 1)  # NIfTI counts in RAS
        affine = np.diag([*(signs * size[::-1]), 1.0])
        affine[:3, 3] = np.array(first[::-1]) * (-1, -1, 1)
        nibabel.save(
            nibabel.Nifti1Image(np.ascontiguousarray(array.transpose(2, 1, 0)), affine), path
        )


@pytest.mark.parametrize("name", ["stack.nrrd", "stack.nii.gz"])
@pytest.mark.parametrize("flips", list(itertools.product([False, True], repeat=3)))
def test_masks_of_a_stack_whose_axes_run_backwards_are_turned_as_it_is(tmp_path, name, flips):
    rng = np.random.default_rng(1)
    array = rng.integers(0, 255, SHAPE).astype(np.uint8)
    size, first = (0.05, 0.01, 0.012), (3.0, -2.0, 7.5)  # µm, as the microscope wrote them
    stack_file(tmp_path / name, array, size, first, flips)
    import_stack.main(stack=tmp_path / name, raw=tmp_path / "raw.zarr", voxel_size_nm=VOXEL)
    assert np.array_equal(open_volume(tmp_path / "raw.zarr")[:], array)
    truth = np.zeros(SHAPE, np.uint8)
    truth[4] = rng.integers(0, 3, SHAPE[1:])
    # Seg3D turns every axis the right way round: this is what it exports
    corner = [f - (n - 1) * s * b for f, n, s, b in zip(first, SHAPE, size, flips, strict=True)]
    seen = np.flip(truth, np.flatnonzero(flips))
    for value, label in CLASSES.items():
        path = tmp_path / "annotations" / "00" / f"{label}.nrrd"
        path.parent.mkdir(parents=True, exist_ok=True)
        files.old_style(path, (seen == value).astype(np.uint8), size, corner)
    import_annotations.main(
        files=[], raw=tmp_path / "raw.zarr", annotations=tmp_path / "a.zarr",
        table=tmp_path / "annotations.tsv", folder=tmp_path / "annotations", iteration=0,
        classes=CLASSES, held_out_slices=[],
    )  # fmt: skip
    labels = open_volume(tmp_path / "a.zarr")
    assert np.array_equal(labels[4], truth[4])
    assert known_slices(labels).tolist() == [4]


def test_a_crop_that_fits_at_two_places_is_refused(tmp_path):
    stack_file(tmp_path / "s.nrrd", np.zeros(SHAPE, np.uint8), VOXEL, (100, 0, 0), (False,) * 3)
    import_stack.main(stack=tmp_path / "s.nrrd", raw=tmp_path / "raw.zarr", voxel_size_nm=VOXEL)
    (tmp_path / "annotations" / "00").mkdir(parents=True)
    crop = np.ones((2, 5, 5), np.uint8)
    files.new_style(tmp_path / "annotations" / "00" / "fibril.nrrd", crop, VOXEL, (300, 0, 0))
    world = Grid.of_json(open_volume(tmp_path / "raw.zarr").attrs["world"])
    with pytest.raises(InputError, match=r"voxel \(6, 0, 0\) .* at \(4, 0, 0\) by the coord"):
        imported(tmp_path, world=world)


def test_a_mask_that_may_be_turned_either_way_is_refused(tmp_path):
    """The file's x runs backwards from its end to 0, as from 0 on in what Blockface exports."""
    first = (0, 0, (SHAPE[2] - 1) * VOXEL[2])
    array = np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8)
    stack_file(tmp_path / "s.nrrd", array, VOXEL, first, (False, False, True))
    import_stack.main(stack=tmp_path / "s.nrrd", raw=tmp_path / "raw.zarr", voxel_size_nm=VOXEL)
    (tmp_path / "annotations" / "00").mkdir(parents=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 3:9, 4:20] = 1
    files.new_style(tmp_path / "annotations" / "00" / "fibril.nrrd", mask, VOXEL, (0, 0, 0))
    world = Grid.of_json(open_volume(tmp_path / "raw.zarr").attrs["world"])
    with pytest.raises(InputError, match=r"an axis of it runs backwards.* save the stack as TIFF"):
        imported(tmp_path, world=world)
