"""Shorter dwell times: noise that grows as it must, and discs whose diameters are known."""

import numpy as np
import pytest

from blockface.dwell_time import DENOISED, FACTORS, RAW, faster, found, plan, planning_curve
from blockface.noise import Noise
from blockface.particles import diameters

NOISE = Noise(gain=0.5, offset=10, least=1, line_sd=1.5, along=(0.4, 0.1), across=(0.0, 0.0))


def discs(radii, background=60.0, bright=180.0):
    y, x = np.mgrid[:200, : 60 * len(radii) + 40]
    image = np.full(y.shape, background)
    for number, radius in enumerate(radii):
        for cy in (60, 140):
            image[np.hypot(y - cy, x - 50 - 60 * number) <= radius] = bright
    return image


@pytest.mark.parametrize("factor", [1, 2, 8])
def test_variance_goes_as_the_inverse_of_the_dwell_time(factor):
    clean = np.repeat([80.0, 160.0], 200)[None] * np.ones((300, 1))
    noisy = faster(clean, clean, NOISE, 2, seed=1)  # some noise to begin with: that of the model
    made = faster(noisy, clean, NOISE, factor, seed=2)
    for half, grey in ((np.s_[:, 10:190], 80), (np.s_[:, 210:390], 160)):
        variance = (made - clean)[half].var()
        expected = factor * (NOISE.gain * grey + NOISE.offset + NOISE.line_sd**2)
        assert variance == pytest.approx(expected, rel=0.08)
        assert made[half].mean() == pytest.approx(grey, abs=0.5)


def test_the_same_dwell_time_is_the_same_image():
    clean = discs([10])
    np.testing.assert_allclose(faster(clean, clean, NOISE, 1, seed=0), clean, atol=1e-4)


def test_diameters_and_their_bias_are_those_of_the_discs():
    radii = [8.0, 12.0, 16.0]
    clean, grown = discs(radii), discs([r + 1 for r in radii])
    sizes = diameters(grown, clean)
    true = np.repeat(2 * np.array(radii), 2)
    assert np.sort(sizes[:, 1]) == pytest.approx(np.sort(true), rel=0.03)
    assert np.sort(sizes[:, 0]) == pytest.approx(np.sort(true) + 2, rel=0.03)
    row = found(grown, clean)
    assert row["objects"] == 6
    assert row["diameter_bias_percent"] == pytest.approx(np.mean(200 / true), abs=2)


def test_a_perfect_denoiser_loses_nothing_and_a_raw_image_does(tmp_path):
    clean = discs([9.0, 12.0, 15.0])
    pairs = {4: np.stack([faster(clean, clean, NOISE, 2, seed=3), clean]).astype(np.float32)}
    table = plan(pairs, lambda image: clean, NOISE, 255.0)
    assert sorted(table["times_faster"].unique()) == sorted(FACTORS)
    raw, denoised = (table[table["image"] == kind] for kind in (RAW, DENOISED))
    assert denoised["dice"].tolist() == [1.0] * len(FACTORS)
    assert denoised["diameter_bias_percent"].abs().max() == 0
    assert (raw["psnr_db"].diff()[1:] < -2).all()
    assert raw["dice"].iloc[-1] < raw["dice"].iloc[0]
    assert planning_curve(table, tmp_path / "c.png").stat().st_size > 10_000
