"""Pictures of tables: training curves, scores, distributions and the strip along z, as PNG files.

Every function takes data frames and writes one PNG, whose path it returns. Colours follow
Okabe and Ito, which colour-blind readers can tell apart, and no line is told by colour alone.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatter, LogLocator, MaxNLocator

COLOURS = ("#0072B2", "#D98200", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A7A00", "#555555")
MARKS = "os^Dv<>P"
PALE = 0.35  # opacity of what is cut by the border
ROUNDING = 1e-5  # relative difference below which values are drawn as one
STYLE = {
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "figure.facecolor": "white",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
styled = matplotlib.rc_context(STYLE)
MEASURES = {
    "length_nm": ("length (µm)", 1e-3),
    "diameter_mean_nm": ("mean diameter (nm)", 1),
    "volume_um3": ("volume (µm³)", 1),
    "nearest_distance_nm": ("distance to nearest (nm)", 1),
}


def save(figure: Figure, path: str | Path) -> Path:
    """Path of the PNG file made of ``figure`` at 144 pixels an inch, without a date in it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=144, metadata={"Software": None})
    return path


@styled
def training_curves(history: pd.DataFrame, path: str | Path) -> Path:
    """PNG of loss, and of the validation score if there is one, against training step.

    ``history`` has ``step`` and ``train_loss``; ``validation_loss``, ``validation_psnr``,
    ``validation_dice`` and ``training_dice`` are drawn where they are there.
    """
    scores = {
        "validation_psnr": "PSNR on validation images (dB)",
        "validation_dice": "Dice on validation patches",
        "training_dice": "Dice on patches it trains on",
    }
    scores = {k: v for k, v in scores.items() if k in history and history[k].notna().any()}
    figure = Figure(figsize=(10, 3.8))
    axes = figure.subplots(1, 1 + len(scores), squeeze=False)[0]
    lines = (("train_loss", "training", "-"), ("validation_loss", "validation", "--"))
    for i, (column, name, line) in enumerate(lines):
        if column in history and history[column].notna().any():
            seen = history[["step", column]].dropna()
            mark = {"marker": "."} if len(seen) < 60 else {}
            axes[0].plot(seen["step"], seen[column], line, color=COLOURS[i], label=name, **mark)
    axes[0].set(ylabel="loss")
    axes[0].legend()
    if "validation_loss" in history and history["validation_loss"].notna().any():
        best = history.loc[history["validation_loss"].idxmin()]
        axes[0].axvline(best["step"], color="#777777", lw=1, ls=":")
    for axis, (column, name) in zip(axes[1:], scores.items(), strict=True):
        seen = history[["step", column]].dropna()
        best = seen.loc[seen[column].idxmax()]
        axis.plot(seen["step"], seen[column], color=COLOURS[2], marker=".")
        axis.plot(best["step"], best[column], "o", ms=9, mfc="none", color="black")
        axis.set(ylabel=name, title=f"best {best[column]:.3g} at step {best['step']:.0f}")
    for axis in axes:
        axis.set_xlabel("training step")
        axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return save(figure, path)


def pair_name(pair) -> str:
    """What to call a pair that is given by its number or its file."""
    return f"pair {pair}" if str(pair).isdigit() else Path(str(pair)).name


@styled
def denoising_scores(scores: pd.DataFrame, path: str | Path) -> Path:
    """PNG of PSNR (dB) and SSIM of every pair, before and after the denoiser.

    ``scores`` has ``pair``, ``split``, ``psnr_noisy``, ``psnr_denoised``, ``ssim_noisy`` and
    ``ssim_denoised``, the long-dwell image being the reference.
    """
    scores = scores.sort_values(["split", "pair"], ascending=[False, True])
    at = np.arange(len(scores))
    figure = Figure(figsize=(10, 1.6 + 0.32 * len(scores)))
    axes = figure.subplots(1, 2, sharey=True)
    for axis, measure, label in zip(axes, ("psnr", "ssim"), ("PSNR (dB)", "SSIM"), strict=True):
        noisy, after = scores[f"{measure}_noisy"], scores[f"{measure}_denoised"]
        axis.hlines(at, noisy, after, color="#999999", lw=2)
        axis.plot(noisy, at, "s", color=COLOURS[1], mfc="white", mew=1.6, label="noisy")
        axis.plot(after, at, "o", color=COLOURS[0], label="denoised")
        axis.set(xlabel=f"{label}, higher is better", ylim=(len(at) - 0.4, -0.6))
        axis.grid(axis="y", visible=False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    names = [pair_name(pair)[-28:] for pair in scores["pair"]]
    names = [f"{n} ({s})" for n, s in zip(names, scores["split"], strict=True)]
    axes[0].set_yticks(at, names, fontsize=10)
    return save(figure, path)


@styled
def iteration_scores(evaluation: pd.DataFrame, path: str | Path) -> Path:
    """PNG of Dice, IoU, precision and recall on held-out slices against iteration, per class.

    ``evaluation`` has ``iteration``, ``split``, ``class``, ``dice``, ``iou``, ``precision`` and
    ``recall``; rows of another split than ``held_out`` are not drawn.
    """
    evaluation = evaluation[evaluation["split"] == "held_out"]
    measures = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall"}
    figure = Figure(figsize=(10, 3.6))
    axes = figure.subplots(1, 4, sharey=True)
    for axis, (measure, name) in zip(axes, measures.items(), strict=True):
        for i, (label, rows) in enumerate(evaluation.groupby("class", sort=False)):
            rows = rows.sort_values("iteration")
            axis.plot(
                rows["iteration"], rows[measure], marker=MARKS[i % 8], color=COLOURS[i % 8],
                ls=("-", "--", ":", "-.")[i % 4], label=str(label),
            )  # fmt: skip
        axis.set(xlabel="iteration", title=name, ylim=(0, 1.02))
        axis.set_xticks(sorted(evaluation["iteration"].unique()))
        axis.margins(x=0.15)
    axes[0].set_ylabel("score on held-out slices")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return save(figure, path)


@styled
def object_histograms(objects: pd.DataFrame, path: str | Path) -> Path:
    """PNG of the distributions of length, diameter, volume and nearest distance, a row a class.

    ``objects`` is the table objects.csv. Objects cut by the border are drawn as well, in paler
    colour; number and median are given for all and, where it differs, for whole objects.
    """
    classes = list(dict.fromkeys(objects["class"]))
    figure = Figure(figsize=(12, 0.4 + 3.1 * max(1, len(classes))))
    axes = figure.subplots(max(1, len(classes)), len(MEASURES), squeeze=False)
    for i, (row, label) in enumerate(zip(axes, classes, strict=False)):
        of_class = objects[objects["class"] == label]
        for axis, (column, (name, factor)) in zip(row, MEASURES.items(), strict=True):
            histogram(axis, of_class, column, factor, COLOURS[i % 8])
            axis.set_xlabel(name)
        row[0].set_ylabel(f"{label}\nobjects")
    handles = [
        Patch(color="#555555", label="whole objects"),
        Patch(color="#555555", alpha=PALE, label="cut by the border"),
        Line2D([], [], color="black", lw=1.2, ls="--", label="median of all"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return save(figure, path)


def even_edges(low: float, high: float, bins: int) -> np.ndarray:
    """Edges of ``bins`` from ``low`` to ``high``; what is one but for rounding is in the middle."""
    if high - low > ROUNDING * max(abs(low), abs(high)):
        return np.linspace(low, high, bins + 1)
    room = 0.1 * abs(low) or 1
    return np.linspace(low - room, low + room, 4)


def histogram(axis, objects: pd.DataFrame, column: str, factor: float, colour: str) -> None:
    """Histogram of one measure on ``axis``, logarithmic where it spans over two decades."""
    cut = objects["touches_border"].astype(bool)
    values = (objects[column] * factor).replace([np.inf, -np.inf], np.nan)
    cut, values = cut[values.notna()], values.dropna()
    if values.empty:
        axis.set_title("no value", color="#777777")
        return
    low, high = values.min(), values.max()
    bins = min(40, max(8, int(np.sqrt(len(values)) * 2)))
    if low > 0 and high > 100 * low:
        edges = np.geomspace(low, high * 1.001, bins + 1)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(numticks=5))
        axis.xaxis.set_major_formatter(LogFormatter(labelOnlyBase=True))
    else:
        edges = even_edges(low, high, bins)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.hist([values[~cut], values[cut]], edges, stacked=True, color=[colour, colour],
              label=["whole", "cut by border"])  # fmt: skip
    for bar in axis.containers[1]:
        bar.set_alpha(PALE)
    axis.axvline(values.median(), color="black", lw=1.2, ls="--")
    title = f"n {len(values)}, median {values.median():.3g}"
    if cut.any() and (~cut).any():
        title += f"\nwhole: n {(~cut).sum()}, median {values[~cut].median():.3g}"
    axis.set_title(title, fontsize=10.5)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))


@styled
def slice_strip(
    profile: pd.DataFrame, path: str | Path, annotated: list[int], held_out: list[int],
    worst: list[int],
) -> Path:  # fmt: skip
    """PNG of area fraction and uncertainty of every class along z, with marked slices below.

    ``profile`` has ``z``, ``class``, ``area_fraction`` (0 to 1) and ``uncertainty`` (0 to 1, the
    mean entropy in bits); the lists hold slice numbers.
    """
    figure = Figure(figsize=(11, 5.6))
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.3))
    for i, (label, rows) in enumerate(profile.groupby("class", sort=False)):
        look = {"color": COLOURS[i % 8], "ls": ("-", "--", ":", "-.")[i % 4], "label": str(label)}
        axes[0].plot(rows["z"], 100 * rows["area_fraction"], **look)
        axes[1].plot(rows["z"], rows["uncertainty"], **look)
    axes[0].set(ylabel="area (%)", ylim=(0, None))
    axes[1].set(ylabel="uncertainty\n(mean entropy, bit)", ylim=(0, None))
    axes[0].legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    marked = (("annotated", annotated), ("held out", held_out), ("to correct next", worst))
    for i, (_, places) in enumerate(marked):
        axes[2].plot(places, np.full(len(places), i), MARKS[i], color=COLOURS[(2, 3, 5)[i]], ms=7)
    axes[2].set_yticks(range(3), [f"{name} ({len(places)})" for name, places in marked])
    axes[2].set(ylim=(2.6, -0.6), xlabel="slice z")
    axes[2].grid(axis="y", visible=False)
    axes[2].xaxis.set_major_locator(MaxNLocator(10, integer=True))
    return save(figure, path)
