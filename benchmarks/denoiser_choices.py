"""What the denoiser's settings gain: every choice trained for the same time, scored on validation.

The time is the processor's, of all threads, which other programs on the machine hardly change.
Needs the registered pairs and patches of a run (config/real_denoising.yaml, say). Test pairs take
no part, so that choosing here does not flatter benchmarks/denoising.py.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from denoising import denoiser
from filters import score

import train_denoiser
from blockface import denoiser_training
from blockface.configuration import complete, load_schema
from blockface.denoising import loss
from blockface.pair_split import load_pairs, span_of
from blockface.tables import read_table

ROOT = Path(__file__).resolve().parents[1]
PACE_STEPS = 20  # with these the pace is measured


def with_gradients(output: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """The loss of the grey levels and of their differences from pixel to pixel."""
    steps = [loss(output.diff(dim=axis), clean.diff(dim=axis)) for axis in (-1, -2)]
    return loss(output, clean) + sum(steps)


CHOICES = {
    "as shipped": {},
    "8 channels": {"network": {"base": 8}},
    "24 channels": {"network": {"base": 24}},
    "32 channels": {"network": {"base": 32}},
    "48 channels": {"network": {"base": 48}},
    "3 levels": {"network": {"depth": 3}},
    "5 levels": {"network": {"depth": 5}},
    "folded 2 × 2, 32 channels": {"network": {"stride": 2, "base": 32}},
    "learning rate × 2": {"training": {"learning_rate": 4e-3}},
    "learning rate / 2": {"training": {"learning_rate": 1e-3}},
    "batches of 4": {"training": {"batch": 4}},
    "crops of 64": {"training": {"crop": 64, "batch": 32}},
    "no weight averaging": {"training": {"averaging": 0.0}},
    "averaging over 15 %": {"training": {"averaging": 0.15}},
    "squared error": {"loss": torch.nn.functional.mse_loss},
    "squared error below 0.1": {"loss": partial(torch.nn.functional.huber_loss, delta=0.1)},
    "loss of gradients too": {"loss": with_gradients},
    "no added noise": {"extra_noise": 0.0, "augmentation": {"noise": 0.0}},
    "a third of the added noise": {"extra_noise": 0.33},
    "twice the added noise": {"extra_noise": 2.0},
    "four times the added noise": {"extra_noise": 4.0},
    "no blur": {"augmentation": {"blur": 0.0}},
    "quarter turns only": {"augmentation": {"oblique": 0.0}},
    "no change of grey": {"augmentation": {"contrast": 0.0, "brightness": 0.0}},
}


def settings_of(config: str, name: str) -> dict:
    """Settings of a denoiser with the defaults filled in."""
    settings = yaml.safe_load(Path(config).read_text())
    complete(settings, load_schema(str(ROOT / "workflow/schemas/config.schema.yaml")))
    return settings["denoisers"][name]


def trained(folder: Path, settings: dict, options: argparse.Namespace) -> tuple[float, Callable]:
    """Processor seconds that the rule's script took, and a function that denoises an image."""
    with tempfile.TemporaryDirectory() as made:
        began = time.process_time()
        train_denoiser.main(
            patches=str(folder / "patches.zarr"), registered=str(folder / "pairs"),
            split_table=str(folder / "split.tsv"), model=f"{made}/model.pt",
            history=f"{made}/history.tsv", scores=f"{made}/scores.csv",
            figure=f"{made}/pairs.png", residuals=f"{made}/residuals.png",
            noise=str(folder / "noise.json"), settings=settings, seed=options.seed,
            threads=options.threads,
        )  # fmt: skip
        return time.process_time() - began, denoiser(Path(made, "model.pt"), options.threads)


def measure(choice: dict, settings: dict, folder: Path, options: argparse.Namespace) -> str:
    """Steps, and the scores of the validation pairs, after about ``options.seconds``."""
    changed = copy.deepcopy(settings)
    for part, values in choice.items():
        if isinstance(values, dict):
            changed[part] |= values
        elif part != "loss":
            changed[part] = values
    denoiser_training.loss = choice.get("loss", loss)
    times = []
    for steps in (PACE_STEPS, 3 * PACE_STEPS):  # the difference leaves out what is not training
        changed["training"] |= {"steps": steps, "validations": 1}
        times.append(trained(folder, changed, options)[0])
    steps = max(20, round(options.seconds * 2 * PACE_STEPS / (times[1] - times[0])))
    changed["training"] |= {"steps": steps, "validations": 8}
    denoise = trained(folder, changed, options)[1]
    split, pairs = read_table(folder / "split.tsv"), load_pairs(folder / "pairs")
    judges = split.loc[split["split"] == "validation", "pair"]
    scores = score({n: pairs[n] for n in judges}, denoise, span_of(list(pairs.values())), 1).mean()
    return (
        f"{steps} | {scores['psnr_db']:.2f} | {scores['ssim']:.4f} | "
        f"{scores['diameter_error_percent']:+.2f}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="config/real_denoising.yaml", help="%(default)s")
    parser.add_argument("--results", default="results", help="default: %(default)s")
    parser.add_argument("--denoiser", default="dwell", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=180,
        help="of processor time to train for; default: %(default)s")  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    options = parser.parse_args()
    settings = settings_of(options.config, options.denoiser)
    folder = Path(options.results, "denoisers", options.denoiser)
    print(
        f"| {options.denoiser}, {options.seconds:.0f} s | steps | PSNR (dB) | SSIM | diameter (%) |"
    )
    print("|---|---|---|---|---|", flush=True)
    first = settings | {"training": settings["training"] | {"steps": PACE_STEPS}}
    trained(folder, first, options)  # what only a first call costs would count as pace
    for name in options.choices:
        print(f"| {name} | {measure(CHOICES[name], settings, folder, options)} |", flush=True)


if __name__ == "__main__":
    main()
