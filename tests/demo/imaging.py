"""The microscope: blur of the probe, dose, noise, scan pattern, and drift between two scans."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

PROBE_PX = 0.75
ELECTRONS = 28.0  # detected per pixel at dwell 1 where the yield is 1
AMPLIFIER = 0.9  # SD at dwell 1, in electrons: white in time, so its variance grows with dwell
LINE = 0.012  # SD of the brightness of a row at dwell 1
SCAN = 0.006  # SD of the pattern fixed to the scan, the same in every image


@dataclass
class Setting:
    """Dwell in units of the short one; SD of the probe in px; grey = offset + gain · signal."""

    dwell: float = 1.0
    gain: float = 195.0
    offset: float = 18.0
    probe_px: float = PROBE_PX


STEADY = Setting()


def scan_pattern(shape: tuple[int, int]) -> np.ndarray:
    """Weak pattern fixed to the scan of this microscope, (y, x), mean 0, SD ``SCAN``."""
    rng = np.random.default_rng(20)
    columns = np.sin(2 * np.pi * np.arange(shape[1]) / 7.3)[None]
    pattern = 0.7 * columns + rng.standard_normal(shape[1])[None] + 0.5 * rng.standard_normal(shape)
    return SCAN * (pattern - pattern.mean()) / pattern.std()


def expose(bright: np.ndarray, dwell: float, rng) -> np.ndarray:
    """Signal (y, x) float, mean ``bright`` (0..1), as counted in ``dwell``.

    Contrast is shown inverted, as usual: where the stain is, electrons come back and it is dark.
    Shot, amplifier and line noise all have a variance proportional to 1 / dwell.
    """
    counts = rng.poisson(ELECTRONS * dwell * np.clip(1.15 - bright, 0.02, None))
    counts = counts + AMPLIFIER * np.sqrt(dwell) * rng.standard_normal(bright.shape)
    rows = LINE / np.sqrt(dwell) * rng.standard_normal((bright.shape[0], 1))
    return 1.15 - counts / (ELECTRONS * dwell) + rows


def photograph(scene: np.ndarray, setting: Setting, rng) -> np.ndarray:
    """Image uint8 (y, x) of a noise-free ``scene`` (already blurred by `probe`)."""
    signal = expose(scene, setting.dwell, rng) + scan_pattern(scene.shape)
    return np.clip(np.rint(setting.offset + setting.gain * signal), 0, 255).astype(np.uint8)


def probe(scene: np.ndarray, setting: Setting = STEADY) -> np.ndarray:
    """``scene`` as the probe of finite size sees it."""
    return gaussian_filter(scene, setting.probe_px)


def bad_day(slices: int, seed: int) -> list[Setting]:
    """Settings of the ``slices`` of a stack in which dose, focus and contrast wander."""
    rng = np.random.default_rng([seed, 5])
    walks = gaussian_filter(rng.standard_normal((3, slices)), (0, 2), mode="reflect")
    dose, focus, contrast = walks / walks.std(axis=1, keepdims=True)
    return [
        Setting(2.0**d, 195 * 0.85 * 1.2**c, 30.0, PROBE_PX * 1.5 ** max(0, f))
        for d, f, c in zip(dose, focus, contrast, strict=True)
    ]


def drift(rows: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Shift dy, dx in px, one per row: up to 4 px, changing by up to 3 px down the frame (y)."""
    t = np.linspace(-0.5, 0.5, rows)
    start, slope = rng.uniform(-3, 3, 2), rng.choice([-1, 1], 2) * rng.uniform(0.2, 1, 2) * (3, 1)
    bend = rng.uniform(-0.6, 0.6, 2)
    dy, dx = (start[i] + slope[i] * t + bend[i] * (4 * t * t - 0.5) for i in range(2))
    return np.clip(dy, -4, 4), np.clip(dx, -4, 4)


def take_pair(scene: np.ndarray, margin: int, noisy: Setting, clean: Setting, rng):
    """Noisy and clean image of one field, and dy, dx of every row of the noisy one.

    ``scene`` (blurred) is ``margin`` wider on all sides. What the noisy image shows at row i lies
    in the clean one at row i + dy[i], column + dx[i]: the shift to apply to the noisy image.
    """
    inner = scene[margin:-margin, margin:-margin]
    dy, dx = drift(inner.shape[0], rng)
    y, x = np.mgrid[: inner.shape[0], : inner.shape[1]].astype(float)
    moved = map_coordinates(scene, [y + margin + dy[:, None], x + margin + dx[:, None]], order=3)
    return photograph(moved, noisy, rng), photograph(inner, clean, rng), dy, dx
