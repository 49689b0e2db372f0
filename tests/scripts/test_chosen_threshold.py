"""`threshold: null`: every script takes the threshold that the probabilities came with."""

import numpy as np
import pytest
import zarr

import evaluate
import rank_slices
import separate_slab
from blockface.foreground import Classes
from blockface.objects import Settings
from blockface.scores import threshold_of
from blockface.tables import read_table
from blockface.volume import create_volume

SIZE = (50, 10, 10)


@pytest.fixture
def volumes(tmp_path):
    """A square of probability 0.3 that is all true, predicted with a chosen threshold of 0.25."""
    probability, truth = np.zeros((1, 6, 20, 20), np.uint8), np.zeros((6, 20, 20), np.uint8)
    probability[0, :, 5:15, 5:15], truth[:, 5:15, 5:15] = 77, 1
    known = {"classes": ["a"], "values": [1], "threshold": 0.25}
    create_volume(tmp_path / "p.zarr", probability.shape, np.uint8, SIZE, **known)[:] = probability
    labels = create_volume(tmp_path / "a.zarr", truth.shape, np.uint8, SIZE, fill_value=255)
    labels[:] = truth
    labels.attrs["known_slices"] = [[0, 6]]
    return tmp_path


@pytest.mark.parametrize(("asked", "found"), [(None, True), (0.5, False), (0.2, True)])
def test_the_chosen_threshold_is_taken_unless_one_is_asked_for(volumes, asked, found):
    at = {"probability": str(volumes / "p.zarr"), "annotations": str(volumes / "a.zarr")}
    evaluate.main(
        **at, evaluation=str(volumes / "e.csv"), threshold=asked, held_out_slices=[2], iteration=0
    )
    assert read_table(volumes / "e.csv")["recall"].iloc[0] == found
    rank_slices.main(
        **at, worklist=str(volumes / "w.tsv"), settings={"count": 1}, held_out_slices=[2],
        threshold=asked, slices=str(volumes / "s.tsv"), seed=0,
    )  # fmt: skip
    local = str(volumes / "slab")
    separate_slab.main(
        local=local, settings={"method": "components", "threshold": asked}, slab=0, slabs=1,
        threads=1, probability=at["probability"], boundary=[],
    )  # fmt: skip
    labels = zarr.open_array(f"{local}/components/labels.zarr", mode="r")[:]
    assert (labels.max() > 0) == found
    assert (Classes(at["probability"], asked).read((slice(None),) * 3) > 0).any() == found


def test_without_calibration_it_is_one_half(tmp_path):
    plain = create_volume(tmp_path / "p.zarr", (1, 2, 4, 4), np.uint8, SIZE)
    assert threshold_of(plain, None) == threshold_of(None, None) == Settings().threshold == 0.5
