"""The modes of distributions whose number of modes is known."""

import numpy as np
import pytest

from blockface.modes import find_modes


def sample(seed, *parts):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(m, s, n) for m, s, n in parts])


@pytest.mark.parametrize("n", [60, 1000, 100_000])
def test_two_diameters_are_two_modes(n):
    found = find_modes(sample(1, (40, 6, n), (110, 15, n // 2)))
    assert found.at == pytest.approx([40, 110], rel=0.1)
    assert found.share == pytest.approx([2 / 3, 1 / 3], abs=0.04)


def test_three_modes():
    found = find_modes(sample(2, (30, 5, 800), (80, 6, 600), (150, 10, 400)))
    assert found.at == pytest.approx([30, 80, 150], rel=0.06)


def test_one_mode_stays_one():
    """At a level of 5 % the test may err now and then, but rarely."""
    rng = np.random.default_rng(3)
    many = [rng.normal(100, 15, 400) for _ in range(15)]
    many += [rng.lognormal(4, 0.5, 1500) for _ in range(15)]
    assert sum(len(find_modes(v).at) > 1 for v in many) <= 2
    assert find_modes(many[0]).at[0] == pytest.approx(100, rel=0.1)


def test_a_stray_object_is_no_mode():
    found = find_modes(np.r_[sample(4, (100, 10, 2000)), 900, 1200])
    assert len(found.at) == 1


def test_hardly_any_values_and_equal_ones():
    assert len(find_modes(np.arange(5.0)).at) == 0
    assert find_modes(np.full(50, 7.0)).at.tolist() == [7]


def test_same_values_same_modes():
    values = sample(5, (40, 6, 500), (110, 15, 300))
    assert (find_modes(values).at == find_modes(values[::-1]).at).all()
