"""The parts of benchmarks/active_learning.py that make its figures, on cases known by hand."""

import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import active_learning
from active_learning_figure import area_share, markdown, mean_curves
from annotated_stacks import Stack, paint, true_errors

from blockface.annotations import import_rounds
from blockface.volume import create_volume, open_volume

VOXEL = (50.0, 10.0, 10.0)


def curve(choice, areas, dice):
    return pd.DataFrame({"choice": choice, "annotated_percent": areas, "dice": dice})


@pytest.mark.parametrize(
    ("ranked", "share"),
    [
        ([0.5, 0.8, 0.9, 0.95], 0.5),  # reaches 0.8 with 2 %, the others with 4 %
        ([0.5, 0.65, 0.95, 0.95], 0.625),  # half-way from 2 to 3 %
        ([0.5, 0.6, 0.7, 0.79], np.nan),
        ([0.9, 0.9, 0.9, 0.9], 0.25),
    ],
)
def test_the_share_of_the_area_is_that_at_equal_dice(ranked, share):
    areas = [1, 2, 3, 4]
    part = pd.concat([curve("ranked", areas, ranked), curve("random", areas, [0.5, 0.6, 0.7, 0.8])])
    assert area_share(part) == pytest.approx(share, nan_ok=True)
    assert np.isnan(area_share(part[part["choice"] == "random"]))


def test_results_gather_in_one_file(tmp_path):
    row = dict(
        zip(active_learning.PART, ("phantom", 0, "ranked", "10 s", 32, 96, 1, 0), strict=True)
    )
    for number, dice in ((0, 0.5), (1, 0.6), (1, 0.7)):
        row |= {"round": number, "dice": dice, "annotated_percent": 1.0}
        row |= {"spearman": 0.8, "spearman_places": 0.9}
        table = active_learning.gathered(str(tmp_path / "t"), dict(row))
    table = active_learning.gathered(str(tmp_path / "t"), row | {"choice": "random"})
    assert table["dice"].tolist() == [0.7, 0.5, 0.7]
    assert "1.00 on the mean curves, by seed 1.00." in markdown(table)


def test_curves_are_averaged_over_the_rounds_that_all_seeds_have():
    ranked = curve("ranked", [1, 2, 3], [0.5, 0.8, 0.9]).assign(seed=0, round=range(3))
    other = curve("ranked", [1, 2], [0.3, 0.6]).assign(seed=1, round=range(2))
    random = curve("random", [1, 2, 4], [0.4, 0.5, 0.7]).assign(round=range(3))
    part = pd.concat([ranked, other, random.assign(seed=0), random.assign(seed=1)])
    found = mean_curves(part).set_index("choice")
    assert found.loc["ranked", "dice"].tolist() == pytest.approx([0.4, 0.7])
    assert area_share(mean_curves(part)) == pytest.approx(0.5)  # 0.7 with 2 of 4 %


@pytest.fixture
def project(tmp_path):
    truth = np.zeros((10, 100, 120), np.uint8)
    truth[:, 10:30, 10:40] = 1
    stack = Stack(tmp_path, truth, {1: "fibril"}, VOXEL, (2, 7))
    options = Namespace(edge=64, places=2, base=8, controls=0)
    return active_learning.Project(tmp_path / "project", stack, options, seed=3)


def test_random_places_avoid_what_is_learnt_from_or_held_out(project):
    seen = set()
    for number in range(1, 60):
        places = project.drawn(number, learnt=[0, 1])
        assert len({z for z, _ in places}) == 2
        assert all((y.stop - y.start, x.stop - x.start) == (64, 64) for _, (y, x) in places)
        assert all(y.start >= 0 and y.stop <= 100 and x.stop <= 120 for _, (y, x) in places)
        seen |= {z for z, _ in places}
    assert seen == {3, 4, 5, 6, 8, 9}
    assert project.drawn(5) == project.drawn(5)


def test_the_first_round_holds_one_place_and_the_held_out_slices(project):
    project.start()
    folder = project.folder / "annotations"
    shape = project.stack.truth.shape
    import_rounds(folder, [0], {1: "fibril"}, shape, VOXEL, project.folder / "a.zarr")
    labels = open_volume(project.folder / "a.zarr")[:]
    known = labels != 255
    assert (labels[known] == project.stack.truth[known]).all()
    assert known[[2, 7]].all()
    assert known.sum() == 2 * 100 * 120 + 64 * 64


def test_painting_is_the_truth_in_its_place(project, tmp_path):
    paint(project.stack, tmp_path / "home/00", 4, (slice(5, 45), slice(20, 70)))
    shape = project.stack.truth.shape
    import_rounds(tmp_path / "home", [0], {1: "fibril"}, shape, VOXEL, tmp_path / "a.zarr")
    labels = open_volume(tmp_path / "a.zarr")[:]
    assert (labels[4, 5:45, 20:70] == project.stack.truth[4, 5:45, 20:70]).all()
    assert (labels != 255).sum() == 40 * 50


def test_the_true_error_is_one_minus_dice_of_each_slice(project, tmp_path):
    truth = project.stack.truth
    volume = create_volume(
        tmp_path / "p.zarr", (1, *truth.shape), np.uint8, VOXEL, classes=["fibril"], values=[1]
    )
    volume[0] = 100 * truth  # a probability of 0.39
    volume[0, 3] = 100 * np.roll(truth[3], 15, axis=1)  # half of it
    for threshold in (0.3, None):
        volume.attrs["threshold"] = 0.35
        errors = true_errors(volume, truth, threshold)
        assert errors[3] == pytest.approx(0.5)
        assert np.delete(errors, 3).tolist() == [0] * 9
    assert true_errors(volume, truth, 0.5).tolist() == [1] * 10


def test_the_threshold_is_that_of_the_dataset(project):
    project.folder.mkdir(parents=True, exist_ok=True)
    settings = active_learning.configuration(project.stack, 10, project.options, 0)
    for asked in (0.3, None):
        settings["datasets"]["it"]["threshold"] = asked
        (project.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        assert project.threshold == asked
