"""Blockface's workflow on one case of the benchmark: the same rules that a user runs.

Snakemake makes the evaluation of a first iteration from files as a person hands them in, with the
settings of the schema. Only the number of training steps is set, so that the rule train_segmenter
takes the time given: two short trainings tell its pace.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
import yaml
from annotated_stacks import place_correlation, rank_correlation
from numpy.typing import NDArray
from segmentation_data import Case

from blockface.configuration import complete, load_schema
from blockface.scores import Scores, confusion, threshold_of, to_labels
from blockface.tables import read_table
from blockface.volume import open_volume

ROOT = Path(__file__).resolve().parents[1]
PACE_STEPS = 24, 72  # multiples of the 12 validations of a training
PLACE = 256  # pixels, edge of the places whose ranking is told
SHARE = 0.25  # at least, of the longer one, is training itself
ITERATION, LOGS = Path("results/case/iter_00"), Path("logs/case/iter_00")


def hand_in(case: Case, folder: Path) -> None:
    """Write the stack and, as round 00, the mask of the annotated and the held-out slices."""
    painted = np.zeros_like(case.truth)
    chosen = [*case.annotated, *case.held_out]
    painted[chosen] = case.truth[chosen]
    (folder / "annotations/00").mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / "stack.tif", case.image)
    tifffile.imwrite(folder / f"annotations/00/{case.kind}.tif", painted, compression="zlib")


def workflow(
    case: Case, folder: Path, targets: list[str], seed: int, threads: int, more: dict
) -> dict:
    """Have Snakemake make ``targets`` in ``folder``; the settings it used, ``more`` being ours."""
    dataset = {
        "stack": "stack.tif", "voxel_size_nm": list(case.voxel_nm), "annotations": "annotations",
        "classes": {1: case.kind}, "held_out_slices": case.held_out, "context": case.context,
        **more,
    }  # fmt: skip
    config = {"seed": seed, "datasets": {"case": dataset}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    ended = subprocess.run(
        [
            sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"),
            "--directory", ".", "--configfile", "config.yaml", "--cores", str(threads), "--",
            *(str(ITERATION / target) for target in targets),
        ],
        cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    if ended.returncode:
        raise RuntimeError(
            f"{folder}: snakemake ended with code {ended.returncode}\n{ended.stderr}"
        )
    complete(config, load_schema(str(ROOT / "workflow/schemas/config.schema.yaml")))
    return config["datasets"]["case"]


def seconds_of(folder: Path, rule: str) -> float:
    """Wall clock of a rule's jobs, as Snakemake measured it."""
    logs = folder / LOGS
    tables = [*logs.glob(f"{rule}.benchmark.tsv"), *logs.glob(f"{rule}/*.benchmark.tsv")]
    return float(sum(read_table(table)["s"].sum() for table in tables))


def affordable(
    case: Case, folder: Path, seconds: float, seed: int, threads: int, more: dict
) -> int:
    """Training steps that fill ``seconds``."""
    took = []
    for steps in PACE_STEPS:
        training = {**more.get("training", {}), "steps": steps}
        workflow(
            case, folder, ["segmenter/model.pt"], seed, threads, {**more, "training": training}
        )
        took.append(seconds_of(folder, "train_segmenter"))
    pace = (took[1] - took[0]) / (PACE_STEPS[1] - PACE_STEPS[0])
    pace = max(pace, SHARE * took[1] / PACE_STEPS[1])  # should the first have been held up
    return max(PACE_STEPS[0], round(PACE_STEPS[1] + (seconds - took[1]) / pace))


def segmented(
    case: Case, folder: Path, *, seconds: float, seed: int, threads: int, more: dict
) -> tuple[dict[int, NDArray[np.uint8]], dict]:
    """Masks of the held-out slices by number, and seconds of training and prediction, and steps.

    The seconds are those of the rules, from start to end; the whole stack is predicted.
    ``more``: settings of the dataset other than the defaults. The scores that the workflow itself
    gives in evaluation.csv must be those of these masks.
    """
    hand_in(case, folder)
    steps = affordable(case, folder, seconds, seed, threads, more)
    more = {**more, "training": {**more.get("training", {}), "steps": steps}}
    settings = workflow(case, folder, ["evaluation.csv", "slices.tsv"], seed, threads, more)
    predicted = open_volume(folder / ITERATION / "probability.zarr")
    level = threshold_of(predicted, settings["threshold"])
    masks = {
        z: to_labels(predicted[:, z : z + 1], predicted.attrs["values"], level)[0]
        for z in case.held_out
    }
    told = read_table(folder / ITERATION / "evaluation.csv").set_index("split").loc["held_out"]
    dice = sum((confusion(mask, case.truth[z], 1) for z, mask in masks.items()), Scores()).dice
    if not np.isclose(dice, told["dice"], atol=1e-6, equal_nan=True):
        raise RuntimeError(f"{folder}: Dice {dice}, but the workflow says {told['dice']}")
    where = folder / ITERATION, case.truth, settings["threshold"]
    slices, places = rank_correlation(*where)[0], place_correlation(*where, PLACE)
    return masks, {
        "train_s": seconds_of(folder, "train_segmenter"),
        "predict_s": seconds_of(folder, "predict_slab"),
        "detail": f"{steps} steps, threshold {level:.2f}, ranking {slices:.2f} of slices, "
        f"{places:.2f} of places",
    }
