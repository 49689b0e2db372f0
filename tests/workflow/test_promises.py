"""The promises about reruns: what a change makes run again, and what nothing ever touches."""

import os
import shutil

import pandas as pd
import pytest
import torch
import zarr

from workflow.project import REPOSITORY, hashes, paint, paint_crop

TOLD = {"manifest", "report", "iterations"}
MEASURED = {"measure_objects", "measure_slab", "measure_pairs"} | TOLD
SEPARATED = MEASURED | {"separate_slab", "separate_objects"}
LISTED = {"rank_slices", "export_corrections"} | TOLD
TRAINED = SEPARATED | LISTED | {"train_segmenter", "predict_slab", "predict", "evaluate"}
CUT = TRAINED | {"extract_segmentation_patches"}
CHOSEN = CUT | {"choose_segmentation_patches"}
ROUND = CHOSEN | {"import_annotations"}
DENOISED = CUT | {"train_denoiser", "denoise_slab", "denoise"}


AUDIT = "results/demo/iterations."


def outside(planned, iteration):
    """Outputs that belong to no job of ``iteration``; the table of all iterations aside."""
    outputs = [output for _, output in planned]
    return [o for o in outputs if f"iter_{iteration}" not in o and not o.startswith(AUDIT)]


def model(project, path):
    return torch.load(project / path, weights_only=True)["weights"]


def same_results(one, other) -> None:
    """Fail unless volumes, weights and tables of two projects are equal."""
    for name in ("raw", "denoised"):
        path = f"results/demo/stack/{name}.zarr"
        assert (zarr.open_array(one / path)[:] == zarr.open_array(other / path)[:]).all(), path
    for path in ("results/denoisers/d/model.pt", "results/demo/iter_00/segmenter/model.pt"):
        ours, theirs = model(one, path), model(other, path)
        assert all(torch.equal(ours[k], theirs[k]) for k in ours | theirs), path
    for name in ("annotations", "patches", "probability", "objects"):
        path = f"results/demo/iter_00/{name}.zarr"
        assert (zarr.open_array(one / path)[:] == zarr.open_array(other / path)[:]).all(), path
    tables = sorted((one / "results").rglob("*.parquet"))
    assert len(tables) > 12
    for table in tables:
        twin = other / str(table.relative_to(one.folder))
        pd.testing.assert_frame_equal(pd.read_parquet(table), pd.read_parquet(twin))


def stamps(folder):
    return {f: (f.stat().st_mtime_ns, f.stat().st_ino) for f in folder.rglob("*")}


def test_a_forced_rerun_gives_the_same_numbers_and_leaves_annotations_alone(first, project):
    """Promises 2 and 6."""
    before, dates = hashes(project / "annotations"), stamps(project / "annotations")
    project.make("--forceall")
    assert hashes(project / "annotations") == before
    assert stamps(project / "annotations") == dates
    same_results(first, project)


def test_another_seed_gives_other_numbers(first, project):
    project.change("seed", value=4)
    project.make("results/demo/iter_00/segmenter/model.pt", "--allowed-rules", "train_segmenter")
    path = "results/demo/iter_00/segmenter/model.pt"
    ours, theirs = model(first, path), model(project, path)
    assert not all(torch.equal(ours[k], theirs[k]) for k in ours)


# --- promise 3


def test_finished_is_finished(project):
    assert project.jobs() == {}


def touched_code(folder):
    """A copy of the workflow elsewhere, every script of which is another version."""
    code = folder / "elsewhere"
    code.mkdir()
    shutil.copy2(REPOSITORY / "Snakefile", code)
    for name in ("workflow", "scripts", "profiles", "envs"):
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, code / name)
    for script in (*(code / "scripts").glob("*.py"), code / "scripts/blockface/train.py"):
        script.write_text(script.read_text() + "# another version\n")
    return code


def test_a_touched_script_other_threads_and_a_moved_checkout_change_nothing(project, tmp_path):
    project.code = touched_code(tmp_path)
    assert project.jobs() == {}
    assert project.jobs("--set-threads", "train_segmenter=2", "predict_slab=2") == {}
    assert project.jobs("--cores", "1") == {}


def test_touched_scripts_make_no_old_iteration_again(second, tmp_path):
    project = second[0].copy(tmp_path / "project")
    project.code = touched_code(tmp_path)
    assert project.jobs() == {}
    assert project.jobs("--config", "iteration=0") == {}


def test_a_new_date_of_annotations_alone_changes_nothing(project):
    for file in (project / "annotations").rglob("*.nrrd"):
        file.touch()
    assert project.jobs() == {}


def test_a_new_round_makes_the_new_iteration_only(second, project):
    paint_crop(project / "annotations/demo/01/z0025", 25)
    planned = project.planned()
    assert {rule for rule, _ in planned} == ROUND
    assert outside(planned, "01") == []
    done, closed = second
    assert hashes(done / "results/demo/iter_00") == closed
    assert done.jobs() == {}
    assert done.jobs("--config", "iteration=0") == {}


def edited(project):
    """Another content under an older date, as ``cp -p`` leaves it."""
    paint_crop(project / "other", 26)
    file = project / "annotations/demo/01/z0025/fibril.nrrd"
    shutil.copy(project / "other/fibril.nrrd", file)
    os.utime(file, (1e9, 1e9))


def added(project):
    paint_crop(project / "annotations/demo/01/z0026", 26)
    for file in (project / "annotations/demo/01/z0026").iterdir():
        os.utime(file, (1e9, 1e9))


def removed(project):
    (project / "annotations/demo/01/z0025/cell.nrrd").unlink()


def earlier(project):
    """Paint of round 00 is mended after iteration 00 was closed."""
    shutil.rmtree(project / "annotations/demo/00")
    paint(project / "annotations/demo/00", (8, 20, 31))


def test_the_audit_table_tells_of_all_iterations(second):
    table = pd.read_csv(second[0] / f"{AUDIT}csv")
    assert table["iteration"].tolist() == [0, 0, 1, 1]
    assert table["annotated_percent"].is_monotonic_increasing
    assert table["correction_rate"].notna().tolist() == [True, True, False, False]
    assert table["annotations_sha256"].nunique() == table["model_sha256"].nunique() == 2
    assert (second[0] / f"{AUDIT}png").is_file()
    assert "Round by round" in (second[0] / "results/demo/iter_01/report.html").read_text()


@pytest.mark.parametrize("change", [edited, added, removed, earlier])
def test_changed_annotations_train_this_iteration_again_and_no_other(second, tmp_path, change):
    project = second[0].copy(tmp_path / "project")
    change(project)
    planned = project.planned()
    assert {rule for rule, _ in planned} == ROUND
    assert outside(planned, "01") == []


@pytest.mark.parametrize(
    ("way", "value", "rules"),
    [
        (("datasets", "demo", "neighbours"), 2, MEASURED),
        (("datasets", "demo", "min_volume_um3"), 0.002, SEPARATED),
        (("datasets", "demo", "separate"), "components", SEPARATED),
        (("datasets", "demo", "merge_ratio"), 0.8, SEPARATED),
        (("datasets", "demo", "max_radius_nm"), 150, SEPARATED),
        (("datasets", "demo", "threshold"), 0.6, SEPARATED | LISTED | {"evaluate"}),
        (("datasets", "demo", "corrections", "count"), 3, LISTED),
        (("datasets", "demo", "training", "steps"), 151, TRAINED),
        (("datasets", "demo", "patches", "size"), 64, CHOSEN),
        (("datasets", "demo", "held_out_slices"), [30], ROUND),
        (("datasets", "demo", "class_priority"), ["fibril"], ROUND),
        (("denoisers", "d", "training", "steps"), 11, DENOISED),
        (("denoisers", "d", "extra_noise"), 0.5, DENOISED),
        (("seed",), 4, DENOISED | CHOSEN),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_changed_setting_runs_what_it_concerns(project, way, value, rules):
    project.change(*way, value=value)
    assert set(project.jobs()) == rules


def test_how_fibrils_are_cut_and_linked_changes_without_predicting_again(project):
    """Cross-sections are not kept, so they are found again where only their links change."""
    project.change("datasets", "demo", "separate", value="slices")
    project.make("results/demo/iter_00/tables/objects.csv")
    for setting in (
        {"max_gap": 1},
        {"min_area_nm2": 1000},
        {"merge_ratio": 0.9},
        {"h_maxima_px": 0.5},
    ):
        project.change("datasets", "demo", "slices", value=setting)
        assert set(project.jobs()) - TOLD == SEPARATED - TOLD, setting


def test_a_changed_setting_does_not_reach_a_closed_iteration(second, tmp_path):
    project = second[0].copy(tmp_path / "project")
    project.change("datasets", "demo", "training", "steps", value=151)
    planned = project.planned()
    assert {rule for rule, _ in planned} == TRAINED
    assert outside(planned, "01") == []


@pytest.mark.parametrize(
    ("way", "value", "rules"),
    [
        (("datasets", "demo", "neighbours"), 2, MEASURED),
        (("datasets", "demo", "min_volume_um3"), 0.002, SEPARATED),
        (("datasets", "demo", "training", "steps"), 151, TRAINED),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_a_changed_setting_reaches_the_iteration_asked_for_and_no_other(
    second, tmp_path, way, value, rules
):
    project = second[0].copy(tmp_path / "project")
    project.change(*way, value=value)
    planned = project.planned("--config", "iteration=0")
    assert {rule for rule, _ in planned} == rules
    assert outside(planned, "00") == []


def test_mended_annotations_of_an_old_round_train_the_iteration_asked_for(second, tmp_path):
    """Copied with old dates, and with files of another round added and removed beside them."""
    project = second[0].copy(tmp_path / "project")
    for change in (edited, added, removed):
        change(project)
    assert project.jobs("--config", "iteration=0") == {}
    earlier(project)
    for file in (project / "annotations/demo/00").iterdir():
        os.utime(file, (1e9, 1e9))
    planned = project.planned("--config", "iteration=0")
    assert {rule for rule, _ in planned} == ROUND
    assert outside(planned, "00") == []


def test_an_old_iteration_is_measured_again_without_training(second, tmp_path):
    """The others stay byte for byte, and the audit table is made anew from all of them."""
    project = second[0].copy(tmp_path / "project")
    newest = hashes(project / "results/demo/iter_01")
    network = hashes(project / "results/demo/iter_00/segmenter")
    project.change("datasets", "demo", "min_volume_um3", value=0.05)
    project.make("--config", "iteration=0")
    assert hashes(project / "results/demo/iter_01") == newest
    assert hashes(project / "results/demo/iter_00/segmenter") == network
    ours, before = (pd.read_csv(p / f"{AUDIT}csv") for p in (project, second[0]))
    assert ours["iteration"].tolist() == [0, 0, 1, 1]
    now, then = (t.set_index(["iteration", "class"])["n_objects"] for t in (ours, before))
    assert now[0].sum() < then[0].sum()
    assert now[1].equals(then[1])
    assert project.jobs("--config", "iteration=0") == {}


def test_a_new_dataset_touches_no_other(project):
    config = project.read()
    config["datasets"]["new"] = dict(config["datasets"]["demo"])
    project.write(config)
    outputs = [output for _, output in project.planned()]
    assert outputs
    assert [output for output in outputs if "results/new/" not in output] == []


def test_one_iteration_is_that_of_the_datasets_that_have_its_round(project):
    """A new round of one of two samples; the other is not as far, and is left alone."""
    other = project.read()["datasets"]["demo"] | {"annotations": "annotations/other"}
    project.change("datasets", "other", value=other)
    shutil.copytree(project / "annotations/demo", project / "annotations/other")
    paint_crop(project / "annotations/demo/01/z0025", 25)
    planned = project.planned("--config", "iteration=1")
    assert {"import_annotations", "report"} <= {rule for rule, _ in planned}
    assert [output for _, output in planned if "results/other" in output] == []
    assert outside(planned, "01") == []
    done = project.snakemake("--dry-run", "--config", "iteration=2")
    assert done.returncode != 0
    assert "annotations/demo/02 not found, the newest round is 01" in " ".join(done.stdout.split())
