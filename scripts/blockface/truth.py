"""Scores against a known truth: segmentation, counts, and the sizes of matched objects.

Everything rests on one table, how many voxels each found object shares with each true one. It is
filled row by row of the volumes, so memory does not grow with the stack.
"""

import logging

import numpy as np
import pandas as pd

from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.volume import open_volume, slab_rows

log = logging.getLogger(__name__)

SAME = 0.5  # IoU from which a found object is the true one; above it no second one can be
HALF = 0.5  # share of an object's voxels in another from which it belongs to that
SIZES = ("length_nm", "displacement_nm", "diameter_mean_nm", "volume_um3")


def overlaps(found_path: str, truth_path: str) -> pd.DataFrame:
    """Voxels by pair of ids: columns found, true, voxels; id 0 is what belongs to no object.

    Both are volumes (z, y, x) of ids on one grid. Raises `InputError` where the shapes differ.
    """
    found, truth = open_volume(found_path), open_volume(truth_path)
    same_grid(found, found_path, truth, truth_path)
    parts = []
    for row in slab_rows(found.shape):
        pair = found[row].astype(np.uint64) << np.uint64(32)
        pair |= truth[row].astype(np.uint64)
        parts.append(count_runs(pair.ravel()))
        log.info("overlap: slice %d of %d", row.stop, found.shape[0])
    key, voxels = (np.concatenate(part) for part in zip(*parts, strict=True))
    table = pd.DataFrame({"key": key, "voxels": voxels}).groupby("key", as_index=False).sum()
    key = table["key"].to_numpy()
    ids = {"found": key >> np.uint64(32), "true": key & np.uint64(2**32 - 1)}
    return pd.DataFrame({**{k: v.astype(np.int64) for k, v in ids.items()},
                         "voxels": table["voxels"]})  # fmt: skip


def count_runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ``values`` (1-D) and how often each occurs; fast where neighbours are equal."""
    starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
    lengths = np.diff(np.append(starts, len(values)))
    distinct, which = np.unique(values[starts], return_inverse=True)
    return distinct, np.bincount(which, lengths).astype(np.int64)


def same_grid(found, found_path: str, truth, truth_path: str) -> None:
    """Stop where a truth does not lie on the grid of the result."""
    if found.shape[-3:] != truth.shape:
        raise InputError(
            f"{truth_path}: the truth has the shape {truth.shape} (z, y, x), the result "
            f"{found_path} {found.shape[-3:]}; name this stack's truth in datasets.<name>.truth"
        )


def class_voxels(
    classes_path: str, truth_path: str, class_of: dict[int, str], threshold: float | None
) -> pd.DataFrame:
    """Voxels found, true and both, by class, of a segmentation against a truth of ids (z, y, x).

    ``classes_path`` holds a probability (class, z, y, x), where the likeliest class above
    ``threshold`` (0..1) counts, or class values (z, y, x). ``class_of``: the class of a true id.
    """
    classes, truth = Classes(classes_path, threshold), open_volume(truth_path)
    same_grid(classes, classes_path, truth, truth_path)
    value_of = {name: value for value, name in classes.names.items()}
    lookup = np.zeros(max(class_of, default=0) + 2, np.uint8)  # ids without a row: nothing
    for number, name in class_of.items():
        lookup[number] = value_of.get(name, 0)
    counts = np.zeros((256, 256), np.int64)
    for row in slab_rows(truth.shape):
        found = classes.read((row, slice(None), slice(None)))
        true = lookup[np.minimum(truth[row], len(lookup) - 1)]
        for value in value_of.values():
            counts[value] += np.bincount(true[found == value], minlength=256)
        counts[0] += np.bincount(true[found == 0], minlength=256)
    values = list(classes.names)
    return pd.DataFrame(
        {
            "class": [classes.names[value] for value in values],
            "found": counts.sum(1)[values],
            "true": counts.sum(0)[values],
            "both": np.diag(counts)[values],
        }
    )


def match(overlap: pd.DataFrame, found: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """One row per true object: what became of it.

    ``found`` and ``truth`` are tables with object_id and class; only objects of one class match.
    Columns: true_id, class, fate, object_id (0: none), iou, pieces. ``fate`` is

    - matched: one found object has an IoU of at least 0.5 with it;
    - merged: half of it or more lies in a found object that holds half or more of another, too;
    - split: two or more found objects lie in it with half or more of their voxels (``pieces``);
    - missed: none of these.
    """
    of_true, of_found = (table.set_index("object_id")["class"] for table in (truth, found))
    size_found = overlap.groupby("found")["voxels"].sum()
    size_true = overlap.groupby("true")["voxels"].sum()
    pairs = overlap[overlap["found"].isin(of_found.index) & overlap["true"].isin(of_true.index)]
    same = pairs["found"].map(of_found).to_numpy() == pairs["true"].map(of_true).to_numpy()
    pairs = pairs[same].copy()
    a, b = pairs["found"].map(size_found), pairs["true"].map(size_true)
    pairs["iou"] = pairs["voxels"] / (a + b - pairs["voxels"])
    pairs["of_true"], pairs["of_found"] = pairs["voxels"] / b, pairs["voxels"] / a
    pairs = pairs.sort_values(["iou", "true", "found"], ascending=[False, True, True])

    same_object = pairs[pairs["iou"] >= SAME].drop_duplicates("true").drop_duplicates("found")
    holds = pairs[pairs["of_true"] >= HALF].drop_duplicates("true")
    crowded = holds[holds.duplicated("found", keep=False)]
    pieces = pairs[pairs["of_found"] >= HALF].groupby("true").size()
    rows = truth[["object_id", "class"]].rename(columns={"object_id": "true_id"})
    rows["pieces"] = rows["true_id"].map(pieces).fillna(0).astype(int)
    rows["fate"] = "missed"
    rows.loc[rows["pieces"] >= 2, "fate"] = "split"
    rows.loc[rows["true_id"].isin(crowded["true"]), "fate"] = "merged"
    rows.loc[rows["true_id"].isin(same_object["true"]), "fate"] = "matched"
    best = pairs.drop_duplicates("true").set_index("true")
    rows["iou"] = rows["true_id"].map(best["iou"]).fillna(0.0)
    partner = same_object.set_index("true")["found"]
    rows["object_id"] = rows["true_id"].map(partner).fillna(0).astype(int)
    return rows[["true_id", "class", "fate", "object_id", "iou", "pieces"]].reset_index(drop=True)


def false_objects(overlap: pd.DataFrame, found: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Ids of the found objects that lie by more than half outside every true one of their class."""
    of_found, of_true = (t.set_index("object_id")["class"] for t in (found, truth))
    ours = overlap["found"].map(of_found)
    right = overlap[ours.notna() & (ours == overlap["true"].map(of_true))]
    inside = found["object_id"].map(right.groupby("found")["voxels"].sum()).fillna(0)
    size = found["object_id"].map(overlap.groupby("found")["voxels"].sum())
    return found["object_id"][inside < HALF * size]


def add_sizes(matches: pd.DataFrame, found: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """``matches`` with found and true sizes (``<size>``, ``<size>_true``), and ``cut``.

    Sizes that one of the tables lacks are left out; ``cut`` is 1 where the border of the image
    cuts the true object (0 if the truth does not say).
    """
    sizes = [name for name in SIZES if name in found and name in truth]
    ours = found[["object_id", *sizes]]
    cut = truth.get("cut", 0)
    theirs = truth[sizes].add_suffix("_true").assign(true_id=truth["object_id"], cut=cut)
    return matches.merge(ours, "left", on="object_id").merge(theirs, "left", on="true_id")


def score(
    matches: pd.DataFrame,
    found: pd.DataFrame,
    false: pd.Series,
    voxels: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Tidy table of all scores: measure, class, value, unit.

    ``matches`` as from `add_sizes`, ``false`` from `false_objects`, ``voxels`` from
    `class_voxels`. The bias of a size is the mean, its spread the standard deviation of
    (found - true) / true, over matched objects that the border of the image does not cut.
    """
    rows = []
    if voxels is not None:
        for row in voxels.itertuples():
            name, both = row[1], row.both
            rows += [("dice", name, 2 * both / max(row.found + row.true, 1), "1"),
                     ("iou", name, both / max(row.found + row.true - both, 1), "1")]  # fmt: skip
    for name, group in matches.groupby("class", sort=False):
        ours = found[found["class"] == name]
        fates = group["fate"].value_counts()
        counts = {"objects_found": len(ours), "objects_true": len(group)}
        counts |= {f"objects_{fate}": fates.get(fate, 0) for fate in
                   ("matched", "merged", "split", "missed")}  # fmt: skip
        counts["objects_false"] = ours["object_id"].isin(false).sum()
        rows += [(key, name, float(value), "count") for key, value in counts.items()]
        whole = group[(group["fate"] == "matched") & (group["cut"] == 0)]
        for size in (s for s in SIZES if s in group):
            error = 100 * (whole[size] / whole[f"{size}_true"] - 1).dropna()
            if len(error):
                measure = size.rsplit("_", 1)[0]
                rows += [(f"{measure}_compared", name, float(len(error)), "count"),
                         (f"{measure}_bias", name, error.mean(), "%"),
                         (f"{measure}_spread", name, error.std(ddof=0), "%")]  # fmt: skip
    return pd.DataFrame(rows, columns=["measure", "class", "value", "unit"])
