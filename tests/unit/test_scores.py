"""Scores from counts, on known voxels only."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blockface.scores import Scores, confusion, to_labels

LABELS = arrays(np.uint8, (2, 3, 4), elements=st.sampled_from([0, 1, 2, 255]))


def test_scores_of_a_case_counted_by_hand():
    truth = np.array([1, 1, 1, 0, 0, 255, 255, 2])
    prediction = np.array([1, 1, 0, 1, 0, 1, 0, 1])
    found = confusion(prediction, truth, 1)
    assert found == Scores(true_positive=2, false_positive=2, false_negative=1, voxels=6)
    assert found.dice == pytest.approx(4 / 7)
    assert found.iou == pytest.approx(2 / 5)
    assert found.precision == pytest.approx(2 / 4)
    assert found.recall == pytest.approx(2 / 3)
    assert found.changed == 3


def test_undefined_scores_are_nan():
    absent = confusion(np.zeros(4), np.zeros(4), 1)
    assert all(math.isnan(v) for k, v in absent.row().items() if k != "voxels")
    missed = confusion(np.zeros(4), np.ones(4), 1)
    assert missed.dice == 0
    assert missed.recall == 0
    assert math.isnan(missed.precision)


@given(LABELS, LABELS)
def test_slices_add_up_to_the_whole(prediction, truth):
    parts = sum((confusion(p, t, 1) for p, t in zip(prediction, truth, strict=True)), Scores())
    assert parts == confusion(prediction, truth, 1)


@given(LABELS)
def test_a_perfect_prediction_scores_one_or_nan(truth):
    found = confusion(np.where(truth == 255, 1, truth), truth, 1)
    assert found.changed == 0
    assert found.dice == 1 or (math.isnan(found.dice) and not (truth == 1).any())


def test_the_most_probable_class_wins_where_it_reaches_the_threshold():
    probability = np.array([[127, 128, 200, 10, 130], [0, 10, 210, 128, 130]], np.uint8)
    assert to_labels(probability, [1, 4], 0.5).tolist() == [0, 1, 4, 4, 1]
    assert to_labels(probability, [1, 4], 0.8).tolist() == [0, 0, 4, 0, 0]
    assert to_labels(np.array([[203, 204, 205]], np.uint8), [7], 0.8).tolist() == [0, 7, 7]
    assert to_labels(probability, [1, 4], 1.0).tolist() == [0] * 5
