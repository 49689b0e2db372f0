"""The audit of iterations whose history is known."""

import json

import numpy as np
import pandas as pd
import pytest

import iterations
from blockface.figures_iterations import iterations_figure
from blockface.iterations import (
    COLUMNS,
    falls,
    gather,
    measured_otherwise,
    stopping_hint,
    verdicts,
)
from blockface.tables import read_table, write_table

CLASSES = ("fibril", "cell")


def left_behind(folder, number, dice, changed=None, voxels=1000, annotations="a", smallest=0):
    """What an iteration leaves: its evaluation, its summary and its manifest."""
    rows = [
        {"iteration": number, "split": "held_out", "class": c, "slices": 2, "voxels": voxels,
         "dice": d, "changed": 5, "annotated_percent": 0.5 * (number + 1)}
        for c, d in zip(CLASSES, dice, strict=True)
    ]  # fmt: skip
    if changed is not None:
        rows += [
            {"iteration": number - 1, "split": "corrected", "class": c, "slices": 1, "voxels": 400,
             "dice": 0.9, "changed": changed}
            for c in CLASSES
        ]  # fmt: skip
    write_table(pd.DataFrame(rows), folder / "evaluation.csv")
    measures = {"n_objects": 10 + number, "diameter_mean_nm_mean": 80.0}
    write_table(
        pd.DataFrame(
            [{"class": c, "measure": m, "all": v} for c in CLASSES for m, v in measures.items()]
        ),
        folder / "tables/summary.csv",
    )
    manifest = {
        "settings": {"dataset": {"annotations": "annotations/demo", "min_volume_um3": smallest}},
        "inputs": [
            {"path": "stack", "sha256": "s"},
            {"path": "annotations/demo/00/fibril.nrrd", "sha256": annotations},
        ],
        "results": [{"path": f"results/demo/iter_{number:02d}/segmenter/model.pt", "sha256": "m"}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def history(folder, means):
    return [left_behind(folder / f"iter_{n:02d}", n, (d, d)) for n, d in enumerate(means)]


def frame(means):
    return pd.DataFrame({"iteration": range(len(means)), "class": "fibril", "dice": means})


def test_the_table_holds_what_the_iterations_left(tmp_path):
    folders = [
        left_behind(tmp_path / "iter_00", 0, (0.8, 0.7)),
        left_behind(tmp_path / "iter_01", 1, (0.9, np.nan), changed=40, annotations="b"),
    ]
    table = gather(reversed(folders))
    assert tuple(table.columns) == COLUMNS
    keys = table[["iteration", "class"]].to_records(index=False).tolist()
    assert keys == [(0, "fibril"), (0, "cell"), (1, "fibril"), (1, "cell")]
    assert table["correction_rate"].tolist()[:2] == [0.1, 0.1]
    assert table["correction_rate"].isna().tolist() == [False, False, True, True]
    assert table["n_objects"].tolist() == [10, 10, 11, 11]
    assert (table["diameter_mean_nm"] == 80).all()
    assert table["annotated_percent"].tolist() == [0.5, 0.5, 1, 1]
    assert (table["model_sha256"] == "m").all()
    assert table.groupby("iteration")["annotations_sha256"].nunique().tolist() == [1, 1]
    assert table["annotations_sha256"].nunique() == 2


def test_the_digest_of_annotations_is_of_these_files_only(tmp_path):
    folder = left_behind(tmp_path / "iter_00", 0, (0.8, 0.8))
    before = gather([folder])["annotations_sha256"]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["inputs"][0]["sha256"] = "another stack"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert (gather([folder])["annotations_sha256"] == before).all()


def test_objects_separated_by_other_settings_are_told(tmp_path):
    same = history(tmp_path, [0.7, 0.8])
    assert measured_otherwise(gather(same)) is None
    other = left_behind(tmp_path / "iter_02", 2, (0.8, 0.8), smallest=1)
    table = gather([*same, other])
    assert table.groupby("iteration")["measured_sha256"].first().nunique() == 2
    told = measured_otherwise(table)
    assert told.startswith("Objects of iteration 00, 01 were separated by other settings")
    assert iterations_figure(table, tmp_path / "all.png").stat().st_size > 0


def test_an_iteration_of_an_earlier_version_or_missing_in_between_is_no_obstacle(tmp_path):
    first, _, third = history(tmp_path, [0.7, 0.8, 0.9])
    old = read_table(first / "evaluation.csv").drop(columns=["changed", "annotated_percent"])
    write_table(old, first / "evaluation.csv")
    table = gather([first, third])
    assert table["iteration"].unique().tolist() == [0, 2]
    assert table.loc[table["iteration"] == 0, "annotated_percent"].isna().all()


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([0.8, 0.9, 0.95], ["first", "gain", "gain"]),
        ([0.8, 0.801, 0.8019], ["first", "no gain", "no gain"]),
        ([0.8, 0.9, 0.85, 0.89], ["first", "gain", "fell", "no gain"]),
        ([np.nan, 0.8, 0.9], [None, "first", "gain"]),
    ],
)
def test_verdicts(means, expected):
    assert list(verdicts(frame(means)).values()) == expected


def test_a_class_that_is_held_out_from_now_on_is_no_fall():
    """Iterations are compared in what both have a score of, and each with all before."""
    rows = [(0, "fibril", 0.90), (0, "cell", np.nan), (1, "fibril", 0.91), (1, "cell", 0.5),
            (2, "fibril", 0.92), (2, "cell", 0.45)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["iteration", "class", "dice"])
    assert verdicts(table) == {0: "first", 1: "gain", 2: "fell"}
    rows += [(3, "fibril", 0.91), (3, "cell", 0.45)]
    hint = stopping_hint(pd.DataFrame(rows, columns=["iteration", "class", "dice"]))
    assert "the best mean Dice is 0.705, of iteration 01" in hint  # 00 has the score of one class


@pytest.mark.parametrize(
    ("means", "hint"),
    [
        ([0.8], None),
        ([0.8, 0.8], None),
        ([0.8, 0.8, 0.8], "Rounds 01 and 02"),
        ([0.8, 0.9, 0.89, 0.9], "Rounds 02 and 03"),
        ([0.8, 0.9, 0.89, 0.92], None),
        ([0.8, 0.79, 0.9], None),
        ([np.nan, np.nan, np.nan], None),
    ],
)
def test_two_rounds_without_gain_are_a_hint_to_stop(means, hint):
    found = stopping_hint(frame(means))
    assert found is None if hint is None else found.startswith(hint)
    if hint and max(means) == 0.9:
        assert "0.900, of iteration 01" in found


def test_a_fall_is_told_and_that_other_voxels_were_held_out():
    table = frame([0.9, 0.8]).assign(voxels=[100, 100])
    assert "fell from 0.900 to 0.800" in falls(table, 1)[0]
    assert "hardly compare" not in falls(table, 1)[0]
    assert "hardly compare" in falls(table.assign(voxels=[100, 90]), 1)[0]
    assert falls(table, 0) == []
    assert falls(frame([0.8, 0.8004]), 1) == []


def test_the_script_writes_table_and_plot_and_is_loud_about_a_fall(tmp_path, capsys, caplog):
    folders = history(tmp_path / "demo", [0.9, 0.92, 0.8, 0.81])
    manifests = [str(f / "manifest.json") for f in (folders[2], folders[0], folders[1])]
    table, figure = tmp_path / "demo/iterations.csv", tmp_path / "demo/iterations.png"
    iterations.main(manifests=manifests, table=table, figure=figure)
    shown = capsys.readouterr().err
    assert "demo, iteration 02: Dice of fibril on held-out slices fell from 0.920 to 0.800" in shown
    assert "fell from 0.920" in caplog.text
    assert read_table(table)["iteration"].unique().tolist() == [0, 1, 2]
    assert figure.read_bytes().startswith(b"\x89PNG")
    iterations.main(
        manifests=[str(f / "manifest.json") for f in reversed(folders)], table=table, figure=figure
    )
    shown = capsys.readouterr().err
    assert "Rounds 02 and 03 brought no gain" in shown
    iterations.main(
        manifests=[str(f / "manifest.json") for f in folders], table=table, figure=figure
    )
    assert capsys.readouterr().err == ""  # asked about 00, the first
