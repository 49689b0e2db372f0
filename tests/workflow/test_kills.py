"""Promise 4: killed at any rule, the next call goes on and ends in the same result."""

import json
import subprocess
import time

import psutil
import pytest
import torch
import zarr

from workflow.test_promises import model, same_results

ITERATION = "results/demo/iter_00"
TRAININGS = {
    "train_segmenter": (f"{ITERATION}/segmenter/model.pt", "demo/iter_00/train_segmenter"),
    "train_denoiser": ("results/denoisers/d/model.pt", "denoisers/d/train_denoiser"),
}
SLABS = {
    "predict_slab": (f"{ITERATION}/probability", "demo/iter_00/predict_slab/0-of-1"),
    "denoise_slab": ("results/demo/stack/denoised", "demo/denoise_slab/0-of-1"),
}


def same_volume(one, other, path) -> bool:
    return bool((zarr.open_array(one / path)[:] == zarr.open_array(other / path)[:]).all())


@pytest.mark.parametrize("rule", TRAININGS)
def test_training_goes_on_from_its_checkpoint(first, project, rule):
    target, log = TRAININGS[rule]
    project.remove(target)
    project.kill_when((project / f"{target}.checkpoint").is_file, target)
    assert not (project / target).exists()
    project.make(target)
    assert "going on from step" in project.log(log)
    ours, theirs = model(first, target), model(project, target)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours | theirs)
    history = (project / target).with_name("history.tsv").relative_to(project.folder)
    assert (first / str(history)).read_bytes() == (project / str(history)).read_bytes()
    assert not (project / f"{target}.checkpoint").exists()


@pytest.mark.parametrize("rule", SLABS)
def test_slabs_go_on_from_their_last_row(first, project, rule):
    stem, log = SLABS[rule]
    project.remove(f"{stem}.zarr")
    record = project / f"{stem}.slabs/0-of-1.zarr.partial/progress.json"

    def a_row_is_done():
        return record.is_file() and json.loads(record.read_text() or "{}").get("rows")

    project.kill_when(a_row_is_done, f"{stem}.zarr")
    assert not (project / f"{stem}.zarr").exists()
    project.make(f"{stem}.zarr")
    assert "slices 0 to 15 done" not in project.log(log)
    assert "slices 32 to 39 done" in project.log(log)
    assert same_volume(first, project, f"{stem}.zarr")
    assert not (project / f"{stem}.slabs/0-of-1.zarr.partial").exists()


def test_separated_objects_are_the_same(first, project):
    target = f"{ITERATION}/objects.zarr"
    project.remove(target)
    begun = project / f"{ITERATION}/objects.slabs/0-of-1.partial/key.json"
    project.kill_when(begun.is_file, target)
    project.make(target)
    assert same_volume(first, project, target)
    index = f"{ITERATION}/objects_index.csv"
    assert (first / index).read_bytes() == (project / index).read_bytes()


def test_a_job_that_is_killed_alone_is_taken_up_by_the_same_call(first, project):
    target, log = TRAININGS["train_segmenter"]
    project.remove(target)
    run = subprocess.Popen(
        project.command(target), cwd=project.folder, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    checkpoint = project / f"{target}.checkpoint"
    while not checkpoint.is_file():
        assert run.poll() is None
        time.sleep(0.002)
    jobs = [p for p in psutil.Process(run.pid).children(recursive=True)
            if "train_segmenter.py" in " ".join(p.cmdline()) and "python" in p.name()]  # fmt: skip
    assert jobs
    jobs[-1].kill()
    shown, _ = run.communicate(timeout=300)
    assert run.returncode == 0, shown
    assert "going on from step" in project.log(log)
    ours, theirs = model(first, target), model(project, target)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_a_job_does_not_outlive_its_run(first, project):
    target, log = TRAININGS["train_segmenter"]
    project.remove(target)
    checkpoint = project / f"{target}.checkpoint"
    project.kill_when(checkpoint.is_file, target, alone=True)
    project.make(target)  # at once, so that the job may still be at work
    assert "going on from step" in project.log(log)
    ours, theirs = model(first, target), model(project, target)
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_a_folder_where_a_run_is_at_work_is_left_alone(project):
    target, _ = TRAININGS["train_segmenter"]
    project.remove(target)
    run = subprocess.Popen(
        project.command(target), cwd=project.folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (project / f"{target}.checkpoint").is_file():
        assert run.poll() is None
        time.sleep(0.002)
    second = project.snakemake(target)
    assert run.poll() is None, "the first run ended too early for this test"
    assert second.returncode != 0
    assert "lock" in second.stdout
    assert run.wait(300) == 0


def test_a_chain_killed_again_and_again_ends_in_the_same(fresh, first, tmp_path):
    project = fresh.copy(tmp_path / "project")
    moments = (
        "logs/denoisers/d/register_pairs.log",
        "results/demo/stack/denoised.zarr",
        "logs/demo/iter_00/extract_segmentation_patches.log",
        "logs/demo/iter_00/separate_objects.log",
        f"{ITERATION}/tables/objects.parquet",
    )
    for moment in moments:
        project.kill_when((project / moment).exists)
        assert not (project / f"{ITERATION}/report.html").exists()
    project.make()
    same_results(first, project)
    assert project.jobs() == {}
