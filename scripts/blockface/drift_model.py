"""The drift as a linear model, and the steps that fit it: splines by line and column, and jumps.

What is maximised is the correlation of the two band-passed images, by Gauss-Newton steps (as in
ECC, Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113) on penalised splines (P-splines,
Eilers and Marx 1996, doi:10.1214/ss/1038425655). A jump adds a step function to the splines of the
lines. All evidence is in units of chi-square: squared differences over the variance that the noise
gives them, thinned by the area over which band-passed noise is correlated.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.interpolate import BSpline
from scipy.linalg import block_diag

from blockface.drift import Drift, band_pass

GRID_PIXELS = 2**21  # at most this many pixels of the noisy image are compared
KNOT_LINES = 40  # lines between the knots of the drift
KNOT_COLUMNS = 80  # columns between the knots of the stretch
BEND = 0.25  # px, typical change of slope from knot to knot that the penalty allows
STEP = 10.0  # px, typical jump that the penalty allows
MARGIN = 2  # pixels at the rim of the clean image that are not compared


def spline_basis(samples: int, spacing: float) -> np.ndarray:
    """Cubic B-splines, shape (samples, splines), with knots about ``spacing`` samples apart."""
    intervals = max(1, round(samples / spacing))
    knots = (np.arange(intervals + 7) - 3) * (samples / intervals)
    return BSpline.design_matrix(np.arange(samples) + 0.5, knots, 3).toarray()


@dataclass
class Model:
    """Basis functions of a displacement of frames of ``shape`` that jumps at lines ``jumps``.

    ``lines`` and ``columns`` hold a function per column; those of the lines end with the steps.
    ``penalty`` is on the values of all functions along one axis: of bends, of steps, and of a mean
    in the columns' part, which is the lines'.
    """

    shape: tuple[int, int]
    jumps: tuple[int, ...] = ()
    lines: np.ndarray = field(init=False)
    columns: np.ndarray = field(init=False)
    penalty: np.ndarray = field(init=False)

    def __post_init__(self):
        """Functions and penalty, made from shape and jumps."""
        smooth = spline_basis(self.shape[0], KNOT_LINES)
        steps = np.arange(self.shape[0])[:, None] >= np.array(self.jumps, int)[None]
        self.lines = np.hstack([smooth, steps])
        self.columns = spline_basis(self.shape[1], KNOT_COLUMNS)
        bends = [
            np.diff(np.eye(basis.shape[1]), 2, axis=0) / BEND for basis in (smooth, self.columns)
        ]
        mean = self.columns.mean(axis=0) / 1e-3
        self.penalty = block_diag(
            bends[0].T @ bends[0],
            np.eye(len(self.jumps)) / STEP**2,
            bends[1].T @ bends[1] + np.outer(mean, mean),
        )

    def shifted(self, shift: tuple[float, float]) -> np.ndarray:
        """Coefficients (2, functions) of a displacement that is ``shift`` everywhere."""
        values = np.zeros((2, self.lines.shape[1] + self.columns.shape[1]))
        values[:, : self.lines.shape[1] - len(self.jumps)] = np.asarray(shift, float)[:, None]
        return values

    def drift(self, values: np.ndarray) -> Drift:
        """Displacement with the coefficients ``values`` (2, functions)."""
        n = self.lines.shape[1]
        return Drift(values[:, :n] @ self.lines.T, values[:, n:] @ self.columns.T, self.jumps)

    def steps(self, values: np.ndarray) -> np.ndarray:
        """Sizes (2, jumps) of the jumps in ``values``, dy and dx in pixels."""
        n = self.lines.shape[1]
        return values[:, n - len(self.jumps) : n]

    def jumping(self, values: np.ndarray, jumps: tuple[int, ...], sizes: np.ndarray):
        """Another model with these ``jumps``, and ``values`` with their ``sizes`` (2, jumps)."""
        n = self.lines.shape[1]
        smooth = values[:, : n - len(self.jumps)]
        order = np.argsort(jumps, kind="stable")
        model = Model(self.shape, tuple(int(jumps[i]) for i in order))
        return model, np.hstack([smooth, np.asarray(sizes, float)[:, order], values[:, n:]])


@dataclass
class Comparison:
    """Both images at one drift: slopes (2, lines, columns) of the clean one, and the ``rest``.

    Sums of ``weight * slope * rest`` pull on the displacement; sums of ``gain * weight * slope *
    slope`` are what is known of it (1/px²). ``cost`` is the robust chi-square of each line, and
    ``scale`` the gain and the spread of the rest that it is based on.
    """

    slopes: np.ndarray
    rest: np.ndarray
    weight: np.ndarray
    gain: float
    cost: np.ndarray
    scale: tuple[float, float]


class Grid:
    """The images at one scale: the noisy on a grid of its pixels, the clean as a spline."""

    def __init__(self, noisy: np.ndarray, clean: np.ndarray, smooth: float, step: int):
        """Images smoothed by ``smooth`` px; every ``step``-th pixel of the noisy one is used."""
        step = max(step, int(np.ceil(np.sqrt(noisy.size / GRID_PIXELS))))
        self.smooth, self.step = smooth, step
        self.part = tuple(slice(step // 2, n, step) for n in noisy.shape)
        self.at = np.arange(noisy.shape[0])[self.part[0]]  # the lines compared
        self.noisy = band_pass(noisy, smooth)[self.part]
        fine = band_pass(clean, smooth)
        images = (fine, *np.gradient(fine))
        self.splines = [ndimage.spline_filter(i, order=3, output=np.float32) for i in images]
        self.last = [n - 1 - MARGIN for n in clean.shape]
        self.correlated = max(1.0, 4 * np.pi * smooth**2 / step**2)  # grid points per free value

    def compare(self, drift: Drift, scale: tuple[float, float] | None = None) -> Comparison:
        """Both images at ``drift``; ``scale`` of another comparison makes costs comparable.

        Outside the clean image nothing is known: no weight, and the cost that noise has.
        """
        at = y, x = drift.at(*self.part)
        c, *slopes = (
            ndimage.map_coordinates(s, at, order=3, prefilter=False, mode="nearest")
            for s in self.splines
        )
        seen = (y >= MARGIN) & (y <= self.last[0]) & (x >= MARGIN) & (x <= self.last[1])
        gain, spread = scale or (max((c * self.noisy)[seen].sum(), 1e-6), 1.0)
        if not scale and seen.any():
            gain = max(gain / max((c * c)[seen].sum(), 1e-12), 1e-6)
            spread = 1.4826 * np.median(np.abs(self.noisy - gain * c)[seen]) + 1e-9
        rest = self.noisy - gain * c
        size = np.abs(rest) / spread
        weight = seen * np.minimum(1, 2 / np.maximum(size, 1e-9))
        weight *= gain / (spread**2 * self.correlated)
        cost = np.where(size < 2, size**2, 4 * size - 4)  # Huber's
        cost = np.where(seen, cost, 1).sum(axis=1) / self.correlated
        return Comparison(np.stack(slopes), rest, weight, gain, cost, (gain, spread))

    def equations(self, seen: Comparison, model: Model, values: np.ndarray):
        """Penalised normal matrix and right side of the Gauss-Newton step from ``values``."""
        bases = [
            basis[part] for basis, part in zip((model.lines, model.columns), self.part, strict=True)
        ]
        sy, sx = seen.slopes
        yy, yx, xx = (
            seen.gain * normal(seen.weight * s, bases) for s in (sy * sy, sy * sx, sx * sx)
        )
        pull = np.concatenate([projected(seen.weight * s * seen.rest, bases) for s in seen.slopes])
        stiff = np.kron(np.eye(2), model.penalty)
        matrix = np.block([[yy, yx], [yx, xx]]) + stiff
        matrix += 1e-6 * max(matrix.max(), 1e-9) * np.eye(len(matrix))
        return matrix, pull - stiff @ values.ravel()

    def settled(self, model: Model, values: np.ndarray) -> np.ndarray:
        """Coefficients from ``values`` on, after Gauss-Newton steps until they hardly change."""
        for _ in range(20):
            seen = self.compare(model.drift(values))
            if not seen.weight.any():
                break
            change = np.linalg.solve(*self.equations(seen, model, values)).reshape(2, -1)
            change = np.clip(change, -self.smooth, self.smooth)
            values = values + change
            if np.abs(change).max() < 0.01 * self.smooth:
                break
        return values


def normal(weight: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Sum over pixels of ``weight`` times products of the functions of lines and columns."""
    lines, columns = bases
    down = lines.T @ (weight.sum(axis=1)[:, None] * lines)
    right = columns.T @ (weight.sum(axis=0)[:, None] * columns)
    cross = lines.T @ weight @ columns
    return np.block([[down, cross], [cross.T, right]])


def projected(values: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Sum over pixels of ``values`` times each function of the lines, then of the columns."""
    return np.concatenate([values.sum(axis=1) @ bases[0], values.sum(axis=0) @ bases[1]])
