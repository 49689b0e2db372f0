"""How sure the gain in PSNR is: the interval holds the true gain as often as it says."""

import numpy as np
import pytest

from blockface.denoising import gain_interval


@pytest.mark.parametrize(("before", "after"), [(20.0, 10.0), (20.0, 18.0), (10.0, 12.0)])
def test_the_interval_holds_the_true_gain(before, after):
    true, held, widths = 20 * np.log10(before / after), 0, []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        clean = rng.uniform(0, 255, (60, 72))
        uneven = 1 + 0.5 * np.sin(np.arange(72) / 11)  # parts differ, as in images
        noisy, made = (clean + sd * uneven * rng.normal(size=clean.shape) for sd in (before, after))
        low, high = gain_interval(noisy, made, clean)
        held += low <= true <= high
        widths.append(high - low)
    assert held >= 50  # 57 of 60 are expected
    assert 0.1 < np.mean(widths) < 2


def test_a_perfect_result_is_no_trouble():
    clean = np.ones((40, 40))
    low, high = gain_interval(clean + 1, clean, clean)
    assert np.isfinite([low, high]).all()
