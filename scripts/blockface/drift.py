"""Displacement between two scans of one field: sub-pixel, changing from line to line.

A scanning microscope writes a frame line by line, so drift of the sample shows as a displacement
that depends on the line; a fast scan is also stretched along its lines against a slow one, which
depends on the column. The model is the sum of both:
``noisy(y, x) = clean(y + line_y(y) + column_y(x), x + line_x(y) + column_x(x))``.

Two things mislead a phase correlation here. A scan-fixed pattern (stripes that stay where they
are while the sample moves) draws it to zero, and whitening the spectrum lifts noise over
structure. So stripes are taken off each image in its own grid, the images are band-passed but not
whitened, and what is maximised is their correlation itself, by Gauss-Newton steps from coarse to
fine (as in ECC, Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113) on penalised splines
(P-splines, Eilers and Marx 1996, doi:10.1214/ss/1038425655).
"""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage
from scipy.interpolate import BSpline
from scipy.linalg import block_diag

SCALES = ((6.0, 4), (3.0, 2), (1.5, 1))  # smoothing in pixels, grid step in pixels
GRID_PIXELS = 2**21  # at most this many pixels of the noisy image are compared
BACKGROUND = 16.0  # smoothing (pixels) of what counts as shading
KNOT_LINES = 40  # lines between the knots of the drift
KNOT_COLUMNS = 80  # columns between the knots of the stretch
BEND = 0.25  # px, typical change of slope from knot to knot that the penalty allows
COARSE_SIDE = 512  # largest side (pixels) of the images of the first, whole-frame search
MARGIN = 2  # pixels at the rim of the clean image that are not compared


@dataclass
class Drift:
    """Displacement (px) of the clean image against the noisy: a part per line, one per column.

    ``line`` (2, lines) and ``column`` (2, columns) hold dy and dx; ``column`` has mean zero.
    """

    line: np.ndarray
    column: np.ndarray

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


def spline_basis(samples: int, spacing: float) -> np.ndarray:
    """Cubic B-splines, shape (samples, splines), with knots about ``spacing`` samples apart."""
    intervals = max(1, round(samples / spacing))
    knots = (np.arange(intervals + 7) - 3) * (samples / intervals)
    return BSpline.design_matrix(np.arange(samples) + 0.5, knots, 3).toarray()


def estimate_drift(noisy: np.ndarray, clean: np.ndarray, start: tuple[float, float]) -> Drift:
    """Drift of ``clean`` against ``noisy`` (2-D, one shape), searched around the shift ``start``.

    The search finds drift of about 10 px either side of ``start``.
    """
    bases = [
        spline_basis(n, spacing)
        for n, spacing in zip(noisy.shape, (KNOT_LINES, KNOT_COLUMNS), strict=True)
    ]
    shift = np.tile(np.asarray(start, float)[:, None], bases[0].shape[1])
    knots = np.hstack([shift, np.zeros((2, bases[1].shape[1]))])
    stiff = np.kron(np.eye(2), stiffness(bases))
    for smooth, step in SCALES:
        grid = Grid(noisy, clean, smooth, step)
        for _ in range(20):
            change = grid.newton_step(knots, bases, stiff)
            knots = knots + change
            if np.abs(change).max() < 0.01 * smooth:
                break
    n = bases[0].shape[1]
    return Drift(knots[:, :n] @ bases[0].T, knots[:, n:] @ bases[1].T)


def stiffness(bases: list[np.ndarray]) -> np.ndarray:
    """Penalty on knots of lines and columns: of bends, and of a mean in the columns' part."""
    bends = [np.diff(np.eye(basis.shape[1]), 2, axis=0) / BEND for basis in bases]
    mean = bases[1].mean(axis=0) / 1e-3
    return block_diag(bends[0].T @ bends[0], bends[1].T @ bends[1] + np.outer(mean, mean))


class Grid:
    """The images at one scale: the noisy on a grid of its pixels, the clean as a spline."""

    def __init__(self, noisy: np.ndarray, clean: np.ndarray, smooth: float, step: int):
        """Images smoothed by ``smooth`` px; every ``step``-th pixel of the noisy one is used."""
        step = max(step, int(np.ceil(np.sqrt(noisy.size / GRID_PIXELS))))
        self.smooth = smooth
        self.part = tuple(slice(step // 2, n, step) for n in noisy.shape)
        self.noisy = band_pass(noisy, smooth)[self.part]
        fine = band_pass(clean, smooth)
        images = (fine, *np.gradient(fine))
        self.splines = [ndimage.spline_filter(i, order=3, output=np.float32) for i in images]
        self.last = [n - 1 - MARGIN for n in clean.shape]
        self.correlated = max(1.0, 4 * np.pi * smooth**2 / step**2)  # grid points per free value

    def newton_step(self, knots, bases, stiff) -> np.ndarray:
        """Change of ``knots`` (2, lines' + columns') that lowers the robust difference most."""
        n = bases[0].shape[1]
        drift = Drift(knots[:, :n] @ bases[0].T, knots[:, n:] @ bases[1].T)
        at = y, x = drift.at(*self.part)
        c, *slopes = (
            ndimage.map_coordinates(s, at, order=3, prefilter=False, mode="nearest")
            for s in self.splines
        )
        seen = (y >= MARGIN) & (y <= self.last[0]) & (x >= MARGIN) & (x <= self.last[1])
        if not seen.any():
            return np.zeros_like(knots)
        gain = max((c * self.noisy)[seen].sum() / max((c * c)[seen].sum(), 1e-12), 1e-6)
        rest = self.noisy - gain * c
        spread = 1.4826 * np.median(np.abs(rest[seen])) + 1e-9
        weight = seen * np.minimum(1, 2 * spread / np.maximum(np.abs(rest), 1e-9))
        weight *= gain / (spread**2 * self.correlated)
        bases = [basis[part] for basis, part in zip(bases, self.part, strict=True)]
        sy, sx = slopes
        yy, yx, xx = (gain * normal(weight * s, bases) for s in (sy * sy, sy * sx, sx * sx))
        pull = np.concatenate([projected(weight * s * rest, bases) for s in slopes])
        matrix = np.block([[yy, yx], [yx, xx]]) + stiff
        matrix += 1e-6 * max(matrix.max(), 1e-9) * np.eye(len(matrix))
        change = np.linalg.solve(matrix, pull - stiff @ knots.ravel()).reshape(2, -1)
        return np.clip(change, -self.smooth, self.smooth)


def normal(weight: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Sum over pixels of ``weight`` times products of the splines of lines and columns."""
    lines, columns = bases
    down = lines.T @ (weight.sum(axis=1)[:, None] * lines)
    right = columns.T @ (weight.sum(axis=0)[:, None] * columns)
    cross = lines.T @ weight @ columns
    return np.block([[down, cross], [cross.T, right]])


def projected(values: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Sum over pixels of ``values`` times each spline of lines, then of columns."""
    return np.concatenate([values.sum(axis=1) @ bases[0], values.sum(axis=0) @ bases[1]])
