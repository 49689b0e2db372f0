"""What is left of the shift between two registered images, tile by tile."""

import numpy as np
from scipy import ndimage

TILE = 96  # pixels, side of the squares in which what is left of a shift is looked for
REACH = 6  # pixels, how far that search goes
PRECISION = 0.3  # px, a tile counts if its shift can be known this well
SHARP = 0.1  # px, tiles known better than this weigh no more


def shifts_left(noisy: np.ndarray, clean: np.ndarray, noise: float) -> tuple[np.ndarray, list]:
    """Rows y, x (centre, px), dy, dx (px), correlation of the tiles that can tell, and weights.

    Both images are band-passed and in the same grey levels. Tiles count where white noise of SD
    ``noise`` allows the shift to be known to ``PRECISION``; they weigh by that, so that flat ones
    do not speak for the rest.
    """
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
    return np.array(tiles).reshape(-1, 5), weights


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
