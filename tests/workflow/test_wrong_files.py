"""Every wrong input found inside a rule: one line that names it, results left as they were."""

import re

import numpy as np
import pandas as pd
import pytest
import tifffile

import check_denoiser
import choose_segmentation_patches
import denoise_slab
import extract_denoising_patches
import import_annotations
import import_stack
import predict_slab
import register_pairs
from blockface.errors import InputError
from blockface.tables import write_table
from workflow.project import SHAPE, kept, truth, write_mask

DEMO, ITERATION, DENOISER = "results/demo", "results/demo/iter_00", "results/denoisers/d"
CLASSES = {1: "fibril", 2: "cell"}


@pytest.fixture
def here(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    return project


def refused(project, call) -> str:
    """The one line that ``call`` is refused with, after which all results are as before."""
    before = kept(project.folder)
    with pytest.raises(InputError) as caught:
        call()
    assert kept(project.folder) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- stacks


def imported(**changes):
    given = {"stack": "stack", "raw": f"{DEMO}/stack/raw.zarr", "voxel_size_nm": [50, 10, 10]}
    return lambda: import_stack.main(**{**given, "dataset": "demo", **changes})


def test_an_unknown_voxel_size(here):
    message = refused(here, imported(voxel_size_nm=None))
    assert message.startswith("stack")
    assert "voxel size unknown" in message
    assert "set datasets.demo.voxel_size_nm: [z, y, x]" in message


def test_a_truncated_slice(here):
    file = here / "stack/slice_003.tif"
    file.write_bytes(file.read_bytes()[:5000])
    message = refused(here, imported())
    assert re.match(r"stack/slice_003.tif: truncated .*5000 bytes found where at least", message)
    assert "copy the file again" in message


def test_slices_of_two_sizes(here):
    tifffile.imwrite(here / "stack/slice_004.tif", np.zeros((96, 90), np.uint8), metadata=None)
    message = refused(here, imported())
    assert message.startswith("stack/slice_004.tif: ")
    assert re.search(r"90.*96.*expected slices of one size", message)


def test_a_gap_in_the_slice_numbers(here):
    here.remove("stack/slice_017.tif")
    message = refused(here, imported())
    assert message.startswith("stack: a gap in the slice numbers: slice 17 is missing")
    assert "add the files" in message


def test_nan_in_the_stack(here):
    grey = np.random.default_rng(0).random((20, 32, 32)).astype(np.float32)
    grey[7, 3, 4:6] = np.nan
    tifffile.imwrite(here / "nan.tif", grey, metadata=None)
    message = refused(here, imported(stack="nan.tif"))
    assert message.startswith("nan.tif: slice 7 holds 2 values that are NaN or infinite")


# --- pairs


def cut_pairs(**changes):
    settings = {
        "refused_pairs": "stop", "validation_pairs": None, "test_pairs": [], "patch_size": 48,
    }  # fmt: skip
    extract_denoising_patches.main(
        table=f"{DENOISER}/registration.tsv", registered=f"{DENOISER}/pairs",
        patches=f"{DENOISER}/patches.zarr", split_table=f"{DENOISER}/split.tsv",
        settings={**settings, **changes}, threads=1,
    )  # fmt: skip


def registered(project, *rows):
    lines = ["noisy\tclean", *(f"{a}\t{b}" for a, b in rows)]
    (project / "pairs/wrong.tsv").write_text("\n".join(lines) + "\n")
    settings = {"max_shift_fraction": 0.25, "min_correlation": 0.4, "max_residual_px": 1.0}
    register_pairs.main(
        pairs="pairs/wrong.tsv", table=f"{DENOISER}/registration.tsv", settings=settings,
        figure=f"{DENOISER}/registration.png", registered=f"{DENOISER}/pairs", threads=1,
        rescale_to_nm=None,
    )  # fmt: skip
    return cut_pairs


GOOD = ("0_short.tif", "0_long.tif"), ("2_short.tif", "2_long.tif")


def test_a_pair_of_two_sizes(here):
    tifffile.imwrite(here / "pairs/small.tif", np.zeros((100, 112), np.uint8), metadata=None)
    message = refused(here, registered(here, *GOOD, ("1_short.tif", "small.tif")))
    assert message.startswith(f"{DENOISER}/registration.tsv: 1 of 3 pairs are refused")
    assert "pairs/1_short.tif and pairs/small.tif: sizes differ: noisy 112 x 112" in message
    assert "clean 100 x 112" in message


def test_a_pair_of_two_fields(here):
    message = refused(here, registered(here, *GOOD, ("1_short.tif", "3_long.tif")))
    assert "1 of 3 pairs are refused, expected two images of one field" in message
    assert "pairs/1_short.tif and pairs/3_long.tif: " in message
    assert "another field" in message
    assert "refused_pairs: leave_out" in message


def test_a_refused_pair_may_be_left_out(here):
    registered(here, *GOOD, ("1_short.tif", "3_long.tif"))
    cut_pairs(refused_pairs="leave_out")
    split = pd.read_csv(f"{DENOISER}/split.tsv", sep="\t")
    assert split["pair"].tolist() == [0, 1]


def test_pairs_at_another_pixel_size_than_the_stack(here):
    registered(here, *GOOD)

    def check(pixel):
        table = pd.read_csv(f"{DENOISER}/registration.tsv", sep="\t").assign(pixel_size_nm=pixel)
        write_table(table, f"{DENOISER}/registration.tsv")
        return lambda: check_denoiser.main(
            stack=f"{DEMO}/stack/checked.json", registration=f"{DENOISER}/registration.tsv",
            checked=f"{DEMO}/stack/denoiser_checked.json", dataset="demo", denoiser="d", threads=1,
        )  # fmt: skip

    message = refused(here, check([10, 5]))
    assert message.startswith("pairs/2_short.tif: pixels of 5 nm, expected 10 nm like the stack of")
    assert "datasets.demo (1 of 2 pairs of denoisers.d differ)" in message
    assert "or set denoisers.d.rescale_to_nm: 10" in message
    for fitting in (10.2, [10, None]):
        check(fitting)()


def test_a_pair_listed_twice_under_another_name(here):
    (here / "pairs/copy.tif").write_bytes((here / "pairs/0_short.tif").read_bytes())
    message = refused(here, registered(here, *GOOD, ("copy.tif", "0_long.tif")))
    assert "pairs/copy.tif and pairs/0_long.tif: the same two images as pair 0" in message


def test_the_same_image_as_noisy_and_clean(here):
    (here / "pairs/copy.tif").write_bytes((here / "pairs/0_short.tif").read_bytes())
    message = refused(here, registered(here, *GOOD, ("0_short.tif", "copy.tif")))
    assert "noisy and clean are the same image (equal pixels)" in message


def test_a_saturated_image(here):
    short = tifffile.imread(here / "pairs/1_short.tif")
    tifffile.imwrite(here / "pairs/white.tif", np.where(short > 100, 255, short).astype(np.uint8))
    message = refused(here, registered(here, *GOOD, ("white.tif", "1_long.tif")))
    assert "of the noisy image is saturated (grey" in message
    assert "record it with less contrast" in message


def test_all_pairs_refused(here):
    wrong = ("0_short.tif", "3_long.tif"), ("2_short.tif", "1_long.tif")
    for leave_out in ("stop", "leave_out"):
        registered(here, *wrong)
        message = refused(here, lambda way=leave_out: cut_pairs(refused_pairs=way))
        assert message.startswith(f"{DENOISER}/registration.tsv: 2 of 2 pairs are refused")


# --- annotations


def annotated(iteration=1, classes=None, held_out_slices=(20,)):
    return lambda: import_annotations.main(
        files=[], raw=f"{DEMO}/stack/raw.zarr", annotations=f"{ITERATION}/annotations.zarr",
        table=f"{ITERATION}/annotations.tsv", folder="annotations/demo", iteration=iteration,
        classes=classes or CLASSES, held_out_slices=list(held_out_slices),
    )  # fmt: skip


NEW = "annotations/demo/01"


def mask(*where, shape=SHAPE):
    made = np.zeros(shape, np.uint8)
    made[where] = 1
    return made


def test_an_annotation_of_another_size(here):
    write_mask(here / NEW / "fibril.nrrd", mask(5, shape=(40, 96, 100)))
    message = refused(here, annotated())
    assert message.startswith(f"{NEW}/fibril.nrrd: ")
    assert re.search(r"100 x 96 x 40 voxels .*stack of 96 x 96 x 40", message)


def test_an_annotation_of_another_voxel_size(here):
    write_mask(here / NEW / "fibril.nrrd", mask(5), voxel_nm=(50.0, 12.0, 10.0))
    message = refused(here, annotated())
    assert message.startswith(f"{NEW}/fibril.nrrd: voxel size 10 x 12 x 50 against 10 x 10 x 50 nm")


def test_an_annotation_of_another_place(here):
    crop = mask(0, shape=(1, 40, 40))
    write_mask(here / NEW / "fibril.nrrd", crop, (25, 80, 10))
    message = refused(here, annotated())
    assert message.startswith(f"{NEW}/fibril.nrrd: ")
    assert "from voxel 10, 80, 25 on do not lie inside the stack" in message


def test_an_empty_mask(here):
    write_mask(here / NEW / "fibril.nrrd", mask(5))
    write_mask(here / NEW / "cell.nrrd", np.zeros(SHAPE, np.uint8))
    message = refused(here, annotated())
    assert message.startswith(f"{NEW}/cell.nrrd: an empty mask over the whole stack says nothing")
    assert "paint in it, remove it, or say in regions.tsv" in message


def test_a_value_without_a_class(here):
    labels = truth()
    labels[5, :4, :4] = 3
    write_mask(here / NEW / "labels.nrrd", labels)
    message = refused(here, annotated())
    assert message.startswith(f"{NEW}/labels.nrrd: ")
    assert "without a class: 3; name them in datasets.<name>.classes" in message


def test_a_mask_named_after_no_class(here):
    write_mask(here / NEW / "nucleus.nrrd", mask(5))
    message = refused(here, annotated())
    assert "nucleus.nrrd: a mask whose name is none of the classes fibril, cell" in message


def test_masks_of_two_classes_that_overlap(here):
    write_mask(here / NEW / "fibril.nrrd", mask(5, slice(0, 10), slice(0, 10)))
    write_mask(here / NEW / "cell.nrrd", mask(5, slice(8, 20), slice(7, 20)))
    message = refused(here, annotated())
    assert "fibril.nrrd" in message
    assert "cell.nrrd" in message
    assert "in 6 voxels, inside z 5:6, y 8:10, x 7:10; expected one class per voxel" in message


def test_all_annotated_slices_held_out(here):
    message = refused(here, annotated(0, held_out_slices=(8, 20, 30)))
    assert message.startswith("annotations/demo: all 3 annotated slices are held out")


# --- patches and networks


def cut(**changes):
    settings = {"size": 48, "context": 0, "min_foreground": 0.01, "background_share": 0.1}
    return lambda: choose_segmentation_patches.main(
        raw=f"{DEMO}/stack/raw.zarr", annotations=f"{ITERATION}/annotations.zarr",
        table=f"{ITERATION}/patches.tsv", settings={**settings, **changes}, classes=CLASSES,
        held_out_slices=[20], seed=0, threads=1,
    )  # fmt: skip


def test_a_patch_larger_than_the_stack(here):
    message = refused(here, cut(size=128))
    assert message.startswith(f"{DEMO}/stack/raw.zarr: a patch of 128 × 128 pixels is larger")
    assert "lower datasets.<name>.patches.size to 96 or less" in message
    message = refused(here, lambda: cut_pairs(patch_size=192))
    assert "lower denoisers.<name>.patch_size" in message


def test_no_patch_with_enough_foreground(here):
    message = refused(here, cut(min_foreground={"fibril": 0.9, "cell": 0.95}))
    assert message.startswith(f"{ITERATION}/annotations.zarr: no patch of 48 × 48 pixels reaches")
    assert re.search(r"fibril 0\.\d+ \(expected 0.9\), cell 0\.\d+ \(expected 0.95\)", message)


def predicted(model, classes=None):
    return lambda: predict_slab.main(
        image=f"{DEMO}/stack/denoised.zarr", model=model, classes=classes or CLASSES, slab=0,
        slabs=1, probability=f"{ITERATION}/probability.zarr", threads=1,
    )  # fmt: skip


def test_a_checkpoint_of_another_network(here):
    message = refused(here, predicted(f"{DENOISER}/model.pt"))
    assert message.startswith(f"{DENOISER}/model.pt: this is a denoiser, expected a segmenter")
    segmenter = f"{ITERATION}/segmenter/model.pt"
    message = refused(here, predicted(segmenter, {1: "fibril", 2: "vessel"}))
    assert "knows the classes fibril, cell; expected fibril, vessel" in message
    message = refused(here, lambda: denoise_slab.main(
        raw=f"{DEMO}/stack/raw.zarr", model=segmenter, slab=0, slabs=1, threads=1,
        denoised=f"{DEMO}/stack/denoised.zarr"))  # fmt: skip
    assert "this is a segmenter, expected a denoiser" in message
    (here / "broken.pt").write_bytes((here / segmenter).read_bytes()[:3000])
    assert "broken.pt: not a network of Blockface" in refused(here, predicted("broken.pt"))
