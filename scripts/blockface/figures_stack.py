"""Pictures of a whole stack: directions, diameters with their modes, order in space."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import dawsn

from blockface.directions import AXES, direction_vectors, mean_direction
from blockface.figures import COLOURS, save, styled

SHARPNESS = 60.0  # κ of the kernel on the sphere, about 7 degrees
MOST = 4000  # objects in the density, every nth of more
GRID = 161
FEWEST = 5  # objects of a class that make a distribution
DOTS = 400  # objects up to which each is drawn


@styled
def directions(objects: pd.DataFrame, path: str | Path) -> Path | None:
    """PNG of the directions on the upper hemisphere, seen along z, a picture per class.

    Equal-area projection (Schmidt net): z is the centre, the plane of the slices the rim, x to the
    right and y down as in an image. Colour is the density, weighted by length, over that at random.
    None where the table has no directions.
    """
    classes = [k for k, part in objects.groupby("class") if len(part) >= 2]
    if not set(AXES) <= set(objects) or not classes:
        return None
    columns = min(3, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure(figsize=(max(5.4, 4.6 * columns), 4.7 * rows))
    for i, kind in enumerate(classes):
        axis = figure.add_subplot(rows, columns, i + 1)
        part = objects[objects["class"] == kind]
        hemisphere(figure, axis, part, kind)
    if alone := sorted(set(objects["class"]) - set(classes)):
        figure.supxlabel(f"not drawn, of one object: {', '.join(alone)}", fontsize=10)
    return save(figure, path)


def hemisphere(figure: Figure, axis, objects: pd.DataFrame, kind: str) -> None:
    """One class on ``axis``."""
    vectors, weight = direction_vectors(objects), objects.length_nm.fillna(0).to_numpy(float)
    mean, (order, angle, _) = mean_direction(vectors, weight)
    grid = np.linspace(-1, 1, GRID)
    x, y = np.meshgrid(grid, grid)
    radius = np.hypot(x, y)
    z = 1 - radius**2  # of the equal-area projection scaled to a rim of 1
    flat = np.sqrt(np.clip(2 - radius**2, 0, None))
    places = np.stack([z, y * flat, x * flat], -1)[radius <= 1]
    some = slice(None, None, -(-len(vectors) // MOST))
    share = weight[some] / max(weight[some].sum(), 1e-30)
    kernel = np.exp(SHARPNESS * ((places @ vectors[some].T) ** 2 - 1)) @ share
    density = np.full(x.shape, np.nan)
    density[radius <= 1] = kernel * np.sqrt(SHARPNESS) / dawsn(np.sqrt(SHARPNESS))
    shown = axis.pcolormesh(grid, grid, density, cmap="viridis", vmin=0, rasterized=True)
    figure.colorbar(shown, ax=axis, label="density (× random)", shrink=0.75)
    if len(vectors) <= DOTS:
        axis.plot(*projected(vectors), ".", ms=3, color="white", alpha=0.6)
    if np.isfinite(mean).all():
        axis.plot(*projected(mean[None]), "*", ms=15, color="#FF6A2B", mec="black")
    turn = np.linspace(0, 2 * np.pi, 200)
    for degrees in (30, 60, 90):
        r = np.sqrt(2) * np.sin(np.radians(degrees) / 2)
        axis.plot(r * np.cos(turn), r * np.sin(turn), color="white" if degrees < 90 else "black",
                  lw=0.6 if degrees < 90 else 1.2)  # fmt: skip
        if degrees < 90:
            axis.text(0, r, f"{degrees}°", color="white", fontsize=8, ha="center", va="bottom")
    axis.text(1.03, 0, "x", va="center")
    axis.text(0, 1.04, "y", ha="center", va="top")
    axis.set(xlim=(-1.05, 1.1), ylim=(1.12, -1.05), aspect="equal")
    axis.set_axis_off()
    axis.set_title(f"{kind}, n {len(vectors)}\norder {order:.2f}, dispersion {angle:.0f}°")


def projected(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y in the net of upward unit vectors (n, 3)."""
    z, y, x = vectors.T
    scale = 1 / np.sqrt(1 + np.clip(z, 0, 1))
    return x * scale, y * scale


@styled
def diameters_and_order(
    diameters: pd.DataFrame, radial: pd.DataFrame, summary: pd.DataFrame, path: str | Path
) -> Path | None:
    """PNG of the distribution of diameters with its modes and of g(r), a row per class.

    The tables are those of the stack. None where no class has as many as 5 objects.
    """
    counts = diameters.groupby("class")["all"].sum()
    classes = sorted(counts.index[counts >= FEWEST])
    if not classes:
        return None
    figure = Figure(figsize=(11, 0.3 + 3.2 * len(classes)))
    axes = figure.subplots(len(classes), 2, squeeze=False)
    for i, (row, kind) in enumerate(zip(axes, classes, strict=True)):
        colour = COLOURS[i % 8]
        told = summary[summary["class"] == kind].set_index("measure")["all"]
        mode_panel(row[0], diameters[diameters["class"] == kind], told, colour)
        row[0].set_ylabel(f"{kind}\nobjects")
        order_panel(row[1], radial[radial["class"] == kind], told, colour)
    return save(figure, path)


def mode_panel(axis, table: pd.DataFrame, told: pd.Series, colour: str) -> None:
    """Histogram of diameters with the spread between layers, and the modes."""
    wide = table.high_nm - table.low_nm
    axis.bar(table.low_nm, table["all"], wide, align="edge", color=colour, alpha=0.35, label="all")
    axis.stairs(table.inside, np.r_[table.low_nm, table.high_nm.iloc[-1:]], color=colour, lw=1.6,
                label="not cut by the border")  # fmt: skip
    if table.spread.notna().any():
        axis.errorbar(table.low_nm + wide / 2, table["all"], table.spread, fmt="none", lw=1,
                      ecolor="#555555", label="spread between layers")  # fmt: skip
    names = [f"diameter_mode_{m}" for m in range(1, 6) if f"diameter_mode_{m}_nm" in told]
    for name in names:
        axis.axvline(told[f"{name}_nm"], color="black", lw=1.2, ls="--")
    modes = [f"{told[f'{n}_nm']:.3g} nm ({told[f'{n}_share']:.0%})" for n in names]
    axis.set(xlabel="mean diameter (nm)", ylim=(0, None))
    axis.set_title(("mode " if len(names) == 1 else "modes ") + ", ".join(modes) if modes else "")
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.legend(fontsize=9, frameon=True, framealpha=0.85, edgecolor="none")


def order_panel(axis, table: pd.DataFrame, told: pd.Series, colour: str) -> None:
    """g(r) with its spread between planes or layers."""
    if not table.g.notna().any():
        axis.set_title("too few objects for g(r)", color="#777777")
        axis.set_axis_off()
        return
    r = (table.r_low_nm + table.r_high_nm) / 2
    axis.axhline(1, color="black", lw=1, ls=":")
    axis.plot(r, table.g, color=colour, lw=1.8)
    if table.spread.notna().any():
        axis.fill_between(
            r, table.g - table.spread, table.g + table.spread, color=colour, alpha=0.2
        )
    where = {"plane": "across the mean direction", "3-D": "in 3-D"}[table.space.iloc[0]]
    ratio = [told[n] for n in told.index if n.startswith("clark_evans_ratio")]
    axis.set_title(f"{where}; Clark–Evans {ratio[0]:.2f}" if ratio else where)
    axis.set(xlabel="distance of centres r (nm)", ylabel="g(r); 1: at random", ylim=(0, None),
             xlim=(0, None))  # fmt: skip
