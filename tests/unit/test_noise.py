"""The noise of known strength, made and recovered; more noise of the same kind."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import estimate_noise as script
from blockface.augment import more_noise
from blockface.noise import Noise, kernel, load_noise, save_noise
from blockface.noise_estimate import estimate_noise
from unit.test_registration_truth import blobs, discs

KERNELS = {"white": [1.0], "detector": [0.1, 0.45, 0.8, 0.45, 0.1], "pair": [1.0, 1.0]}


def correlation(weights, lags=4):
    weights = np.array(weights) / np.linalg.norm(weights)
    full = np.correlate(weights, weights, "full")[len(weights) :]
    return np.pad(full, (0, lags))[:lags]


def image_with(true, rng, gain, offset, line, weights, share=1.0):
    """``true`` with noise of that variance (times ``share``), correlated along the lines."""
    grain = ndimage.convolve1d(rng.normal(size=true.shape), weights, axis=1, mode="wrap")
    grain /= np.linalg.norm(weights)
    lines = line * rng.normal(size=(len(true), 1))
    return true + np.sqrt(share) * (np.sqrt(gain * true + offset) * grain + lines)


def made(make, gain, offset, line, weights, partner, count=4):
    """Pairs (2, y, x); the partner's noise has ``partner`` times the variance."""
    found = []
    for seed in range(count):
        rng, true = np.random.default_rng([seed, 3]), make(seed)
        images = [image_with(true, rng, gain, offset, line, weights, v) for v in (1.0, partner)]
        found.append(np.stack(images))
    return found


@pytest.mark.parametrize("make", [blobs, discs])
@pytest.mark.parametrize(
    ("gain", "offset", "line", "weights"),
    [(1.5, 50, 0, "white"), (0, 400, 5, "detector"), (2, 100, 3, "detector"), (4, 0, 8, "pair")],
)
@pytest.mark.parametrize("partner", [0.01, 1.0])
def test_noise_is_recovered_beside_a_clean_partner_and_beside_a_noisy_one(
    make, gain, offset, line, weights, partner
):
    found = estimate_noise(made(make, gain, offset, line, KERNELS[weights], partner))
    noise = found.noise
    for grey in (80.0, 128.0, 180.0):
        true = gain * grey + offset
        assert noise.variance(np.float64(grey)) == pytest.approx(true, rel=0.08)
    assert noise.gain == pytest.approx(gain, abs=0.35)
    assert noise.line_sd == pytest.approx(line, abs=0.4)
    assert np.abs(np.array(noise.along) - correlation(KERNELS[weights])).max() < 0.07
    assert np.abs(noise.across).max() < 0.12
    assert found.partner == pytest.approx(partner, abs=0.17)


def test_clipped_grey_levels_and_brightness_that_wanders_do_not_count():
    pairs = made(discs, 4, 0, 2, KERNELS["detector"], 0.01)
    fading = 30 * np.exp(-np.arange(len(pairs[0][0])) / 15)[:, None]
    spoiled = [np.stack([np.clip(n + fading, 0, 255).round(), c]) for n, c in pairs]
    noise = estimate_noise(spoiled).noise
    assert noise.variance(np.float64(130.0)) == pytest.approx(520, rel=0.1)
    assert noise.line_sd == pytest.approx(2, abs=0.6)
    assert noise.along[0] == pytest.approx(correlation(KERNELS["detector"])[0], abs=0.05)


def test_an_image_of_one_grey_level_is_no_trouble():
    rng = np.random.default_rng(0)
    flat = [np.stack([rng.normal(100, 10, (80, 90)), rng.normal(100, 1, (80, 90))])]
    noise = estimate_noise(flat).noise
    assert noise.variance(np.float64(100.0)) == pytest.approx(100, rel=0.1)


@given(st.lists(st.floats(-0.5, 0.9), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_filters_keep_the_variance(values):
    weights = kernel(tuple(values))
    assert len(weights) % 2 == 1
    assert np.isfinite(weights).all()
    assert np.sum(weights**2) == pytest.approx(1)


@pytest.mark.parametrize("name", KERNELS)
def test_filters_have_the_correlation_asked_for(name):
    asked = correlation(KERNELS[name])
    np.testing.assert_allclose(correlation(kernel(tuple(asked))), asked, atol=0.02)


def test_more_noise_follows_the_model():
    """What is added is measured again as noise of its own: variance, neighbours, lines."""
    noise = Noise(4.0, 30.0, 1.0, 6.0, (0.5, 0.1, 0.0, 0.0), (0.2, 0.0, 0.0, 0.0))
    low, high = 20.0, 220.0
    grey = torch.full((400, 1, 64, 64), 0.0)
    grey[:, :, :, 32:] = 0.6
    rng = torch.Generator().manual_seed(0)
    added = more_noise(grey, noise, (low, high), 1.0, rng) * 100  # in grey levels
    share = added.square().mean((1, 2, 3))
    assert 0.4 < (share == 0).float().mean() < 0.6  # every other image
    # the mean of the square of a share between 0 and 1 is a third
    some = added[share > 0].double()
    lines = some.mean(3, keepdim=True)
    for part, level in ((some[..., :32], 120), (some[..., 32:], 180)):
        expected = (4 * level + 30 + 36) / 3
        assert float(part.square().mean()) == pytest.approx(expected, rel=0.1)
    grain = some - lines
    whole = grain.square().mean()
    assert float((grain[..., 1:32] * grain[..., :31]).mean() / grain[..., :32].square().mean()) == (
        pytest.approx(0.5, abs=0.05)
    )
    assert float((grain[..., 1:, :] * grain[..., :-1, :]).mean() / whole) == pytest.approx(
        0.2, abs=0.05
    )
    strongest = more_noise(grey, noise, (low, high), 3.0, torch.Generator().manual_seed(0)) * 100
    torch.testing.assert_close(strongest, 3 * added)


def test_what_is_added_while_training_looks_like_what_is_in_the_pairs():
    """Estimated, drawn from the model, and estimated again: the same."""
    first = estimate_noise(made(blobs, 2, 100, 3, KERNELS["detector"], 0.01)).noise
    true = torch.from_numpy(np.stack([blobs(s) for s in range(12)]))[:, None].float()
    rng = torch.Generator().manual_seed(1)
    added = more_noise((true - 100) / 100, first, (0.0, 200.0), 1.0, rng) * 100
    strength = added.square().mean((1, 2, 3)).sqrt()
    kept = [i for i in range(12) if strength[i] > 0]
    pairs = []
    for i in kept:  # brought to full strength, the share being random
        expected = float(first.variance(true[i]).mean() + first.line_sd**2) ** 0.5
        pairs.append(np.stack([(true[i] + added[i] * expected / strength[i])[0].numpy(),
                               true[i, 0].numpy()]))  # fmt: skip
    again = estimate_noise(pairs).noise
    grey = np.array([80.0, 128.0, 180.0])
    np.testing.assert_allclose(again.variance(grey), first.variance(grey), rtol=0.12)
    np.testing.assert_allclose(again.along, first.along, atol=0.05)
    assert again.line_sd == pytest.approx(first.line_sd, abs=0.6)


def test_the_script_leaves_test_pairs_out_and_tells_what_it_found(tmp_path):
    (tmp_path / "pairs").mkdir()
    for i, pair in enumerate(made(blobs, 2, 100, 3, KERNELS["detector"], 0.01, count=2)):
        np.save(tmp_path / f"pairs/pair_{i:02d}.npy", pair.astype(np.float32))
    strange = np.random.default_rng(0).normal(100, 90, (2, 100, 100)).astype(np.float32)
    np.save(tmp_path / "pairs/pair_02.npy", strange)
    split = pd.DataFrame({"pair": [0, 1, 2], "split": ["train", "validation", "test"]})
    split.to_csv(tmp_path / "split.tsv", sep="\t", index=False)
    script.main(
        registered=f"{tmp_path}/pairs", split_table=f"{tmp_path}/split.tsv", threads=1,
        noise=f"{tmp_path}/noise.json", figure=f"{tmp_path}/noise.png",
    )  # fmt: skip
    told = json.loads((tmp_path / "noise.json").read_text())
    assert told["pairs"] == 2
    assert told["sd_at_mean_grey"] == pytest.approx(np.sqrt(2 * 127 + 100), rel=0.1)
    noise = load_noise(tmp_path / "noise.json")
    assert noise.gain == pytest.approx(2, abs=0.4)
    save_noise(noise, tmp_path / "again.json")
    assert load_noise(tmp_path / "again.json") == noise
    assert (tmp_path / "noise.png").stat().st_size > 50_000
