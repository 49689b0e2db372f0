"""Does denoising help? Fibrils of the phantom segmented at shorter and shorter dwell times.

Needs the denoiser's pairs of a demo (make demo). Slices of another phantom than the demo's are
scanned with 1, 1/2, 1/4, 1/8 and 1/16 of its dwell time, and once with the long dwell time of its
clean images. One denoiser, of the kind that plan_dwell_time trains, serves them all; for each dwell
time and kind of image a segmentation network of its own is trained on a few painted slices, for the
same number of steps, and judged against the truth of slices far from these: Dice, and the diameters
(area-equivalent) of the cross-sections of fibrils.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

from blockface import segmentation  # noqa: E402
from blockface.augment import Augmentation  # noqa: E402
from blockface.denoiser_training import train_on_pairs  # noqa: E402
from blockface.denoising import denoise_image  # noqa: E402
from blockface.dwell_time import FACTORS  # noqa: E402
from blockface.network import Network  # noqa: E402
from blockface.noise import load_noise  # noqa: E402
from blockface.pair_split import load_pairs  # noqa: E402
from blockface.predict import Tiling, normalised, predict_slice  # noqa: E402
from blockface.tables import read_table, write_table  # noqa: E402
from blockface.train import Training, fit  # noqa: E402
from blockface.unet import Hardware  # noqa: E402
from demo.imaging import Setting, photograph, probe  # noqa: E402
from demo.make_demo import LONG_DWELL  # noqa: E402
from demo.phantom import make_phantom  # noqa: E402
from demo.scene import Scene  # noqa: E402

SHAPE = (24, 384, 384)
PAINTED, JUDGED = (3, 9), (15, 18, 21)
REACH, LEAST = 3, 30  # px around a cross-section that may be taken for it; px it must have
CROP = 128


def denoiser(folder: Path, steps: int, hardware: Hardware):
    """Function that denoises an image of any of the dwell times."""
    pairs, split = load_pairs(folder / "pairs"), read_table(folder / "split.tsv")
    split = dict(zip(split["pair"], split["split"], strict=True))
    settings = {
        "network": {"base": 16, "depth": 3}, "extra_noise": (max(FACTORS) - 1) ** 0.5,
        "training": {"steps": steps, "batch": 8, "crop": 96, "learning_rate": 2e-3},
        "augmentation": {},
    }  # fmt: skip
    noise = load_noise(folder / "noise.json")
    with tempfile.TemporaryDirectory() as made:
        model, levels, _, _ = train_on_pairs(
            folder / "patches.zarr", pairs, split, noise, settings, 0, Path(made, "c"), hardware
        )
    return lambda image: denoise_image(model, image, levels, Tiling(), hardware)


def segmented(images: dict[int, np.ndarray], truth: dict, steps: int, hardware: Hardware) -> dict:
    """Masks of the slices to judge, of a network trained on the painted ones."""
    low, high = np.percentile(np.stack([images[z] for z in PAINTED]), (1, 99))
    ready = {z: normalised(image, low, high)[None] for z, image in images.items()}
    training = Training(steps=steps, batch=8, crop=CROP, learning_rate=2e-3, validations=1)
    labels = np.stack([(truth[z] > 0).astype(np.uint8) for z in PAINTED])
    network = Network(outputs=2, base=24, depth=4, stride=2)
    sample = segmentation.sampler(
        np.stack([ready[z] for z in PAINTED]), labels[:, None, None], training, Augmentation(),
        hardware, network,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as made:
        model, _ = fit(
            network, training, sample=sample,
            loss=segmentation.objective, validate=lambda net: {"score": 0.0},
            checkpoint=Path(made, "c"), made_from={}, hardware=hardware,
        )  # fmt: skip
    masks, finish = {}, segmentation.finisher(boundary=False)
    for z in JUDGED:
        bands = predict_slice(model, ready[z], Tiling(), hardware, finish)
        masks[z] = np.concatenate([band[0] for _, band in bands]) > 0.5
    return masks


def diameter_errors(mask: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Error (percent) of the diameter of each true cross-section that lies whole in the slice."""
    distance, nearest = ndimage.distance_transform_edt(ids == 0, return_indices=True)
    zone = ids[tuple(nearest)] * (distance <= REACH)
    edge = np.unique(np.r_[zone[0], zone[-1], zone[:, 0], zone[:, -1]])
    true = np.bincount(ids.ravel())
    found = np.bincount(zone[mask], minlength=len(true))
    whole = np.setdiff1d(np.flatnonzero(true >= LEAST), np.r_[0, edge])
    return 100 * (np.sqrt(found[whole] / true[whole]) - 1)


def judge(masks: dict[int, np.ndarray], truth: dict[int, np.ndarray]) -> dict[str, float]:
    """Dice over the judged slices, mean and SD of the diameters' error."""
    both = sum(np.count_nonzero(masks[z] & (truth[z] > 0)) for z in JUDGED)
    sizes = sum(np.count_nonzero(masks[z]) + np.count_nonzero(truth[z]) for z in JUDGED)
    errors = np.concatenate([diameter_errors(masks[z], truth[z]) for z in JUDGED])
    return {
        "dice": 2 * both / sizes, "cross_sections": len(errors),
        "diameter_bias_percent": errors.mean(), "diameter_sd_percent": errors.std(),
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", default="results", help="of the demo; default: %(default)s")
    parser.add_argument("--steps", type=int, default=150, help="of a segmentation; %(default)s")
    parser.add_argument("--denoiser-steps", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--out", help="also write <out>.csv and .parquet")
    options = parser.parse_args(argv)
    hardware, began = Hardware.best(options.threads), time.monotonic()
    denoise = denoiser(Path(options.results, "denoisers/demo"), options.denoiser_steps, hardware)
    phantom = make_phantom(SHAPE, options.seed)
    scene, rng = Scene(phantom), np.random.default_rng([options.seed, 9])
    bright, truth = {}, {}
    for z in (*PAINTED, *JUDGED):
        light, ids = scene(z)
        bright[z], truth[z] = probe(light), np.where(ids <= len(phantom.radii), ids, 0)

    def scanned(dwell: float) -> dict[int, np.ndarray]:
        return {z: photograph(b, Setting(dwell), rng).astype(np.float32) for z, b in bright.items()}

    kinds = [("long dwell", LONG_DWELL, scanned(LONG_DWELL))]
    for factor in FACTORS:
        raw = scanned(1 / factor)
        kinds.append(("raw", 1 / factor, raw))
        kinds.append(("denoised", 1 / factor, {z: denoise(image) for z, image in raw.items()}))
    print("| image | dwell time | Dice | diameter, bias ± SD (%) |\n|---|---|---|---|", flush=True)
    rows = []
    for kind, dwell, images in kinds:
        scores = judge(segmented(images, truth, options.steps, hardware), truth)
        rows.append({"image": kind, "dwell_time": dwell, **scores})
        shown = f"1/{1 / dwell:.0f}" if dwell < 1 else f"{dwell:.0f}"
        print(
            f"| {kind} | {shown} | {scores['dice']:.3f} | {scores['diameter_bias_percent']:+.2f} "
            f"± {scores['diameter_sd_percent']:.2f} |",
            flush=True,
        )
    print(f"\n{scores['cross_sections']} cross-sections; {time.monotonic() - began:.0f} s")
    if options.out:
        write_table(pd.DataFrame(rows), f"{options.out}.csv")


if __name__ == "__main__":
    main()
