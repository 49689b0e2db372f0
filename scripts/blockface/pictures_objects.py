"""Pictures of objects in their colours, with their ids, and of their density, as PNG files.

Sizes in nm are in the order of the axes of the picture: down, across.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from blockface.figures import save, styled
from blockface.pictures import extent, grey, show


def id_colours(ids: np.ndarray) -> np.ndarray:
    """RGB of object ids, 0 black; an id has the same colour in every picture."""
    unique, inverse = np.unique(ids, return_inverse=True)
    hue = (unique * 0.6180339887) % 1
    bright = 0.75 + 0.25 * ((unique * 0.3819) % 1)
    colours = hsv_to_rgb(np.stack([hue, 0.55 + 0.35 * ((unique * 0.7549) % 1), bright], -1))
    colours[unique == 0] = 0
    return colours[inverse.reshape(ids.shape)]


@styled
def density_map(
    shares: dict[str, np.ndarray], cell_nm: tuple[float, float, float], path: str | Path
) -> Path:
    """PNG of how much of the volume each class takes up, seen along z and along y.

    ``shares`` (z, y, x) are 0 to 1 in cells of ``cell_nm`` (`sampling.densities`).
    """
    figure = Figure(figsize=(11, 4.6 * len(shares)))
    axes = figure.subplots(len(shares), 2, squeeze=False)
    for row, (name, share) in zip(axes, shares.items(), strict=True):
        views = (("xy", share.mean(axis=0), cell_nm[1:]), ("xz", share.mean(axis=1), cell_nm[::2]))
        most = max(view.max() for _, view, _ in views) * 100
        for axis, (plane, view, cell) in zip(row, views, strict=True):
            height, width = extent(view, tuple(v / 1000 for v in cell))
            shown = axis.imshow(100 * view, extent=(0, width, height, 0), vmin=0, vmax=most or 1)
            axis.set(title=f"{name}, {plane}", xlabel="x (µm)", ylabel=f"{plane[1]} (µm)")
            axis.grid(visible=False)
        figure.colorbar(shown, ax=row, label="volume fraction (%)", shrink=0.8)
    return save(figure, path)


@styled
def numbered_objects(
    image: np.ndarray | None, ids: np.ndarray, path: str | Path, pixel_nm: tuple[float, float],
    title: str, most: int = 60,
) -> Path:  # fmt: skip
    """PNG of a slice with objects in their colours and the ids of the ``most`` largest in them."""
    colours = id_colours(ids)
    if image is not None:
        shade = grey(image)
        colours = np.where((ids > 0)[..., None], 0.45 * shade + 0.55 * colours, shade)
    size = extent(ids, pixel_nm)
    figure = Figure(figsize=(10.5, min(max(10.5 * size[0] / size[1] + 0.4, 4), 14)))
    axis = figure.add_subplot()
    show(axis, colours, size, title)
    flat = np.flatnonzero(ids)
    there, group, count = np.unique(ids.ravel()[flat], return_inverse=True, return_counts=True)
    y, x = np.divmod(flat, ids.shape[1])
    for i in np.argsort(-count, kind="stable")[:most]:
        # the pixel nearest to the middle: it lies in the object even where that is bent
        own = np.flatnonzero(group == i)
        at = own[np.argmin((y[own] - y[own].mean()) ** 2 + (x[own] - x[own].mean()) ** 2)]
        axis.text((x[at] + 0.5) * pixel_nm[1], (y[at] + 0.5) * pixel_nm[0], str(there[i]),
                  fontsize=8, ha="center", va="center", color="white",
                  bbox={"facecolor": "black", "alpha": 0.55, "pad": 0.8, "lw": 0})  # fmt: skip
    return save(figure, path)


@styled
def objects_in_colour(
    planes: Sequence[tuple[str, np.ndarray | None, np.ndarray, tuple[float, float]]],
    path: str | Path,
) -> Path:
    """PNG of objects, each in a colour of its own, in the ``planes`` xy, xz and yz.

    A plane is its title, the image or None, the ids and the pixel size in nm (down, across). A
    column of the middle slice, then xz below and yz beside it, as in an atlas.
    """
    figure = Figure(figsize=(10.5, 10.5))
    heights, widths = zip(*(extent(p[2], p[3]) for p in planes), strict=True)
    across, down = (widths[0], widths[2]), (heights[0], heights[1])
    floor = 0.22
    across = (across[0], max(across[1], floor * across[0]))
    down = (down[0], max(down[1], floor * down[0]))
    figure.set_size_inches(10.5, min(max(10.5 * sum(down) / sum(across), 5), 14))
    grid = figure.add_gridspec(2, 2, width_ratios=across, height_ratios=down)
    for (title, image, ids, pixel_nm), place in zip(planes, ((0, 0), (1, 0), (0, 1)), strict=True):
        colours = id_colours(ids)
        if image is not None:
            shade = grey(image, planes[0][1])
            colours = np.where((ids > 0)[..., None], 0.4 * shade + 0.6 * colours, shade)
        show(figure.add_subplot(grid[place]), colours, extent(ids, pixel_nm), title)
    return save(figure, path)
