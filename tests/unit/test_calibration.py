"""Calibration: less log loss where a network is too sure, from the part set aside and no other."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.calibration import (
    best_threshold,
    calibrate,
    calibrated,
    fit_temperature,
    log_loss,
    set_aside,
    with_background,
)
from blockface.predict import Tiling
from blockface.scores import UNKNOWN
from blockface.segmentation import finisher
from blockface.unet import Hardware, Network, UNet

CPU = Hardware(torch.device("cpu"), None)


def overconfident(temperatures, n=40_000, seed=0):
    """Shares (2, n) made by a network too sure of itself by ``temperatures``, and the truth (n)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (3, n))
    true = np.exp(logits) / np.exp(logits).sum(axis=0)
    truth = (rng.random(n) > np.cumsum(true, axis=0)).sum(axis=0).clip(max=2)
    said = true ** np.asarray(temperatures, float)[:, None]
    said /= said.sum(axis=0)
    return said[1:], truth, true[1:]


@pytest.mark.parametrize("temperature", [0.5, 2.0, 3.0])
def test_a_temperature_undoes_what_made_a_network_too_sure(temperature):
    shares, truth, true = overconfident([temperature] * 3)
    found = fit_temperature(shares, truth)
    assert found == pytest.approx(temperature, rel=0.06)
    made = calibrated(shares, found)
    assert log_loss(made, truth) < log_loss(shares, truth) - 0.01
    assert abs(made - true).mean() < 0.25 * abs(shares - true).mean()


def test_no_outline_moves():
    """Even if classes are too sure by different amounts, the likeliest one stays the likeliest."""
    shares, _, _ = overconfident([1.0, 1.5, 3.0])
    other, seen, _ = overconfident([1.0, 1.5, 3.0], seed=1)
    found = fit_temperature(other, seen)
    assert 1 < found < 3
    made = calibrated(shares, found)
    before, after = with_background(shares), with_background(made)
    assert np.array_equal(before.argmax(axis=0), after.argmax(axis=0))
    assert log_loss(calibrated(other, found), seen) < log_loss(other, seen) - 0.02
    one = shares[:1] / (shares[:1] + 1 - shares.sum(axis=0))  # a single class
    assert np.array_equal(one >= 0.5, calibrated(one, found) >= 0.5)


def test_what_is_only_known_not_to_be_a_class_helps_and_does_not_mislead():
    shares, truth, _ = overconfident([2.0] * 3)
    partly = np.where((np.arange(truth.size) % 2 == 0) & (truth != 1), 254, truth)
    without = {254: frozenset({1})}
    assert fit_temperature(shares, partly, without) == pytest.approx(2.0, rel=0.1)
    alone = np.where(truth == 1, 1, 254)  # class 1 reviewed alone: its Dice is that of all
    sure = np.stack([shares[0], 0 * shares[1]])
    blocks = np.arange(truth.size) % 50
    asked = best_threshold(sure, (truth == 1).astype(int), blocks)
    assert best_threshold(sure, alone, blocks, without) == asked
    assert asked > best_threshold(sure, np.where(truth == 1, 1, 255), blocks, {})


def test_without_temperature_nothing_changes_and_shares_stay_shares():
    shares, _, _ = overconfident([2, 2, 2], n=500)
    assert calibrated(shares, None) is shares
    np.testing.assert_allclose(calibrated(shares, 1), shares, atol=1e-6)
    made = with_background(calibrated(shares.reshape(2, 10, 50), 0.5))
    np.testing.assert_allclose(made.sum(axis=0), 1, atol=1e-6)
    assert made.min() >= 0


def test_the_threshold_is_the_best_one():
    rng = np.random.default_rng(2)
    blocks = 7 * (np.arange(20_000) // 1000) - 40
    truth = (rng.random(20_000) < 0.3).astype(int)
    shares = np.where(truth == 1, rng.uniform(0.2, 0.9, 20_000), rng.uniform(0, 0.25, 20_000))
    assert best_threshold(shares[None], truth, blocks) == 0.25
    clear = np.where(truth == 1, 0.99, 0.01)
    assert best_threshold(clear[None], truth, blocks) == 0.5  # all do: the nearest to one half


@pytest.mark.parametrize(("wrong", "threshold"), [(0, 0.5), (1, 0.5), (2, 0.5), (16, 0.55)])
def test_the_threshold_moves_only_where_most_blocks_gain(wrong, threshold):
    """In so many of 20 blocks a tenth of the resin is taken for a fibril by 0.52."""
    blocks = np.repeat(np.arange(20), 500)
    truth = (np.arange(blocks.size) % 500 < 200).astype(int)
    shares = np.where(truth == 1, 0.9, 0.1)
    shares[(np.arange(blocks.size) % 500 >= 470) & (blocks < wrong)] = 0.52
    assert best_threshold(shares[None], truth, blocks) == threshold


@pytest.mark.parametrize(("wrong", "threshold"), [(1, 0.5), (5, 0.55)])
def test_the_threshold_moves_only_for_what_is_worth_it(wrong, threshold):
    """So many pixels of resin in every block, beside 200 of the fibril, are above one half."""
    blocks = np.repeat(np.arange(20), 500)
    truth = (np.arange(blocks.size) % 500 < 200).astype(int)
    shares = np.where(truth == 1, 0.9, 0.1)
    shares[np.arange(blocks.size) % 500 >= 500 - wrong] = 0.52
    assert best_threshold(shares[None], truth, blocks) == threshold


def test_of_one_block_no_threshold_is_learnt():
    truth = (np.arange(500) < 200).astype(int)
    shares = np.where(truth == 1, 0.4, 0.1)
    assert best_threshold(shares[None], truth, np.zeros(500, int)) == 0.5


@given(seed=st.integers(0, 2**40), share=st.floats(0, 0.5), slices=st.sampled_from([1, 3]))
@settings(max_examples=25, deadline=None)
def test_set_aside_is_not_learnt_from_and_overlapping_patches_agree(seed, share, slices):
    whole = np.random.default_rng(0).integers(0, 3, (5, 160, 160)).astype(np.uint8)
    whole[:, 40:60] = UNKNOWN
    places = np.array([(z, y, x) for z in (1, 3) for y in (0, 30, 64) for x in (0, 50)])
    labels = np.stack([
        whole[z - slices // 2 : z + slices // 2 + 1, y : y + 96, x : x + 96] for z, y, x in places
    ])  # fmt: skip
    learnt, aside = set_aside(labels, places, share, seed)
    assert ((learnt == UNKNOWN) | (aside == UNKNOWN)).all()
    both = np.where(learnt == UNKNOWN, aside, learnt)
    assert np.array_equal(both, labels)
    said = np.zeros(whole.shape, int)  # 1 learnt from somewhere, 2 set aside somewhere
    for (z, y, x), one, other in zip(places, learnt, aside, strict=True):
        at = (slice(z - slices // 2, z + slices // 2 + 1), slice(y, y + 96), slice(x, x + 96))
        said[at] |= (one != UNKNOWN) | (other != UNKNOWN) * 2
    assert not (said == 3).any()
    if share == 0:
        assert np.array_equal(learnt, labels)


def test_as_much_is_set_aside_as_asked_for():
    labels = np.zeros((200, 1, 192, 192), np.uint8)
    places = np.array([(z, 0, 0) for z in range(200)])
    _, aside = set_aside(labels, places, 0.1, 7)
    assert (aside != UNKNOWN).mean() == pytest.approx(0.1, abs=0.015)


def test_only_known_voxels_that_were_set_aside_count(caplog):
    torch.manual_seed(0)
    model = UNet(Network(outputs=3, base=4, depth=2)).eval()
    rng = np.random.default_rng(3)
    images = rng.random((4, 1, 32, 32), np.float32)
    aside = rng.integers(0, 3, (4, 1, 32, 32)).astype(np.uint8)
    aside[:, :, 8:] = UNKNOWN
    aside[3] = UNKNOWN
    places = np.array([(z, 0, 0) for z in range(4)])
    arguments = (places, finisher(False), Tiling(views=1), CPU, 2)
    found = calibrate(model, images, aside, *arguments)
    assert found["voxels"] == 3 * 8 * 32
    assert found["log_loss_calibrated"] <= found["log_loss"]
    changed = images.copy()
    changed[3] = 9  # nothing of it is known
    assert calibrate(model, changed, aside, *arguments) == found
    assert calibrate(model, images, np.full_like(aside, UNKNOWN), *arguments) == {}
    assert not caplog.text
    bare = np.where(aside == UNKNOWN, UNKNOWN, 0)
    assert calibrate(model, images, bare, *arguments) == {}
    assert "nothing is calibrated" in caplog.text


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("width", "blocks"), [(192, 0), (240, 1)])
def test_of_few_blocks_none_is_set_aside(width, blocks, seed):
    labels = np.full((1, 1, 192, 240), UNKNOWN, np.uint8)
    labels[..., :width] = 1  # 16 or 20 blocks are reviewed
    learnt, aside = set_aside(labels, np.array([[3, 0, 0]]), 0.05, seed)
    assert (aside == 1).sum() == blocks * 48 * 48
    assert (learnt == 1).sum() == (labels == 1).sum() - blocks * 48 * 48
