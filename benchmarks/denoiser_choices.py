"""What the denoiser's settings gain: every choice trained for the same time, scored on validation.

Needs the registered pairs and patches of a run (config/real_denoising.yaml, say). Test pairs take
no part, so that choosing here does not flatter benchmarks/denoising.py.
"""

import argparse
import copy
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import train_denoiser
from blockface import denoiser_training, denoising
from blockface.configuration import complete, load_schema
from blockface.tables import read_table

ROOT = Path(__file__).resolve().parents[1]
PACE_STEPS = 20  # with these the pace is measured
CHOICES = {
    "as shipped": {},
    "16 channels": {"network": {"base": 16}},
    "48 channels": {"network": {"base": 48}},
    "3 levels": {"network": {"depth": 3}},
    "5 levels": {"network": {"depth": 5}},
    "folded 2 × 2, 32 channels": {"network": {"stride": 2}},
    "folded 2 × 2, 64 channels": {"network": {"stride": 2, "base": 64}},
    "learning rate × 2": {"training": {"learning_rate": 4e-3}},
    "learning rate / 2": {"training": {"learning_rate": 1e-3}},
    "batches of 4": {"training": {"batch": 4}},
    "crops of 64": {"training": {"crop": 64, "batch": 32}},
    "no weight averaging": {"training": {"averaging": 0.0}},
    "averaging over 15 %": {"training": {"averaging": 0.15}},
    "squared error": {"loss": torch.nn.functional.mse_loss},
    "absolute error": {"loss": torch.nn.functional.l1_loss},
    "no added noise": {"extra_noise": 0.0, "augmentation": {"noise": 0.0}},
    "a third of the added noise": {"extra_noise": 0.33},
    "no blur": {"augmentation": {"blur": 0.0}},
    "quarter turns only": {"augmentation": {"oblique": 0.0}},
    "no change of grey": {"augmentation": {"contrast": 0.0, "brightness": 0.0}},
}


def settings_of(config: str, name: str) -> dict:
    """Settings of a denoiser with the defaults filled in."""
    settings = yaml.safe_load(Path(config).read_text())
    complete(settings, load_schema(str(ROOT / "workflow/schemas/config.schema.yaml")))
    return settings["denoisers"][name]


def trained(folder: Path, settings: dict, seed: int, threads: int) -> pd.DataFrame:
    """Scores of the pairs that were not trained on."""
    with tempfile.TemporaryDirectory() as made:
        train_denoiser.main(
            patches=str(folder / "patches.zarr"), registered=str(folder / "pairs"),
            split_table=str(folder / "split.tsv"), model=f"{made}/model.pt",
            history=f"{made}/history.tsv", scores=f"{made}/scores.csv",
            figure=f"{made}/pairs.png", residuals=f"{made}/residuals.png",
            noise=str(folder / "noise.json"), settings=settings, seed=seed, threads=threads,
        )  # fmt: skip
        return read_table(f"{made}/scores.csv")


def measure(choice: dict, settings: dict, folder: Path, options: argparse.Namespace) -> dict:
    """Steps, and PSNR and SSIM on the validation pairs, after about ``options.seconds``."""
    changed, usual = copy.deepcopy(settings), denoising.loss
    for part, values in choice.items():
        if part == "loss":
            denoiser_training.loss = values
        elif isinstance(values, dict):
            changed[part] |= values
        else:
            changed[part] = values
    try:
        times = []
        for steps in (PACE_STEPS, 3 * PACE_STEPS):  # the difference leaves out what is not training
            changed["training"] |= {"steps": steps, "validations": 1}
            began = time.monotonic()
            trained(folder, changed, options.seed, options.threads)
            times.append(time.monotonic() - began)
        pace = (times[1] - times[0]) / (2 * PACE_STEPS)
        changed["training"] |= {"steps": max(20, round(options.seconds / pace)), "validations": 8}
        scores = trained(folder, changed, options.seed, options.threads)
    finally:
        denoiser_training.loss = usual
    scores = scores[scores["split"] == "validation"]
    return {
        "steps": changed["training"]["steps"],
        "psnr_db": scores["psnr_denoised"].mean(),
        "ssim": scores["ssim_denoised"].mean(),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="config/real_denoising.yaml", help="%(default)s")
    parser.add_argument("--results", default="results", help="default: %(default)s")
    parser.add_argument("--denoiser", default="dwell", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=120, help="of training; %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    options = parser.parse_args()
    settings = settings_of(options.config, options.denoiser)
    folder = Path(options.results, "denoisers", options.denoiser)
    print(f"| choice ({options.denoiser}, {options.seconds:.0f} s) | steps | PSNR (dB) | SSIM |")
    print("|---|---|---|---|", flush=True)
    for name in options.choices:
        row = measure(CHOICES[name], settings, folder, options)
        line = "| {} | {steps} | {psnr_db:.2f} | {ssim:.4f} |".format(name, **row)
        print(line, flush=True)


if __name__ == "__main__":
    main()
