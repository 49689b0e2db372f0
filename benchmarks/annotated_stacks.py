"""Stacks whose true masks are known everywhere, as projects in which an annotator can be played."""

import os
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
import yaml
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from blockface.errors import InputError
from blockface.places import doubts
from blockface.scores import confusion, threshold_of, to_labels
from blockface.seg3d import write_nrrd
from blockface.tables import read_table
from blockface.volume import open_volume
from demo import make_demo
from demo.imaging import bad_day

ROOT = Path(__file__).resolve().parents[1]
IMAGE, MASK = "cdeep3m_sbem_mito/raw_z010-029.tif", "cdeep3m_sbem_mito/mito_z010-029.tif"
PHANTOM = (48, 384, 384)


@dataclass
class Stack:
    """A stack (file or folder), its true classes (z, y, x) and which slices are held out."""

    path: Path
    truth: np.ndarray
    classes: dict[int, str]
    voxel_nm: tuple[float, float, float]
    held_out: tuple[int, ...]
    context: str | None = None


def mitochondria(folder: Path) -> Stack:
    """The SBF-SEM sample of CDeep3M, of BLOCKFACE_DATA (docs/benchmarks.md).

    Raises
    ------
    InputError
        The data are not there.
    """
    data = Path(os.environ.get("BLOCKFACE_DATA", ROOT.parent / "shared" / "data")).resolve()
    if not (data / MASK).is_file():
        raise InputError(
            f"{data / MASK}: not found; expected the data of docs/benchmarks.md; set "
            "BLOCKFACE_DATA to the folder that holds cdeep3m_sbem_mito"
        )
    settings = yaml.safe_load((ROOT / "config/real_mitochondria.yaml").read_text())
    settings = settings["datasets"]["mitochondria"]
    return Stack(
        data / IMAGE,
        (tifffile.imread(data / MASK) > 0).astype(np.uint8),
        settings["classes"],
        tuple(settings["voxel_size_nm"]),
        tuple(settings["held_out_slices"]),
        settings["context"],
    )


def phantom(folder: Path, settings=None) -> Stack:
    """The demo's tendon, noisy as it is imaged, made below ``folder`` if it is not there yet."""
    made = folder / ("wandering" if settings else "phantom")
    if not (made / "painting").is_dir():
        make_demo.make_stack(made, made / "painting", PHANTOM, seed=1, settings=settings)
    truth = open_volume(made / "truth/classes.zarr")[:]
    held_out = tuple(range(3, PHANTOM[0], 8))
    return Stack(made / "stack", truth, make_demo.CLASSES, make_demo.VOXEL_NM, held_out)


def wandering(folder: Path) -> Stack:
    """The same tendon while the dose, focus and contrast of the microscope wander."""
    return phantom(folder, bad_day(PHANTOM[0], seed=1))


STACKS = {"mitochondria": mitochondria, "phantom": phantom, "wandering": wandering}


def configuration(stack: Stack, steps: int, options: Namespace, seed: int) -> dict:
    """Settings of a project on ``stack``: as shipped, but for training and worklist.

    ``options`` has base, the channels of the network, and places, how many the worklist is to
    name, of edge pixels, controls of them drawn at random.
    """
    return {
        "seed": seed,
        "datasets": {
            "it": {
                "stack": str(stack.path),
                "voxel_size_nm": list(stack.voxel_nm),
                "annotations": "annotations",
                "classes": stack.classes,
                "held_out_slices": list(stack.held_out),
                "context": stack.context,
                "network": {"base": options.base},
                "training": {"steps": steps},
                "corrections": {
                    "count": options.places - options.controls,
                    "controls": options.controls,
                    "max_xy": options.edge,
                },
            }
        },
    }


def paint(stack: Stack, folder: Path, z: int, window: tuple[slice, slice]) -> None:
    """Write the true masks of a ``window`` (y, x) of slice ``z`` as a bundle in ``folder``."""
    target = folder / f"z{z:04d}"
    target.mkdir(parents=True)
    part = stack.truth[(slice(z, z + 1), *window)]
    corner = (z, window[0].start, window[1].start)
    for value, name in stack.classes.items():
        write_nrrd(target / f"{name}.nrrd", part == value, stack.voxel_nm, corner)


def true_errors(probability, truth: np.ndarray, threshold: float | None) -> np.ndarray:
    """1 - Dice of each slice (z,), mean of the classes it has.

    ``threshold``, or with None that the volume ``probability`` came with.
    """
    values, errors = list(probability.attrs["values"]), np.zeros(len(truth))
    level = threshold_of(probability, threshold)
    for z in range(len(truth)):
        labels = to_labels(probability[:, z], values, level)
        errors[z] = 1 - np.nanmean([confusion(labels, truth[z], v).dice for v in values])
    return errors


def rank_correlation(
    iteration: Path, truth: np.ndarray, threshold: float | None
) -> tuple[float, int]:
    """Spearman's of the ranking's score with the true error, and of how many slices.

    ``iteration`` is the folder of one; slices that its network learnt from do not count.
    """
    slices = read_table(iteration / "slices.tsv")
    slices = slices[~slices["annotated"]]
    errors = true_errors(open_volume(iteration / "probability.zarr"), truth, threshold)
    return spearmanr(slices["score"], errors[slices["z"]]).statistic, len(slices)


def place_correlation(
    iteration: Path, truth: np.ndarray, threshold: float | None, edge: int
) -> float:
    """Spearman's of the share of wrong voxels expected in places with the true share.

    Places are all windows of ``edge`` pixels, side by side, of the slices not learnt from.
    """
    probability = open_volume(iteration / "probability.zarr")
    values, level = list(probability.attrs["values"]), threshold_of(probability, threshold)
    slices = read_table(iteration / "slices.tsv")
    expected, wrong = [], []
    for z in slices.loc[~slices["annotated"], "z"]:
        here = probability[:, int(z)]
        mistaken = to_labels(here, values, level) != truth[z]
        expected += means(doubts(here), edge)
        wrong += means(mistaken, edge)
    return spearmanr(expected, wrong).statistic


def means(plane: np.ndarray, edge: int) -> list[float]:
    """Means of ``plane`` (y, x) over windows of ``edge`` pixels side by side."""
    ys, xs = (range(0, max(1, n - edge + 1), edge) for n in plane.shape)
    return [float(plane[y : y + edge, x : x + edge].mean()) for y in ys for x in xs]
