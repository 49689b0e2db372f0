"""What a shorter dwell time would cost: images as if scanned faster, and what is found in them."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from skimage.filters import threshold_otsu

from blockface.augment import noise_like
from blockface.denoising import psnr
from blockface.figures import COLOURS, MARKS, save, styled
from blockface.noise import Noise
from blockface.particles import diameters
from blockface.predict import normalised

FACTORS = (1, 2, 4, 8, 16)
RAW, DENOISED = "as scanned", "denoised"


def faster(
    noisy: np.ndarray, clean: np.ndarray, noise: Noise, factor: float, seed: int
) -> np.ndarray:
    """Image (y, x) as if the noisy one had been scanned with ``1 / factor`` of its dwell time.

    The variance of the noise goes as the inverse of the dwell time, so ``factor - 1`` times the
    variance of the model is added, at the grey levels of the clean image. Integer grey levels are
    cut off where the file's type ends, as a detector's are.
    """
    levels = float(clean.min()), float(clean.max()) + 1e-6
    true = torch.from_numpy(normalised(clean, *levels))[None, None]
    rng = torch.Generator().manual_seed(seed)
    more = noise_like(true, noise, levels, rng)[0, 0].numpy() * (levels[1] - levels[0]) / 2
    made = noisy + np.sqrt(factor - 1) * more
    return np.clip(made, 0, 255 if noisy.max() <= 255 else 65535).astype(np.float32)


def found(image: np.ndarray, clean: np.ndarray) -> dict[str, float]:
    """Dice of what Otsu's threshold takes for objects in the image and in the clean one, diameters.

    Otsu 1979, doi:10.1109/TSMC.1979.4310076. Diameters (area-equivalent) of single objects: mean
    error and SD in percent.
    """
    one, other = (part > threshold_otsu(part) for part in (image, clean))
    sizes = diameters(image, clean, round_only=False)
    error = 100 * (sizes[:, 0] / sizes[:, 1] - 1) if len(sizes) else np.array([np.nan])
    return {
        "dice": 2 * (one & other).sum() / max((one.sum() + other.sum()), 1),
        "objects": len(sizes),
        "diameter_bias_percent": error.mean(),
        "diameter_sd_percent": error.std(),
    }


def plan(pairs: dict[int, np.ndarray], denoise, noise: Noise, span: float) -> pd.DataFrame:
    """Row per pair, factor and kind of image: PSNR (dB), Dice and diameters against the clean one.

    ``pairs`` (noisy, clean) by number, of fields the network behind ``denoise`` never saw.
    """
    rows = []
    for number, (noisy, clean) in pairs.items():
        for factor in FACTORS:
            image = faster(noisy, clean, noise, factor, seed=number)
            for kind, made in ((RAW, image), (DENOISED, denoise(image))):
                rows.append(
                    {"pair": number, "times_faster": factor, "image": kind}
                    | {"psnr_db": psnr(made, clean, span), **found(made, clean)}
                )
    return pd.DataFrame(rows)


@styled
def planning_curve(table: pd.DataFrame, path: str | Path) -> Path:
    """PNG of PSNR, Dice and diameter bias against dwell time, for images as scanned and denoised.

    Means over the pairs, with the spread between them; the long-dwell image is the reference.
    """
    figure = Figure(figsize=(10.5, 4))
    axes = figure.subplots(1, 3)
    measures = {
        "psnr_db": "PSNR (dB)",
        "dice": "Dice with the long dwell's objects",
        "diameter_bias_percent": "error of the diameter (%)",
    }
    for axis, (column, name) in zip(axes, measures.items(), strict=True):
        for number, (kind, rows) in enumerate(table.groupby("image", sort=False)):
            values = rows.groupby("times_faster")[column].agg(["mean", "std"]).fillna(0)
            axis.errorbar(
                values.index * 1.04**number, values["mean"], values["std"], capsize=3,
                color=COLOURS[number], marker=MARKS[number], label=kind,
            )  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xticks(FACTORS, [f"1/{f}" if f > 1 else "1" for f in FACTORS])
        axis.set(xlabel="dwell time (1: that of the noisy images)", ylabel=name)
    axes[2].axhline(0, color="#777777", lw=1)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return save(figure, path)
