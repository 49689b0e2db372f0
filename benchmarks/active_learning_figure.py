"""The learning curves of benchmarks/active_learning.py, as a table and a picture."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from blockface.figures import COLOURS, MARKS, save, styled

SETTING = ["stack", "training", "base", "edge", "places", "controls"]
LOOK = {"ranked": (COLOURS[0], "-"), "random": (COLOURS[1], "--")}


def area_share(part: pd.DataFrame) -> float:
    """Area with which ranked places reach the Dice that random ones end with, over theirs.

    ``part``: rows (choice, annotated_percent, dice) of one stack and seed. 0.5 is half the work;
    NaN where ranked places never get there.
    """
    random, ranked = (part[part["choice"] == c] for c in ("random", "ranked"))
    if random.empty or ranked.empty:
        return np.nan
    aim = random["dice"].max()
    area = random.loc[random["dice"].idxmax(), "annotated_percent"]
    ranked = ranked.sort_values("annotated_percent")
    best = ranked["dice"].cummax().to_numpy()
    areas = ranked["annotated_percent"].to_numpy()
    if best[-1] < aim:
        return np.nan
    there = int(np.argmax(best >= aim))
    if there == 0:
        return areas[0] / area
    low, high = best[there - 1], best[there]
    between = (aim - low) / (high - low)
    return (areas[there - 1] + between * (areas[there] - areas[there - 1])) / area


def mean_curves(part: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of both curves, of rounds that all seeds have."""
    seeds = part["seed"].nunique()
    found = part.groupby(["choice", "round"]).agg(
        annotated_percent=("annotated_percent", "mean"), dice=("dice", "mean"),
        seeds=("seed", "nunique"),
    )  # fmt: skip
    return found[found["seeds"] == seeds].reset_index()


def markdown(table: pd.DataFrame) -> str:
    """A row for each round (mean of the seeds), and below how much area the ranking saved."""
    lines = [
        "| stack | training | round | annotated (%) | Dice, ranked | Dice, random |"
        " rank correlation, slices | places |",
        "|---" * 8 + "|",
    ]
    for (*setting, number), part in table.groupby([*SETTING, "round"], sort=False):
        dice = [mean_spread(part.loc[part["choice"] == c, "dice"]) for c in LOOK]
        known = " | ".join(mean_spread(part[c]) for c in ("spearman", "spearman_places"))
        percent = part["annotated_percent"].mean()
        lines.append(
            f"| {setting[0]} | {setting[1]} | {number} | {percent:.2f} | {' | '.join(dice)} |"
            f" {known} |"
        )
    for setting, part in table.groupby(SETTING, sort=False):
        by_seed = [p for _, p in part.groupby("seed")]
        shares = [area_share(p) for p in (*by_seed, mean_curves(part))]
        *told, mean = ("not reached" if np.isnan(s) else f"{s:.2f}" for s in shares)
        slices, places = (mean_spread(part[c]) for c in ("spearman", "spearman_places"))
        lines.append(
            f"\n{setting[0]}, {setting[1]}, {setting[2]} channels, {setting[4]} places of "
            f"{setting[3]} px a round ({setting[5]} of the ranked ones drawn at random): "
            f"area that ranked places need for the best Dice of random ones, over theirs: {mean} "
            f"on the mean curves, by seed {', '.join(told)}. Rank correlation with the true error: "
            f"slices {slices}, places {places}."
        )
    return "\n".join(lines)


def mean_spread(values: pd.Series) -> str:
    """Mean, and the standard deviation if there is more than one value."""
    values = values.dropna()
    if values.empty:
        return "–"
    return f"{values.mean():.3f}" + (f" ± {values.std():.3f}" if len(values) > 1 else "")


@styled
def curves(table: pd.DataFrame, path: str | Path) -> Path:
    """PNG of Dice against annotated area, a panel per stack, and of the rank correlation."""
    groups = list(table.groupby(SETTING, sort=False))
    figure = Figure(figsize=(5.4 * (len(groups) + 1), 4.4))
    *axes, last = figure.subplots(1, len(groups) + 1)
    for axis, (setting, part) in zip(axes, groups, strict=True):
        for choice, (colour, line) in LOOK.items():
            own = part[part["choice"] == choice]
            for _, rows in own.groupby("seed"):
                axis.plot(rows["annotated_percent"], rows["dice"], line, color=colour, alpha=0.3)
            mean = own.groupby("round")[["annotated_percent", "dice"]].mean()
            axis.plot(*mean.to_numpy().T, line, color=colour, marker="o", lw=2.2, label=choice)
        axis.set(xlabel="annotated (% of the voxels)", ylabel="Dice on held-out slices",
                 title=f"{setting[0]}, trainings of {setting[1]}")  # fmt: skip
        axis.legend(loc="lower right")
    for i, (setting, part) in enumerate(groups):
        colour = COLOURS[2 + i % 5]
        for column, kind, line in (("spearman_places", "places", "-"), ("spearman", "slices", ":")):
            mean = part.groupby("round")[column].mean()
            label = f"{setting[0]}, {kind}"
            last.plot(mean.index, mean, line, color=colour, marker=MARKS[i % 8], label=label)
            last.plot(part["round"], part[column], ".", color=colour, alpha=0.4)
    last.axhline(0.7, color="#777777", ls=":", lw=1)
    last.set(
        xlabel="round", ylabel="rank correlation of expected\nand true error", ylim=(None, 1.02)
    )
    last.set_xticks(sorted(table["round"].unique()))
    last.legend(loc="best")
    return save(figure, path)
