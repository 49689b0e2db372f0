"""Picture of the noise: what it looks like, and the model beside what was measured."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from blockface.figures import COLOURS, save, styled
from blockface.noise_estimate import Estimate

VIEW = 200  # pixels, side of the part of the residual that is shown
SPREAD = 3.0  # SD, half the range of its grey levels


@styled
def noise_figure(found: Estimate, path: str | Path) -> Path:
    """PNG: residual and its spectrum, variance against grey level, neighbours, lines, histogram."""
    figure = Figure(figsize=(12, 7.4))
    (seen, variance, neighbours), (spectrum, lines, values) = figure.subplots(2, 3)
    draw_residual(seen, found)
    draw_variance(variance, found)
    draw_neighbours(neighbours, found)
    draw_spectrum(spectrum, found)
    draw_lines(lines, found)
    draw_values(values, found)
    return save(figure, path)


def draw_residual(axes, found: Estimate) -> None:
    """The middle of the residual of the first pair."""
    y, x = (max(0, n // 2 - VIEW // 2) for n in found.residual.shape)
    part = found.residual[y : y + VIEW, x : x + VIEW]
    limit = SPREAD * part.std()
    axes.imshow(part, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_title(f"noisy - partner, {part.shape[0]} px of the first pair")
    axes.set_axis_off()


def draw_variance(axes, found: Estimate) -> None:
    """Variance against grey level, measured and fitted."""
    noise = found.noise
    grey = np.linspace(min(0, found.grey.min()), found.grey.max() * 1.05, 200)
    axes.plot(found.grey, found.measured, "o", color=COLOURS[0], label="measured")
    axes.plot(grey, noise.variance(grey), color=COLOURS[5], label="model")
    sign = "+" if noise.offset >= 0 else "-"
    axes.set_title(f"variance = {noise.gain:.3g} × grey {sign} {abs(noise.offset):.3g}")
    axes.set(xlabel="grey level", ylabel="variance (grey levels²)", ylim=(0, None))
    axes.legend()


def draw_neighbours(axes, found: Estimate) -> None:
    """Correlation with the neighbours along and across the lines."""
    for name, values, mark, colour in (
        ("along the line (x)", found.noise.along, "o-", COLOURS[0]),
        ("across lines (y)", found.noise.across, "s--", COLOURS[1]),
    ):
        axes.plot(range(len(values) + 1), [1, *values], mark, color=colour, label=name)
    axes.axhline(0, color="#777777", lw=0.8)
    axes.set(xlabel="distance (px)", ylabel="correlation", ylim=(-0.15, 1.05))
    axes.set_title("neighbouring pixels")
    axes.legend()


def draw_spectrum(axes, found: Estimate) -> None:
    """Power spectrum of the residual, in dB against its mean; white noise would be even."""
    window = np.outer(*(np.hanning(n) for n in found.residual.shape))
    power = np.abs(np.fft.fftshift(np.fft.fft2(found.residual * window))) ** 2
    cells = [np.array_split(np.arange(n), min(64, n)) for n in power.shape]
    power = np.add.reduceat(power, [c[0] for c in cells[0]], axis=0)
    power = np.add.reduceat(power, [c[0] for c in cells[1]], axis=1)
    power /= np.outer(*([len(c) for c in axis] for axis in cells))
    shown = axes.imshow(
        10 * np.log10(power / power.mean() + 1e-9), extent=(-0.5, 0.5, 0.5, -0.5), vmin=-12,
        vmax=12, cmap="RdBu_r", interpolation="nearest",
    )  # fmt: skip
    axes.figure.colorbar(shown, ax=axes, shrink=0.8, label="power (dB)")
    axes.set(xlabel="x (cycles/px)", ylabel="y (cycles/px)", title="spectrum of the residual")
    axes.grid(visible=False)


def draw_lines(axes, found: Estimate) -> None:
    """Offset of every line of the first pairs."""
    for i, offsets in enumerate([o for o in found.lines if len(o)][:3]):
        axes.plot(offsets, lw=0.7, color=COLOURS[i])
    axes.axhline(0, color="#777777", lw=0.8)
    axes.set(xlabel="line", ylabel="offset (grey levels)")
    axes.set_title(
        f"lines of {min(3, len(found.lines))} pairs: SD {found.noise.line_sd:.2g} between two"
    )


def draw_values(axes, found: Estimate) -> None:
    """Histogram of the residual in units of its expected SD, beside a Gaussian."""
    edges = np.linspace(-6, 6, 97)
    axes.hist(found.in_sd.ravel(), edges, density=True, color=COLOURS[4], label="residual")
    axes.plot(edges, np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi), color=COLOURS[5],
              label="Gaussian")  # fmt: skip
    axes.set(xlabel="noisy - partner over the model's SD", yscale="log", ylim=(1e-6, 10))
    axes.set_title(f"SD of all: {found.in_sd.std():.2f} of the model's")
    axes.legend(loc="upper left")
