"""Which pairs show one field, that a field stays on one side, and pairs that repeat in disguise."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

import extract_denoising_patches
import register_pairs
from blockface.errors import InputError
from blockface.pair_split import split_pairs
from blockface.pairs import fields, same_as_before
from blockface.registration import rescaled
from unit.test_registration_truth import blobs, displacement, scans

images = st.text("abcdef", min_size=1, max_size=1)


@given(st.lists(st.tuples(images, images), min_size=1, max_size=12))
def test_pairs_that_share_an_image_however_far_show_one_field(pairs):
    field = fields(pairs)
    assert set(field) == set(range(max(field) + 1))
    shown = [{i for pair, f in zip(pairs, field, strict=True) if f == n for i in pair}
             for n in range(max(field) + 1)]  # fmt: skip
    for n, one in enumerate(shown):  # no image shows two fields
        assert all(one.isdisjoint(other) for other in shown[n + 1 :])
        reached = {min(one)}  # and all of a field hang together
        for _ in pairs:
            reached |= {i for pair in pairs if reached & set(pair) for i in pair}
        assert reached == one


def test_repeats_of_the_same_two_images():
    assert same_as_before([("a", "b"), ("a", "c"), ("a", "b"), ("b", "a"), ("a", "b")]) == [
        None, None, 0, None, 0,
    ]  # fmt: skip


@given(
    st.lists(st.integers(0, 5), min_size=2, max_size=14),
    st.lists(st.integers(0, 13), max_size=3),
    st.none() | st.lists(st.integers(0, 13), min_size=1, max_size=3),
)
def test_all_pairs_of_a_field_are_on_one_side(shown, test, validation):
    numbers = dict(enumerate(shown))
    try:
        split = split_pairs(numbers, validation, test)
    except InputError:
        return
    for field in set(shown):
        assert len({split[p] for p in numbers if numbers[p] == field}) == 1
    assert all(split[p] == "test" for p in test if p in numbers)
    assert {"train", "validation"} <= set(split.values())


def test_a_field_named_for_test_and_for_validation():
    with pytest.raises(InputError, match=r"pairs 0, 2 show one field; expected all"):
        split_pairs({0: 0, 1: 1, 2: 0, 3: 2}, [2], [0])


def test_three_fields_are_trained_on_with_a_warning(caplog):
    assert split_pairs({0: 0, 1: 1, 2: 2}, None, []) == {0: "train", 1: "train", 2: "validation"}
    assert "only 3 fields to learn from; 8 or more are advised" in caplog.text
    with pytest.raises(InputError, match=r"2 accepted pair\(s\) of 1 field"):
        split_pairs({0: 0, 1: 0}, None, [])


def listed(folder, rows, **changes):
    """Table of registrations of files in ``folder``; what `register_pairs.main` is given."""
    lines = ["noisy\tclean", *("\t".join(row) for row in rows)]
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")
    arguments = {
        "pairs": f"{folder}/pairs.tsv", "table": f"{folder}/out/registration.tsv",
        "figure": f"{folder}/out/registration.png", "registered": f"{folder}/out/pairs",
        "settings": {}, "rescale_to_nm": None, "threads": 1,
    }  # fmt: skip
    register_pairs.main(**(arguments | changes))
    return pd.read_csv(f"{folder}/out/registration.tsv", sep="\t", keep_default_na=False)


@pytest.fixture
def folder(tmp_path):
    """Two fields: two noisy and a clean image of the first, a noisy and a clean one of the other.

    Pixels of 5 nm.
    """
    for field in (0, 1):
        image, truth = blobs(30 + field), displacement(30 + field, 0)[0]
        shots = [scans(image, truth, seed) for seed in (0, 1)]
        named = {"short": shots[0][0], "long": shots[0][1], "again": shots[1][0]}
        for name, pixels in named.items():
            tifffile.imwrite(
                tmp_path / f"{field}_{name}.tif", pixels,
                resolution=(2e6, 2e6), resolutionunit="CENTIMETER",
            )  # fmt: skip
    (tmp_path / "copy.tif").write_bytes((tmp_path / "0_short.tif").read_bytes())
    return tmp_path


def test_several_noisy_images_of_a_field_and_noisy_pairs_are_accepted(folder):
    rows = [
        ("0_short.tif", "0_long.tif"), ("1_short.tif", "1_long.tif"),
        ("0_again.tif", "0_long.tif"), ("0_short.tif", "0_again.tif"),
    ]  # fmt: skip
    table = listed(folder, rows)
    assert table.accepted.tolist() == [True] * 4, table.reason.tolist()
    assert table.field.tolist() == [0, 1, 0, 0]
    assert table.partner.tolist() == ["clean", "clean", "clean", "noisy"]
    extract_denoising_patches.main(
        table=f"{folder}/out/registration.tsv", registered=f"{folder}/out/pairs",
        patches=f"{folder}/out/patches.zarr", split_table=f"{folder}/out/split.tsv", threads=1,
        settings={"refused_pairs": "stop", "validation_pairs": None, "test_pairs": [],
                  "patch_size": 96},
    )  # fmt: skip
    split = pd.read_csv(folder / "out/split.tsv", sep="\t")["split"].tolist()
    assert split == ["train", "validation", "train", "train"]


def test_the_same_image_or_pair_under_another_name(folder):
    table = listed(folder, [
        ("0_short.tif", "0_long.tif"), ("copy.tif", "0_long.tif"), ("0_short.tif", "copy.tif"),
    ])  # fmt: skip
    assert table.accepted.tolist() == [True, False, False]
    assert table.reason[1] == "the same two images as pair 0 (equal pixels)"
    assert table.reason[2] == "noisy and clean are the same image (equal pixels)"


def test_pairs_are_brought_to_another_pixel_size(folder):
    rows = [("0_short.tif", "0_long.tif")]
    own = listed(folder, rows)
    pair = np.load(folder / "out/pairs/pair_00.npy")
    table = listed(folder, rows, rescale_to_nm=10.0)
    half = np.load(folder / "out/pairs/pair_00.npy")
    assert table.pixel_size_nm[0] == 10
    assert own.pixel_size_nm[0] == pytest.approx(5)
    assert half.shape == (2, round(pair.shape[1] / 2), round(pair.shape[2] / 2))
    assert half.dtype == np.float32
    np.testing.assert_allclose(half.mean((1, 2)), pair.mean((1, 2)), atol=0.5)
    larger = rescaled(pair, 5.0, 4.0, "x")
    np.testing.assert_allclose(larger.mean((1, 2)), pair.mean((1, 2)), atol=0.5)
    with pytest.raises(InputError, match=r"x: the file tells no pixel size, .*10 nm; save it"):
        rescaled(pair, None, 10, "x")
