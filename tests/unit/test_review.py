"""Ranking, bundles and evaluation against predictions whose faults are known."""

import ast
import importlib
import itertools
import json
import os
import shutil
import types

import nrrd
import numpy as np
import pandas as pd
import pytest

from blockface.annotations import import_rounds, known_slices
from blockface.bundles import clear, export_bundle, has_corrections
from blockface.errors import InputError
from blockface.places import SAME, Places, doubts, in_blocks, window
from blockface.review import agreement, annotated_percent, entropy_table, slice_scores
from blockface.tables import read_table
from blockface.volume import create_volume, open_volume
from blockface.worklist import choose_slices

SHAPE, VOXEL = (40, 64, 80), (50.0, 10.0, 12.0)
CLASSES = {"1": "fibril", "2": "cell"}


def truth_labels():
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 10:30, 10:40] = 1
    labels[:, 40:60, 50:70] = 2
    return labels


def probability_of(labels, path):
    """A sure and right prediction of ``labels``."""
    volume = create_volume(
        path, (2, *SHAPE), np.uint8, VOXEL, classes=list(CLASSES.values()), values=[1, 2]
    )
    for channel in (0, 1):
        volume[channel] = np.where(labels == channel + 1, 250, 3).astype(np.uint8)
    return volume


@pytest.fixture
def predicted(tmp_path):
    """Prediction with three faults: slice 12 undecided, 25 shifted, 33 undecided a little."""
    volume = probability_of(truth_labels(), tmp_path / "probability.zarr")
    volume[0, 12, 5:35, 5:50] = 128
    volume[:, 25] = np.roll(volume[:, 25], 15, axis=-1)
    volume[1, 33, 40:45, 50:60] = 120
    return volume


@pytest.fixture
def raw(tmp_path):
    volume = create_volume(tmp_path / "raw.zarr", SHAPE, np.uint8, VOXEL)
    volume[:] = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
    return volume


def script(name):
    return importlib.import_module(name)


def test_entropy_is_one_bit_at_one_half_and_none_when_sure():
    bits = entropy_table()
    assert bits[0] == bits[255] == 0
    assert bits[127] == pytest.approx(1, abs=1e-4)
    assert np.allclose(bits, bits[::-1], atol=1e-6)


def test_scores_say_what_is_wrong_with_a_slice(predicted):
    scores = slice_scores(predicted, [0, 39], [1, 2]).set_index("z")
    assert scores.loc[12, "uncertain_fraction"] == pytest.approx(30 * 45 / (64 * 80))
    assert scores.loc[5, "uncertain_fraction"] == 0
    assert scores.loc[33, "uncertain_fraction"] == pytest.approx(50 / (64 * 80))
    assert scores["jump"].idxmax() == 25
    assert scores.loc[24, "jump"] == pytest.approx(0, abs=1e-9)
    area, kept, spare = 20 * 30 + 20 * 20, 20 * 15 + 20 * 5, 64 * 80e-3
    expected = 1 - (2 * kept + spare) / (2 * area - 20 * 5 + spare)
    assert scores.loc[25, "jump"] == pytest.approx(expected, abs=0.03)
    assert scores.index[scores["stands_out"] > 0].tolist() == [12, 25]
    assert scores.loc[[0, 10, 20, 39], "distance"].tolist() == [0, 10, 19, 0]
    bits = entropy_table()
    assert bits[250] < scores.loc[12, "mean_entropy"] < bits[128]


def test_undecided_is_from_one_quarter_to_three_quarters(tmp_path):
    volume = create_volume(tmp_path / "p.zarr", (1, 4, 10, 10), np.uint8, VOXEL)
    for z, value in enumerate((63, 64, 191, 192)):
        volume[0, z] = value
    found = slice_scores(volume, [], [1])
    assert found["uncertain_fraction"].tolist() == [0, 1, 1, 0]
    assert np.allclose(found["mean_entropy"], entropy_table()[[63, 64, 191, 192]])


def test_the_worst_slices_come_first_and_say_why(predicted):
    scores = slice_scores(predicted, [0], [1, 2])
    chosen = choose_slices(scores, 3, 3, [0])
    assert chosen["z"].tolist()[:2] in ([12, 25], [25, 12])
    assert 33 in chosen["z"].tolist()
    assert chosen["rank"].tolist() == [1, 2, 3]
    why = chosen.set_index("z")["reason"]
    assert "26 % of the voxels are undecided" in why[12]
    assert "of the segmentation is expected to be wrong" in why[12]
    assert not chosen["control"].any()
    assert "shapes differ" in why[25]
    assert "nearest annotated slice is 12 slices away" in why[12]
    assert chosen["folder"].tolist() == [f"z{z:04d}" for z in chosen["z"]]


def test_chosen_slices_keep_apart_and_off_the_excluded(predicted):
    scores = slice_scores(predicted, [], [1, 2])
    chosen = choose_slices(scores, 6, 5, [12, 25])["z"].to_numpy()
    assert len(chosen) == 6
    assert not {12, 25} & set(chosen)
    assert np.diff(np.sort(chosen)).min() >= 5
    assert len(choose_slices(scores, 30, 10)) == 30  # the gap gives way
    assert len(choose_slices(scores, 4, 2, range(38))) == 2
    assert list(choose_slices(scores, 4, 2, range(40)).columns)[:3] == ["rank", "z", "score"]


def test_the_expected_error_is_the_true_one_where_probabilities_are_right(tmp_path):
    """Truth is drawn from the probabilities, so that they are right by construction."""
    rng = np.random.default_rng(3)
    volume = create_volume(tmp_path / "p.zarr", (1, 12, 200, 200), np.uint8, VOXEL)
    true = []
    for z in range(12):
        doubtful = rng.random((200, 200)) < 0.04 * (z + 1)
        sure = np.where(np.arange(200) < 80, 250, 5)
        p = np.where(doubtful, rng.integers(40, 216, (200, 200)), sure).astype(np.uint8)
        volume[0, z] = p
        truth, found = rng.random(p.shape) < p / 255, p >= 128
        true.append(1 - 2 * (truth & found).sum() / (truth.sum() + found.sum()))
    scores = slice_scores(volume, [], [1])
    assert scores["score"].rank().tolist() == pd.Series(true).rank().tolist()
    assert np.allclose(scores["expected_error"], true, rtol=0.15, atol=0.01)


def test_a_class_that_a_slice_lacks_does_not_make_it_the_worst(tmp_path):
    volume = create_volume(tmp_path / "p.zarr", (2, 10, 50, 50), np.uint8, VOXEL)
    volume[:] = 2
    volume[0, :, 5:30, 5:30] = 240
    volume[1, :9, 35:45, 5:45] = 240  # not in slice 9
    volume[0, 4, 5:30, 5:30] = 170
    scores = slice_scores(volume, [], [1, 2])
    assert scores["score"].idxmax() == 4


def test_disagreement_of_an_ensemble_enters_score_and_reason(tmp_path, predicted, raw):
    differ = np.full(SHAPE[0], 0.02)
    differ[7] = 0.9
    scores = slice_scores(predicted, [], [1, 2], 0.5, differ)
    chosen = choose_slices(scores, 1)
    assert chosen["z"].tolist() == [7]
    assert "differ by 90 %" in chosen["reason"][0]
    votes = create_volume(
        tmp_path / "v.zarr", (2, *SHAPE), np.uint8, VOXEL, classes=["a", "b"], members=2
    )
    votes[:], votes[:, 7] = 3, 1  # one member sees nothing in slice 7
    labels = create_volume(tmp_path / "a.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    labels[3] = 0
    labels.attrs["known_slices"] = [[3, 4]]
    script("rank_slices").main(
        probability=tmp_path / "probability.zarr", annotations=tmp_path / "a.zarr",
        worklist=tmp_path / "w.tsv", slices=tmp_path / "s.tsv", settings={"count": 1},
        held_out_slices=[], seed=0, votes=tmp_path / "v.zarr",
    )  # fmt: skip
    assert read_table(tmp_path / "w.tsv")["z"].tolist() == [7]


def test_control_slices_are_random_and_called_so(predicted):
    scores = slice_scores(predicted, [0], [1, 2])
    usual = choose_slices(scores, 3, 3, [0])
    drawn = set()
    for seed in range(40):
        chosen = choose_slices(scores, 3, 3, [0], controls=2, seed=seed)
        assert chosen.head(3).equals(usual)
        control = chosen.tail(2)
        assert control["control"].all()
        assert control["reason"].str.startswith("control: chosen at random").all()
        assert control["rank"].tolist() == [4, 5]
        assert not {0, *usual["z"]} & set(control["z"])
        assert chosen.equals(choose_slices(scores, 3, 3, [0], controls=2, seed=seed))
        drawn |= set(control["z"])
    assert len(drawn) > 25  # of 36


def test_annotated_percent_is_of_the_voxels_to_learn_from(tmp_path):
    labels = create_volume(tmp_path / "a.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    labels[3, :32], labels[9] = 0, 1
    labels.attrs["known_slices"] = [[3, 4], [9, 10]]
    assert annotated_percent(labels, [9]) == pytest.approx(100 * 0.5 / 40)
    assert annotated_percent(labels, []) == pytest.approx(100 * 1.5 / 40)


def test_the_window_holds_the_most_undecided_area():
    probability = np.full((1, 300, 400), 2, np.uint8)
    probability[0, 200:230, 350:380] = 128
    blocks = in_blocks(doubts(probability))
    rows, columns = window(blocks, (300, 400), 128)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (128, 128)
    assert rows.start <= 200 <= 230 <= rows.stop
    assert columns.start <= 350 <= 380 <= columns.stop
    assert window(blocks, (300, 400), 400) == (slice(0, 300), slice(0, 400))


def large(tmp_path, faults):
    """Sure prediction of 12 slices of 256 x 320, undecided in ``faults``; nothing annotated."""
    volume = create_volume(tmp_path / "large.zarr", (1, 12, 256, 320), np.uint8, VOXEL)
    volume[:] = 2
    volume[0, :, 100:110] = 250
    for z, y, x, size in faults:
        volume[0, z, y : y + size, x : x + size] = 128
    labels = create_volume(
        tmp_path / "known.zarr", volume.shape[1:], np.uint8, VOXEL, fill_value=255
    )
    return volume, labels


def test_of_large_slices_the_worst_place_counts_not_the_worst_slice(tmp_path):
    """Slice 2 has most doubt, but scattered; slice 8 has the worst place."""
    spread = [(2, y, x, 8) for y in range(0, 256, 24) for x in range(0, 320, 24)]
    volume, labels = large(tmp_path, [*spread, (8, 160, 192, 60)])
    places = Places(labels, [], 64)
    scores = slice_scores(volume, [], [1], places=places)
    assert scores["score"].idxmax() == 2
    worst = choose_slices(scores, 1).iloc[0]
    assert worst["z"] == 8
    assert worst["place_error"] == pytest.approx(0.5 * 60**2 / 64**2, rel=0.1)
    assert worst["y0"] <= 160 <= 220 <= worst["y1"] == worst["y0"] + 64
    assert worst["x0"] <= 192 <= 252 <= worst["x1"] == worst["x0"] + 64
    assert "of the voxels of this part are expected to be wrong" in worst["reason"]


def test_what_was_reviewed_in_a_slice_nearby_is_not_asked_about_again(tmp_path):
    volume, labels = large(tmp_path, [(z, 16, 16, 60) for z in range(12)] + [(5, 160, 200, 30)])
    labels[5, :96, :96] = 0
    scores = slice_scores(volume, [5], [1], places=Places(labels, [5], 64))
    first = (scores["y0"] < 96) & (scores["x0"] < 96)
    assert (~first[5 - SAME : 5 + SAME + 1]).all()
    assert first.sum() == 12 - (2 * SAME + 1)
    found = scores.loc[5]  # the rest of the slice is a place yet
    assert found["y0"] <= 160 <= 190 <= found["y1"]
    assert found["place_error"] > scores.loc[6, "place_error"]


def test_where_all_is_known_nearby_the_part_with_most_doubt_is_named_last(tmp_path):
    volume, labels = large(tmp_path, [(2, 16, 16, 30), (6, 160, 192, 60)])
    labels[5] = 0
    scores = slice_scores(volume, [5], [1], places=Places(labels, [5], 64))
    assert scores.loc[6, "place_error"] == 0
    assert scores.loc[6, "y0"] <= 160 <= 220 <= scores.loc[6, "y1"]
    assert scores.loc[6, "x0"] <= 192 <= 252 <= scores.loc[6, "x1"]


def test_of_large_slices_those_known_all_over_are_not_handed_out_again(tmp_path):
    volume, labels = large(tmp_path, [(z, 16, 16, 60) for z in range(12)])
    labels[4], labels[6, :96, :96] = 0, 0
    places = Places(labels, [4, 6], 64)
    assert places.done == {4}
    scores = slice_scores(volume, [4, 6], [1], places=places, disagreement=np.full(12, 0.9))
    reached = (scores["place_error"] == 0).to_numpy()
    assert reached.tolist() == [0 < z < 8 for z in range(12)]
    assert (scores.loc[reached, "place_score"] == 0).all()
    assert set(choose_slices(scores, 2, exclude=places.done)["z"]) <= {0, 8, 9, 10, 11}
    assert Places(labels, [4, 6], 320).done == {4, 6}


def test_the_worklist_of_large_slices_names_none_that_is_known_all_over(tmp_path):
    volume, labels = large(tmp_path, [(z, 160, 192, 60) for z in range(12)])
    volume.attrs["values"] = [1]
    labels[:9], labels[10:] = 0, 0
    labels.attrs["known_slices"] = [[0, 9], [10, 12]]
    script("rank_slices").main(
        probability=str(tmp_path / "large.zarr"), annotations=str(tmp_path / "known.zarr"),
        worklist=str(tmp_path / "worklist.tsv"), slices=str(tmp_path / "slices.tsv"),
        settings={"count": 4, "controls": 1, "max_xy": 64}, held_out_slices=[], seed=0,
    )  # fmt: skip
    assert read_table(tmp_path / "worklist.tsv")["z"].tolist() == [9]


def test_what_was_reviewed_for_one_class_may_be_handed_out_again(tmp_path):
    volume, labels = large(tmp_path, [(4, 16, 16, 60)])
    labels[4] = 253
    labels.attrs["without"] = {"253": [1]}
    scores = slice_scores(volume, [4], [1], places=Places(labels, [4], 64))
    assert scores["place_error"].idxmax() == 4


def test_controls_are_others_in_each_round_and_not_of_what_is_known(tmp_path):
    volume, labels = large(tmp_path, [(z, 160, 192, 60) for z in range(12)])
    seen = set()
    for known in range(12):
        labels[known, :128] = 0
        places = Places(labels, range(known + 1), 64)
        scores = slice_scores(volume, range(known + 1), [1], places=places)
        chosen = choose_slices(scores, 1, controls=1, seed=[0, places.reviewed])
        control = places.somewhere(chosen, 0).iloc[1]
        part = labels[control["z"], control["y0"] : control["y1"], control["x0"] : control["x1"]]
        assert (part == 255).mean() > 0.9
        seen.add((control["z"], control["y0"], control["x0"]))
    assert len(seen) == 12


def test_a_control_lies_anywhere_in_its_slice_not_in_its_worst_part(tmp_path):
    volume, labels = large(tmp_path, [(z, 160, 192, 60) for z in range(12)])
    places = Places(labels, [], 64)
    scores = slice_scores(volume, [], [1], places=places)
    corners = set()
    for seed in range(20):
        chosen = choose_slices(scores, 2, controls=1, seed=seed)
        made = places.somewhere(chosen, seed)
        assert made.head(2).equals(chosen.head(2))
        control = made.iloc[2]
        assert 0 <= control["y0"] == control["y1"] - 64 <= 256 - 64
        assert 0 <= control["x0"] == control["x1"] - 64 <= 320 - 64
        assert np.isnan(control["place_error"])
        assert made.equals(places.somewhere(chosen, seed))
        corners.add((control["y0"], control["x0"]))
    assert len(corners) > 15
    whole = Places(labels, [], 320)
    kept = choose_slices(slice_scores(volume, [], [1], places=whole), 2, controls=1)
    assert whole.somewhere(kept, 0).equals(kept)


def test_slices_that_fit_are_places_as_a_whole(tmp_path):
    volume, labels = large(tmp_path, [(3, 0, 0, 40)])
    labels[3] = 0
    scores = slice_scores(volume, [3], [1], places=Places(labels, [3], 320))
    assert scores["place_score"].equals(scores["score"].rename("place_score"))
    assert scores[["y0", "y1", "x0", "x1"]].drop_duplicates().to_numpy().tolist() == [
        [0, 256, 0, 320]
    ]


@pytest.mark.parametrize("z", [12, 33])
def test_a_bundle_holds_one_grid_and_what_was_predicted(tmp_path, predicted, raw, z):
    folder = tmp_path / "corrections" / f"z{z:04d}"
    part = window(in_blocks(doubts(predicted[:, z])), SHAPE[1:], 48)
    record = export_bundle(folder, z, raw, predicted, 0.5, part=part, reason="why")
    region = tuple(
        slice(o, o + n)
        for o, n in zip(record["offset_voxels_zyx"], record["shape_zyx"], strict=True)
    )
    assert record["shape_zyx"] == [1, 48, 48]
    assert (record["offset_voxels_zyx"][2] > 0) == (z == 33)
    heads = []
    for name in ("image", "fibril", "cell", "uncertainty"):
        array, head = nrrd.read(str(folder / f"{folder.name}_{name}.nrrd"), index_order="C")
        if name == "image":
            assert np.array_equal(array, raw[region])
        elif name == "uncertainty":
            chance = np.minimum(predicted[:], 255 - predicted[:]).max(0)[region]
            assert np.array_equal(array, np.rint(255 * entropy_table())[chance])
        else:
            value = {"fibril": 0, "cell": 1}[name]
            best = predicted[:][(slice(None), *region)]
            assert np.array_equal(array, (best.argmax(0) == value) & (best.max(0) >= 128))
        heads.append({k: str(v) for k, v in head.items()})
    assert heads[0] == heads[1] == heads[2] == heads[3]
    assert json.loads((folder / "bundle.json").read_text()) == record
    assert sorted(p.name for p in (folder / "corrected").iterdir()) == [
        "README.txt",
        "predicted.npz",
    ]
    page = (folder / "README.html").read_text()
    assert page.count("<li>") == 5
    for name in ("place.png", "around.png"):
        assert name in page
        assert (folder / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("told", "file"), [("__file__", "open_in_seg3d.py"), ("HERE", "")])
def test_the_script_loads_saves_and_is_old_python(told, file, tmp_path, predicted, raw, capsys):
    folder = tmp_path / "z0012"
    record = export_bundle(folder, 12, raw, predicted, 0.5)
    source = (folder / "open_in_seg3d.py").read_text()
    ast.parse(source, feature_version=(3, 4))
    assert str(tmp_path) not in source
    calls, clock = [], itertools.count(1, 10**10)

    def action(name, answer=None):
        def call(**arguments):
            calls.append((name, arguments))
            return answer(arguments) if answer else None

        return call

    def export(arguments):
        for layer in arguments["layers"][:saved]:
            path = folder / "corrected" / f"{layer}.nrrd"
            path.write_bytes(b"")
            os.utime(path, ns=(0, next(clock)))

    names = {
        "importlayer": action("importlayer", lambda a: [a["filename"].split("/")[-1][:-6]]),
        "exportsegmentation": action("exportsegmentation", export),
        **{n: action(n) for n in ("set", "activatelayer", "opentool", "pickpoint")},
    }
    with pytest.raises(Exception, match="type first  HERE = r'<its folder>'"):
        exec(compile(source, "open_in_seg3d.py", "exec"), names)
    names |= {told: str(folder / file)}
    exec(compile(source, "open_in_seg3d.py", "exec"), names)
    loaded = [(a["filename"], a["importer"], a["mode"]) for n, a in calls if n == "importlayer"]
    here = f"[{folder}/z0012_"
    assert loaded == [
        (f"{here}image.nrrd]", "[Teem Importer]", "data"),
        (f"{here}uncertainty.nrrd]", "[Teem Importer]", "data"),
        (f"{here}fibril.nrrd]", "[Teem Importer]", "single_mask"),
        (f"{here}cell.nrrd]", "[Teem Importer]", "single_mask"),
    ]
    z, y, x = record["worst_spot_zyx"]
    assert ("pickpoint", {"point": [x * 12, y * 10, z * 50]}) in calls
    assert z == 12
    assert 5 <= y < 35
    assert 5 <= x < 50
    saved = 1
    names["save_corrections"]()
    assert "NOT WRITTEN: z0012_cell" in capsys.readouterr().out
    saved = 2
    names["save_corrections"]()
    assert capsys.readouterr().out == "saved z0012\n"
    saved = 1  # the file of the first saving is still there
    names["save_corrections"]()
    assert "NOT WRITTEN: z0012_cell" in capsys.readouterr().out
    calls.clear()
    (folder / "corrected" / "z0012_cell.nrrd").unlink()
    if told == "HERE":  # of the place before: another one would load and save there
        with pytest.raises(Exception, match="type first  HERE = r'<its folder>'"):
            exec(compile(source, "open_in_seg3d.py", "exec"), names)
        assert not calls
        names[told] = str(folder)
    exec(compile(source, "open_in_seg3d.py", "exec"), names)
    masks = [a["filename"] for n, a in calls if n == "importlayer" and a["mode"] != "data"]
    assert masks == [f"[{folder}/corrected/z0012_fibril.nrrd]", f"{here}cell.nrrd]"]


def test_a_place_opened_twice_is_saved_under_its_own_names(tmp_path, predicted, raw, capsys):
    """Seg3D calls a second layer of the same name _1, and saves it under that name."""
    folder = tmp_path / "z0012"
    export_bundle(folder, 12, raw, predicted, 0.5)
    source, layers, sittings = (folder / "open_in_seg3d.py").read_text(), [], []

    def load(filename, **_):
        name = filename.split("/")[-1].removesuffix(".nrrd]")
        layers.append(f"{name}_1" if name in layers else name)
        return [layers[-1]]

    def export(layers, **_):
        for layer in layers:
            (folder / "corrected" / f"{layer}.nrrd").write_text(f"{layer}, {len(sittings)}")

    names = {"importlayer": load, "exportsegmentation": export, "__file__": str(folder / "s.py")}
    names |= {n: lambda **_: None for n in ("set", "activatelayer", "opentool", "pickpoint")}
    for _ in range(3):
        sittings.append(1)
        exec(compile(source, "open_in_seg3d.py", "exec"), names)
        names["save_corrections"]()
        assert capsys.readouterr().out.endswith("saved z0012\n")
    saved = {f.name: f.read_text() for f in (folder / "corrected").glob("*.nrrd")}
    assert set(saved) == {"z0012_fibril.nrrd", "z0012_cell.nrrd"}
    assert all(text.endswith("_1, 3") for text in saved.values())


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_masks_handed_out_are_cut_at_the_threshold(tmp_path, raw, threshold):
    chances = np.random.default_rng(1).integers(0, 256, (2, *SHAPE)).astype(np.uint8)
    chances[1] //= 4
    volume = create_volume(
        tmp_path / "p.zarr", chances.shape, np.uint8, VOXEL, classes=["fibril", "cell"],
        values=[1, 2],
    )  # fmt: skip
    volume[:] = chances
    record = export_bundle(tmp_path / "z0012", 12, raw, volume, threshold)
    mask, _ = nrrd.read(str(tmp_path / "z0012/z0012_fibril.nrrd"), index_order="C")
    here = chances[:, record["offset_voxels_zyx"][0] :][:, : len(mask)] / 255
    expected = (here[0] > threshold) & (here[0] >= here[1])
    sure = np.abs(here[0] - threshold) > 1 / 255
    assert (mask.astype(bool) == expected)[sure].all()


def test_paths_that_seg3d_cannot_open_are_refused(tmp_path, predicted, raw):
    with pytest.raises(InputError, match="rename the folder"):
        export_bundle(tmp_path / "a [b]" / "z0012", 12, raw, predicted, 0.5)


def test_exported_masks_come_back_without_a_changed_voxel(tmp_path, predicted, raw):
    home = tmp_path / "annotations"
    for z in (12, 25):
        place = tmp_path / "corrections" / f"z{z:04d}"
        export_bundle(place, z, raw, predicted, 0.5, context_slices=1)
        target = home / "00" / place.name
        target.mkdir(parents=True)
        for name in CLASSES.values():
            (place / f"{place.name}_{name}.nrrd").rename(target / f"{place.name}_{name}.nrrd")
    import_rounds(home, [0], CLASSES, SHAPE, VOXEL, tmp_path / "a.zarr")
    labels, best = open_volume(tmp_path / "a.zarr")[:], predicted[:]
    expected = np.where(best.max(0) >= 128, best.argmax(0) + 1, 0)
    seen = [11, 12, 13, 24, 25, 26]
    assert known_slices(open_volume(tmp_path / "a.zarr")).tolist() == seen
    assert np.array_equal(labels[seen], expected[seen])


def test_agreement_counts_the_voxels_of_one_round_only(tmp_path, predicted):
    labels = create_volume(tmp_path / "a.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    rounds = create_volume(tmp_path / "r.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    labels[4], rounds[4] = 0, 0  # would be all wrong
    truth = truth_labels()
    labels[25, :32], rounds[25, :32] = truth[25, :32], 1
    found = agreement(predicted, labels, rounds, 1, [4, 25], 0.5).set_index("class")
    assert found.loc["fibril", ["slices", "voxels"]].tolist() == [1, 32 * 80]
    assert found.loc["fibril", "changed"] == 2 * 20 * 15
    assert found.loc["fibril", "dice"] == pytest.approx(0.5)
    assert found.loc["fibril", "recall"] == pytest.approx(0.5)
    assert np.isnan(found.loc["cell", "dice"])


def test_the_scripts_make_a_loop_of_two_iterations(tmp_path, predicted, raw):
    """Rank, export, correct, import again, evaluate; the second iteration shows both."""
    truth, home = truth_labels(), tmp_path / "annotations"
    (home / "00").mkdir(parents=True)
    first = np.zeros(SHAPE, np.uint8)
    first[[2, 20]] = truth[[2, 20]]
    nrrd.write(str(home / "00" / "labels.nrrd"), first, {
        "spacings": np.array(VOXEL[::-1]), "axis mins": np.zeros(3)}, index_order="C")  # fmt: skip
    held_out, made = [20], {}
    for number in range(2):
        folder = tmp_path / f"iter_{number:02d}"
        folder.mkdir()
        script("import_annotations").main(
            files=[], raw=tmp_path / "raw.zarr", annotations=folder / "annotations.zarr",
            table=folder / "annotations.tsv", folder=home, iteration=number, classes=CLASSES,
            held_out_slices=held_out, digests=[], threads=1,
        )  # fmt: skip
        if number:
            probability_of(truth, folder / "probability.zarr")
        else:
            (tmp_path / "probability.zarr").rename(folder / "probability.zarr")
        script("evaluate").main(
            probability=folder / "probability.zarr", annotations=folder / "annotations.zarr",
            previous_probability=made.get("probability"), earlier=made.get("evaluation"),
            evaluation=folder / "evaluation.csv", threshold=0.5, held_out_slices=held_out,
            iteration=number, threads=1,
        )  # fmt: skip
        script("rank_slices").main(
            probability=folder / "probability.zarr", annotations=folder / "annotations.zarr",
            worklist=folder / "worklist.tsv", slices=folder / "slices.tsv",
            settings={"count": 2, "min_gap": None}, held_out_slices=held_out, seed=0, threads=1,
        )  # fmt: skip
        script("export_corrections").main(
            worklist=folder / "worklist.tsv", image=tmp_path / "raw.zarr",
            probability=folder / "probability.zarr", corrections=folder / "corrections",
            threshold=0.5, settings={}, threads=1,
        )  # fmt: skip
        for z in read_table(folder / "worklist.tsv")["z"]:
            place = folder / "corrections" / f"z{z:04d}"
            for value, name in CLASSES.items():
                source = place / f"{place.name}_{name}.nrrd"
                array, head = nrrd.read(str(source), index_order="C")
                array[min(z, 2)] = truth[z] == int(value)
                nrrd.write(str(place / "corrected" / source.name), array, head, index_order="C")
            shutil.copytree(place, home / f"{number + 1:02d}" / place.name)
        made = {k: folder / f"{k}.{e}" for k, e in (("probability", "zarr"), ("evaluation", "csv"))}
    now = made["probability"]
    script("evaluate").main(
        probability=now, annotations=now.with_name("annotations.zarr"),
        previous_probability=tmp_path / "iter_00" / "probability.zarr",
        evaluation=tmp_path / "stricter.csv", threshold=0.999, held_out_slices=held_out,
        iteration=1, threads=1,
    )  # fmt: skip
    assert set(read_table(tmp_path / "iter_00" / "worklist.tsv")["z"]) == {12, 25}
    table = read_table(made["evaluation"])
    keys = table[["iteration", "split", "class"]].to_records(index=False).tolist()
    assert keys == [(i, s, c) for i, s in ((0, "held_out"), (0, "corrected"), (1, "held_out"))
                    for c in CLASSES.values()]  # fmt: skip
    table = table.set_index(["iteration", "split", "class"])
    stricter = read_table(tmp_path / "stricter.csv").set_index(["iteration", "split", "class"])
    told = table.loc[(0, "corrected")], stricter.loc[(0, "corrected")]
    pd.testing.assert_frame_equal(*told)  # the masks handed out had the threshold of then
    assert table.loc[(0, "held_out", "fibril"), "dice"] == 1
    assert table.loc[(0, "corrected", "fibril"), "dice"] < 0.9
    assert table.loc[(0, "corrected", "fibril"), ["slices", "voxels"]].tolist() == [2, 2 * 64 * 80]
    assert 0 < table.loc[(0, "corrected", "fibril"), "changed"] < 2 * 64 * 80
    assert table.loc[(1, "held_out", "fibril"), "annotated_percent"] == pytest.approx(100 * 3 / 40)
    first = read_table(tmp_path / "iter_00" / "evaluation.csv")
    assert first["iteration"].tolist() == [0, 0]
    slices = read_table(tmp_path / "iter_01" / "slices.tsv")
    assert slices.loc[slices["annotated"], "z"].tolist() == [2, 12, 25]
    assert slices.loc[slices["held_out"], "z"].tolist() == [20]
    listed = read_table(tmp_path / "iter_00" / "worklist.tsv")
    assert np.allclose(listed["annotated_percent"], 100 / 40)


def listed(*slices):
    """A worklist of parts of ``slices``."""
    lines = [f"{i}\t{z}\t0\t48\t16\t64\tbad\tz{z:04d}" for i, z in enumerate(slices, 1)]
    return "\n".join(["rank\tz\ty0\ty1\tx0\tx1\treason\tfolder", *lines, ""])


def test_bundles_with_corrections_are_never_written_over(tmp_path, predicted, raw):
    main = types.SimpleNamespace(
        worklist=tmp_path / "worklist.tsv", image=tmp_path / "raw.zarr",
        probability=tmp_path / "probability.zarr", corrections=tmp_path / "c" / "index.json",
        threshold=0.5, settings={},
    )  # fmt: skip
    main.worklist.write_text(listed(12, 25))
    script("export_corrections").main(**vars(main))
    work = tmp_path / "c" / "z0012" / "corrected" / "z0012_cell.nrrd"
    work.write_text("hours of work")
    old = (tmp_path / "c" / "z0012" / "z0012_cell.nrrd").stat().st_mtime_ns
    main.worklist.write_text(listed(12, 7))
    script("export_corrections").main(**vars(main))
    assert work.read_text() == "hours of work"
    assert (tmp_path / "c" / "z0012" / "z0012_cell.nrrd").stat().st_mtime_ns == old
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["index.json", "z0007", "z0012"]
    assert [row["z"] for row in json.loads(main.corrections.read_text())] == [12, 7]
    assert nrrd.read(str(tmp_path / "c" / "z0007" / "z0007_cell.nrrd"))[0].shape[:2] == (48, 48)


SYSTEMS_OWN = ["Thumbs.db", ".DS_Store", "corrected/.DS_Store"]


@pytest.mark.parametrize("saved", ["z0012_cell.nrrd", "mine.seg3dproj/mine.s3d", *SYSTEMS_OWN])
def test_what_was_saved_beside_or_over_the_masks_is_work_too(tmp_path, predicted, raw, saved):
    export_bundle(tmp_path / "c" / "z0012", 12, raw, predicted, 0.5)
    assert not has_corrections(tmp_path / "c" / "z0012")
    file = tmp_path / "c" / "z0012" / saved
    file.parent.mkdir(exist_ok=True)
    file.write_text("hours of work")
    clear(tmp_path / "c")
    assert file.is_file() == (saved not in SYSTEMS_OWN)


def test_a_place_with_a_broken_record_is_told_before_any_other_is_removed(tmp_path, predicted, raw):
    for z in (7, 12):
        export_bundle(tmp_path / "c" / f"z{z:04d}", z, raw, predicted, 0.5)
    (tmp_path / "c/z0012/bundle.json").write_text("")
    with pytest.raises(InputError, match=r"z0012/bundle\.json: cannot be read"):
        clear(tmp_path / "c")
    assert (tmp_path / "c/z0007/bundle.json").is_file()


def test_each_place_is_held_against_the_masks_it_was_handed_out_with(tmp_path, predicted, raw):
    """Between the two the threshold was changed: 128 of 255 is above the first only."""
    for z, threshold in ((12, 0.5), (25, 0.6)):
        export_bundle(tmp_path / "corrections" / f"z{z:04d}", z, raw, predicted, threshold)
    levels = script("evaluate").handed_out_thresholds(tmp_path / "corrections")
    assert levels == {12: 0.5, 25: 0.6}
    truth, rounds = truth_labels(), np.ones(SHAPE, np.uint8)
    labels = create_volume(tmp_path / "l.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    labels[12] = truth[12]
    missed = [
        agreement(predicted, labels, rounds, 1, [12], given).loc[0, "changed"]
        for given in (levels, {12: 0.6}, 0.6)
    ]
    assert missed[0] > missed[1] == missed[2] > 0  # the doubtful part is larger than the fibril


def test_what_was_changed_as_context_is_no_part_of_the_rate(tmp_path, predicted):
    """Only what was wrong is known there, so all of it would count as changed."""
    truth, rounds = truth_labels(), np.zeros(SHAPE, np.uint8)
    labels = create_volume(tmp_path / "l.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    labels[5:8] = truth[5:8]
    labels[6, :4] = 1  # the prediction has nothing there
    rounds[6], rounds[6, :4], rounds[5] = 1, 128 + 1, 1
    found = agreement(predicted, labels, rounds, 1, [5, 6, 7]).set_index("class")
    assert found.loc["fibril", ["voxels", "changed"]].tolist() == [(64 + 60) * 80, 0]
