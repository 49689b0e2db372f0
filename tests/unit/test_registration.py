"""Registration against known displacements, with noise and a scan-fixed pattern."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from blockface.drift import Drift
from blockface.errors import InputError
from blockface.pair_split import check_accepted
from blockface.registration import grey_match, register, resample
from register_pairs import main

SHAPE = (300, 340)
SETTINGS = {"max_shift_fraction": 0.25, "min_correlation": 0.4, "max_residual_px": 1.0}


def field(seed, shape=SHAPE):
    """A field of blurred blobs, grey levels 0 to 255, float."""
    rng = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(rng.normal(size=shape), s) for s in (3, 7)]
    image = np.tanh(2 * sum(p / p.std() for p in parts))
    return ndimage.gaussian_filter(127 + 90 * image, 1)


def displacement(shape, shift, drift, stretch):
    y, x = (np.linspace(-1, 1, n) for n in shape)
    line = np.stack([s + d * (y + 0.4 * y**2) / 2 for s, d in zip(shift, drift, strict=True)])
    return Drift(line, np.stack([0 * x, stretch * x / 2]))


def scans(clean, truth, rng, noise=20.0, stripes=0.0, gain=0.8, offset=20.0):
    """Noisy and clean scan (uint8) of a field; the stripes stay where they are in both."""
    moved = ndimage.map_coordinates(
        clean, truth.at(slice(None), slice(None)), order=5, mode="mirror"
    )
    h, w = clean.shape
    fixed = stripes * (rng.normal(size=(h, 1)) + rng.normal(size=(1, w)))
    noisy = gain * moved + offset + noise * rng.normal(size=(h, w)) + fixed
    slow = clean + 2 * rng.normal(size=(h, w)) + fixed
    return tuple(np.clip(i, 0, 255).round().astype(np.uint8) for i in (noisy, slow))


def errors(result, truth):
    found, true = (d.at(result.rows, result.columns) for d in (result.drift, truth))
    return np.hypot(*(f - t for f, t in zip(found, true, strict=True)))


@pytest.mark.parametrize("stripes", [0, 25])
@pytest.mark.parametrize(
    ("shift", "drift", "stretch"),
    [
        ((0, 0), (0, 0), 0),
        ((3.3, -2.6), (3, 1), 2),
        ((-31.4, 44.2), (-8, 3), 0),
        ((0.4, 0.3), (2, -1), 0),
    ],
)
def test_known_displacement_is_found(shift, drift, stretch, stripes):
    truth = displacement(SHAPE, shift, drift, stretch)
    noisy, clean = scans(field(1), truth, np.random.default_rng(2), stripes=stripes)
    result = register(noisy, clean)
    assert result.accepted, result.reason
    error = errors(result, truth)
    assert np.median(error) < 0.2
    assert np.percentile(error, 95) < 0.5
    assert result.residual < 0.3
    assert result.gain == pytest.approx(0.8, abs=0.08)


@given(
    st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
    st.tuples(st.floats(-5, 5), st.floats(-3, 3)),
    st.integers(0, 1000),
)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_displacement_is_found(shift, drift, seed):
    truth = displacement(SHAPE, shift, drift, 1)
    noisy, clean = scans(field(seed), truth, np.random.default_rng([seed, 1]), stripes=10)
    result = register(noisy, clean)
    assert result.accepted, result.reason
    assert np.median(errors(result, truth)) < 0.2
    np.testing.assert_array_equal(result.pair[0], noisy[result.rows, result.columns])


def test_noisy_is_kept_and_clean_has_its_grey_levels():
    truth = displacement(SHAPE, (2.5, -1.5), (1, 0), 0)
    noisy, clean = scans(field(3), truth, np.random.default_rng(4))
    before = noisy.copy(), clean.copy()
    result = register(noisy, clean)
    np.testing.assert_array_equal(noisy, before[0])
    np.testing.assert_array_equal(clean, before[1])
    np.testing.assert_array_equal(result.pair[0], noisy[result.rows, result.columns])
    assert result.pair.dtype == np.float32
    assert abs((result.pair[0] - result.pair[1]).mean()) < 1


def test_a_shift_left_in_is_measured():
    """A wave along the columns, too short for the model, shows as residual."""
    wave = np.stack([2.5 * np.sin(np.arange(SHAPE[1]) / 12), np.zeros(SHAPE[1])])
    truth = Drift(np.zeros((2, SHAPE[0])), wave)
    noisy, clean = scans(field(5), truth, np.random.default_rng(6), noise=5)
    result = register(noisy, clean, max_residual_px=0.3)
    assert not result.accepted
    assert "is left" in result.reason


@pytest.mark.parametrize(("stripes", "seed"), [(0, 0), (0, 1), (25, 2), (25, 3)])
def test_different_fields_are_refused(stripes, seed):
    still = displacement(SHAPE, (0, 0), (0, 0), 0)
    noisy, _ = scans(field(seed), still, np.random.default_rng(7), stripes=stripes)
    _, clean = scans(field(seed + 50), still, np.random.default_rng(7), stripes=stripes)
    result = register(noisy, clean)
    assert not result.accepted
    assert "another field" in result.reason


def test_refusals_have_reasons():
    image = field(8)
    blank = np.full(SHAPE, 7, np.uint8)
    far = displacement(SHAPE, (100, 0), (0, 0), 0)
    for noisy, clean, reason in (
        (image, image[:-10], "sizes differ: noisy 300 x 340, clean 290 x 340"),
        (blank, image, "the noisy image is blank"),
        (image, blank, "the clean image is blank"),
        (image * np.nan, image, "not numbers"),
        (image[:50], image[:50], "smaller than 64"),
        (*scans(image, far, np.random.default_rng(9)), "shifted by more than 75, 85 px"),
        (image, 255 - image, "correlation"),
        (image, image.copy(), "the same image (equal pixels)"),
        (np.clip(image, 120, 999), image, "of the noisy image is saturated (grey levels 120 to"),
        (image, np.clip(image, 0, 160), "of the clean image is saturated"),
    ):
        result = register(noisy, clean)
        assert not result.accepted
        assert reason in result.reason


@given(st.floats(0.2, 5), st.floats(-50, 50))
@settings(max_examples=20, deadline=None)
def test_grey_levels_are_matched_in_spite_of_outliers(gain, offset):
    clean = field(10).astype(np.float32)
    noisy = gain * clean + offset
    noisy[100:140, 100:140] = noisy.max() * 3 + 100
    assert grey_match(noisy, clean) == pytest.approx((gain, offset), abs=0.05 * gain * 90)


def listed(folder, pairs):
    lines = ["noisy\tclean"]
    for i, (noisy, clean) in enumerate(pairs):
        for name, image in ((f"n{i}.tif", noisy), (f"c{i}.tif", clean)):
            tifffile.imwrite(folder / name, image)
        lines.append(f"n{i}.tif\tc{i}.tif")
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")
    return {
        "pairs": str(folder / "pairs.tsv"),
        "table": str(folder / "out/registration.tsv"),
        "figure": str(folder / "out/registration.png"),
        "registered": str(folder / "out/pairs"),
        "settings": SETTINGS,
        "rescale_to_nm": None,
        "threads": 1,
    }


def test_script_writes_table_picture_and_accepted_pairs(tmp_path):
    truth = displacement(SHAPE, (2.5, -1.5), (1, 0), 0)
    good = scans(field(11), truth, np.random.default_rng(0))
    wrong = good[0], field(12).astype(np.uint8)
    main(**listed(tmp_path, [wrong, good, (good[0], good[1][:200])]))
    frame = pd.read_csv(tmp_path / "out/registration.tsv", sep="\t")
    assert frame.accepted.tolist() == [False, True, False]
    assert frame.reason[2].startswith("sizes differ")
    assert frame.shift_y_px[1] == pytest.approx(2.5, abs=0.2)
    files = sorted(p.name for p in (tmp_path / "out/pairs").iterdir())
    assert files == ["pair_01.npy"]
    pair = np.load(tmp_path / "out/pairs/pair_01.npy")
    assert pair.dtype == np.float32
    assert pair.shape == (2, frame.height[1], frame.width[1])
    assert (tmp_path / "out/registration.png").stat().st_size > 10_000


def test_a_refused_pair_stops_the_run_unless_it_may_be_left_out(tmp_path):
    images = [field(seed).astype(np.uint8) for seed in range(2)]
    good = scans(field(11), displacement(SHAPE, (2.5, -1.5), (1, 0), 0), np.random.default_rng(0))
    arguments = listed(tmp_path, [good, images, (good[0], good[1][:200])])
    main(**arguments)
    table = arguments["table"]
    with pytest.raises(
        InputError, match=r"2 of 3 pairs are refused.*n1\.tif and.*c1\.tif: .*; "
    ) as told:
        check_accepted(table, leave_out=False)
    assert "n2.tif" in str(told.value)
    assert "leave_out" in str(told.value)
    check_accepted(table, leave_out=True)
    (tmp_path / "none").mkdir()
    arguments = listed(tmp_path / "none", [images])
    main(**arguments)
    with pytest.raises(InputError, match="1 of 1 pairs are refused"):
        check_accepted(arguments["table"], leave_out=True)


@pytest.mark.parametrize("shift", [(-2.4, 3.6), (2.4, -3.6)])
def test_blank_border_lines_are_no_part_of_a_pair(shift):
    """Both scans with their first lines and last columns black, as some microscopes write them."""
    clean = field(11)
    truth = displacement(SHAPE, shift, (1, 0), 0)
    noisy, slow = scans(clean, truth, np.random.default_rng(11))
    for image in (noisy, slow):
        image[:2], image[:, -3:] = 0, 0
    result = register(noisy, slow, **SETTINGS)
    assert result.accepted
    kept, partner = result.pair
    assert (kept == 0).mean(axis=1).max() < 0.5
    assert (kept == 0).mean(axis=0).max() < 0.5
    true = 0.8 * resample(clean, truth, result.rows, result.columns) + 20
    wrong = np.abs(partner - true)
    inside = wrong[20:-20, 20:-20].mean()
    for edge in (wrong[:3], wrong[-3:], wrong[:, :3], wrong[:, -3:]):
        assert edge.mean() < 3 * inside
