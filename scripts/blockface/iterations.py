"""The audit of all iterations of a dataset: what each learnt from, how good it was, what it found.

Everything is read from what the iterations left in their folders; nothing in there is changed.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.tables import read_table

COLUMNS = (
    "iteration", "class", "annotated_percent", "held_out_slices", "held_out_voxels", "dice",
    "correction_rate", "n_objects", "diameter_mean_nm", "annotations_sha256", "model_sha256",
    "measured_sha256", "verdict",
)  # fmt: skip
MEASURED = ("threshold", "separate", "slices", "merge_ratio", "max_radius_nm", "min_volume_um3")
GAIN = 0.002  # of the mean Dice; less is no gain
PATIENCE = 2  # rounds without gain after which more of the same is not worth it
FELL, NO_GAIN, GAINED, FIRST = "fell", "no gain", "gain", "first"


def number_of(folder: str | Path) -> int:
    """Number of the iteration in a folder iter_NN."""
    return int(Path(folder).name.removeprefix("iter_"))


def gather(folders: Iterable[str | Path]) -> pd.DataFrame:
    """COLUMNS with a row per iteration and class, of the iterations in ``folders`` (iter_NN).

    correction_rate is the share of the voxels reviewed in the *next* round in which a person
    changed this iteration's class, so the newest has none; dice is that on the held-out slices.
    """
    folders = {number_of(f): Path(f) for f in folders}
    rows = []
    for number, folder in sorted(folders.items()):
        scores = read_table(folder / "evaluation.csv", ("iteration", "split", "class", "dice"))
        own = scores[(scores["iteration"] == number) & (scores["split"] == "held_out")]
        rates = _correction_rates(folders.get(number + 1), number)
        found = read_table(folder / "tables/summary.csv", ("class", "measure", "all"))
        found = found.set_index(["class", "measure"])["all"]
        digests = _digests(folder)
        for row in own.to_dict("records"):
            name = row["class"]
            rows.append({
                "iteration": number,
                "class": name,
                "annotated_percent": row.get("annotated_percent", np.nan),
                "held_out_slices": row["slices"],
                "held_out_voxels": row["voxels"],
                "dice": row["dice"],
                "correction_rate": rates.get(name, np.nan),
                "n_objects": found.get((name, "n_objects"), np.nan),
                "diameter_mean_nm": found.get((name, "diameter_mean_nm_mean"), np.nan),
                **digests,
            })  # fmt: skip
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    return table.assign(verdict=table["iteration"].map(verdicts(table)))


def _correction_rates(following: Path | None, number: int) -> dict[str, float]:
    """Share of voxels corrected, by class, as the iteration after ``number`` found it."""
    if following is None:
        return {}
    rows = read_table(following / "evaluation.csv")
    rows = rows[(rows["split"] == "corrected") & (rows["iteration"] == number)]
    if "changed" not in rows:  # of an earlier version
        return {}
    return dict(zip(rows["class"], rows["changed"] / rows["voxels"], strict=True))


def _digests(folder: Path) -> dict[str, str | None]:
    """SHA-256 of the network, of the list of annotation files with theirs, and of MEASURED."""
    manifest = json.loads((folder / "manifest.json").read_text())
    settings = manifest["settings"]["dataset"]
    home = Path(settings["annotations"])
    measured = json.dumps({key: settings.get(key) for key in MEASURED}, sort_keys=True)
    files = [(Path(r["path"]), r["sha256"]) for r in manifest["inputs"]]
    painted = [f"{p.relative_to(home)}\t{s}\n" for p, s in files if p.is_relative_to(home)]
    models = [r["sha256"] for r in manifest["results"] if r["path"].endswith("segmenter/model.pt")]
    return {
        "annotations_sha256": hashlib.sha256("".join(sorted(painted)).encode()).hexdigest(),
        "model_sha256": models[0] if models else None,
        "measured_sha256": hashlib.sha256(measured.encode()).hexdigest(),
    }


def verdicts(table: pd.DataFrame) -> dict[int, str | None]:
    """What became of the mean held-out Dice in each iteration of ``table``: iteration, class, dice.

    "gain" over the best before, "no gain", "fell" below the one before, or "first"; None where no
    class has a score. Two iterations are compared in the classes that have one in both.
    """
    found, before = {}, []
    scores = table.pivot_table(index="iteration", columns="class", values="dice", dropna=False)
    for number, now in scores.iterrows():
        if now.isna().all():
            found[int(number)] = None
            continue
        gains = [gain for gain in ((now - then).mean() for then in before) if np.isfinite(gain)]
        if not gains:
            verdict = FIRST
        elif gains[-1] < -GAIN:
            verdict = FELL
        else:
            verdict = GAINED if min(gains) > GAIN else NO_GAIN
        found[int(number)] = verdict
        before.append(now)
    return found


def stopping_hint(table: pd.DataFrame) -> str | None:
    """A sentence where the last rounds gained nothing, else None; ``table`` as in `verdicts`."""
    told = {k: v for k, v in verdicts(table).items() if v}
    last = list(told.items())[-PATIENCE:]
    if len(last) < PATIENCE or any(v in (FIRST, GAINED) for _, v in last):
        return None
    rounds = " and ".join(f"{number:02d}" for number, _ in last)
    scores = table.groupby("iteration")["dice"].agg(["count", "mean"])
    # means of fewer classes than others have do not compare
    means = scores.loc[scores["count"] == scores["count"].max(), "mean"]
    best = int(means.idxmax())
    return (
        f"Rounds {rounds} brought no gain on the held-out slices: the best mean Dice is "
        f"{means[best]:.3f}, of iteration {best:02d}. More rounds of this kind are hardly worth "
        "the time; use that iteration, or change what is learnt from (settings, kind of places)."
    )


def measured_otherwise(table: pd.DataFrame) -> str | None:
    """A sentence where the newest iteration's objects were not found as those of all others were.

    ``table`` as `gather` makes it.
    """
    how = table.drop_duplicates("iteration").set_index("iteration")["measured_sha256"].sort_index()
    others = how.index[how != how.iloc[-1]]
    if not len(others):
        return None
    return (
        f"Objects of iteration {', '.join(f'{n:02d}' for n in others)} were separated by other "
        f"settings ({', '.join(MEASURED)}) than those of {how.index[-1]:02d}: their numbers and "
        "diameters do not compare. Measure them again with --config iteration=N."
    )


def dice_of(table: pd.DataFrame, iteration: int) -> list[tuple[str, float | None, float | None]]:
    """Class, held-out Dice now and in the iteration before it in ``table``; None for no value."""

    def value(number: int, name: str) -> float | None:
        rows = table[(table["iteration"] == number) & (table["class"] == name)]["dice"]
        return None if rows.dropna().empty else float(rows.iloc[-1])

    earlier = table.loc[table["iteration"] < iteration, "iteration"]
    before = int(earlier.max()) if len(earlier) else -1
    names = table.loc[table["iteration"] == iteration, "class"].unique()
    return [(str(n), value(iteration, n), value(before, n)) for n in names]


def falls(table: pd.DataFrame, iteration: int) -> list[str]:
    """Warnings for every class whose held-out Dice fell by GAIN or more, or has no value.

    ``table``: iteration, class, dice; with the voxels scored (voxels or held_out_voxels) it is
    told where they are not the same.
    """
    found = []
    voxels = next((c for c in ("voxels", "held_out_voxels") if c in table), None)
    for name, now, before in dice_of(table, iteration):
        if now is None:
            found.append(f"Dice of {name} on held-out slices has no value: no voxel of it there.")
        elif before is not None and before - now >= GAIN:
            rows = table[(table["class"] == name) & (table["iteration"] <= iteration)]
            same = voxels is None or rows.sort_values("iteration")[voxels].tail(2).nunique() == 1
            found.append(
                f"Dice of {name} on held-out slices fell from {before:.3f} to {now:.3f} against "
                "the previous iteration. Look through the new round for slips before going on."
                + ("" if same else " (Other voxels were held out then: the two hardly compare.)")
            )
    return found
