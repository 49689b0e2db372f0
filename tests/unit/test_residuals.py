"""What was taken away, with residuals whose make-up is known."""

import numpy as np
import pytest
from scipy import ndimage

from blockface.residuals import LAGS, autocorrelation, lost_detail, residual_figure, spectrum

RNG = np.random.default_rng(0)
CLEAN = 128 + 400 * ndimage.gaussian_filter(RNG.normal(size=(160, 180)), 1.5)
NOISY = CLEAN + RNG.normal(0, 20, CLEAN.shape)


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_lost_detail_is_the_share_that_is_missing(share):
    fine = CLEAN - ndimage.gaussian_filter(CLEAN, 4)
    assert lost_detail(CLEAN - share * fine, CLEAN) == pytest.approx(share, abs=1e-6)


def test_noise_that_stays_is_not_lost_detail():
    half = CLEAN + 0.5 * (NOISY - CLEAN)
    assert lost_detail(half, CLEAN) == pytest.approx(0, abs=0.03)


def test_an_image_without_detail_has_no_share():
    assert np.isnan(lost_detail(NOISY, np.full(CLEAN.shape, 7.0)))


def test_autocorrelation_of_smoothed_noise_is_that_of_its_kernel():
    white = RNG.normal(size=(400, 400))
    rows, columns = autocorrelation(ndimage.gaussian_filter1d(white, 1.0, axis=1))
    lags = np.arange(LAGS + 1)
    assert columns == pytest.approx(np.exp(-(lags**2) / 4), abs=0.03)
    assert rows[1:] == pytest.approx(0, abs=0.03)


def test_spectrum_of_white_noise_is_flat_and_of_a_wave_has_its_peak():
    at, power = spectrum(RNG.normal(0, 3, (256, 300)))
    assert power[2:] == pytest.approx(9, rel=0.35)
    wave = 10 * np.sin(2 * np.pi * 0.2 * np.arange(300))[None] * np.ones((256, 1))
    at, power = spectrum(wave)
    assert at[power.argmax()] == pytest.approx(0.2, abs=0.01)


def test_figure(tmp_path):
    images = {0: (NOISY, ndimage.gaussian_filter(NOISY, 1), CLEAN), 3: (NOISY, CLEAN, CLEAN)}
    assert residual_figure(images, tmp_path / "r.png").stat().st_size > 10_000
