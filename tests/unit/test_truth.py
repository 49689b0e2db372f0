"""Scores against truth: perfect, merged, split, missed and false objects, made by hand."""

import numpy as np
import pandas as pd
import pytest

from blockface.errors import InputError
from blockface.tables import read_table, write_table
from blockface.truth import class_voxels, count_runs, false_objects, match, overlaps
from blockface.volume import create_volume
from compare_truth import main

VOXEL_NM = (50.0, 10.0, 10.0)


def bars(*spans, shape=(20, 8, 60)):
    """Volume of bars along z: spans (id, x0, x1), or (id, x0, x1, z0, z1)."""
    ids = np.zeros(shape, np.uint32)
    for number, x0, x1, *z in spans:
        ids[slice(*z) if z else slice(None), 2:6, x0:x1] = number
    return ids


def store(path, array, **attributes):
    volume = create_volume(path, array.shape, array.dtype, VOXEL_NM, **attributes)
    volume[...] = array
    return str(path)


def table(*ids, kind="fibril", **columns):
    return pd.DataFrame({"object_id": ids, "class": kind, **columns})


@pytest.fixture
def fate(tmp_path):
    """Fates by true id, and the ids of false objects, of found against true bars."""

    def compare(found, truth, kind="fibril"):
        overlap = overlaps(store(tmp_path / "f.zarr", found), store(tmp_path / "t.zarr", truth))
        ours = table(*np.unique(found[found > 0]), kind=kind)
        theirs = table(*np.unique(truth[truth > 0]))
        rows = match(overlap, ours, theirs)
        return dict(zip(rows["true_id"], rows["fate"], strict=True)), [
            int(i) for i in false_objects(overlap, ours, theirs)
        ]

    return compare


def test_count_runs_counts_every_value():
    values = np.random.default_rng(0).integers(0, 4, 1000).astype(np.uint64)
    distinct, counts = count_runs(values)
    assert dict(zip(distinct, counts, strict=True)) == dict(
        zip(*np.unique(values, return_counts=True), strict=True)
    )


def test_overlaps_are_the_same_for_any_rows(tmp_path, monkeypatch):
    found, truth = bars((1, 0, 9), (2, 12, 30)), bars((5, 3, 15), (70000, 15, 40))
    paths = store(tmp_path / "f.zarr", found), store(tmp_path / "t.zarr", truth)
    whole = overlaps(*paths)
    monkeypatch.setattr("blockface.volume.ROW_VOXELS", 3 * 8 * 60)
    pd.testing.assert_frame_equal(overlaps(*paths), whole)
    rows = whole.set_index(["found", "true"])["voxels"]
    assert rows[1, 5] == 20 * 4 * 6
    assert rows[2, 70000] == 20 * 4 * 15
    assert rows.sum() == found.size


def test_perfect_objects_are_matched(fate):
    truth = bars((1, 0, 9), (2, 12, 20), (3, 25, 40))
    assert fate(truth + (truth > 0) * np.uint32(10), truth) == (
        dict.fromkeys([1, 2, 3], "matched"),
        [],
    )


def test_two_in_one_are_merged(fate):
    assert fate(bars((1, 0, 20)), bars((1, 0, 10), (2, 10, 20), (3, 30, 40))) == (
        {1: "matched", 2: "merged", 3: "missed"},  # the IoU of the first is exactly 0.5
        [],
    )
    assert fate(bars((1, 0, 30)), bars((1, 0, 10), (2, 10, 20), (3, 20, 30)))[0] == dict.fromkeys(
        [1, 2, 3], "merged"
    )


def test_one_in_two_is_split(fate):
    fates, false = fate(bars((1, 0, 10, 0, 9), (2, 0, 10, 11, 20)), bars((1, 0, 10)))
    assert (fates, false) == ({1: "split"}, [])


def test_a_long_piece_is_still_the_object(fate):
    assert fate(bars((1, 0, 10, 0, 15), (2, 0, 10, 16, 20)), bars((1, 0, 10)))[0] == {1: "matched"}


def test_wrong_place_and_wrong_class(fate):
    truth = bars((1, 0, 10))
    assert fate(bars((4, 30, 40)), truth) == ({1: "missed"}, [4])
    assert fate(truth, truth, kind="cell") == ({1: "missed"}, [1])


def test_everything_is_missed_where_nothing_was_found(fate):
    assert fate(bars(), bars((5, 5, 20), (6, 30, 40))) == ({5: "missed", 6: "missed"}, [])


def test_class_voxels_take_the_likeliest_class_above_the_threshold(tmp_path):
    probability = np.zeros((2, 20, 8, 60), np.uint8)
    probability[0, :, 2:6, 0:10], probability[1, :, 2:6, 0:5] = 200, 230
    probability[0, :, 2:6, 20:30] = 100
    path = store(tmp_path / "p.zarr", probability, classes=["fibril", "cell"])
    truth = store(tmp_path / "t.zarr", bars((1, 0, 10), (2, 20, 30), (9, 40, 50)))
    rows = class_voxels(path, truth, {1: "fibril", 2: "cell"}, 0.5).set_index("class")
    assert rows.loc["fibril"].tolist() == [400, 800, 400]
    assert rows.loc["cell"].tolist() == [400, 800, 0]


def test_main_scores_a_perfect_result_one(tmp_path):
    ids = bars((1, 0, 10), (2, 20, 30), (3, 40, 44))
    paths = {"objects": store(tmp_path / "o.zarr", ids),
             "truth_objects": store(tmp_path / "t.zarr", ids)}  # fmt: skip
    probability = (255 * (ids > 0)[None]).astype(np.uint8)
    paths["probability"] = store(tmp_path / "p.zarr", probability, classes=["fibril"])
    truth = table(1, 2, 3, length_nm=[1000.0, 1000, 1000], cut=[0, 0, 1])
    write_table(truth.assign(length_nm=[1020.0, 1040, 5000]), tmp_path / "o.csv")
    write_table(truth, tmp_path / "t.csv")
    main(**paths, objects_table=str(tmp_path / "o.csv"), truth_table=str(tmp_path / "t.csv"),
         comparison=str(tmp_path / "truth.csv"), matches=str(tmp_path / "truth_matches.csv"),
         threshold=0.5, threads=1)  # fmt: skip
    scores = read_table(tmp_path / "truth.csv").set_index("measure")["value"]
    assert scores["dice"] == scores["iou"] == 1
    assert scores["objects_matched"] == scores["objects_true"] == scores["objects_found"] == 3
    assert scores[["objects_merged", "objects_split", "objects_missed", "objects_false"]].sum() == 0
    assert scores["length_compared"] == 2
    assert scores["length_bias"] == pytest.approx(3)
    assert scores["length_spread"] == pytest.approx(1)
    matches = read_table(tmp_path / "truth_matches.csv")
    assert (matches["iou"] == 1).all()


def test_true_objects_that_are_dropped_for_their_size_are_not_missed(tmp_path):
    truth = store(tmp_path / "t.zarr", bars((7, 20, 21), (8, 0, 10)))
    found = store(tmp_path / "o.zarr", bars((1, 0, 10)))
    write_table(table(7, 8, volume_um3=[0.0004, 0.004]), tmp_path / "t.csv")
    write_table(table(1, volume_um3=[0.004]), tmp_path / "o.csv")
    main(objects=found, objects_table=str(tmp_path / "o.csv"), truth_objects=truth,
         truth_table=str(tmp_path / "t.csv"), comparison=str(tmp_path / "truth.csv"),
         matches=str(tmp_path / "m.csv"), threshold=0.5, threads=1,
         min_volume_um3=0.001)  # fmt: skip
    scores = read_table(tmp_path / "truth.csv").set_index("measure")["value"]
    assert (scores["objects_true"], scores["objects_missed"]) == (1, 0)
    assert scores["volume_bias"] == 0


def test_a_truth_of_another_stack_is_refused(tmp_path):
    paths = store(tmp_path / "f.zarr", bars()), store(tmp_path / "t.zarr", bars(shape=(20, 8, 61)))
    with pytest.raises(InputError, match=r"t\.zarr: the truth has the shape"):
        overlaps(*paths)
