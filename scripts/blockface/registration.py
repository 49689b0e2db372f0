"""A noisy and a clean scan of one field laid on each other, with a measure of how well.

The noisy image is the network's input and is never interpolated; the clean one is resampled onto
its grid, cropped to what both show, and mapped into its grey scale.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from blockface.drift import Drift, band_pass, estimate_drift, whole_frame_shift

TILE = 96  # pixels, side of the squares in which what is left of a shift is looked for
REACH = 6  # pixels, how far that search goes
PROOF = 2.0  # pixels, smoothing of the images in which correlation is measured
PRECISION = 0.3  # px, a tile counts if its shift can be known this well
SHARP = 0.1  # px, tiles known better than this weigh no more
MIN_TILES = 4
LEAST_SIDE = 64  # pixels


@dataclass
class Registration:
    """One pair after registration; of a refused pair only what had been found out by then.

    ``drift`` holds the displacement of the clean image against the noisy one; ``rows`` and
    ``columns`` say which part of the noisy image is in ``pair``, a float32 array (2, y, x) of the
    noisy image as it was and the clean one on its grid, in its grey levels. ``tiles`` has one row
    per measured tile: y, x (centre in ``pair``, px), dy, dx (shift left, px), correlation.
    """

    accepted: bool = False
    reason: str = ""
    drift: Drift | None = None
    rows: slice | None = None
    columns: slice | None = None
    pair: np.ndarray | None = None
    tiles: np.ndarray | None = None
    gain: float = np.nan
    offset: float = np.nan
    correlation: float = np.nan
    residual: float = np.nan
    residual_p95: float = np.nan

    @property
    def shift(self) -> tuple[float, float]:
        """Mean displacement (dy, dx) in pixels; NaN if none was found."""
        if self.drift is None:
            return np.nan, np.nan
        return tuple(float(d.mean()) for d in self.drift.line)

    @property
    def change(self) -> tuple[float, float]:
        """Displacement (dy, dx) at the last line less that at the first, px; NaN if none."""
        if self.drift is None:
            return np.nan, np.nan
        return tuple(float(d[-1] - d[0]) for d in self.drift.line)

    @property
    def stretch(self) -> tuple[float, float]:
        """Displacement (dy, dx) at the last column less that at the first, px; NaN if none."""
        if self.drift is None:
            return np.nan, np.nan
        return tuple(float(d[-1] - d[0]) for d in self.drift.column)


def register(
    noisy: np.ndarray,
    clean: np.ndarray,
    *,
    max_shift_fraction: float = 0.25,
    min_correlation: float = 0.4,
    max_residual_px: float = 1.0,
) -> Registration:
    """Registration of two scans (2-D, any real dtype) of one field, accepted or with a reason.

    Parameters
    ----------
    max_shift_fraction
        Largest shift along an axis, as a share of the frame's side.
    min_correlation
        Least median correlation over tiles, of both images band-passed, after registration.
    max_residual_px
        Largest shift that may be left in 95 % of the tiles.
    """
    result = Registration()
    result.reason = unfit(noisy, clean)
    if result.reason:
        return result
    noisy_, clean_ = (np.asarray(image, dtype=np.float32) for image in (noisy, clean))
    start = whole_frame_shift(noisy_, clean_, max_shift_fraction)
    result.drift = estimate_drift(noisy_, clean_, start)
    result.rows, result.columns = overlap(result.drift, noisy.shape)
    if min(extent(result.rows), extent(result.columns)) < LEAST_SIDE:
        result.reason = "the images hardly overlap"
        return result
    moved = resample(clean_, result.drift, result.rows, result.columns)
    kept = noisy_[result.rows, result.columns]
    result.gain, result.offset = grey_match(kept, moved)
    result.pair = np.stack([kept, result.gain * moved + result.offset])
    measure(result, noisy_, clean_)
    limits = [max_shift_fraction * n for n in noisy.shape]
    result.reason = verdict(result, limits, min_correlation, max_residual_px)
    result.accepted = not result.reason
    return result


def unfit(noisy: np.ndarray, clean: np.ndarray) -> str:
    """Why the two images cannot be registered at all, or nothing."""
    if noisy.shape != clean.shape:
        sizes = [" x ".join(map(str, image.shape)) for image in (noisy, clean)]
        return f"sizes differ: noisy {sizes[0]}, clean {sizes[1]} pixels (y, x)"
    if min(noisy.shape) < LEAST_SIDE:
        return f"smaller than {LEAST_SIDE} pixels"
    for name, image in (("noisy", noisy), ("clean", clean)):
        if not np.isfinite(image).all():
            return f"the {name} image has values that are not numbers"
        low, high = np.percentile(image, (0.5, 99.5))
        if not high > low:
            return f"the {name} image is blank"
    return ""


def verdict(result: Registration, limits: list[float], min_correlation: float, max_px: float):
    """Why a registered pair is refused, or nothing; ``limits`` are of the shift, in pixels."""
    if result.tiles.shape[0] < MIN_TILES:
        return "too little structure in common: blank, out of focus, or another field"
    if not result.correlation >= min_correlation:
        return (
            f"correlation {result.correlation:.2f} is under {min_correlation:g}: another field, "
            f"or shifted by more than {limits[0]:.0f}, {limits[1]:.0f} px (y, x)"
        )
    if any(abs(s) > limit for s, limit in zip(result.shift, limits, strict=True)):
        return f"shift of {result.shift[0]:.0f}, {result.shift[1]:.0f} px (y, x) is too large"
    if result.residual_p95 > max_px:
        return f"a shift of {result.residual_p95:.2f} px is left, more than {max_px:g} px"
    return ""


def extent(part: slice) -> int:
    """Number of pixels in a slice."""
    return max(0, part.stop - part.start)


def overlap(drift: Drift, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Lines and columns of the noisy image for which the clean one has values everywhere."""
    found = []
    y_or_x = zip(drift.line, drift.column, shape, strict=True)
    for axis, (line, column, side) in enumerate(y_or_x):
        own, other = (line, column) if axis == 0 else (column, line)
        at = np.arange(side) + own
        whole = np.flatnonzero((at + other.min() >= 0) & (at + other.max() <= side - 1))
        found.append(slice(int(whole[0]), int(whole[-1]) + 1) if whole.size else slice(0, 0))
    return found[0], found[1]


def resample(clean: np.ndarray, drift: Drift, rows: slice, columns: slice) -> np.ndarray:
    """Float32 clean image on the noisy grid in ``rows`` and ``columns``, by a quintic spline."""
    at = drift.at(rows, columns)
    moved = ndimage.map_coordinates(clean, at, order=5, mode="mirror", output=np.float32)
    return np.clip(moved, clean.min(), clean.max())


def grey_match(noisy: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    """Gain and offset with ``noisy = gain * clean + offset``, robust to outliers.

    Both images are smoothed first, and pixels at the ends of either grey scale are left out:
    there detectors clip.
    """
    inside = np.ones(noisy.shape, dtype=bool)
    smooth = [ndimage.gaussian_filter(image, PROOF) for image in (noisy, clean)]
    for image in (noisy, clean):
        clipped = (image <= image.min()) | (image >= image.max())
        if clipped.mean() > 1e-3:
            inside &= ~(ndimage.uniform_filter(clipped.astype(np.float32), 5) > 0.2)
    if inside.mean() < 0.1:
        inside[:] = True
    target, source = (image[inside].astype(float) for image in smooth)
    weight = np.ones_like(target)
    gain, offset = 1.0, 0.0
    for _ in range(10):
        mean_s, mean_t = np.average(source, weights=weight), np.average(target, weights=weight)
        spread = (weight * (source - mean_s) ** 2).sum()
        gain = (weight * (source - mean_s) * (target - mean_t)).sum() / max(spread, 1e-12)
        offset = mean_t - gain * mean_s
        rest = np.abs(target - gain * source - offset)
        weight = np.minimum(1, 1.5 * 1.4826 * np.median(rest) / np.maximum(rest, 1e-9))
    return float(gain), float(offset)


def measure(result: Registration, noisy: np.ndarray, clean: np.ndarray) -> None:
    """Fill in what is left of the shift and the correlation, from tiles of the registered pair.

    The scans are freed of stripes each in its own grid, where the stripes are straight.
    Tiles count where noise of the noisy image allows the shift to be known to ``PRECISION``; in
    the quantiles of what is left they weigh by that, so that flat ones do not speak for the rest.
    """
    noise = noise_level(noisy)
    noisy = band_pass(noisy, PROOF)[result.rows, result.columns]
    clean = resample(band_pass(clean, PROOF), result.drift, result.rows, result.columns)
    clean *= noisy.std() / max(clean.std(), 1e-9)
    tiles, weights = [], []
    for y in starts(noisy.shape[0]):
        for x in starts(noisy.shape[1]):
            side = slice(y, y + TILE), slice(x, x + TILE)
            error = shift_error(clean[side], noise)
            if error < PRECISION:
                weights.append(1 / max(error, SHARP) ** 2)
                here = np.corrcoef(noisy[side].ravel(), clean[side].ravel())[0, 1]
                left = tile_shift(noisy[side], clean[side])
                tiles.append((y + TILE / 2, x + TILE / 2, *left, here))
    result.tiles = np.array(tiles).reshape(-1, 5)
    if tiles:
        left = np.hypot(result.tiles[:, 2], result.tiles[:, 3])
        result.residual, result.residual_p95 = (
            float(np.quantile(left, q, weights=weights, method="inverted_cdf")) for q in (0.5, 0.95)
        )
        result.correlation = float(np.median(result.tiles[:, 4]))


def noise_level(image: np.ndarray) -> float:
    """SD of white noise in ``image``, from its diagonal differences (Donoho, robust)."""
    fine = image[1:, 1:] + image[:-1, :-1] - image[1:, :-1] - image[:-1, 1:]
    return float(1.4826 * np.median(np.abs(fine)) / 2)


def shift_error(tile: np.ndarray, noise: float) -> float:
    """Least SD (px) with which a shift of ``tile`` can be known under white ``noise``."""
    slopes = np.stack([slope.ravel() for slope in np.gradient(tile)])
    return noise / np.sqrt(max(np.linalg.eigvalsh(slopes @ slopes.T)[0], 1e-12))


def starts(side: int) -> np.ndarray:
    """Where the tiles begin along a side, half overlapping, the last at the end."""
    last = max(0, side - TILE)
    return np.linspace(0, last, -(-2 * last // TILE) + 1).round().astype(int)


def tile_shift(noisy: np.ndarray, clean: np.ndarray) -> tuple[float, float]:
    """Shift (dy, dx) in pixels left in a tile.

    The peak of the correlation within ``REACH`` pixels, refined by Gauss-Newton steps.
    """
    centre = tuple(slice(REACH, n - REACH) for n in noisy.shape)
    fixed = noisy[centre] - noisy[centre].mean()
    spline = ndimage.spline_filter(clean, order=3)
    shift = np.array(best_shift(fixed, clean), dtype=float)
    grid = np.indices(fixed.shape) + REACH
    for _ in range(4):
        c = ndimage.map_coordinates(
            spline, grid + shift[:, None, None], order=3, prefilter=False, mode="nearest"
        )
        c -= c.mean()
        gain = (c * fixed).sum() / max((c * c).sum(), 1e-12)
        slopes = np.stack([s.ravel() for s in np.gradient(c)]) * gain
        normal = slopes @ slopes.T + 1e-12 * np.eye(2)
        shift += np.clip(np.linalg.solve(normal, slopes @ (fixed - gain * c).ravel()), -1, 1)
    return float(shift[0]), float(shift[1])


def best_shift(fixed: np.ndarray, clean: np.ndarray) -> tuple[int, int]:
    """Whole-pixel shift, within ``REACH``, at which ``fixed`` correlates best with ``clean``."""
    windows = np.lib.stride_tricks.sliding_window_view(clean, fixed.shape)
    product = np.einsum("abyx,yx->ab", windows, fixed)
    box = np.ones_like(fixed)
    mean = np.einsum("abyx,yx->ab", windows, box) / fixed.size
    square = np.einsum("abyx,abyx->ab", windows, windows) / fixed.size
    score = product / np.sqrt(np.maximum(square - mean**2, 1e-12))
    y, x = np.unravel_index(np.argmax(score), score.shape)
    return int(y) - REACH, int(x) - REACH
