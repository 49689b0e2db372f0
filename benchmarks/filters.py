"""Denoising filters as peers, each at the strength that serves it best."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from threading import Lock

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, median_filter
from skimage.restoration import denoise_nl_means

from blockface.denoising import psnr, ssim
from blockface.particles import diameters

ONE_AT_A_TIME = Lock()
STEP = 1.2  # from one strength to the next
SPREAD = "spread"


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


def bm3d(image: np.ndarray, strength: float, line: tuple[float, float] | None) -> np.ndarray:
    """BM3D (Dabov et al. 2007, doi:10.1109/TIP.2007.901238), both stages.

    With a ``line``, gain and offset of the noise's variance against the grey level, the image is
    filtered where its noise is even: after the generalised Anscombe transform, whose inverse is
    the asymptotically unbiased one (Mäkitalo & Foi 2013, doi:10.1109/TIP.2012.2202675).

    The package is for non-commercial use only, so nothing but this benchmark imports it.
    """
    from bm3d import bm3d as filtered

    with ONE_AT_A_TIME:  # its own threads stop the program where it is called twice at once
        if line is None:
            return filtered(image, strength)
        gain, offset = line
        usual = np.sqrt(max(gain * image.mean() + offset, gain))  # so that strengths are alike
        root = np.sqrt(np.maximum(gain * image + offset + 3 / 8 * gain**2, 0))
        made = filtered(2 * usual / gain * root, strength) * gain / (2 * usual)
        return (np.maximum(made, 0) ** 2 - gain**2 / 8 - offset) / gain


def non_local_means(image: np.ndarray, strength: float, patch: int) -> np.ndarray:
    """Non-local means (Buades et al. 2005, doi:10.1109/CVPR.2005.38), h as scikit-image advises."""
    return denoise_nl_means(
        image, patch_size=patch, patch_distance=11, h=0.8 * strength, sigma=strength
    )


FILTERS = {
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
    "BM3D": Method(
        bm3d,
        start=SPREAD,
        describe=lambda strength, line: f"SD {strength:.1f}{', evened noise' if line else ''}",
    ),
}


def score(pairs: dict[int, np.ndarray], denoise: Callable, span: float, threads: int):
    """Row per pair: PSNR, SSIM, diameters of discs against the clean one, seconds."""

    def one(item):
        number, (noisy, clean) = item
        began = time.perf_counter()
        made = denoise(noisy.astype(np.float32))
        seconds = time.perf_counter() - began
        made = np.clip(made, min(0, noisy.min()), noisy.max())
        sizes = diameters(made, clean)
        errors = 100 * (sizes[:, 0] / sizes[:, 1] - 1)
        return {
            "pair": number,
            "psnr_db": psnr(made, clean, span),
            "ssim": ssim(made, clean, span),
            "discs": len(sizes),
            "diameter_error_percent": errors.mean(),
            "diameter_spread_percent": errors.std(),
            "diameter_median_percent": np.median(errors),
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
