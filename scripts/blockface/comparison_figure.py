"""The picture of two volumes compared: fates of objects, distributions, and sizes of effects."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from blockface.figures import COLOURS, MARKS, MEASURES, even_edges, save, styled
from blockface.page import cell

SIDES = (COLOURS[0], COLOURS[1])
FATES = {"matched": COLOURS[2], "gone": "#999999", "appeared": COLOURS[5]}
CLASSES = (COLOURS[3], COLOURS[6], COLOURS[4], COLOURS[7])  # neither those of sides nor of fates
SHOWN = 16  # effects in the picture
SEVERAL = 5  # objects on each side, of which an effect is worth a picture
ASIDE = r"_sensitivity_percent$|^handedness$"  # of the method, or without an order


@styled
def comparison(
    rows: pd.DataFrame, summary: pd.DataFrame, path: str | Path, names: tuple[str, str], note: str
) -> Path:
    """PNG of ``rows`` (comparison.object_rows) and ``summary`` (compare_measures), a row a class.

    ``names`` call the two volumes; ``note`` stands below the title.
    """
    classes = sorted(set(rows["class"])) or ["no objects"]
    figure = Figure(figsize=(15, 0.9 + 3.1 * len(classes) + 2.6))
    grid = figure.add_gridspec(
        len(classes) + 1,
        5,
        height_ratios=[*[3.1] * len(classes), 2.9],
        width_ratios=(1.2, 2, 2, 2, 2),
    )
    for i, kind in enumerate(classes):
        part = rows[rows["class"] == kind]
        fates(figure.add_subplot(grid[i, 0]), part, kind, names)
        for j, (column, (label, factor)) in enumerate(MEASURES.items()):
            axis = figure.add_subplot(grid[i, 1 + j])
            if f"{column}_a" not in part:
                axis.set_axis_off()
                continue
            both(axis, part, column, factor)
            axis.set_xlabel(label)
            if i == j == 0:
                handles = [axis.plot([], [], color=c, lw=2)[0] for c in SIDES]
                figure.legend(handles, names, loc="outside lower center", ncols=2)
    placed = not rows.empty and "not_compared" not in set(rows["fate"])
    if placed:
        shifts(figure.add_subplot(grid[-1, :2]), rows, classes)
    effects(figure.add_subplot(grid[-1, 2:] if placed else grid[-1, :]), summary, classes)
    if note:
        figure.suptitle(note, fontsize=11, color="#a03000")
    return save(figure, path)


def fates(axis, part: pd.DataFrame, kind: str, names: tuple[str, str]) -> None:
    """Bars of what became of the objects, or of how many there are on either side."""
    counts = part["fate"].value_counts()
    if "not_compared" in counts:
        heights = [(part[f"object_id_{side}"] > 0).sum() for side in "ab"]
        ticks, colours = [name.replace("/", "/\n") for name in names], SIDES
    else:
        heights = [counts.get(fate, 0) for fate in FATES]
        ticks, colours = list(FATES), list(FATES.values())
    bars = axis.bar(range(len(ticks)), heights, color=colours)
    axis.set_xticks(range(len(ticks)), ticks)
    axis.bar_label(bars, padding=2, fontsize=10)
    axis.set(ylabel=f"{kind}\nobjects", ylim=(0, 1.15 * max(1, *heights)))
    axis.tick_params(axis="x", labelsize=9, rotation=20)
    axis.grid(axis="x", visible=False)
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def both(axis, part: pd.DataFrame, column: str, factor: float) -> None:
    """The two distributions of one measure, each as a share of its objects, and their medians."""
    sides = [
        (part[f"{column}_{s}"] * factor).replace([np.inf, -np.inf], np.nan).dropna() for s in "ab"
    ]
    every = pd.concat(sides)
    if every.empty:
        axis.set_title("no value", color="#777777")
        return
    low = every.quantile(0.002, interpolation="lower")  # of few objects, all are shown
    high = every.quantile(0.998, interpolation="higher")
    bins = min(30, max(6, round(np.sqrt(2 * len(every)))))
    if low > 0 and high > 30 * low:
        edges = np.geomspace(low, high * 1.001, bins + 1)
        axis.set_xscale("log")
    else:
        edges = even_edges(low, high, bins)
    for values, colour, style in zip(sides, SIDES, ("-", "--"), strict=True):
        if len(values):
            weights = np.full(len(values), 100 / len(values))
            axis.hist(
                values, edges, weights=weights, histtype="step", lw=1.8, color=colour, ls=style
            )
            axis.hist(values, edges, weights=weights, alpha=0.15, color=colour)
            axis.axvline(values.median(), color=colour, lw=1.2, ls=":")
    medians = " → ".join(cell(float(v.median())).text for v in sides)
    axis.set_title(f"median {medians}", fontsize=11)
    axis.set_ylabel("objects (%)", fontsize=10)


def shifts(axis, rows: pd.DataFrame, classes: list[str]) -> None:
    """How far matched objects moved."""
    matched = rows[rows["fate"] == "matched"]
    edges = np.linspace(0, max(1e-9, matched["shift_nm"].quantile(0.99)), 31) if len(matched) else 1
    for i, kind in enumerate(classes):
        moved = matched.loc[matched["class"] == kind, "shift_nm"]
        if len(moved):
            axis.hist(moved, edges, histtype="step", lw=1.8, color=CLASSES[i % 4],
                      label=f"{kind}: median {moved.median():.3g} nm")  # fmt: skip
    axis.set(xlabel="shift of matched objects (nm)", ylabel="objects")
    if len(matched):
        axis.legend(fontsize=10)
    else:
        axis.set_title("no object matched", color="#777777")


def effects(axis, summary: pd.DataFrame, classes: list[str]) -> None:
    """Cliff's delta with its interval: of the measures drawn above, then of the largest effects."""
    told = summary[(summary["objects"] == "all") & summary["cliffs_delta"].notna()]
    told = told[(told[["n_a", "n_b"]] >= SEVERAL).all(axis=1)]
    told = told[~told["measure"].str.contains(ASIDE)]
    size = told["cliffs_delta"].abs().groupby(told["measure"]).max()
    size = size.sort_values(ascending=False, kind="stable")
    drawn = [name for name in MEASURES if name in size]
    names = [*drawn, *size.index.difference(drawn, sort=False)][:SHOWN]
    for i, kind in enumerate(classes):
        part = told[(told["class"] == kind) & told["measure"].isin(names)]
        if part.empty:
            continue
        at = [names.index(n) + (i - (len(classes) - 1) / 2) * 0.22 for n in part["measure"]]
        delta = part["cliffs_delta"]
        error = [delta - part["cliffs_delta_low"], part["cliffs_delta_high"] - delta]
        axis.errorbar(at, delta, np.abs(error), fmt=MARKS[i % 8], ms=5, lw=1.4,
                      color=CLASSES[i % 4], label=kind)  # fmt: skip
    axis.axhline(0, color="black", lw=1)
    axis.set(ylabel="Cliff's delta\n(above 0: second larger)", ylim=(-1.05, 1.05))
    axis.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=9)
    if names:
        axis.legend(fontsize=10, ncols=4, loc="upper right")
    else:
        axis.set_title(f"fewer than {SEVERAL} objects on a side: no effect drawn", color="#777777")
