"""Learning from sparse labels: what nobody reviewed has no say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.scores import UNKNOWN
from blockface.segmentation import finisher, label_channels, loss


def scene(seed: int, unknown: float, classes: int = 2):
    rng = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, classes + 1, (2, 8, 8), generator=rng)
    truth[torch.rand(2, 8, 8, generator=rng) < unknown] = UNKNOWN
    return truth, torch.randn(2, classes + 1, 8, 8, generator=rng)


@given(seed=st.integers(0, 10_000), unknown=st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_unknown_voxels_pull_at_nothing(seed, unknown):
    truth, output = scene(seed, unknown)
    output.requires_grad_()
    loss(output, truth).backward()
    hidden = (truth == UNKNOWN)[:, None].expand_as(output)
    assert (output.grad[hidden] == 0).all()
    if not hidden.all():
        assert (output.grad[~hidden] != 0).any()
    changed = output.detach().clone()
    changed[hidden] = 100.0
    assert loss(changed, truth) == loss(output, truth)


def test_nothing_known_gives_zero_that_can_be_differentiated():
    output = torch.randn(1, 3, 4, 4, requires_grad=True)
    value = loss(output, torch.full((1, 4, 4), UNKNOWN))
    value.backward()
    assert value == 0
    assert (output.grad == 0).all()


def test_perfect_is_near_zero_and_every_mistake_costs():
    truth, _ = scene(1, 0.3)
    known = torch.where(truth == UNKNOWN, 0, truth)
    perfect = 30 * torch.nn.functional.one_hot(known, 3).movedim(-1, 1).float()
    assert loss(perfect, truth) < 0.01
    wrong = perfect.clone()
    b, y, x = (int(v[0]) for v in torch.nonzero(truth == 1, as_tuple=True))
    wrong[b, :, y, x] = torch.tensor([30.0, 0, 0])
    assert loss(wrong, truth) > loss(perfect, truth) + 0.1
    assert loss(perfect.roll(1, dims=1), truth) > 5


NOT = {254: frozenset({1}), 253: frozenset({2, 3})}  # codes: not 1; neither 2 nor 3


@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.9))
@settings(max_examples=30, deadline=None)
def test_not_this_class_says_nothing_of_the_others(seed, share):
    truth, output = scene(seed, 0.2, classes=3)
    assert loss(output, truth, NOT).item() == pytest.approx(loss(output, truth).item(), abs=1e-5)
    rng = torch.Generator().manual_seed(seed)
    for code, pair in ((254, (0, 2)), (253, (0, 1))):
        told = truth.clone()
        told[torch.rand(truth.shape, generator=rng) < share] = code
        here = (told == code)[:, None]
        swapped = output.clone()
        swapped[:, list(pair)] = output[:, list(pair[::-1])]
        other = torch.where(here, swapped, output)
        value = loss(output, told, NOT).item()
        assert loss(other, told, NOT).item() == pytest.approx(value, abs=1e-5)
        for channel in NOT[code]:
            more = output.clone()
            more[:, channel] += 2 * here[:, 0]
            assert loss(more, told, NOT).item() > value


def test_one_class_reviewed_alone_is_learnt_like_yes_or_no():
    truth, output = scene(3, 0.3, classes=2)
    alone = torch.where((truth == 0) | (truth == 2), 254, truth)
    found = loss(output, alone, {254: frozenset({1})})
    known, p = truth != UNKNOWN, output.softmax(1)[:, 1]
    entropy = torch.nn.functional.binary_cross_entropy(p[known], (truth[known] == 1).float())
    overlap, size = p[truth == 1].sum(), p[known].sum() + (truth == 1).sum()
    assert found.item() == pytest.approx((entropy + 1 - (2 * overlap + 1) / (size + 1)).item())


def test_an_absent_class_costs_no_dice():
    truth = torch.zeros(1, 8, 8, dtype=torch.long)
    truth[0, :4] = 1
    two = torch.zeros(1, 3, 8, 8)
    two[0, 1, :4] = two[0, 0, 4:] = 30
    assert loss(two, truth) < 0.01  # class 2 never occurs and is never said


def test_dice_weighs_a_small_class_as_much_as_a_large():
    truth = torch.ones(1, 20, 20, dtype=torch.long)
    truth[0, :2, :2] = 2
    all_large = torch.zeros(1, 3, 20, 20)
    all_large[:, 1] = 30.0
    assert loss(all_large, truth) > 0.3


def test_channels_and_probabilities():
    labels = np.array([[0, 3, 7], [255, 9, 3]], np.uint8)
    assert label_channels(labels, [3, 7]).tolist() == [[0, 1, 2], [255, 255, 1]]
    assert label_channels(labels, [3, 7], {9: {1}}).tolist() == [[0, 1, 2], [255, 9, 1]]
    output = torch.randn(2, 3, 4, 4)
    finish = finisher(boundary=False)
    shares = finish(output)
    assert shares.shape == (2, 2, 4, 4)
    background = output.softmax(1)[:, 0]
    torch.testing.assert_close(shares.sum(1) + background, torch.ones(2, 4, 4))
    assert float(finish(torch.tensor([[0.0, 0, 0]])[..., None, None])[0, 0, 0, 0]) == pytest.approx(
        1 / 3
    )
