"""Blockface's denoising beside other methods, on pairs that were never trained on: one table.

Every method sees the same registered noisy images (results/denoisers/<name>/pairs) and is scored
against the registered clean ones with the same PSNR, SSIM and diameters of round particles. The
strength of a filter is chosen, per kind of pair, on the test images themselves, by PSNR against the
clean image: the best it can do, better than anyone without a clean image could set it. Networks are
trained on the other pairs and have nothing set: Blockface's by the workflow (run it first with the
same configuration), CARE here, for --minutes. "Blockface, no pairs" learns here from the noisy
images of all fields and has never seen a clean one.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import care
from filters import FILTERS, best, score

import train_self_supervised
from blockface.denoising import denoise_image
from blockface.errors import InputError
from blockface.noise import load_noise
from blockface.pair_split import load_pairs, span_of
from blockface.predict import Tiling
from blockface.tables import read_table, write_table
from blockface.unet import Hardware, load_model
from blockface.volume import create_volume

CARE, NO_PAIRS, NETWORK = "CARE", "Blockface, no pairs", "Blockface"
METHODS = (*FILTERS, CARE, NO_PAIRS, NETWORK)
MISSING = 'not installed (pip install ".[benchmarks]")'
STEPS = 600  # of the training without pairs


def denoiser(model_file: Path, threads: int) -> Callable:
    """Function that denoises an image with a trained network as the workflow does."""
    if not model_file.is_file():
        raise InputError(
            f"{model_file}: no trained network; expected that of the rule train_denoiser; run the "
            "workflow with this configuration first"
        )
    hardware = Hardware.best(threads)
    model, task = load_model(model_file, hardware, "denoiser")
    tiling = Tiling(views=task["views"])
    return lambda image: denoise_image(model, image, tuple(task["grey"]), tiling, hardware)


def without_pairs(images: list[np.ndarray], threads: int) -> Callable:
    """Function that denoises, learnt from noisy ``images`` alone by the workflow's script."""
    height, width = (min(image.shape[axis] for image in images) for axis in (0, 1))
    stack = np.stack([image[:height, :width] for image in images])
    low, high = np.percentile(stack, (1, 99))
    with tempfile.TemporaryDirectory() as folder:
        raw = create_volume(
            f"{folder}/raw.zarr", stack.shape, stack.dtype, (1.0, 1.0, 1.0),
            grey={"p1": float(low), "p99": float(high)},
        )  # fmt: skip
        raw[:] = stack
        train_self_supervised.main(
            raw=f"{folder}/raw.zarr", model=f"{folder}/model.pt", seed=0, threads=threads,
            history=f"{folder}/history.tsv",
            settings={
                "patches": 256, "patch_size": 320, "views": 4,
                "network": {"base": 32, "depth": 4},
                "training": {"steps": STEPS, "batch": 8, "crop": 128, "learning_rate": 2e-3},
            },
        )  # fmt: skip
        return denoiser(Path(folder, "model.pt"), threads)


def compare(name: str, settings: dict, options: argparse.Namespace) -> Iterator[pd.DataFrame]:
    """Scores of one denoiser's test pairs, method by method."""
    folder = Path(options.results, "denoisers", name)
    everything = load_pairs(folder / "pairs")
    pairs = {n: everything[n] for n in settings.get("test_pairs", []) if n in everything}
    if not pairs:
        raise InputError(
            f"{folder / 'pairs'}: none of the test_pairs of {name} is there; expected registered "
            "pairs; run the workflow with this configuration first"
        )
    span = span_of(list(everything.values()))
    for method in options.methods:
        began, chosen = time.monotonic(), ""
        if method == "BM3D" and importlib.util.find_spec("bm3d") is None:
            yield pd.DataFrame({"pair": list(pairs)}).assign(
                denoiser=name, method=method, setting=MISSING
            )
            continue
        if method in FILTERS:
            filtering = FILTERS[method]
            if method == "BM3D":
                noise = load_noise(folder / "noise.json")
                filtering = replace(filtering, variants=(None, (noise.gain, noise.offset)))
            rows, chosen = best(filtering, pairs, span, options.threads)
        else:
            if method == NETWORK:
                denoise = denoiser(folder / "model.pt", options.threads)
            elif method == NO_PAIRS:
                denoise = without_pairs([p[0] for p in everything.values()], options.threads)
                chosen = f"trained {time.monotonic() - began:.0f} s"
            else:
                split = read_table(folder / "split.tsv").set_index("pair")["split"]
                learn, validate = (
                    [pair for n, pair in everything.items() if split[n] == part]
                    for part in ("train", "validation")
                )
                denoise = care.train(learn, validate, 60 * options.minutes, options.threads)
                chosen = f"trained {time.monotonic() - began:.0f} s"
            rows = score(pairs, denoise, span, 1)
        yield rows.assign(denoiser=name, method=method, setting=chosen)


def summary(scores: pd.DataFrame) -> str:
    """The table as Markdown: one row per kind of pair and method, means over its test pairs."""
    lines = [
        "| pairs | method | PSNR (dB) | SSIM | diameter, bias ± SD (%) | median (%) | "
        "s per image | setting |",
        "|---" * 8 + "|",
    ]
    sizes = [f"diameter_{part}_percent" for part in ("error", "spread", "median")]
    columns = ["psnr_db", "ssim", *sizes, "seconds"]
    for (name, method), rows in scores.groupby(["denoiser", "method"], sort=False):
        means = rows[columns].mean()
        form = "{:.2f} | {:.3f} | {:+.2f} ± {:.2f} | {:+.2f} | {:.2f}"
        numbers = "– | – | – | – | –" if means.isna().any() else form.format(*means)
        pairs = f"{name} ({len(rows)} test pairs)"
        lines.append(f"| {pairs} | {method} | {numbers} | {rows['setting'].iloc[0]} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="config/real_denoising.yaml", help="%(default)s")
    parser.add_argument("--results", default="results", help="default: %(default)s")
    parser.add_argument("--out", help="also write <out>.csv (every pair), .parquet and <out>.md")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=10, help="of CARE; default: %(default)s")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD",
        help="only some of: %(choices)s",
    )  # fmt: skip
    options = parser.parse_args(argv)
    denoisers = yaml.safe_load(Path(options.config).read_text())["denoisers"]
    try:
        scores = pd.concat(
            rows
            for name, settings in denoisers.items()
            for rows in compare(name, settings, options)
        )
    except InputError as error:
        sys.exit(f"Error: {error}")
    print(summary(scores))
    if options.out:
        write_table(scores, f"{options.out}.csv")
        Path(f"{options.out}.md").write_text(summary(scores) + "\n")


if __name__ == "__main__":
    main()
