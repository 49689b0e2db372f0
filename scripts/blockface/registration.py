"""A noisy and a clean scan of one field laid on each other, with a measure of how well.

The noisy image is the network's input and is never interpolated; the clean one is resampled onto
its grid, cropped to what both show, and mapped into its grey scale.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.transform import resize, resize_local_mean

from blockface.acceptance import LEAST_SIDE, Limits, unfit, verdict
from blockface.drift import Drift, band_pass, whole_frame_shift
from blockface.errors import InputError
from blockface.focus import relative_blur
from blockface.jumps import estimate_drift
from blockface.shifts_left import shifts_left

PROOF = 2.0  # pixels, smoothing of the images in which correlation is measured


@dataclass
class Registration:
    """One pair after registration; of a refused pair only what had been found out by then.

    ``drift`` holds the displacement of the clean image against the noisy one; ``rows`` and
    ``columns`` say which part of the noisy image is in ``pair``, a float32 array (2, y, x) of the
    noisy image as it was and the clean one on its grid, in its grey levels. ``tiles`` has one row
    per measured tile: y, x (centre in ``pair``, px), dy, dx (shift left, px), correlation.
    ``blur`` is that of the noisy image against the clean one (SD in px; negative: of the clean
    one), ``partner_noise`` the SD of the clean image's noise as a share of the noisy one's.
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
    blur: float = np.nan
    partner_noise: float = np.nan

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


def register(noisy: np.ndarray, clean: np.ndarray, **limits: float) -> Registration:
    """Registration of two scans (2-D, any real dtype) of one field, accepted or with a reason.

    ``limits`` are those of `blockface.acceptance.Limits`.
    """
    result, limits = Registration(), Limits(**limits)
    result.reason = unfit(noisy, clean, limits)
    if result.reason:
        return result
    inside = [picture(image) for image in (noisy, clean)]
    noisy_, clean_ = (
        repeated(np.asarray(image, dtype=np.float32), part)
        for image, part in zip((noisy, clean), inside, strict=True)
    )
    start = whole_frame_shift(noisy_, clean_, limits.max_shift_fraction)
    result.drift = estimate_drift(noisy_, clean_, start)
    result.rows, result.columns = overlap(result.drift, *inside)
    if min(extent(result.rows), extent(result.columns)) < LEAST_SIDE:
        result.reason = "the images hardly overlap"
        return result
    moved = resample(clean_, result.drift, result.rows, result.columns)
    kept = noisy_[result.rows, result.columns]
    result.gain, result.offset = grey_match(kept, moved)
    result.pair = np.stack([kept, result.gain * moved + result.offset])
    measure(result, noisy_, clean_)
    result.reason = verdict(result, noisy.shape, limits)
    result.accepted = not result.reason
    return result


def extent(part: slice) -> int:
    """Number of pixels in a slice."""
    return max(0, part.stop - part.start)


def picture(image: np.ndarray) -> tuple[slice, slice]:
    """Lines and columns of an image less the blank ones (of one value) along its borders.

    Some microscopes write the first line and column as 0; as part of a pair they would be learnt,
    and a spline rings beside them.
    """
    found = []
    for axis in (1, 0):
        whole = np.flatnonzero(image.min(axis=axis) < image.max(axis=axis))
        found.append(slice(int(whole[0]), int(whole[-1]) + 1))
    return found[0], found[1]


def repeated(image: np.ndarray, part: tuple[slice, slice]) -> np.ndarray:
    """``image`` with all outside of ``part`` replaced by the nearest line and column inside."""
    ends = [(p.start, n - p.stop) for p, n in zip(part, image.shape, strict=True)]
    return np.pad(image[part], ends, mode="edge")


def overlap(
    drift: Drift, noisy: tuple[slice, slice], clean: tuple[slice, slice]
) -> tuple[slice, slice]:
    """Lines and columns of the noisy image for which both have values everywhere.

    ``noisy`` and ``clean``: lines and columns that they have values in, as from `picture`.
    """
    found = []
    y_or_x = zip(drift.line, drift.column, noisy, clean, strict=True)
    for axis, (line, column, mine, theirs) in enumerate(y_or_x):
        own, other = (line, column) if axis == 0 else (column, line)
        at = np.arange(len(own)) + own
        held = (at + other.min() >= theirs.start) & (at + other.max() <= theirs.stop - 1)
        held[: mine.start] = held[mine.stop :] = False
        whole = np.flatnonzero(held)
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
    """Fill in what is left of the shift, correlation and blur of the registered pair.

    The scans are freed of stripes each in its own grid, where the stripes are straight.
    """
    noise = noise_level(noisy)
    result.partner_noise = abs(result.gain) * noise_level(clean) / max(noise, 1e-9)
    part = result.rows, result.columns
    sharp = band_pass(noisy, 0)[part], resample(band_pass(clean, 0), result.drift, *part)
    noisy = band_pass(noisy, PROOF)[part]
    clean = resample(band_pass(clean, PROOF), result.drift, *part)
    clean *= noisy.std() / max(clean.std(), 1e-9)
    result.tiles, weights = shifts_left(noisy, clean, noise)
    if weights:
        left = np.hypot(result.tiles[:, 2], result.tiles[:, 3])
        result.residual, result.residual_p95 = (
            float(np.quantile(left, q, weights=weights, method="inverted_cdf")) for q in (0.5, 0.95)
        )
        result.correlation = float(np.median(result.tiles[:, 4]))
        result.blur = relative_blur(*sharp)


def noise_level(image: np.ndarray) -> float:
    """SD of white noise in ``image``, from its diagonal differences (Donoho, robust)."""
    fine = image[1:, 1:] + image[:-1, :-1] - image[1:, :-1] - image[:-1, 1:]
    return float(1.4826 * np.median(np.abs(fine)) / 2)


def rescaled(pair: np.ndarray, pixel_nm: float | None, to_nm: float, name: str) -> np.ndarray:
    """Float32 ``pair`` (2, y, x) with pixels of ``to_nm``: means over larger ones, or a spline.

    Raises
    ------
    InputError
        The size of its own pixels is not known.
    """
    if not pixel_nm:
        raise InputError(
            f"{name}: the file tells no pixel size, so the pair cannot be brought to {to_nm:g} nm; "
            "save it with its pixel size, or leave out denoisers.<name>.rescale_to_nm"
        )
    shape = (2, *(max(1, round(n * pixel_nm / to_nm)) for n in pair.shape[1:]))
    if to_nm >= pixel_nm:
        return resize_local_mean(pair, shape, preserve_range=True).astype(np.float32)
    return resize(pair, shape, order=3, preserve_range=True).astype(np.float32)
