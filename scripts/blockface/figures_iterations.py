"""Picture of the audit table: what changed from round to round, as a PNG file."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from blockface.figures import COLOURS, MARKS, save, styled
from blockface.iterations import FELL, measured_otherwise, stopping_hint

PANELS = (
    ("annotated_percent", "annotated (% of the voxels)"),
    ("dice", "Dice on held-out slices"),
    ("correction_rate", "corrected (% of reviewed)"),
    ("n_objects", "objects"),
    ("diameter_mean_nm", "mean diameter (nm)"),
)
LINES = ("-", "--", ":", "-.")


@styled
def iterations_figure(table: pd.DataFrame, path: str | Path) -> Path:
    """PNG of five panels against iteration, a line per class; a fallen Dice is ringed.

    ``table`` is iterations.csv.
    """
    figure = Figure(figsize=(15, 3.9))
    axes = figure.subplots(1, len(PANELS))
    for axis, (column, name) in zip(axes, PANELS, strict=True):
        factor = 100 if column == "correction_rate" else 1
        if column == "annotated_percent":  # the same for all classes
            rows = table.drop_duplicates("iteration")
            axis.plot(rows["iteration"], rows[column], "ko-", mfc="white")
        else:
            for i, (label, rows) in enumerate(table.groupby("class", sort=False)):
                axis.plot(
                    rows["iteration"], factor * rows[column], marker=MARKS[i % 8],
                    color=COLOURS[i % 8], ls=LINES[i % 4], label=str(label),
                )  # fmt: skip
        axis.set(title=name, xlabel="iteration")
        axis.title.set_fontsize(11)
        axis.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axis.set_xlim(table["iteration"].min() - 0.4, table["iteration"].max() + 0.4)
        values = factor * table[column].dropna()
        if values.empty:
            axis.set_yticks([])
            axis.text(0.5, 0.5, "none yet", transform=axis.transAxes, ha="center", color="#777777")
        elif column == "n_objects":
            axis.set_ylim(0, 1.1 * max(values.max(), 1))
            axis.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        elif column != "dice":
            axis.set_ylim(0, 1.15 * (values.max() or 1))
    _ring_falls(axes[1], table)
    hints = [
        hint.split(":")[0] for hint in (stopping_hint(table), measured_otherwise(table)) if hint
    ]
    if hints:
        figure.suptitle("\n".join(hints), fontsize=12, color=COLOURS[5])
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return save(figure, path)


def _ring_falls(axis, table: pd.DataFrame) -> None:
    fallen = table[table["verdict"] == FELL]
    if len(fallen):
        axis.plot(fallen["iteration"], fallen["dice"], "o", ms=15, mfc="none", mec=COLOURS[5],
                  mew=2, ls="none", label="mean Dice fell")  # fmt: skip
    values = table["dice"].dropna()
    if len(values):
        low, high = values.min(), values.max()
        room = max(0.02, 0.25 * (high - low))
        axis.set_ylim(max(0, low - room), min(1.005, high + room))
        if np.isclose(low, high):
            axis.yaxis.set_major_locator(MaxNLocator(4))
