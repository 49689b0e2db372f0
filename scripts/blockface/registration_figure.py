"""Picture of registered pairs: overlays before and after, the drift, and what is left of it."""

from dataclasses import dataclass
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from scipy import ndimage

from blockface.registration import Registration
from blockface.shifts_left import TILE

SHOWN = 8
VIEW = 160  # pixels, side of the part that the overlays show
SMOOTH = 1.2  # pixels, so that noise does not hide the edges
ARROW = 30  # how much longer than the shift left the arrows are


@dataclass
class Panel:
    """What the picture shows of one pair: two RGB overlays, titles, drift and tiles."""

    name: str
    before: np.ndarray
    after: np.ndarray | None
    result: Registration
    place: tuple[int, int]


def panel(name: str, noisy: np.ndarray, clean: np.ndarray, result: Registration) -> Panel:
    """Panel of one pair, with the overlays of the place where registration moved most."""
    y, x = most_moved(noisy, result)
    part = slice(y, y + VIEW), slice(x, x + VIEW)
    before = overlay(noisy[part], clean[part])
    after = None
    if result.pair is not None:
        shown = ndimage.gaussian_filter(result.pair, (0, SMOOTH, SMOOTH))
        first = result.rows.start, result.columns.start
        part = tuple(
            slice(max(0, p.start - f), max(0, p.stop - f)) for p, f in zip(part, first, strict=True)
        )
        after = overlay(*(image[part] for image in shown), smooth=0)
    return Panel(name, before, after, result, (y, x))


def most_moved(noisy: np.ndarray, result: Registration) -> tuple[int, int]:
    """Corner (y, x) of the view around the tile that was displaced most."""
    limits = [max(0, n - VIEW) for n in noisy.shape]
    if result.tiles is None or not len(result.tiles):
        return limits[0] // 2, limits[1] // 2
    y, x = (
        (result.tiles[:, axis] + part.start).astype(int)
        for axis, part in enumerate((result.rows, result.columns))
    )
    moved = np.linalg.norm(result.drift.line[:, y] + result.drift.column[:, x], axis=0)
    best = int(np.argmax(moved))
    return tuple(
        int(np.clip(c[best] - VIEW // 2, 0, limit)) for c, limit in zip((y, x), limits, strict=True)
    )


def overlay(noisy: np.ndarray, clean: np.ndarray, smooth: float = SMOOTH) -> np.ndarray:
    """RGB in 0..1: noisy in red, clean in cyan, so that what agrees is grey."""
    grey = []
    for image in (noisy, clean):
        image = ndimage.gaussian_filter(np.asarray(image, dtype=np.float32), smooth)
        low, high = np.percentile(image, (1, 99)) if image.size else (0, 1)
        grey.append(np.clip((image - low) / max(high - low, 1e-9), 0, 1))
    red, cyan = (g[: min(n.shape[0] for n in grey), : min(n.shape[1] for n in grey)] for g in grey)
    return np.dstack([red, cyan, cyan])


def registration_figure(panels: list[Panel], shape: tuple[int, int], total: int) -> Figure:
    """Picture of at most ``SHOWN`` panels, refused pairs first; ``shape`` (y, x) of the frame."""
    panels = sorted(panels, key=lambda p: p.result.accepted)[:SHOWN]
    figure = Figure(figsize=(13, 3.3 * len(panels) + 0.6), layout="constrained")
    figure.suptitle(
        f"{len(panels)} of {total} pairs; overlays: noisy red, clean cyan, agreement grey"
    )
    for row, item in zip(figure.subplots(len(panels), 4, squeeze=False), panels, strict=True):
        show(row[0], item.before, f"{item.name}: before")
        if item.after is None:
            row[1].set_title(f"refused: {item.result.reason}", fontsize=8, wrap=True)
            for axes in row[1:]:
                axes.axis("off")
            continue
        title = f"after: correlation {item.result.correlation:.2f}"
        if not item.result.accepted:
            title = fill(f"refused: {item.result.reason}", 44)
        show(row[1], item.after, title)
        draw_drift(row[2], item.result)
        draw_tiles(row[3], item, shape)
    return figure


def show(axes, image: np.ndarray, title: str) -> None:
    """One overlay with its title."""
    axes.imshow(image, interpolation="nearest")
    axes.set_title(title, fontsize=9)
    axes.axis("off")


def draw_drift(axes, result: Registration) -> None:
    """Displacement of the clean image down the lines (drift) and along the columns (stretch)."""
    drawn = (result.drift.line, "line", "-"), (result.drift.column, "column", ":")
    for parts, where, style in drawn:
        for values, name, colour in zip(parts, ("y", "x"), ("tab:blue", "tab:orange"), strict=True):
            axes.plot(values, style, color=colour, label=f"{name} by {where}")
    for number, line in enumerate(result.drift.jumps):
        label = None if number else "jump"
        axes.axvline(line, color="tab:red", lw=0.7, ls="--", label=label)
    axes.set_xlabel("line or column (px)", fontsize=8)
    axes.set_ylabel("displacement (px)", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.legend(fontsize=6, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)


def draw_tiles(axes, item: Panel, shape: tuple[int, int]) -> None:
    """Arrows: the shift that local estimation still finds, tile by tile; square: the view."""
    result = item.result
    y, x, dy, dx, correlation = result.tiles.T
    y, x = y + result.rows.start, x + result.columns.start
    points = axes.quiver(
        x,
        y,
        dx * ARROW,
        dy * ARROW,
        correlation,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.006,
        clim=(0, 1),
        cmap="viridis",
    )
    axes.figure.colorbar(points, ax=axes, shrink=0.8).set_label("correlation", fontsize=7)
    axes.plot(x, y, ".", color="0.6", markersize=2, zorder=0)
    corner = item.place
    axes.add_patch(Rectangle(corner[::-1], VIEW, VIEW, fill=False, color="tab:red", lw=0.7))
    axes.set(xlim=(0, shape[1]), ylim=(shape[0], 0), aspect="equal")
    axes.tick_params(labelsize=7)
    axes.set_title(
        f"left: median {result.residual:.2f}, 95 % {result.residual_p95:.2f} px\n"
        f"tiles of {TILE} px, arrows {ARROW} times as long; red: the part shown",
        fontsize=8,
    )
