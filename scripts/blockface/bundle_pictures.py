"""Pictures in the folder of a place: where it lies, what was predicted, where that is unsure."""

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.patches import Rectangle

from blockface.figures import save, styled
from blockface.pictures import ON_GREY, extent, grey, legend, painted, sheet, show

PLACE, AROUND = "place.png", "around.png"
DETAIL = 384  # pixels of the slice around the worst spot that are shown of each neighbour


@styled
def place_picture(
    overview: np.ndarray,
    frame: tuple[float, float, float, float],
    image: np.ndarray,
    masks: dict[str, np.ndarray],
    uncertainty: np.ndarray,
    spot: tuple[int, int],
    path: Path,
    pixel_nm: tuple[float, float],
) -> Path:
    """PNG with the whole slice, the place with the predicted masks, and how unsure they are.

    ``overview`` is the slice, coarse; ``frame`` (top, left, height, width in shares of it) the
    place; the rest is of the place: ``masks`` by class, ``uncertainty`` 0..255, ``spot`` (y, x)
    the worst one.
    """
    figure, axes = sheet(3, image.shape)
    size = extent(image, pixel_nm)
    whole = (size[0] / frame[2], size[1] / frame[3])
    show(axes[0], grey(overview), whole, "the slice, and this place in it")
    corner = (frame[1] * whole[1], frame[0] * whole[0])
    axes[0].add_patch(Rectangle(corner, size[1], size[0], fill=False, ec="#FFD000", lw=2))
    colours = dict(zip(masks, ON_GREY, strict=False))
    show(axes[1], painted(image, list(masks.values()), ON_GREY), size, "predicted: correct this")
    heat = 0.45 * grey(image) + 0.55 * colormaps["inferno"](uncertainty)[..., :3]
    show(axes[2], heat, size, "bright: the network is unsure")
    for axis in axes[1:]:
        ring(axis, spot, pixel_nm)
    legend(figure, colours)
    return save(figure, path)


def ring(axis, spot: tuple[int, int], pixel_nm: tuple[float, float]) -> None:
    """A ring about the pixel ``spot`` (y, x)."""
    y, x = ((s + 0.5) * size for s, size in zip(spot, pixel_nm, strict=True))
    axis.plot(x, y, "o", ms=26, mfc="none", mec="white", mew=2)


@styled
def around_picture(
    slab: np.ndarray,
    masks: dict[str, np.ndarray],
    first_z: int,
    z: int,
    spot: tuple[int, int],
    path: Path,
    pixel_nm: tuple[float, float],
) -> Path:
    """PNG of the neighbourhood of ``spot`` (y, x) in slice ``z`` and at most two on either side.

    ``slab`` and ``masks`` (by class) are (z, y, x) and begin at slice ``first_z``.
    """
    shown = [n for n in range(first_z, first_z + len(slab)) if abs(n - z) <= 2]
    corner = [
        max(0, min(s - DETAIL // 2, n - DETAIL)) for s, n in zip(spot, slab.shape[1:], strict=True)
    ]
    rows, columns = (slice(c, c + DETAIL) for c in corner)
    detail = slab[0, rows, columns].shape
    figure, axes = sheet(len(shown), detail, columns=5)
    for axis, n in zip(axes, shown, strict=True):
        at = (n - first_z, rows, columns)
        picture = painted(slab[at], [mask[at] for mask in masks.values()], ON_GREY)
        title = f"slice {n}: correct this" if n == z else f"slice {n}"
        show(axis, picture, extent(slab[at], pixel_nm), title)
        ring(axis, tuple(s - c for s, c in zip(spot, corner, strict=True)), pixel_nm)
        axis.title.set_fontweight("bold" if n == z else "normal")
        axis.title.set_fontsize(10)
    legend(figure, dict(zip(masks, ON_GREY, strict=False)))
    return save(figure, path)
