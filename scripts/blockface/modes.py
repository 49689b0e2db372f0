"""How many modes a distribution has, where they are, and which share belongs to each.

Silverman's test (1981, Journal of the Royal Statistical Society B 43, 97): the least bandwidth of a
Gaussian kernel at which the density has no more than m modes is compared with those of samples
drawn from that density. The number of modes is the least m that the samples do not speak against.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.fft import irfft, rfft

GRID = 1024
TRIM = 0.01  # of the values on each side are left out: a stray object is no mode
SAMPLES = 200
LEVEL = 0.05
MOST = 5
FEWEST = 20  # values below which nothing can be said
STEPS = 20  # of halving a bandwidth


@dataclass
class Modes:
    """Modes in ascending order: ``at`` (m,), their ``share`` (m,) of the values, ``bandwidth``."""

    at: np.ndarray
    share: np.ndarray
    bandwidth: float


def find_modes(values: np.ndarray, seed: int = 0) -> Modes:
    """Modes of ``values`` (n,), finite; none where there are fewer than 20."""
    values = np.asarray(values, float)
    if len(values) < FEWEST:
        return Modes(np.zeros(0), np.zeros(0), np.nan)
    low, high = np.quantile(values, [TRIM, 1 - TRIM])
    kept = values[(values >= low) & (values <= high)]
    if np.ptp(kept) <= 1e-9 * max(abs(low), abs(high)):
        return Modes(kept[:1], np.ones(1), 0.0)
    grid = Grid(kept)
    rng = np.random.default_rng(seed)
    for m in range(1, MOST + 1):
        width = grid.critical(grid.counts, m)
        if m == MOST or grid.doubt(width, m, rng) >= LEVEL:
            break
    at, valleys = grid.peaks(grid.density(grid.counts, width * (1 + 1e-6)))
    share = np.histogram(kept, np.r_[-np.inf, grid.at[valleys], np.inf])[0] / len(kept)
    return Modes(grid.at[at], share, width)


class Grid:
    """Binned values (n,) and their kernel densities, on a line with room on both sides."""

    def __init__(self, values: np.ndarray):
        span = np.ptp(values)
        edges = np.linspace(values.min() - span, values.max() + span, GRID + 1)
        self.at, self.step, self.span = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0], span
        self.counts = np.histogram(values, edges)[0].astype(float)
        self.frequency = 2 * np.pi * np.fft.rfftfreq(GRID, self.step)
        self.n, self.mean, self.var = len(values), values.mean(), values.var()

    def density(self, counts: np.ndarray, width: float) -> np.ndarray:
        """Density (GRID,), up to a factor, with a Gaussian kernel of SD ``width``."""
        return irfft(rfft(counts) * np.exp(-0.5 * (width * self.frequency) ** 2), GRID)

    def peaks(self, density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the modes, and of the lowest points between them."""
        slope = np.diff(np.where(density > 1e-9 * density.max(), density, 0))
        moving = np.flatnonzero(slope)
        up = slope[moving] > 0
        at = moving[1:][up[:-1] & ~up[1:]]
        valleys = [a + np.argmin(density[a : b + 1]) for a, b in pairwise(at)]
        return at, np.array(valleys, int)

    def critical(self, counts: np.ndarray, m: int) -> float:
        """Least bandwidth at which there are at most ``m`` modes."""
        low, high = self.step, self.span
        if len(self.peaks(self.density(counts, low))[0]) <= m:
            return low
        for _ in range(STEPS):
            middle = np.sqrt(low * high)
            many = len(self.peaks(self.density(counts, middle))[0]) > m
            low, high = (middle, high) if many else (low, middle)
        return high

    def doubt(self, width: float, m: int, rng) -> float:
        """Share of samples from the density of ``width`` that show more than ``m`` modes at it.

        The samples are shrunk so that they have the variance of the values.
        """
        density = np.maximum(self.density(self.counts, width), 0)
        shrunk = 1 / np.sqrt(1 + width**2 / self.var)
        wide = self.mean + (self.at - self.mean) / shrunk
        share = np.interp(wide, self.at, density, 0, 0)
        samples = rng.multinomial(self.n, share / share.sum(), SAMPLES)
        more = sum(len(self.peaks(self.density(s, width))[0]) > m for s in samples)
        return more / SAMPLES
