"""Pictures of slices: denoising, predictions and errors over the image, as PNG files.

Every function takes single slices as arrays and writes one PNG, whose path it returns. Grey
images are shown between their 0.5th and 99.5th percentile. Sizes in nm are in the order of the
axes of the picture: down, across.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from blockface.figures import COLOURS, save, styled
from blockface.reviewed import Without, seen_for

ON_GREY = ("#56B4E9", "#E69F00", "#00C896", "#F578C8", "#F0E442", "#FF6A2B", "#4F7BFF", "#FFFFFF")
VERDICTS = {
    "right": "#56B4E9",
    "too much (prediction only)": "#FF6A2B",
    "missed (annotation only)": "#F0E442",
}


def grey(image: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Image as float RGB in 0..1, stretched between its percentiles, or those of ``like``."""
    low, high = np.percentile(image if like is None else like, (0.5, 99.5))
    stretched = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(stretched[..., None], 3, -1)


def outlines(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of ``mask`` that lie within ``width`` pixels of its edge."""
    inner = mask
    for _ in range(width):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def enlarged(array: np.ndarray, factor: int) -> np.ndarray:
    """Array with every pixel ``factor`` times as high and wide, so that outlines can be fine."""
    return array.repeat(factor, 0).repeat(factor, 1)


def painted(image: np.ndarray, masks: Sequence[np.ndarray], colours: Sequence[str]) -> np.ndarray:
    """Image as RGB with every mask as a thin wash of its colour and a full outline."""
    factor = max(1, -(-700 // max(image.shape)))
    picture = enlarged(grey(image), factor)
    width = max(1, round(max(picture.shape) / 250))
    for mask, colour in zip(masks, colours, strict=False):
        mask = enlarged(mask, factor)
        picture[mask] = 0.72 * picture[mask] + 0.28 * np.array(to_rgb(colour))
        picture[outlines(mask, width)] = to_rgb(colour)
    return picture


def extent(image: np.ndarray, pixel_nm: tuple[float, float]) -> tuple[float, float]:
    """Height and width of an image in nm."""
    return image.shape[0] * pixel_nm[0], image.shape[1] * pixel_nm[1]


def show(axis, picture: np.ndarray, size_nm: tuple[float, float], title: str) -> None:
    """Put an RGB ``picture`` of height and width ``size_nm`` on ``axis``, with a scale bar."""
    height, width = size_nm
    axis.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
    axis.set_title(title)
    axis.set_axis_off()
    step = 10 ** np.floor(np.log10(width / 3))
    bar = step * max(m for m in (1, 2, 5) if m * step <= width / 3)
    text = f"{bar:g} nm" if bar < 1000 else f"{bar / 1000:g} µm"
    left, low = 0.04 * width, 0.95 * height
    axis.plot([left, left + bar], [low, low], color="black", lw=6, solid_capstyle="butt")
    axis.plot([left, left + bar], [low, low], color="white", lw=3, solid_capstyle="butt")
    axis.annotate(
        text, (left, low), (0, 5), textcoords="offset points", color="white", fontsize=11,
        bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.5, "lw": 0},
    )  # fmt: skip


def sheet(count: int, shape: tuple[float, float], columns: int = 3) -> tuple[Figure, list]:
    """Figure with ``count`` axes for pictures of ``shape`` (height, width in any one unit)."""
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    each = 10.5 / columns
    ratio = min(max(shape[0] / shape[1], 0.25), 2)
    figure = Figure(figsize=(10.5, rows * (each * ratio + 0.4) + 0.5))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.set_axis_off()
    return figure, list(axes[:count])


def legend(figure: Figure, colours: dict[str, str]) -> None:
    """Put coloured patches with their names below the pictures of ``figure``."""
    patches = [Patch(fc=c, ec="#444444", lw=0.5, label=name) for name, c in colours.items()]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(len(patches), 6))


@styled
def noisy_and_denoised(
    noisy: np.ndarray, denoised: np.ndarray, path: str | Path, pixel_nm: tuple[float, float]
) -> Path:
    """PNG of one place before and after, a line profile through both, and what was taken away.

    A detail of at most 400 x 400 pixels from the middle is shown. The residual is noisy minus
    denoised, in grey levels.
    """
    cut = tuple(slice(max(0, n // 2 - 200), n // 2 + 200) for n in noisy.shape)
    whole = noisy.dtype.kind in "ui" and denoised.dtype.kind in "ui"
    noisy, denoised = noisy[cut].astype(np.float32), denoised[cut].astype(np.float32)
    residual = noisy - denoised
    figure = Figure(figsize=(10.5, 7))
    grid = figure.add_gridspec(2, 6, height_ratios=(1.45, 1))
    row = noisy.shape[0] // 2
    pictures = (("noisy", noisy), ("denoised", denoised), ("taken away", residual))
    for i, (name, image) in enumerate(pictures):
        axis = figure.add_subplot(grid[0, 2 * i : 2 * i + 2])
        show(axis, grey(image), extent(image, pixel_nm), name)
        if i < 2:
            axis.axhline((row + 0.5) * pixel_nm[0], color=ON_GREY[1], lw=1)
    at = (np.arange(noisy.shape[1]) + 0.5) * pixel_nm[1] / 1000
    axis = figure.add_subplot(grid[1, :4])
    axis.plot(at, noisy[row], color="#aaaaaa", lw=0.9, label="noisy")
    axis.plot(at, denoised[row], color=COLOURS[0], lw=1.6, label="denoised")
    axis.set(xlabel="along the line (µm)", ylabel="grey level", xlim=(0, at[-1]))
    axis.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
    axis = figure.add_subplot(grid[1, 4:])
    spread = max(np.abs(np.percentile(residual, (0.1, 99.9))).max(), 1)
    width = max(1, np.ceil(spread / 30)) if whole else spread / 30
    axis.hist(residual.ravel(), (np.arange(-31, 31) + 0.5) * width, color=COLOURS[0])
    axis.set(xlabel="noisy - denoised (grey levels)", yticks=[])
    axis.set_title(f"mean {residual.mean():.2g}, SD {residual.std():.3g}", fontsize=11)
    return save(figure, path)


@styled
def denoised_pairs(
    images: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]],
    scores: pd.DataFrame,
    path: str | Path,
) -> Path:
    """PNG of pairs kept out of training, in rows: noisy, denoised, clean, and what was taken away.

    ``images`` holds (noisy, denoised, clean) by pair number, ``scores`` their PSNR and SSIM. At
    most 6 pairs and 300 x 300 pixels of each are shown.
    """
    shown = list(images)[:6]
    figure = Figure(figsize=(10.5, 2.9 * len(shown) + 0.3))
    axes = figure.subplots(len(shown), 4, squeeze=False)
    table = scores.set_index("pair")
    for row, number in zip(axes, shown, strict=True):
        noisy, made, clean = (part[:300, :300] for part in images[number])
        given, row_scores = (noisy, made, clean, noisy - made), table.loc[number]
        titles = (
            f"pair {number}, {row_scores['split']}: noisy {row_scores['psnr_noisy']:.1f} dB",
            f"denoised {row_scores['psnr_denoised']:.1f} dB",
            "partner, registered",
            "taken away",
        )
        for axis, image, title in zip(row, given, titles, strict=True):
            axis.imshow(grey(image), interpolation="nearest")
            axis.set_title(title, fontsize=10)
            axis.set_axis_off()
    return save(figure, path)


@styled
def predictions(
    images: Sequence[np.ndarray], labels: Sequence[np.ndarray], titles: Sequence[str],
    classes: dict[int, str], path: str | Path, pixel_nm: tuple[float, float],
) -> Path:  # fmt: skip
    """PNG of slices with the predicted classes outlined; ``labels`` hold the class values."""
    size = extent(images[0], pixel_nm)
    figure, axes = sheet(len(images), size)
    for axis, image, label, title in zip(axes, images, labels, titles, strict=True):
        show(axis, painted(image, [label == v for v in classes], ON_GREY), size, title)
    legend(figure, dict(zip(classes.values(), ON_GREY, strict=False)))
    return save(figure, path)


@styled
def verdicts(
    images: Sequence[np.ndarray], predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray],
    titles: Sequence[str], classes: dict[int, str], path: str | Path,
    pixel_nm: tuple[float, float], without: Without | None = None,
) -> Path:  # fmt: skip
    """PNG of held-out slices, a row a slice, a column a class: right, too much, missed.

    ``truth`` holds class values, 0 for background and 255 where nobody looked, which is left grey,
    or codes of ``without`` (blockface.reviewed).
    """
    size = extent(images[0], pixel_nm)
    figure, axes = sheet(len(images) * len(classes), size, len(classes) if classes else 1)
    if len(classes) == 1:
        figure, axes = sheet(len(images), size)
    places = [(n, v) for n in range(len(images)) for v in classes]
    for axis, (n, value) in zip(axes, places, strict=True):
        told = seen_for(truth[n], value, without or {})
        known, hit, real = told != 255, predicted[n] == value, told == value
        masks = (hit & real, hit & ~real & known, ~hit & real)
        picture = grey(images[n])
        for mask, colour in zip(masks, VERDICTS.values(), strict=True):
            picture[mask] = 0.35 * picture[mask] + 0.65 * np.array(to_rgb(colour))
        title = f"{titles[n]}, {classes[value]}"
        both = (hit & known).sum() + real.sum()
        if both:
            title += f": Dice {2 * masks[0].sum() / both:.3f}"
        show(axis, picture, size, title)
    legend(figure, VERDICTS)
    return save(figure, path)


@styled
def worst_slices(
    images: Sequence[np.ndarray], labels: Sequence[np.ndarray], worklist: pd.DataFrame,
    classes: dict[int, str], path: str | Path, pixel_nm: tuple[float, float],
) -> Path:  # fmt: skip
    """PNG of the slices of ``worklist`` (rank, z, score, reason), in its order."""
    size = extent(images[0], pixel_nm)
    figure, axes = sheet(len(images), size)
    rows = worklist.itertuples(index=False)
    for axis, image, label, row in zip(axes, images, labels, rows, strict=False):
        title = f"{row.rank}.  z {row.z},  score {row.score:.3g}"
        show(axis, painted(image, [label == v for v in classes], ON_GREY), size, title)
    legend(figure, dict(zip(classes.values(), ON_GREY, strict=False)))
    return save(figure, path)
