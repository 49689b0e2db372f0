"""Known truth as hard as the real pairs: noise as strong and correlated, drift, jumps, stripes."""

import numpy as np
import pytest
from scipy import ndimage

from blockface.acceptance import partner
from blockface.drift import Drift
from blockface.registration import register

SHAPE = (260, 280)
NOISE = 20.0  # grey levels, SD as in the real pairs
DETECTOR = np.array([0.1, 0.45, 0.8, 0.45, 0.1])  # along x: 0.76 between neighbours (real: 0.5)


def blobs(seed):
    """Blurred blobs, grey levels 0 to 255."""
    rng = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(rng.normal(size=SHAPE), s) for s in (3, 7)]
    image = np.tanh(2 * sum(p / p.std() for p in parts))
    return ndimage.gaussian_filter(127 + 90 * image, 1)


def discs(seed):
    """Discs on a flat ground, like the particles of the real pairs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = np.full(SHAPE, 60.0)
    for cy, cx, radius, grey in zip(
        rng.uniform(0, SHAPE[0], 80), rng.uniform(0, SHAPE[1], 80),
        rng.uniform(5, 20, 80), rng.uniform(120, 220, 80), strict=True,
    ):  # fmt: skip
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = grey
    return ndimage.gaussian_filter(image, 1)


def displacement(seed, jumps):
    """Shift, drift that bends, stretch, and ``jumps`` of 0.8 to 7 px in any direction."""
    rng = np.random.default_rng([seed, 1])
    y, x = (np.linspace(-1, 1, n) for n in SHAPE)
    line = rng.uniform(-20, 20, (2, 1)) + rng.uniform(-2, 2, (2, 1)) * y
    line += rng.uniform(-1, 1, (2, 1)) * y**2
    places = np.sort(rng.choice(np.arange(1, 8), jumps, replace=False)) * 32
    places += rng.integers(-8, 9, jumps)
    for place in places:
        way = rng.uniform(0, 2 * np.pi)
        line[:, place:] += rng.uniform(0.8, 7) * np.array([[np.sin(way)], [np.cos(way)]])
    stretch = rng.uniform((-0.5, -1.5), (0.5, 1.5))
    return Drift(line, stretch[:, None] * x), places


def noise(rng):
    grain = ndimage.convolve1d(rng.normal(size=SHAPE), DETECTOR, axis=1)
    return NOISE * grain / np.linalg.norm(DETECTOR) + 3 * rng.normal(size=(SHAPE[0], 1))


def scans(image, truth, seed, clean_noise=0.1, blur=(0, 0)):
    """Noisy and clean scan (uint8); stripes as strong as the noise stay where they are in both."""
    rng = np.random.default_rng([seed, 2])
    whole = slice(None), slice(None)
    sharp = [ndimage.gaussian_filter(image, sd) if sd else image for sd in blur]
    moved = ndimage.map_coordinates(sharp[0], truth.at(*whole), order=5, mode="mirror")
    stripes = 10 * (rng.normal(size=(SHAPE[0], 1)) + rng.normal(size=(1, SHAPE[1])))
    noisy = 0.95 * moved + 5 + noise(rng) + stripes
    clean = sharp[1] + clean_noise * noise(rng) + stripes
    return tuple(np.clip(i, 0, 255).round().astype(np.uint8) for i in (noisy, clean))


def errors(result, truth):
    found, true = (d.at(result.rows, result.columns) for d in (result.drift, truth))
    return np.hypot(*(f - t for f, t in zip(found, true, strict=True)))


@pytest.mark.parametrize("make", [blobs, discs])
@pytest.mark.parametrize(("seed", "jumps"), [(s, s % 3) for s in range(12)])
def test_the_field_is_recovered_with_jumps_and_without(make, seed, jumps):
    truth, places = displacement(seed, jumps)
    result = register(*scans(make(seed), truth, seed))
    assert result.accepted, result.reason
    error = errors(result, truth)
    assert np.median(error) < 0.2
    assert np.percentile(error, 95) < 0.5
    assert len(result.drift.jumps) <= jumps  # none is made up
    steps = np.hypot(*(truth.line[:, places] - truth.line[:, places - 1]))
    for place in places[steps > 1.5]:
        assert np.abs(np.array(result.drift.jumps) - place).min() <= 3


@pytest.mark.parametrize("make", [blobs, discs])
@pytest.mark.parametrize("which", ["noisy", "clean"])
@pytest.mark.parametrize("sd", [3, 5])
def test_an_image_out_of_focus_is_refused_and_named(make, sd, which):
    blur = (sd, 0) if which == "noisy" else (0, sd)
    result = register(*scans(make(20), displacement(20, 0)[0], 20, blur=blur))
    assert not result.accepted
    assert f"the {which} image is out of focus: blurred by" in result.reason
    assert abs(result.blur) == pytest.approx(sd, rel=0.15)
    assert (result.blur > 0) == (which == "noisy")


@pytest.mark.parametrize("side", [96, 112, 200])
def test_focus_is_judged_in_small_images_too(side):
    truth, _ = displacement(23, 0)
    sharp, blurred = (scans(blobs(23), truth, 23, blur=(0, sd)) for sd in (0, 3))
    part = slice(30, 30 + side), slice(30, 30 + side)
    assert abs(register(*(i[part] for i in sharp)).blur) < 0.6
    assert register(*(i[part] for i in blurred)).blur == pytest.approx(-3, rel=0.2)


@pytest.mark.parametrize("seed", [21, 22])
def test_two_noisy_images_of_a_field_are_a_pair_and_known_as_such(seed):
    truth, _ = displacement(seed, 1)
    image, other = blobs(seed), blobs(seed + 50)
    result = register(*scans(image, truth, seed, clean_noise=1))
    assert result.accepted, result.reason
    error = errors(result, truth)
    assert np.median(error) < 0.2
    assert np.percentile(error, 95) < 0.5
    assert partner(result.partner_noise) == "noisy"
    assert partner(register(*scans(image, truth, seed)).partner_noise) == "clean"
    noisy, clean = scans(image, truth, seed)
    assert "times the noise of the one under noisy: exchange" in register(clean, noisy).reason
    wrong = register(scans(image, truth, seed)[0], scans(other, truth, seed, clean_noise=1)[1])
    assert "another field" in wrong.reason
