"""Wrong input as the terminal shows it: one line, no traceback, results left as they were."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from workflow.project import hashes, kept, paint, paint_crop, write_mask

DEMO, ITERATION = "results/demo", "results/demo/iter_00"
NEW = "annotations/demo/01"


# --- found before anything runs


def stopped(project, *arguments: str) -> str:
    """What the terminal shows of a run that stops; no traceback, results as before."""
    before = kept(project.folder)
    done = project.snakemake(*arguments)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stdout
    assert kept(project.folder) == before
    return done.stdout


DATASET = ("datasets", "demo")


@pytest.mark.parametrize(
    ("way", "value", "line"),
    [
        (("sed",), 1, "config.yaml: top level: unknown key 'sed'; did you mean seed?"),
        ((*DATASET, "training", "stepps"), 5, "datasets.demo.training: unknown key 'stepps'; did"),
        ((*DATASET, "colour"), 5, "config.yaml: datasets.demo: unknown key 'colour'; expected"),
        ((*DATASET, "stack"), "nowhere", "datasets.demo.stack: nowhere not found; expected a file"),
        ((*DATASET, "annotations"), "no", "no: annotations folder not found; expected one with"),
        (("denoisers", "d", "pairs"), "no.tsv", "no.tsv: table not found; check the path"),
        ((*DATASET, "patches", "size"), "big", "patches.size: 'big' is not of type"),
        (("datasets",), {"my sample": {"stack": "stack"}}, "'my sample' does not match"),
        (("iteration",), 4, "annotations/demo/04 not found, the newest round is 00; put the"),
    ],
)
def test_mistakes_in_the_configuration_stop_before_anything_runs(project, way, value, line):
    project.change(*way, value=value)
    shown = stopped(project)
    assert line in " ".join(shown.split())
    assert "localrule" not in shown


def test_a_missing_image_of_a_pair_stops_before_anything_runs(project):
    project.remove("pairs/1_long.tif")
    shown = " ".join(stopped(project).split())
    assert "pairs/pairs.tsv, line 3: clean image pairs/1_long.tif not found; expected a" in shown


# --- what the terminal shows of a mistake found inside a rule


def shown_once(shown: str, line: str) -> None:
    """The line stands by itself, called an error, and Python does not speak of it."""
    assert f"Error: {line}" in shown
    assert "During handling" not in shown


def test_a_broken_round_leaves_the_iteration_before(project):
    paint_crop(project / NEW / "z0025", 25)
    write_mask(project / NEW / "z0026/fibril.nrrd", np.ones((40, 96, 100), np.uint8))
    before = hashes(project / ITERATION)
    shown = stopped(project)
    shown_once(shown, f"{NEW}/z0026/fibril.nrrd: ")
    assert hashes(project / ITERATION) == before
    shutil.rmtree(project / NEW / "z0026")
    assert "import_annotations" in project.jobs()


def test_a_fault_in_the_stack_leaves_what_was_made_of_it(project):
    before = hashes(project / DEMO)
    sorted((project / "stack").iterdir())[12].unlink()
    assert "gap in the slice numbers" in project.snakemake().stdout
    after = hashes(project / DEMO)
    assert {k: v for k, v in before.items() if "checked.json" not in k}.items() <= after.items()


def test_a_fault_in_a_round_leaves_what_was_imported_of_it(project):
    before = hashes(project / ITERATION)
    write_mask(project / "annotations/demo/00/late/fibril.nrrd", np.ones((40, 96, 100), np.uint8))
    assert project.snakemake().returncode != 0
    assert before.items() <= hashes(project / ITERATION).items()


def test_what_a_killed_update_kept_is_not_in_the_way_of_the_next(project):
    kept_by_it = project / ".snakemake/backups" / ITERATION / "annotations.zarr"
    shutil.copytree(project / ITERATION / "annotations.zarr", kept_by_it)
    write_mask(project / "annotations/demo/00/late/fibril.nrrd", np.ones((40, 96, 100), np.uint8))
    done = project.snakemake(f"{ITERATION}/annotations.zarr")
    assert "late/fibril.nrrd: " in done.stdout
    assert "FileExistsError" not in done.stdout


def test_a_training_that_fails_leaves_the_network_of_before(project):
    model = f"{ITERATION}/segmenter/model.pt"
    before = hashes(project / model)
    project.change(*DATASET, "training", "learning_rate", value=1e30)
    done = project.snakemake(model)
    assert done.returncode != 0
    assert "loss is" in project.log("demo/iter_00/train_segmenter")
    assert hashes(project / model) == before


def test_a_network_of_other_classes_in_the_terminal(project):
    config = project.read()
    config["datasets"] = {"other": {
        "stack": "stack", "voxel_size_nm": [50, 10, 10], "classes": {1: "vessel"},
        "segmenter": "demo/iter_00"}}  # fmt: skip
    project.write(config)
    target = "results/other/iter_00/probability.zarr"
    done = project.snakemake(target)
    assert done.returncode != 0
    line = f"{ITERATION}/segmenter/model.pt: this network knows the classes fibril, cell; expected"
    shown_once(done.stdout, line)
    assert "Traceback" not in done.stdout
    assert not (project / target).exists()


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"denoiser": "d", "voxel_size_nm": [50, 20, 20]}, "trained on voxels of [50.0, 10.0, 10"),
        ({"voxel_size_nm": [50, 10, 10]}, "was trained on a denoised stack, this is a raw stack"),
    ],
)
def test_a_network_of_another_kind_of_stack(project, setting, line):
    config = project.read()
    config["datasets"] = {"other": {
        "stack": "stack", "classes": {1: "fibril", 2: "cell"}, "segmenter": "demo/iter_00",
        **setting}}  # fmt: skip
    project.write(config)
    done = project.snakemake("results/other/iter_00/probability.zarr")
    assert done.returncode != 0
    assert line in done.stdout


# --- a full disk


@pytest.fixture
def small_disk():
    """Function that mounts a disk of so many bytes at a folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = []

    def mount(folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(options, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_a_full_disk_while_the_stack_is_copied(fresh, tmp_path, small_disk):
    project = fresh.copy(tmp_path / "project")
    small_disk(project / f"{DEMO}/stack", 100_000)
    project.make(f"{DEMO}/stack/checked.json")
    shown = stopped(project, f"{DEMO}/stack/raw.zarr")
    assert re.search(r"Error: .*raw.zarr.*: no space left on the disk; earlier results", shown)
    assert "free some space and start again" in shown


def test_a_full_disk_in_training_shows_at_the_first_checkpoint(project, small_disk):
    paint(project / NEW, (12,))
    small_disk(project / "results/demo/iter_01/segmenter", 20_000)
    before = hashes(project / ITERATION)
    done = project.snakemake("results/demo/iter_01/segmenter/model.pt")
    assert done.returncode != 0
    assert re.search(r"Error: .*segmenter/model.pt.*: no space left on the disk", done.stdout)
    assert "Traceback" not in done.stdout
    assert hashes(project / ITERATION) == before
    assert "step" not in project.log("demo/iter_01/train_segmenter").lower()
