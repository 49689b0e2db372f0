"""The noise of the noisy images, estimated from registered pairs; the partners may be noisy too.

What is left between a noisy image and its registered partner holds the noise of both. Its product
with how the noisy image differs from a *smoothed* partner holds the noisy one's alone, because the
noise of the two is independent. So nothing needs to be known of the partner.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from blockface.noise import Noise

SMOOTH = 2.0  # px, smoothing of the partner that tells the grey level
SHADING = 24.0  # px, smoothing of what counts as a change of brightness between the two images
SIDE = 1024  # px, no more than this from the middle of a pair is looked at
FLAT = 0.5  # share of the pixels, those on the gentlest slopes, that are looked at
BINS = 24  # grey levels at which the variance is measured
LAGS = 4  # px, how far the noise of neighbours may be correlated
FAR = 8  # px, correlation across lines so far apart is brightness that wanders, not noise
OUTLIER = 2.0  # times the 99th percentile of all differences, where one is cut off
CLIPPED = 1e-3  # share of pixels at one end of the grey scale that says that it clips
LEAST = 0.5  # of the smallest variance measured: the line that is fitted is not believed below


@dataclass
class Estimate:
    """A `Noise`, and what it was read from.

    ``grey``, ``measured`` (variance) and ``pixels`` of every bin of grey levels; ``lines``: offset
    of each line of each pair; ``residual``: of the first pair (y, x), noise of both images, and
    ``in_sd`` the same over the SD that the model gives it; ``partner``: variance of the partners'
    noise as a share of the noisy images'.
    """

    noise: Noise
    grey: np.ndarray
    measured: np.ndarray
    pixels: np.ndarray
    lines: list[np.ndarray]
    residual: np.ndarray
    in_sd: np.ndarray
    partner: float


def estimate_noise(pairs: list[np.ndarray]) -> Estimate:
    """Noise of the first images of registered ``pairs`` (2, y, x), in their grey levels."""
    views = [View.of(pair) for pair in pairs]
    sizes = [int(view.used.sum()) for view in views]
    sums = sum(view.binned(grey_edges(views)) for view in views)  # four sums for every bin
    sums = sums[:, sums[0] >= max(50, 0.005 * sums[0].sum())]
    pixels, (grey, both, other) = sums[0], sums[1:] / sums[0]
    rough = Noise(0.0, float(np.average(both, weights=pixels)), 1e-6, 0.0, (), ())
    along, across, far = (
        np.average(part, axis=0, weights=sizes)
        for part in zip(*(view.correlations(grey, both) for view in views), strict=True)
    )
    wander = float(np.clip(far, 0, 0.5))
    along, across = ((c - wander) / (1 - wander) for c in (along, across))
    # the smoothed partner holds a little of its own noise, which the residual holds as well
    mixed, mixed_lines = smoothed_share(along)
    second = other / (1 - mixed)
    partner = float(np.average(second, weights=pixels) / np.average(both, weights=pixels))
    found = [view.line_offsets(along, (1 - wander) * rough.offset) for view in views]
    lines = [len(offsets) for _, offsets in found]
    line = 0.0
    if any(lines):
        line = np.average([variance for variance, _ in found], weights=lines)
        line = max(0.0, float(line)) / (1 + mixed_lines * max(0.0, partner))
    measured = (1 - wander) * (both - mixed * second) - line
    gain, offset = robust_line(grey, measured, pixels)
    noise = Noise(
        gain, offset, LEAST * float(measured.min().clip(0)), float(np.sqrt(line)),
        tuple(along.tolist()), tuple(across.tolist()),
    )  # fmt: skip
    expected = (noise.variance(views[0].grey) + line) * (1 + max(0.0, partner))
    return Estimate(
        noise, grey, measured, pixels, [offsets for _, offsets in found], views[0].rest,
        views[0].rest / np.sqrt(np.maximum(expected, 1e-12)), partner,
    )  # fmt: skip


def grey_edges(views: list["View"]) -> np.ndarray:
    """Edges of bins of the grey levels with about as many pixels in each."""
    some = [view.grey[view.used] for view in views]
    some = np.concatenate([grey[:: max(1, len(grey) * len(views) // 10**6)] for grey in some])
    edges = np.unique(np.quantile(some, np.linspace(0, 1, BINS + 1)))
    return edges if len(edges) > 1 else np.array([edges[0] - 1, edges[0] + 1])


def smoothed_share(along: np.ndarray) -> tuple[float, float]:
    """Covariance of noise with its smoothed self over its variance: of pixels, of line steps."""
    point = np.zeros(4 * int(4 * SMOOTH) + 1)
    point[len(point) // 2] = 1
    weights = ndimage.gaussian_filter1d(point, SMOOTH)[len(point) // 2 :]
    near = weights[0] + 2 * float(weights[1 : len(along) + 1] @ along)
    return float(weights[0]) * near, float(weights[0] - weights[1])


@dataclass
class View:
    """What one pair says: ``rest`` = noisy - partner without shading, and where to look.

    ``own`` is the noisy image less the smoothed partner, ``other`` the smoothed partner less the
    partner: what each has in common with ``rest`` is the noise of one image. ``grey`` is the
    smoothed partner, ``used`` the pixels that count: on gentle slopes, where nothing is clipped.
    """

    rest: np.ndarray
    own: np.ndarray
    other: np.ndarray
    grey: np.ndarray
    used: np.ndarray

    @classmethod
    def of(cls, pair: np.ndarray) -> "View":
        """View of one registered pair (2, y, x)."""
        middle = tuple(slice(max(0, (n - SIDE) // 2), (n + SIDE) // 2) for n in pair.shape[1:])
        noisy, clean = (np.asarray(image[middle], np.float32) for image in pair)
        grey = ndimage.gaussian_filter(clean, SMOOTH, mode="nearest")
        shading = ndimage.gaussian_filter(noisy - clean, SHADING, mode="nearest")
        parts = [noisy - clean - shading, noisy - grey - shading, grey - clean]
        reach = float(np.quantile(np.abs(parts[0]), 0.99)) + 1e-9
        parts = [np.clip(part, -OUTLIER * reach, OUTLIER * reach) for part in parts]
        slope = ndimage.gaussian_gradient_magnitude(clean, SMOOTH, mode="nearest")
        flat = slope <= np.quantile(slope, FLAT)
        whole = flat.copy()
        for end, inwards in ((noisy.min(), 1), (noisy.max(), -1)):
            if (noisy == end).mean() > CLIPPED:  # noise that meets the end is cut short
                whole &= inwards * (grey - end) > reach
        return cls(*parts, grey, whole if whole.sum() > 0.05 * whole.size else flat)

    def binned(self, edges: np.ndarray) -> np.ndarray:
        """Sums (pixels, grey, rest * own, rest * other) over the pixels between ``edges``."""
        rest, own, other, grey = (
            v[self.used] for v in (self.rest, self.own, self.other, self.grey)
        )
        at = np.clip(np.searchsorted(edges, grey, "right") - 1, 0, len(edges) - 2)
        return np.stack([
            np.bincount(at, weights=v, minlength=len(edges) - 1)
            for v in (np.ones_like(rest), grey, rest * own, rest * other)
        ])  # fmt: skip

    def line_offsets(self, along: np.ndarray, variance: float) -> tuple[float, np.ndarray]:
        """Variance of the lines' offsets, and the offsets of this pair (grey levels).

        The mean over a line still holds some of its pixels' noise of ``variance``, correlated
        ``along`` the line; that is taken off.
        """
        count = self.used.sum(axis=1)
        seen = count >= 0.1 * self.used.shape[1]
        if seen.sum() < 8:
            return 0.0, np.zeros(0)
        rest, own = ((v * self.used).sum(axis=1)[seen] / count[seen] for v in (self.rest, self.own))
        together = count + 2 * sum(
            c * (self.used[:, lag:] & self.used[:, :-lag]).sum(axis=1)
            for lag, c in enumerate(along, start=1)
        )
        held = variance * (together[seen] / count[seen] ** 2).mean()
        steps = [np.diff(v) for v in (rest, own)]  # from line to line: brightness may wander
        wide = [4 * 1.4826 * np.median(np.abs(step)) for step in steps]
        rest_step, own_step = (np.clip(v, -w, w) for v, w in zip(steps, wide, strict=True))
        return float(np.mean(rest_step * own_step) / 2 - held), rest - np.median(rest)

    def correlations(self, grey: np.ndarray, variance: np.ndarray):
        """Correlation of the noise along and across lines at 1 … `LAGS` px, and at `FAR` across.

        ``variance`` at ``grey`` levels (rising) brings all pixels to one. The mean of every line
        is taken off before.
        """
        count = np.maximum(self.used.sum(axis=1, keepdims=True), 1)
        scale = self.used / np.sqrt(np.interp(self.grey, grey, variance.clip(1e-6)))
        rest, own = (
            (v - (v * self.used).sum(axis=1, keepdims=True) / count) * scale
            for v in (self.rest, self.own)
        )

        def common(lag, axis):
            one, two = ((slice(None, -lag or None), slice(lag, None))[::way] for way in (1, -1))
            total = 0.0
            for first, second in (one, two):
                a, b = ((slice(None), s) if axis else (s, slice(None)) for s in (first, second))
                total += (rest[a] * own[b]).sum() / max((self.used[a] & self.used[b]).sum(), 1)
            return total / 2

        whole = max(common(0, 1), 1e-9)
        lags = range(1, LAGS + 1)
        along, across = (np.array([common(lag, axis) for lag in lags]) / whole for axis in (1, 0))
        return along, across, common(FAR, 0) / whole


def robust_line(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of a line through (x, y), Huber's weights on top of ``weights``."""
    if len(x) < 2 or np.ptp(x) < 1e-6:
        return 0.0, float(np.average(y, weights=weights))
    trust = np.ones_like(y)
    for _ in range(20):
        slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(weights * trust))
        off = np.abs(y - slope * x - intercept)
        trust = np.minimum(1, 1.5 * 1.4826 * np.median(off) / np.maximum(off, 1e-12))
    return float(slope), float(intercept)
