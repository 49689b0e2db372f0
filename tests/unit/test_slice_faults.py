"""Faults of single slices: labels stay with what they name, and off is off."""

from dataclasses import replace

import pytest
import torch

from blockface.augment import UNKNOWN, Augmentation
from blockface.slice_faults import slice_faults

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
