"""What people made of the places handed out: confirmed or corrected, how much, how long."""

import logging
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.errors import InputError
from blockface.misplaced import LEAST, found_elsewhere
from blockface.priority import Priority
from blockface.round_files import TIMES
from blockface.rounds import REGIONS
from blockface.scores import UNKNOWN, Scores, confusion

log = logging.getLogger(__name__)

ALL = "all"
SITTING = 600  # minutes that somebody may correct one place without opening it again


def correction_report(bundles, classes: dict[int, str], priority: Priority) -> pd.DataFrame:
    """One row per place that was handed out and class, and one for all classes of the place.

    Columns: round, place, z (the slice meant), control (drawn at random), class; status: confirmed
    (brought back as it was), corrected, or missing (no file of that class came back, or none that
    reaches the slice meant);
    voxels_reviewed; voxels_added and voxels_removed against the prediction (of all: changed from
    and to nothing); voxels_changed; correction_rate, changed by reviewed; context_changed, voxels
    changed in slices of context;
    dice of the prediction; minutes between opening and saving, NaN where no file tells; note, if
    the masks hardly are of that place. Places of whose prediction nothing came back with them are
    left out.

    Raises
    ------
    InputError
        Masks that do not lie where they were handed out (blockface.misplaced).
    """
    places = [bundle for bundle in bundles if bundle.predicted is not None]
    rows = []
    for bundle in places:
        others = [b for b in places if b is not bundle and b.number == bundle.number]
        found = _place(bundle, classes, others, priority)
        rows += [
            {
                "round": bundle.number,
                "place": _name(bundle),
                "z": bundle.predicted.z,
                "control": bundle.predicted.control,
                **row,
            }
            for row in found
        ]
        _tell(rows[-1])
        bundle.close()
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def by_round(report: pd.DataFrame) -> pd.DataFrame:
    """A row per round of a `correction_report`: its places by status, and what was changed there.

    Columns: round; places; confirmed, corrected, class missing (places); voxels_reviewed,
    voxels_changed, correction_rate, context_changed and minutes (of places that tell them) of all;
    control_rate, the correction_rate of the places drawn at random, the worst not among them.
    """
    whole = report[report["class"] == ALL]
    sums = ["voxels_reviewed", "voxels_changed", "context_changed"]
    grouped = whole.groupby("round")
    made = grouped[sums].sum()
    drawn = whole[whole["control"]].groupby("round")[sums].sum().reindex(made.index)
    for at, (name, some) in enumerate((("correction_rate", made), ("control_rate", drawn)), 2):
        rate = some["voxels_changed"] / some["voxels_reviewed"].where(some["voxels_reviewed"] > 0)
        made.insert(at, name, rate)
    counts = {name: whole["status"].eq(name).groupby(whole["round"]).sum() for name in STATUSES}
    told = {"places": grouped.size(), **counts}
    for at, (name, values) in enumerate(told.items()):
        made.insert(at, "class missing" if name == "missing" else name, values)
    made["minutes"] = grouped["minutes"].sum(min_count=1)
    return made.reset_index()


def odd_places(report: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `correction_report` with a note."""
    return report[report["note"].notna() & (report["note"] != "")]


STATUSES = ("confirmed", "corrected", "missing")
COLUMNS = {
    "round": "int64", "place": "str", "z": "int64", "control": "bool", "class": "str",
    "status": "str",
    "voxels_reviewed": "int64", "voxels_added": "int64", "voxels_removed": "int64",
    "voxels_changed": "int64", "correction_rate": "float64", "context_changed": "int64",
    "dice": "float64", "minutes": "float64", "note": "str",
}  # fmt: skip


def _name(bundle) -> str:
    """Name of the place: that of its folder, without the one called corrected."""
    folder = bundle.folder
    return folder.parent.name if folder.name == "corrected" else folder.name


def _place(bundle, classes: dict[int, str], others: list, priority: Priority) -> list[dict]:
    """Rows of one place: of each class, then of all; ``others`` are the places beside it."""
    predicted = bundle.predicted
    files = [f for f in bundle.files if f.predicted is predicted]
    spoken = sorted({c for f in files for c in f.classes})
    corner, shape = predicted.offset[1:], predicted.labels.shape[1:]
    scores = {c: Scores() for c in spoken}
    context = dict.fromkeys(spoken, 0)
    whole = {"added": 0, "removed": 0, "changed": 0, "context": 0, "reviewed": 0}
    slab = np.zeros((2, *predicted.labels.shape), np.uint8)  # as handed out, as it came back
    for z in range(predicted.offset[0], predicted.offset[0] + len(predicted.labels)):
        before = predicted.over(z, corner, shape)
        before[~np.isin(before, spoken)] = 0
        after, asked = before.copy(), {c: np.zeros(shape, bool) for c in spoken}
        for file in files:
            here = file.speaks_for(z, corner, shape)
            after[here & np.isin(before, file.classes)] = 0
            for c in file.classes:
                asked[c] |= here
        for file in files:
            after = priority.merge(after, file.labels(z, corner, shape))
        slab[:, z - predicted.offset[0]] = before, after
        differ = before != after
        if z != predicted.z:
            whole["context"] += int(np.count_nonzero(differ))
            for c in spoken:
                context[c] += int(np.count_nonzero((before == c) != (after == c)))
            continue
        whole["reviewed"] += int(np.count_nonzero(np.any(list(asked.values()), axis=0)))
        whole["changed"] += int(np.count_nonzero(differ))
        whole["added"] += int(np.count_nonzero(differ & (before == 0)))
        whole["removed"] += int(np.count_nonzero(differ & (after == 0)))
        for c in spoken:
            scores[c] += confusion(before, np.where(asked[c], after, UNKNOWN), c)
    notes = {} if all(f.listed for f in files) else _notes(bundle, slab, spoken, classes, others)
    rows = [
        _row(name, scores[c].voxels, scores[c].false_negative, scores[c].false_positive,
             scores[c].changed, context[c], scores[c].dice)
        if c in spoken
        else _row(name, 0, 0, 0, 0, 0, np.nan) | {"status": "missing"}
        for c, name in classes.items()
    ]  # fmt: skip
    total = sum(scores.values(), Scores())
    rows.append(
        _row(ALL, whole["reviewed"], whole["added"], whole["removed"], whole["changed"],
             whole["context"], total.dice)
        | ({} if len(spoken) == len(classes) else {"status": "missing"})
        | {"minutes": minutes_spent(bundle.folder)}
    )  # fmt: skip
    return [row | {"note": notes.get(row["class"], "")} for row in rows]


def _notes(bundle, slab: np.ndarray, spoken: list[int], classes, others: list) -> dict[str, str]:
    """What is odd about the place of the masks of each class, by its name."""
    notes, before = {}, bundle.predicted.labels
    beside = {
        f"that of {_name(b)}": b.predicted.labels
        for b in others
        if b.predicted.labels.shape == before.shape
        and not np.array_equal(b.predicted.labels, before)
    }
    if np.isin(before, spoken).sum() >= LEAST and not slab[1].any():
        notes[ALL] = "nothing is left of what was handed out; were the masks saved empty?"
        log.warning("%s: %s", bundle.folder, notes[ALL])
    for c in spoken:
        was, now = slab == c
        others = {f"that of {name}": before == d for d, name in classes.items() if d != c}
        others |= {name: labels == c for name, labels in beside.items()}
        found = found_elsewhere(was, now, others)
        if found is None:
            continue
        said, certain = found
        if certain:
            raise InputError(
                f"{bundle.folder}: {classes[c]}: {said}; expected masks that lie as they were "
                "handed out; save them again, each under the name of its class and in the "
                f"orientation of the image, or, if all is right, say in {REGIONS} beside them what "
                "was reviewed"
            )
        notes[classes[c]] = said
        log.warning("%s: %s: %s", bundle.folder, classes[c], said)
    return notes


def _row(name, reviewed, added, removed, changed, context, dice) -> dict:
    return {
        "class": name,
        "status": "corrected" if changed or context else "confirmed" if reviewed else "missing",
        "voxels_reviewed": reviewed,
        "voxels_added": added,
        "voxels_removed": removed,
        "voxels_changed": changed,
        "correction_rate": changed / reviewed if reviewed else np.nan,
        "context_changed": context,
        "dice": dice,
        "minutes": np.nan,
    }


def _tell(row: dict) -> None:
    """Log the row of a whole place."""
    spent = f", {row['minutes']:.0f} min" if np.isfinite(row["minutes"]) else ""
    log.info(
        "round %02d, %s: %s, %d of %d voxels changed%s",
        row["round"], row["place"], row["status"], row["voxels_changed"], row["voxels_reviewed"],
        spent,
    )  # fmt: skip


def minutes_spent(folder: Path) -> float:
    """Minutes between opening a place and its last saving, summed over sittings; NaN if unknown.

    The scripts of a bundle note both in times.tsv; what a person broke in it is warned of, and a
    sitting of more than SITTING minutes, or of less than none, is left out: the place was left
    open, or a clock was set.
    """
    noted = [f for f in (folder / TIMES, folder / "corrected" / TIMES) if f.is_file()]
    if not noted:
        return np.nan
    path = noted[0]
    opened = saved = None
    total = 0.0
    try:
        for line in [*path.read_text().splitlines(), "opened\t"]:
            what, when = line.split("\t")
            if what == "opened":
                spent = (saved - opened).total_seconds() / 60 if saved else 0.0
                if 0 <= spent <= SITTING:
                    total += spent
                else:
                    log.warning("%s: %.0f minutes in one sitting; left out", path, spent)
                opened, saved = when and datetime.fromisoformat(when), None
            elif what == "saved" and opened:
                saved = datetime.fromisoformat(when)
    except (ValueError, TypeError) as error:
        log.warning("%s: not as the scripts write it (%s); minutes stay unknown", path, error)
        return np.nan
    return total if total > 0 else np.nan
