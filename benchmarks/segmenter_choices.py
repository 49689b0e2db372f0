"""What the segmenter's settings gain: every choice trained for as many steps, or for as long.

With --minutes every choice gets the steps that fill them. The stacks, the annotated and the scored
slices are those of segmentation.py; "ours" there is "as shipped" here. Told are the Dice of the
scored slices, the log loss of their voxels in bits (lower is better; it tells whether probabilities
mean what they say), the ranking's correlation with the true error of all slices not learnt from,
and seconds. A row is printed as soon as it is known.
"""

import argparse
import copy
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from annotated_stacks import rank_correlation
from segmentation_data import CASES, Case, data_folder
from segmentation_ours import ITERATION, affordable, hand_in, seconds_of, workflow

from blockface.calibration import log_loss
from blockface.scores import Scores, confusion, threshold_of, to_labels
from blockface.volume import open_volume

FAULTS = {
    "slice_grey": 0.1, "charging": 0.2, "blurred_slice": 0.05, "missing_slice": 0.05,
    "shifted_slice": 4,
}  # fmt: skip
CHOICES = {
    "as shipped": {},
    "32 channels": {"network": {"base": 32}},
    "32 channels, 4 levels": {"network": {"base": 32, "depth": 4}},
    "24 channels": {"network": {"base": 24}},
    "4 levels": {"network": {"depth": 4}},
    "not calibrated": {"calibration": 0, "threshold": 0.5},
    "2 members": {"training": {"members": 2}},
    "4 members": {"training": {"members": 4}},
    "boundary": {"boundary": True},
    "faults of slices": {"augmentation": FAULTS},
    "1 view": {"views": 1},
    "2d": {"context": "2d"},
    "2.5d": {"context": "2.5d"},
    "3d": {"context": "3d"},
}


def merged(settings: dict, choice: dict) -> dict:
    """``settings`` with those of ``choice`` in their place, level by level."""
    both = copy.deepcopy(settings)
    for name, value in choice.items():
        inner = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = merged(both[name], value) if inner else value
    return both


def held_out(case: Case, predicted, level: float) -> tuple[float, float]:
    """Dice of the scored slices, and the log loss (bits) of all their voxels."""
    total, losses = Scores(), []
    for z in case.held_out:
        here: NDArray = predicted[:, z]
        total += confusion(to_labels(here, predicted.attrs["values"], level), case.truth[z], 1)
        shares = here.reshape(len(here), -1) / 255
        losses.append(log_loss(shares, case.truth[z].ravel().astype(int)) / math.log(2))
    return total.dice, float(np.mean(losses))


def measure(case: Case, choice: dict, seed: int, options: argparse.Namespace) -> str:
    """The numbers of a row."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        hand_in(case, folder)
        more, run = merged({"network": {"base": options.base}}, choice), (seed, options.threads)
        if options.minutes:
            steps = affordable(case, folder, 60 * options.minutes, *run, more)
        else:
            steps = options.steps
        more = merged(more, {"training": {"steps": steps}})
        targets = ["evaluation.csv", "slices.tsv"]
        settings = workflow(case, folder, targets, *run, more)
        predicted = open_volume(folder / ITERATION / "probability.zarr")
        level = threshold_of(predicted, settings["threshold"])
        dice, loss = held_out(case, predicted, level)
        ranking, _ = rank_correlation(folder / ITERATION, case.truth, settings["threshold"])
        took = [seconds_of(folder, rule) for rule in ("train_segmenter", "predict_slab")]
    told = f"{steps} | {dice:.3f} | {loss:.4f} | {level:.2f} | {ranking:.2f}"
    return f"{told} | {took[0]:.0f} | {took[1]:.0f}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    add("--choices", nargs="+", choices=CHOICES, default=list(CHOICES), help="default: all")
    add("--seeds", nargs="+", type=int, default=[0], help="default: 0")
    add("--steps", type=int, default=1000, help="default: %(default)s")
    add("--minutes", type=float, help="train each choice so long, whatever --steps says")
    add("--base", type=int, default=16, help="channels of the network; default: %(default)s")
    add("--threads", type=int, default=2, help="default: %(default)s")
    options = parser.parse_args()
    columns = "data | choice | seed | steps | Dice | log loss | threshold | ranking | train s"
    print(f"| {columns} | predict s |")
    print("|---" * 10 + "|", flush=True)
    for data in options.data:
        case = CASES[data](data_folder())
        for seed in options.seeds:
            for name in options.choices:
                told = measure(case, CHOICES[name], seed, options)
                print(f"| {data} | {name} | {seed} | {told} |", flush=True)


if __name__ == "__main__":
    main()
