"""The peers of benchmarks/segmentation.py learn what is plain: bright discs in noise."""

import forest
import nnunet
import numpy as np
import pandas as pd
import pytest
import segmentation
import torch
from nnunet_augment import grey, patch
from scipy.ndimage import gaussian_filter
from segmentation_data import Case, membranes
from skimage.draw import disk

from blockface.scores import UNKNOWN, confusion


@pytest.fixture(scope="module")
def case() -> Case:
    """Thirty-two slices of 64 × 64 with five cylinders along z, brighter than the noise around."""
    rng = np.random.default_rng(0)
    truth = np.zeros((32, 64, 64), np.uint8)
    for centre in [(12, 14), (14, 46), (34, 30), (50, 12), (48, 50)]:
        truth[:, *disk(centre, 6, shape=(64, 64))] = 1
    image = (100 + 60 * truth + rng.normal(0, 12, truth.shape)).astype(np.uint8)
    return Case("phantom", "disc", (1, 1, 1), image, truth, (6, 20), between=(13,), apart=(28,))


def dice(case: Case, masks: dict) -> float:
    both = sum((confusion(masks[z], case.truth[z], 1) for z in masks), segmentation.Scores())
    return both.dice


@pytest.mark.parametrize("isotropic", [False, True])
def test_forest_learns(case, isotropic):
    pytest.importorskip("sklearn")
    mask, told = forest.train(
        case.image, case.labels(case.annotated), isotropic=isotropic, seconds=2, seed=0,
        threads=1, wanted=case.held_out,
    )  # fmt: skip
    assert dice(case, {z: mask(z) for z in case.held_out}) > 0.97
    assert told.startswith("100 trees")


def test_forest_features_are_what_they_are_called():
    """On a ridge along x, the largest bend is along y; all is mirrored with the image."""
    image = np.zeros((41, 41), np.float32)
    image[20] = 1
    soft, laplace, gradient, _, first, second, bend, flat = forest.at_scale(
        gaussian_filter(image, 1), 1.6
    )
    assert laplace[20, 20] < 0
    assert laplace[20, 20] == pytest.approx(bend[20, 20] + flat[20, 20], abs=1e-6)
    assert gradient[20, 20] == pytest.approx(0, abs=1e-6)
    assert soft[20, 20] == soft.max()
    assert (first >= second - 1e-9).all()
    assert forest.features(image, 1).shape == (41, 41, 49)
    assert forest.features(np.zeros((5, 9, 9)), 1, [1, 3]).shape == (2, 9, 9, 61)


@pytest.mark.parametrize("dims", [2, 3])
def test_nnunet_learns(case, dims, monkeypatch):
    monkeypatch.setattr(nnunet, "BASE", 8)
    monkeypatch.setattr(nnunet, "EDGE", {2: 32, 3: 32})
    predict, told = nnunet.train(
        case.image, case.labels(case.annotated), dims=dims, seed=0, threads=1,
        gone=lambda steps: steps / (200 if dims == 2 else 100),
    )  # fmt: skip
    assert dice(case, predict(case.held_out)) > 0.9, told


def test_nnunet_is_as_published():
    """Levels, widths and heads of the network for patches of 256 pixels."""
    assert nnunet.plan((20, 1024, 1024), 2) == (256, 6)
    assert nnunet.plan((160, 250, 250), 3) == (64, 4)
    assert nnunet.plan((160, 250, 250), 2) == (224, 5)
    model = nnunet.PlainUNet(2, 3)
    outputs = model(torch.zeros(2, 1, 32, 32))
    assert [tuple(o.shape) for o in outputs] == [(2, 2, 32, 32), (2, 2, 16, 16), (2, 2, 8, 8)]
    with torch.no_grad():
        assert len(model.eval()(torch.zeros(1, 1, 32, 32))) == 1


def test_nnunet_loss_leaves_out_the_unknown():
    """What is unknown changes neither loss nor gradient; nothing known, no loss."""
    output = torch.randn(2, 2, 8, 8, requires_grad=True)
    truth = torch.randint(0, 2, (2, 8, 8))
    truth[:, 4:] = UNKNOWN
    value = nnunet.loss([output], truth)
    value.backward()
    assert (output.grad[:, :, 4:] == 0).all()
    assert (output.grad[:, :, :4] != 0).any()
    right = torch.stack([20 - 40 * (truth == 1), 40 * (truth == 1) - 20], 1).float()
    assert nnunet.loss([right], truth).item() == pytest.approx(-1, abs=1e-3)
    assert nnunet.loss([output], torch.full_like(truth, UNKNOWN)).item() == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_nnunet_turns_image_and_labels_alike(dims):
    """Labels that are the image's own threshold remain so, and nothing is made up outside."""
    rng = np.random.default_rng(1)
    image = gaussian_filter(rng.normal(size=[48] * dims), 4).astype(np.float32)
    image /= image.std()
    labels = (image > 0).astype(np.uint8)
    for _ in range(20):
        corner = rng.integers(0, 48 - 16, dims)
        made, truth = patch(image, labels, corner, 16, rng)
        sure = (truth != UNKNOWN) & (abs(made) > 0.3)
        assert made.shape == truth.shape == (16,) * dims
        assert (truth[sure] == (made[sure] > 0)).mean() > 0.99
        assert np.isfinite(grey(made, rng)).all()


def test_membranes_lie_on_both_sides_of_a_border():
    bodies = np.ones((9, 9, 9), int)
    bodies[:, :, 5:] = 2
    expected = np.zeros_like(bodies)
    expected[:, :, 3:7] = 1
    assert np.array_equal(membranes(bodies), expected)


def test_table_adds_up_slices_and_spreads_over_seeds(case, tmp_path):
    """Dice of a run is that of its slices' counts together; the spread is the SD over seeds."""
    out = tmp_path / "table"
    for seed, wrong in enumerate((10, 30)):
        rows = [
            {"data": "isbi", "method": "forest", "seed": seed, "minutes": 1.0, "z": z,
             "place": place, "true_positive": 90, "false_positive": wrong, "false_negative": 0,
             "voxels": 400, "train_s": 60.0, "predict_s": 1.0, "detail": "x"}
            for z, place in ((5, "between"), (17, "apart"))
        ]  # fmt: skip
        segmentation.write_table(pd.DataFrame(rows), out / f"{seed}.csv")
    told = segmentation.gather(out)
    both = [180 / 190, 180 / 210]
    assert f"| {np.mean(both):.3f} ± {np.std(both, ddof=1):.3f} |" in told
    assert len(segmentation.read_table(f"{out}.csv")) == 4


def test_otsu_takes_the_side_that_fits(case):
    masks, spent = segmentation.otsu(case, 0, None)
    assert dice(case, masks) > 0.97
    assert spent["detail"].startswith("above")


def test_nothing_held_out_lies_beside_what_is_learnt_from(shared_data, tmp_path, monkeypatch):
    """Slices scored are far enough from annotated ones for two neighbouring slices as context."""
    monkeypatch.chdir(tmp_path)
    for make in segmentation.CASES.values():
        found = make(shared_data)
        gaps = np.abs(np.subtract.outer(found.annotated, found.held_out))
        assert gaps.min() > 2
        assert found.image.shape == found.truth.shape
        assert set(np.unique(found.truth)) == {0, 1}
