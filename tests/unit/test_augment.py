"""Augmentation: labels go where the pixels go, and nothing is made up beyond the patch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.augment import Augmentation, blur, grey, move, sampling_grid
from blockface.scores import UNKNOWN

STILL = Augmentation(0.0, False, 1.0, 0.0, 0.0, 0.0, 0.0)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def checks(count, size, seed=0, cell=4):
    """Images (n, 1, y, x) with blocks of value 1 to 4, and the same as labels."""
    values = torch.randint(1, 5, (count, 1, size // cell, size // cell), generator=rng(seed))
    images = values.repeat_interleave(cell, 2).repeat_interleave(cell, 3)
    return images.float(), images[:, 0].to(torch.uint8)


def test_without_intensity_changes_the_grey_levels_stay():
    images = torch.rand(3, 2, 16, 16)
    assert torch.equal(grey(images.clone(), STILL, rng(), noisy=slice(None)), images)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("size", [16, 15])
def test_quarter_turns_and_mirrors_are_exact(mirror, size):
    images = torch.rand(40, 1, size, size, generator=rng())
    grid = sampling_grid(40, size, size, replace(STILL, mirror=mirror), rng(1))
    moved, _ = move(images, None, grid)
    found = set()
    for image, result in zip(images[:, 0], moved[:, 0], strict=True):
        for flip in (False, True):
            for turns in range(4):
                one = torch.rot90(image.flip(1) if flip else image, turns, (0, 1))
                if torch.allclose(one, result, atol=1e-4):
                    found.add((flip, turns))
                    break
            else:
                continue
            break
        else:
            pytest.fail("not one of the eight")
    assert len(found) == (8 if mirror else 4)  # and each of them does occur


def test_crops_are_parts_of_the_patch_and_reach_all_of_it():
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    images = torch.stack([y, x])[None].repeat(300, 1, 1, 1)
    moved, _ = move(images, None, sampling_grid(300, 24, 8, STILL, rng(2)))
    torch.testing.assert_close(moved, moved.round(), atol=1e-3, rtol=0)
    assert moved.min() >= -1e-3
    assert moved.max() <= 23 + 1e-3
    assert len(torch.unique(moved.round())) == 24


@given(seed=st.integers(0, 1000), scale=st.floats(1, 1.6), mirror=st.booleans(),
       oblique=st.floats(0, 1))  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_labels_follow_the_image(seed, scale, mirror, oblique):
    images, labels = checks(4, 48, seed, cell=8)
    chosen = replace(STILL, oblique=oblique, scale=scale, mirror=mirror)
    moved, truth = move(images, labels, sampling_grid(4, 48, 24, chosen, rng(seed)))
    known = truth != UNKNOWN
    assert known.any()
    nearest = moved[:, 0].round().clamp(1, 4).long()
    # cubic sampling blurs the borders of the blocks; inside them both must say the same
    flat = torch.nn.functional.max_pool2d(moved, 3, 1, 1) + torch.nn.functional.max_pool2d(
        -moved, 3, 1, 1
    )
    inside = known & (flat[:, 0] < 0.05)
    assert inside.float().mean() > 0.1
    assert torch.equal(nearest[inside], truth[inside])


def test_nothing_is_known_outside_the_stored_patch():
    images, labels = checks(30, 32, cell=4)
    turned = replace(STILL, oblique=1.0)
    moved, truth = move(images, labels, sampling_grid(30, 32, 32, turned, rng(3)))
    assert set(torch.unique(truth).tolist()) == {1, 2, 3, 4, UNKNOWN}
    corners = truth[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == UNKNOWN).float().mean() > 0.5  # of a square turned by any angle
    assert (truth[:, 8:24, 8:24] != UNKNOWN).all()
    assert torch.isfinite(moved).all()


def test_unknown_labels_stay_unknown():
    labels = torch.full((4, 16, 16), UNKNOWN, dtype=torch.uint8)
    grid = sampling_grid(4, 16, 16, Augmentation(), rng())
    assert (move(torch.rand(4, 1, 16, 16), labels, grid)[1] == UNKNOWN).all()


def test_enlarged_is_enlarged():
    y, x = np.mgrid[:64, :64] - 31.5
    disc = torch.from_numpy((y**2 + x**2 < 144).astype(np.float32))[None, None].repeat(200, 1, 1, 1)
    settings_ = replace(STILL, oblique=1.0, scale=1.5)
    moved, _ = move(disc, None, sampling_grid(200, 64, 64, settings_, rng(4)))
    area = moved.sum((1, 2, 3)) / disc[0].sum()
    assert area.max() == pytest.approx(1.5**2, rel=0.1)
    assert area.min() == pytest.approx(1 / 1.5**2, rel=0.1)


def test_only_the_noisy_channel_gets_noise_and_all_the_same_contrast():
    images = torch.full((64, 2, 32, 32), 0.5)
    made = grey(images.clone(), replace(STILL, noise=0.2), rng(5), noisy=slice(0, 1))
    assert torch.equal(made[:, 1], images[:, 1])
    sd = made[:, 0].std((1, 2))
    assert sd.max() == pytest.approx(2 * 0.2, rel=0.15)  # the grey range is -1 … 1
    assert 0.3 < (sd < 1e-6).float().mean() < 0.7
    chosen = replace(STILL, contrast=0.3, brightness=0.2)
    made = grey(images.clone(), chosen, rng(6), noisy=slice(0, 1))
    assert torch.equal(made[:, 0], made[:, 1])
    assert 0.2 < (made.max() - 0.5) <= 0.5 * 0.3 + 2 * 0.2


@pytest.mark.parametrize("sd", [0.5, 1.0, 2.0])
def test_blur_has_the_width_it_says(sd):
    point = torch.zeros(1, 1, 41, 41)
    point[..., 20, 20] = 1
    made = blur(point, sd)[0, 0].double()
    axis = torch.arange(41.0) - 20
    assert float(made.sum()) == pytest.approx(1, abs=1e-5)
    assert float((made.sum(0) * axis**2).sum()) == pytest.approx(sd**2, rel=0.15)
    torch.testing.assert_close(made, made.T)


def test_the_same_generator_gives_the_same():
    one, two = (sampling_grid(8, 64, 32, Augmentation(), rng(7)) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, sampling_grid(8, 64, 32, Augmentation(), rng(8)))
