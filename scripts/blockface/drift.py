"""Displacement between two scans of one field: sub-pixel, changing from line to line.

A scanning microscope writes a frame line by line, so drift of the sample shows as a displacement
that depends on the line, smoothly or, where the stage or the beam jumped, with a step between two
lines (`blockface.jumps`); a fast scan is also stretched along its lines against a slow one, which
depends on the column. The model is the sum of both:
``noisy(y, x) = clean(y + line_y(y) + column_y(x), x + line_x(y) + column_x(x))``.

Two things mislead a phase correlation here. A scan-fixed pattern (stripes that stay where they
are while the sample moves) draws it to zero, and whitening the spectrum lifts noise over
structure. So stripes are taken off each image in its own grid, the images are band-passed but not
whitened, and what is maximised is their correlation itself, from coarse to fine
(`blockface.drift_model`).
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

BACKGROUND = 16.0  # smoothing (pixels) of what counts as shading
COARSE_SIDE = 512  # largest side (pixels) of the images of the first, whole-frame search


@dataclass
class Drift:
    """Displacement (px) of the clean image against the noisy: a part per line, one per column.

    ``line`` (2, lines) and ``column`` (2, columns) hold dy and dx; ``column`` has mean zero.
    ``jumps`` are the lines that begin with a step of the displacement.
    """

    line: np.ndarray
    column: np.ndarray
    jumps: tuple[int, ...] = ()

    def at(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Pixel positions (y, x) in the clean image of a part of the noisy one."""
        down, right = np.arange(self.line.shape[1]), np.arange(self.column.shape[1])
        dy, dx = self.line[:, rows, None] + self.column[:, None, columns]
        return down[rows, None] + dy, right[None, columns] + dx


def band_pass(image: np.ndarray, smooth: float) -> np.ndarray:
    """Float32 image without noise finer than ``smooth``, without shading and without stripes.

    Stripes are the means of lines and columns of the high-passed image.
    """
    image = np.asarray(image, dtype=np.float32)
    fine = image - ndimage.gaussian_filter(image, BACKGROUND, mode="nearest")
    fine -= fine.mean(axis=0)
    fine -= fine.mean(axis=1, keepdims=True)
    return ndimage.gaussian_filter(fine, smooth, mode="nearest")


def whole_frame_shift(noisy: np.ndarray, clean: np.ndarray, limit: float) -> tuple[float, float]:
    """Shift (dy, dx) in pixels where the band-passed images correlate best.

    Shifts up to ``limit`` times the side are tried along each axis; the correlation is normalised
    by the energy of the shared part. Frames over ``COARSE_SIDE`` are binned first.
    """
    factor = -(-max(noisy.shape) // COARSE_SIDE)
    a, b = (band_pass(binned(image, factor), 2.0) for image in (noisy, clean))
    shape = [fft.next_fast_len(2 * n, real=True) for n in a.shape]
    ones, fa, faa, fb, fbb = (fft.rfft2(i, shape) for i in (np.ones_like(a), a, a * a, b, b * b))

    def correlate(first, second):
        return fft.irfft2(np.conj(first) * second, shape)

    energy = correlate(faa, ones) * correlate(ones, fbb)
    floor = 1e-3 * float((a * a).sum()) * float((b * b).sum())
    score = correlate(fa, fb) / np.sqrt(np.maximum(energy, max(floor, 1e-12)))
    shifts = [np.where(np.arange(m) > m // 2, np.arange(m) - m, np.arange(m)) for m in shape]
    dy, dx = (np.abs(s) <= limit * n for s, n in zip(shifts, a.shape, strict=True))
    score[~(dy[:, None] & dx[None, :])] = -np.inf
    y, x = np.unravel_index(np.argmax(score), score.shape)
    return float(factor * shifts[0][y]), float(factor * shifts[1][x])


def binned(image: np.ndarray, factor: int) -> np.ndarray:
    """Float32 means of ``factor`` x ``factor`` pixels; what is left at the edge is cut off."""
    image = np.asarray(image, dtype=np.float32)
    if factor == 1:
        return image
    h, w = (n // factor for n in image.shape)
    return image[: h * factor, : w * factor].reshape(h, factor, w, factor).mean(axis=(1, 3))
