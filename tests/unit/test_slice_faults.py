"""Faults of single slices: labels stay with what they name, and off is off."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from blockface.augment import Augmentation
from blockface.network import Network
from blockface.scores import UNKNOWN
from blockface.segmentation import sampler
from blockface.slice_faults import sides_lost, slice_faults
from blockface.train import Training
from blockface.unet import Hardware

CPU = Hardware(torch.device("cpu"), None)
STILL = Augmentation(0.0, False, 1.0, 0.0, 0.0, 0.0, 0.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def stack(n=40, slices=5, planes=None):
    """Images of random whole numbers from 1 to 9, and labels of the same (n, 1, planes, y, x)."""
    images = torch.randint(1, 10, (n, slices, 24, 20), generator=rng(1)).float()
    labels = images[:, None].long() if planes is None else images[:, None, [slices // 2]].long()
    return images, labels


def test_off_is_off():
    images, labels = stack()
    generator = rng()
    before = generator.get_state()
    made, truth = slice_faults(images, labels, STILL, generator)
    assert torch.equal(made, images)
    assert torch.equal(truth, labels)
    assert torch.equal(generator.get_state(), before)


def test_a_shifted_slice_takes_its_labels_along():
    images, labels = stack()
    made, truth = slice_faults(images, labels, replace(STILL, shifted_slice=6), rng(2))
    known = truth[:, 0] != UNKNOWN
    assert torch.equal(made[known].long(), truth[:, 0][known])
    moved = (made != images).flatten(2).any(2)
    assert 0.1 < moved.float().mean() < 0.4
    assert (~known).flatten(2).any(2).sum() == moved.sum()  # what came in is not known
    assert known.flatten(2).float().mean(2).min() > (1 - 6 / 24) * (1 - 6 / 20) - 1e-6


def test_what_the_middle_slice_shows_stays_where_its_labels_are():
    images, labels = stack(planes=1)
    faults = replace(STILL, shifted_slice=6, missing_slice=0.5)
    made, truth = slice_faults(images, labels, faults, rng(3))
    assert torch.equal(truth, labels)
    assert torch.equal(made[:, 2], images[:, 2])
    assert not torch.equal(made[:, 1], images[:, 1])
    single, truth = slice_faults(images[:, :1], labels, faults, rng(3))  # 2-D: nothing to lose
    assert torch.equal(single, images[:, :1])


def test_lost_slices_are_blank_and_as_many_as_asked_for():
    images, labels = stack(n=200)
    made, truth = slice_faults(images, labels, replace(STILL, missing_slice=0.2), rng(4))
    blank = made.flatten(2).std(2) < 1e-6
    assert blank.float().mean() == pytest.approx(0.2, abs=0.03)
    assert torch.equal(made[~blank], images[~blank])
    assert torch.equal(truth, labels)


def test_grey_levels_of_slices_change_each_for_itself_within_the_limit():
    images = torch.full((200, 3, 8, 8), 0.5)
    labels = torch.zeros(200, 1, 3, 8, 8, dtype=torch.long)
    made, _ = slice_faults(images, labels, replace(STILL, slice_grey=0.1), rng(5))
    level = made.mean((2, 3)) - 0.5
    assert made.flatten(2).std(2).max() < 1e-6
    assert 0.15 < level.abs().max() <= 0.5 * 0.1 + 2 * 0.1
    assert level.std(1).min() > 0  # not all slices alike


def test_charging_is_a_ramp_across_one_slice_in_four():
    images = torch.zeros(200, 3, 16, 24)
    labels = torch.zeros(200, 1, 3, 16, 24, dtype=torch.long)
    made, _ = slice_faults(images, labels, replace(STILL, charging=0.3), rng(6))
    bent = made.diff(n=2, dim=2).abs().max(), made.diff(n=2, dim=3).abs().max()
    assert max(bent) < 1e-5
    charged = made.flatten(2).std(2) > 1e-6
    assert charged.float().mean() == pytest.approx(0.25, abs=0.05)
    assert 0.4 < made.abs().max() <= 2 * 0.3


def test_blurred_slices_keep_their_mean_and_lose_detail():
    images, labels = stack(n=100)
    made, _ = slice_faults(images, labels, replace(STILL, blurred_slice=0.3), rng(7))
    soft = (made != images).flatten(2).any(2)
    assert soft.float().mean() == pytest.approx(0.3, abs=0.06)
    assert (made.flatten(2).std(2)[soft] < 0.6 * images.flatten(2).std(2)[soft]).all()
    torch.testing.assert_close(made.flatten(2).mean(2), images.flatten(2).mean(2), atol=0.3, rtol=0)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_lost_sides_repeat_the_last_slice_that_is_left(reach):
    slices = 2 * reach + 1
    images = torch.arange(float(slices)).reshape(1, -1, 1, 1).expand(4000, -1, 2, 2)
    found = sides_lost(images, torch.Generator().manual_seed(0))
    assert (found == found[:, :, :1, :1]).all()
    order = found[:, :, 0, 0]
    lost = torch.arange(float(slices)) != order
    assert not lost[:, reach].any()
    for side, inner in ((lost[:, :reach], 1), (lost[:, reach + 1 :].flip(1), -1)):
        assert 0.22 < side[:, 0].float().mean() < 0.28  # the outermost goes first
        assert (side[:, 1:] <= side[:, :-1]).all()
        first = side.sum(1)
        last = order[:, 0 if inner > 0 else -1]
        expected = first if inner > 0 else slices - 1 - first
        assert (last == expected).all()


@pytest.mark.parametrize("mirror", [False, True])
def test_neighbours_as_channels_are_learnt_upside_down_and_without_the_outer_ones(mirror):
    images = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None, None], (8, 5, 16, 16)).copy()
    labels = np.zeros((8, 1, 1, 16, 16), np.uint8)
    still = replace(STILL, mirror=mirror)
    draw = sampler(images, labels, Training(1, 400, 8), still, CPU, Network(2, context=2))
    drawn, _ = draw(rng())
    orders = {tuple(image[:, 4, 4].tolist()) for image in drawn}
    upright, turned = (0, 1, 2, 3, 4), (4, 3, 2, 1, 0)
    assert {order[2] for order in orders} == {2}  # the slice that is labelled
    assert (turned in orders) == mirror
    assert {upright, (1, 1, 2, 3, 4), (2, 2, 2, 3, 4), (0, 1, 2, 2, 2)} <= orders
