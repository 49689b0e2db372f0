"""Blockface's denoising beside other methods, on pairs that were never trained on: one table.

Every method sees the same registered noisy images (results/denoisers/<name>/pairs) and is scored
against the registered clean ones with the same PSNR and SSIM. The strength of the other methods
is chosen, per kind of pair, on the test images themselves, by PSNR against the clean image: the
best they can do, better than anyone without a clean image could set them. Blockface was trained
on other pairs and has nothing set.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
import yaml
from scipy.ndimage import gaussian_filter, median_filter
from skimage.restoration import denoise_nl_means

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from blockface.denoising import denoise_image, load_pairs, psnr, span_of, ssim
from blockface.errors import InputError
from blockface.predict import Tiling
from blockface.tables import write_table
from blockface.unet import Hardware, load_model

ONE_AT_A_TIME = Lock()
STEP = 1.2  # from one strength to the next
SPREAD = "spread"
MISSING = 'not installed (pip install ".[benchmarks]")'


@dataclass(frozen=True)
class Method:
    """A method: ``run(image, strength, variant)`` and its variants.

    The strength goes up or down from ``start`` in steps of a fifth as long as PSNR rises (SPREAD:
    from the SD of noisy against clean); without a start there is nothing to set. ``describe``
    says in words what was chosen.
    """

    run: Callable
    variants: tuple = (None,)
    start: float | str | None = None
    describe: Callable = lambda strength, variant: ""


def bm3d(image: np.ndarray, strength: float, variant) -> np.ndarray:
    """BM3D (Dabov et al. 2007, doi:10.1109/TIP.2007.901238), both stages.

    The package is for non-commercial use only, so nothing but this benchmark imports it.
    """
    from bm3d import bm3d as filtered

    with ONE_AT_A_TIME:  # its own threads stop the program where it is called twice at once
        return filtered(image, strength)


def non_local_means(image: np.ndarray, strength: float, patch: int) -> np.ndarray:
    """Non-local means (Buades et al. 2005, doi:10.1109/CVPR.2005.38), h as scikit-image advises."""
    return denoise_nl_means(
        image, patch_size=patch, patch_distance=11, h=0.8 * strength, sigma=strength
    )


PEERS = {
    "noisy image": Method(lambda image, *_: image),
    "median 5 × 5": Method(lambda image, *_: median_filter(image, 5)),
    "Gaussian": Method(
        lambda image, strength, _: gaussian_filter(image, strength),
        start=1.2,
        describe=lambda strength, _: f"SD {strength:.2f} px",
    ),
    "non-local means": Method(
        non_local_means,
        variants=(5, 7, 9),
        start=SPREAD,
        describe=lambda strength, patch: f"SD {strength:.1f}, patch {patch} px",
    ),
    "BM3D": Method(bm3d, start=SPREAD, describe=lambda strength, _: f"SD {strength:.1f}"),
}
NETWORK = "Blockface"


def score(pairs: dict[int, np.ndarray], denoise: Callable, span: float, threads: int):
    """Row per pair: PSNR, SSIM and seconds of ``denoise(noisy)``."""

    def one(item):
        number, (noisy, clean) = item
        began = time.perf_counter()
        made = denoise(noisy.astype(np.float32))
        seconds = time.perf_counter() - began
        made = np.clip(made, min(0, noisy.min()), noisy.max())
        return {
            "pair": number,
            "psnr_db": psnr(made, clean, span),
            "ssim": ssim(made, clean, span),
            "seconds": seconds,
        }

    with ThreadPoolExecutor(threads) as pool:
        return pd.DataFrame(pool.map(one, pairs.items()))


def best(method: Method, pairs: dict[int, np.ndarray], span: float, threads: int):
    """Scores at the strength and variant of the highest mean PSNR, and these in words."""
    start = method.start
    if start == SPREAD:
        start = float(np.mean([(noisy - clean).std() for noisy, clean in pairs.values()]))
    kept, highest = None, -np.inf
    for variant in method.variants:

        @cache
        def scored(step, variant=variant):
            strength = start and start * STEP**step
            rows = score(pairs, lambda image: method.run(image, strength, variant), span, threads)
            return rows, rows["psnr_db"].mean(), method.describe(strength, variant)

        at = climb(lambda step, scored=scored: scored(step)[1]) if start else 0
        rows, mean, chosen = scored(at)
        if mean > highest:
            kept, highest = (rows, chosen), mean
    return kept


def climb(height: Callable[[int], float]) -> int:
    """Step from 0, up or down, after which ``height`` no longer rises."""
    at, way = 0, 1 if height(1) > height(0) else -1
    while height(at + way) > height(at):
        at += way
    return at


def network(folder: Path, threads: int) -> tuple[Callable, str]:
    """Function that denoises with the trained network as the workflow does, and its setting."""
    if not (folder / "model.pt").is_file():
        raise InputError(
            f"{folder / 'model.pt'}: no trained network; expected that of the rule train_denoiser; "
            "run the workflow with this configuration first"
        )
    hardware = Hardware.best(threads)
    model, task = load_model(folder / "model.pt", hardware, "denoiser")
    tiling = Tiling(views=task["views"])
    return (
        lambda image: denoise_image(model, image, tuple(task["grey"]), tiling, hardware)
    ), f"{task['views']} view(s)"


def compare(
    name: str, settings: dict, results: Path, methods: list[str], threads: int
) -> Iterator[pd.DataFrame]:
    """Scores of one denoiser's test pairs, method by method."""
    folder = results / "denoisers" / name
    everything = load_pairs(folder / "pairs")
    pairs = {n: everything[n] for n in settings.get("test_pairs", []) if n in everything}
    if not pairs:
        raise InputError(
            f"{folder / 'pairs'}: none of the test_pairs of {name} is there; expected registered "
            "pairs; run the workflow with this configuration first"
        )
    span = span_of(list(everything.values()))
    for method in methods:
        if method == NETWORK:
            denoise, chosen = network(folder, threads)
            rows = score(pairs, denoise, span, 1)
        elif method == "BM3D" and importlib.util.find_spec("bm3d") is None:
            rows, chosen = pd.DataFrame({"pair": list(pairs)}), MISSING
        else:
            rows, chosen = best(PEERS[method], pairs, span, threads)
        yield rows.assign(denoiser=name, method=method, setting=chosen)


def summary(scores: pd.DataFrame) -> str:
    """The table as Markdown: one row per kind of pair and method, means over its test pairs."""
    lines = [
        "| pairs | method | PSNR (dB) | SSIM | s per image | setting |",
        "|---|---|---|---|---|---|",
    ]
    for (name, method), rows in scores.groupby(["denoiser", "method"], sort=False):
        means = rows[["psnr_db", "ssim", "seconds"]].mean()
        numbers = "– | – | –" if means.isna().any() else "{:.2f} | {:.3f} | {:.2f}".format(*means)
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
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=[*PEERS, NETWORK],
        default=[*PEERS, NETWORK],
        metavar="METHOD",
        help="only some of: %(choices)s",
    )
    options = parser.parse_args(argv)
    denoisers = yaml.safe_load(Path(options.config).read_text())["denoisers"]
    columns = ["denoiser", "method", "setting", "pair", "psnr_db", "ssim", "seconds"]
    try:
        scores = pd.concat(
            rows
            for name, settings in denoisers.items()
            for rows in compare(
                name, settings, Path(options.results), options.methods, options.threads
            )
        ).reindex(columns=columns)
    except InputError as error:
        sys.exit(f"Error: {error}")
    print(summary(scores))
    if options.out:
        write_table(scores, f"{options.out}.csv")
        Path(f"{options.out}.md").write_text(summary(scores) + "\n")


if __name__ == "__main__":
    main()
