"""What a denoiser takes away, against the noise that was there: structure in it is lost signal."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy import ndimage

from blockface.figures import COLOURS, save, styled

DETAIL = 4.0  # px, SD of the Gaussian beyond which nothing counts as detail
LAGS = 8  # px
NOISE, TAKEN = "noise (noisy - partner)", "taken away (noisy - denoised)"


def lost_detail(denoised: np.ndarray, clean: np.ndarray) -> float:
    """Share of the clean image's detail that is missing in the denoised one: 0 none, 1 all.

    Minus the slope of the regression of ``denoised - clean`` on what a Gaussian of ``DETAIL``
    pixels takes from ``clean``. All (y, x), grey levels. NaN for a clean image without detail.
    """
    fine = clean - ndimage.gaussian_filter(clean.astype(float), DETAIL)
    power = (fine**2).sum()
    return float(-((denoised - clean) * fine).sum() / power) if power > 1e-9 * fine.size else np.nan


def autocorrelation(residual: np.ndarray) -> np.ndarray:
    """Correlation (2, LAGS + 1) of a residual (y, x) with itself, shifted along y and along x."""
    rest = residual - residual.mean()
    power = max((rest**2).mean(), 1e-12)
    rows = [(rest[lag:] * rest[: len(rest) - lag]).mean() for lag in range(LAGS + 1)]
    columns = [(rest[:, lag:] * rest[:, : rest.shape[1] - lag]).mean() for lag in range(LAGS + 1)]
    return np.array([rows, columns]) / power


def spectrum(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spatial frequencies (1/px, up to 0.5) and the mean power of a residual (y, x) at each."""
    window = np.hanning(residual.shape[0])[:, None] * np.hanning(residual.shape[1])
    rest = (residual - residual.mean()) * window
    power = np.abs(np.fft.rfft2(rest)) ** 2 / (window**2).sum()
    at = np.hypot(np.fft.fftfreq(rest.shape[0])[:, None], np.fft.rfftfreq(rest.shape[1]))
    edges = np.linspace(0, 0.5, min(residual.shape) // 4 + 1)
    bins = np.digitize(at.ravel(), edges) - 1
    inside = bins < len(edges) - 1
    count = np.bincount(bins[inside], minlength=len(edges) - 1)
    total = np.bincount(bins[inside], power.ravel()[inside], minlength=len(edges) - 1)
    return (edges[:-1] + edges[1:]) / 2, total / np.maximum(count, 1)


@styled
def residual_figure(
    images: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]], path: str | Path
) -> Path:
    """PNG of histogram, spectrum and autocorrelation of the residual, beside those of the noise.

    ``images`` holds (noisy, denoised, clean) by pair number; the curves are means over the pairs.
    """
    kinds = {
        NOISE: [noisy - clean for noisy, _, clean in images.values()],
        TAKEN: [noisy - denoised for noisy, denoised, _ in images.values()],
    }
    figure = Figure(figsize=(10.5, 3.6))
    left, middle, right = figure.subplots(1, 3)
    reach = 4 * max(np.concatenate([r.ravel() for r in kinds[NOISE]]).std(), 0.5)
    for colour, (name, residuals) in zip(("#aaaaaa", COLOURS[0]), kinds.items(), strict=True):
        values = np.concatenate([r.ravel() for r in residuals])
        left.hist(values, np.linspace(-reach, reach, 61), density=True, histtype="step", lw=1.8,
                  color=colour, label=name)  # fmt: skip
        curves = [spectrum(r) for r in residuals]
        shortest = min(len(f) for f, _ in curves)
        power = np.mean([p[:shortest] for _, p in curves], axis=0)
        middle.semilogy(curves[0][0][:shortest], power, color=colour, lw=1.8)
        along = np.mean([autocorrelation(r) for r in residuals], axis=0)
        for values, style, axis in zip(along, ("-", "--"), ("y", "x"), strict=True):
            right.plot(values, style, color=colour, lw=1.8, label=f"along {axis}")
    left.set(xlabel="grey levels", yticks=[], title="histogram")
    middle.set(xlabel="spatial frequency (1/px)", ylabel="power", title="spectrum")
    right.set(xlabel="shift (px)", ylabel="correlation", title="autocorrelation")
    right.legend(*(part[2:] for part in right.get_legend_handles_labels()), fontsize=9)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return save(figure, path)
