"""The demo as jobs of a real SLURM cluster, and its tables beside the workstation's.

The cluster is started for the test by the scripts in BLOCKFACE_SLURM, or in shared/slurm beside the
repository. Its nodes are small, so threads and memory are capped on the command line; all else
is as in profiles/slurm.
"""

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from demo.commands import REPOSITORY, Demo

SLABS = 2
ON_GPU = {"train_denoiser", "denoise_slab", "train_segmenter", "predict_slab"}
NOT_IN_DEMO = {"train_self_supervised", "plan_dwell_time"}  # these want a GPU, too
IN_SLABS = {"denoise_slab", "predict_slab", "separate_slab", "measure_slab", "measure_pairs"}
HERE = {"all", "check_denoiser", "denoise", "predict"}  # local rules
PROFILE = REPOSITORY / "profiles/slurm"
OPTIONS = (
    *("--workflow-profile", str(PROFILE)),
    *("--max-threads", "2", "--resources", "mem_mb=1900"),  # nodes of 2 CPUs and 4000 MB
    *("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "15"),
)
pytestmark = pytest.mark.timeout(3600)  # two demos, on a machine that may be busy


def rules() -> set[str]:
    """Names of the rules of the workflow."""
    text = "\n".join(file.read_text() for file in (REPOSITORY / "workflow/rules").glob("*.smk"))
    return set(re.findall(r"^rule (\w+):", text, re.MULTILINE))


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """Environment of a running cluster: two CPU nodes, two GPU nodes with two GPUs each."""
    scripts = Path(os.environ.get("BLOCKFACE_SLURM", REPOSITORY.parent / "shared/slurm"))
    if not (scripts / "up.sh").is_file():
        pytest.skip(f"no SLURM: {scripts}/up.sh not found; set BLOCKFACE_SLURM")
    folder = tempfile.mkdtemp(prefix="blockface-slurm-")
    os.chmod(folder, 0o755)  # munge wants it so, and pytest's own folders are not
    port = 20000 + os.getpid() % 400 * 25
    nodes = {"CPU_NODES": "2", "GPU_NODES": "2", "BASE_PORT": str(port)}
    up = subprocess.run(
        [str(scripts / "up.sh"), folder], env=os.environ | nodes, text=True, check=False,
        capture_output=True,
    )  # fmt: skip
    try:
        assert up.returncode == 0, up.stderr
        shell = ["bash", "-c", '. "$1/env.sh" && env -0', "bash", folder]
        given = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
        yield dict(entry.split("=", 1) for entry in given.split("\0") if "=" in entry)
    finally:
        down = [str(scripts / "down.sh"), folder]
        subprocess.run(down, env=os.environ | {"PURGE": "1"}, check=False)


class Watch:
    """Keeps what SLURM says of every job, which it forgets a while after the job's end."""

    def __init__(self, environment: dict[str, str]):
        self.environment, self.jobs, self.end = environment, {}, threading.Event()
        self.thread = threading.Thread(target=self._loop)

    def __enter__(self) -> "Watch":
        self.thread.start()
        return self

    def __exit__(self, *error) -> None:
        self.end.set()
        self.thread.join()
        self._look()

    def _loop(self) -> None:
        while not self.end.wait(10):
            self._look()

    def _look(self) -> None:
        shown = subprocess.run(
            ["scontrol", "--oneliner", "show", "job"], env=self.environment, text=True,
            capture_output=True, check=False,
        ).stdout  # fmt: skip
        for line in shown.splitlines():
            if line.startswith("JobId="):
                job = dict(re.findall(r"(\w[\w:/]*)=(\S*)", line))
                job["Rule"] = re.match(r"rule_(\w+?)(_wildcards_.*)?$", job["Comment"]).group(1)
                self.jobs[job["JobId"]] = job


@pytest.fixture(scope="module")
def on_cluster(cluster, tmp_path_factory) -> tuple[Demo, list[dict]]:
    """The demo made on the cluster in slabs, and what SLURM said of its jobs."""
    folder = tmp_path_factory.mktemp("demo_slurm")
    run = Demo(folder, options=OPTIONS, settings=(f"slabs={SLABS}",), environment=cluster)
    with Watch(cluster) as watch:
        run.make()
    return run, list(watch.jobs.values())


def test_profile_names_rules_that_exist():
    profile = yaml.safe_load((PROFILE / "profile.v9+.yaml").read_text())
    assert set(profile["set-resources"]) | set(profile["set-threads"]) <= rules()
    gpu = {rule for rule, asked in profile["set-resources"].items() if asked.get("gpu")}
    assert gpu == ON_GPU | NOT_IN_DEMO
    assert {profile["set-resources"][rule]["slurm_partition"] for rule in gpu} == {"gpu"}


def test_jobs_ran_where_they_belong(on_cluster, capsys):
    run, jobs = on_cluster
    with capsys.disabled():
        print(f"\n{len(jobs)} jobs on SLURM: {run.times()}", file=sys.stderr)
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert ON_GPU | IN_SLABS <= {job["Rule"] for job in jobs} <= rules() - HERE
    for job in jobs:
        gpus = re.search(r"gpu(?::\w+)*:(\d+)", job.get("TresPerJob", "") or "none")
        where = (job["Partition"], int(gpus.group(1)) if gpus else 0)
        assert where == (("gpu", 1) if job["Rule"] in ON_GPU else ("cpu", 0)), job
        node = job["NodeList"].rstrip("0123456789")
        assert node == where[0], job


def test_time_and_memory_of_the_profile(on_cluster):
    limits = {job["Rule"]: job["TimeLimit"] for job in on_cluster[1]}
    assert limits["train_denoiser"] == "08:00:00"
    assert limits["train_segmenter"] == "12:00:00"
    assert limits["manifest"] == "01:00:00"  # of default-resources
    memory = {job["MinMemoryNode"] for job in on_cluster[1] if job["Rule"] in ON_GPU}
    assert memory == {"1900M"}  # as capped


def test_slabs_run_side_by_side(on_cluster):
    by_rule = {rule: [job for job in on_cluster[1] if job["Rule"] == rule] for rule in IN_SLABS}
    assert {rule: len(jobs) for rule, jobs in by_rule.items()} == {
        "denoise_slab": SLABS,
        **dict.fromkeys(IN_SLABS - {"denoise_slab"}, 2 * SLABS),
    }
    for rule in ("denoise_slab", "predict_slab"):
        one, other = sorted(by_rule[rule], key=lambda job: int(job["JobId"]))[:SLABS]
        assert one["StartTime"] < other["EndTime"], rule
        assert other["StartTime"] < one["EndTime"], rule


def test_tables_are_the_workstations(on_cluster, request):
    demo = request.getfixturevalue("demo")  # only now: not made where there is no SLURM
    here, there = (
        {
            str(file.relative_to(run / "results")): file.read_bytes()
            for pattern in ("*.csv", "*.tsv")
            for file in sorted((run / "results").rglob(pattern))
        }
        for run in (demo, on_cluster[0])
    )
    tables = ("tables/objects.csv", "tables/contacts.csv", "tables/neighbours.csv")
    for number in (0, 1):
        for name in (*tables, "evaluation.csv", "worklist.tsv"):
            assert f"demo/iter_{number:02d}/{name}" in here
    assert sorted(here) == sorted(there)
    assert [name for name in here if here[name] != there[name]] == []
