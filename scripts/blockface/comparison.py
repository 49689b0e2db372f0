"""Two volumes compared: which object became which, how each moved, and how distributions differ."""

import logging

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from blockface.effects import cliffs_delta, mean_change
from blockface.errors import InputError
from blockface.stack_statistics import measures_of
from blockface.volume import open_volume, voxel_size

log = logging.getLogger(__name__)

LEAST = 0.1  # IoU from which two objects may be one: rods moved by up to 0.7 diameters
SAME_VOXEL = 0.01  # relative difference up to which voxel sizes are the same
FEW = 0.2  # share of matched objects below which the two are hardly one field
APART = 0.5  # median IoU below which matched objects may lie on one another by chance,
ALIKE = 0.5  # and the median cosine between neighbours' shifts below which they do
SHIFTS = ("shift_nm", "shift_z_nm", "shift_y_nm", "shift_x_nm")
SUMMARY = (
    "class", "measure", "objects", "n_a", "n_b", "mean_a", "mean_b", "median_a", "median_b",
    "sd_a", "sd_b", "cliffs_delta", "cliffs_delta_low", "cliffs_delta_high",
    "n_matched", "change_mean", "change_low", "change_high",
)  # fmt: skip


def same_field(one: str, other: str, match: bool, name: str) -> tuple[bool, str]:
    """Whether objects of two volumes are matched by their place, and a note on what was decided.

    Raises
    ------
    InputError
        They have one shape but not one voxel size, and matching is asked for.
    """
    a, b = open_volume(one), open_volume(other)
    size_a, size_b = np.array(voxel_size(a)), np.array(voxel_size(b))
    same = (np.abs(size_a - size_b) <= SAME_VOXEL * size_a).all()
    sizes = [" × ".join(f"{v:g}" for v in size) for size in (size_a, size_b)]
    if match and a.shape == b.shape and not same:
        raise InputError(
            f"compare.{name}: {one} has voxels of {sizes[0]} nm, {other} of {sizes[1]} nm, with "
            "one shape; expected one voxel size to match objects by place; mend voxel_size_nm of "
            f"one, or compare distributions only: {name}: {{of: [...], match: false}}"
        )
    notes = [] if same else [f"voxels of {sizes[0]} and of {sizes[1]} nm (z × y × x)"]
    if match and a.shape != b.shape:
        notes.append("of different shape, so only distributions are compared")
    return bool(match and same and a.shape == b.shape), "; ".join(notes)


def match_objects(overlap: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """One-to-one pairs of objects of one class: object_id_a, object_id_b, overlap_voxels, iou.

    ``overlap`` has the voxels of each pair of ids (columns found, true: of a, of b; 0 is nothing).
    Pairs are taken from the largest IoU down while both are free, as long as it is at least 0.1.
    """
    size_a, size_b = (overlap.groupby(c)["voxels"].sum() for c in ("found", "true"))
    kinds = [t.set_index("object_id")["class"] for t in (a, b)]
    pairs = overlap[overlap["found"].isin(kinds[0].index) & overlap["true"].isin(kinds[1].index)]
    same = pairs["found"].map(kinds[0]).to_numpy() == pairs["true"].map(kinds[1]).to_numpy()
    pairs = pairs[same]
    union = pairs["found"].map(size_a) + pairs["true"].map(size_b) - pairs["voxels"]
    pairs = pairs.assign(iou=pairs["voxels"] / union)
    pairs = pairs[pairs["iou"] >= LEAST].sort_values(
        ["iou", "found", "true"], ascending=[False, True, True]
    )
    taken: tuple[set, set] = set(), set()
    keep = np.zeros(len(pairs), bool)
    for i, (one, other) in enumerate(zip(pairs["found"], pairs["true"], strict=True)):
        if one not in taken[0] and other not in taken[1]:
            keep[i] = True
            taken[0].add(one)
            taken[1].add(other)
    names = {"found": "object_id_a", "true": "object_id_b", "voxels": "overlap_voxels"}
    return pairs[keep].rename(columns=names).reset_index(drop=True)


def doubtful(pairs: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Why objects of two volumes are hardly those of one field; empty if they may be.

    ``pairs`` as of `match_objects`. Densely packed objects of any two samples match, too, each with
    that on which it happens to lie; then neighbours do not move alike, as those of a tissue do.
    """
    if len(pairs) < FEW * min(len(a), len(b)):
        found = "few objects match"
    elif len(pairs) > 1 and pairs["iou"].median() < APART and moved_alike(pairs, a, b) < ALIKE:
        found = (
            f"half of the matched objects have an IoU below {APART:g}, and neighbours move unlike"
        )
    else:
        return ""
    return f"{found}; if these are two samples, read the distributions only"


def moved_alike(pairs: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame) -> float:
    """Median cosine between the shifts of matched objects and of the nearest: 1 if all agree."""
    places = [f"centroid_{x}_nm" for x in "zyx"]
    at, then = (
        t.set_index("object_id").loc[pairs[f"object_id_{side}"], places].to_numpy(float)
        for t, side in ((a, "a"), (b, "b"))
    )
    shift, near = then - at, cKDTree(at).query(at, 2)[1][:, 1]
    size = np.linalg.norm(shift, axis=1)
    both = size * size[near]
    cosine = (shift * shift[near]).sum(axis=1)[both > 0] / both[both > 0]
    return float(np.median(cosine)) if len(cosine) else 1.0


def object_rows(a: pd.DataFrame, b: pd.DataFrame, pairs: pd.DataFrame | None) -> pd.DataFrame:
    """One row per object of either: class, fate, ids, overlap, shift, and each measure of both.

    ``fate`` is matched, gone (only in a) or appeared (only in b); without ``pairs`` it is
    not_compared. The shift is that of the centroid, from a to b. An id of 0 stands for none.
    """
    names = [n for n in measures_of(a) if n in measures_of(b)]
    places = [f"centroid_{x}_nm" for x in "zyx"]
    one, other = (
        t[["object_id", "class", "touches_border", *places, *names]]
        .rename(columns={"class": "kind", "object_id": "id"}).add_suffix(f"_{side}")
        for t, side in ((a, "a"), (b, "b"))
    )  # fmt: skip
    ids = ["object_id_a", "object_id_b", "overlap_voxels", "iou"]
    linked = pd.DataFrame(columns=ids, dtype=float) if pairs is None else pairs[ids]
    table = one.merge(linked, "left", left_on="id_a", right_on="object_id_a")
    table = table.merge(other, "outer", left_on="object_id_b", right_on="id_b")
    both = table["id_a"].notna() & table["id_b"].notna()
    alone = np.where(table["id_a"].notna(), "gone", "appeared")
    rows = {
        "class": table["kind_a"].fillna(table["kind_b"]).astype(str),
        "fate": np.where(both, "matched", alone if pairs is not None else "not_compared"),
        "object_id_a": table["id_a"].fillna(0).astype(np.int64),
        "object_id_b": table["id_b"].fillna(0).astype(np.int64),
        "overlap_voxels": table["overlap_voxels"].fillna(0).astype(np.int64),
        "iou": table["iou"].astype(float),
    }
    shift = [table[f"{p}_b"].astype(float) - table[f"{p}_a"].astype(float) for p in places]
    rows["shift_nm"] = np.sqrt(sum(s**2 for s in shift))
    rows |= dict(zip(SHIFTS[1:], shift, strict=True))
    for side in "ab":
        border = table[f"touches_border_{side}"].astype(object).fillna(False).astype(bool)
        rows[f"touches_border_{side}"] = border
    rows |= {f"{n}_{side}": table[f"{n}_{side}"].astype(float) for n in names for side in "ab"}
    frame = pd.DataFrame(rows)
    order = ["class", "fate", "object_id_a", "object_id_b"]
    return frame.sort_values(order, ignore_index=True)


def compare_measures(rows: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Table SUMMARY from ``object_rows``: every measure, of all objects and of those inside.

    ``cliffs_delta`` is positive where b is larger. ``change`` is b - a of matched objects.
    """
    names = [n[:-2] for n in rows.columns if n.endswith("_a") and f"{n[:-2]}_b" in rows.columns]
    names = [n for n in names if n not in ("object_id", "touches_border")]
    found = []
    for kind, part in rows.groupby("class", sort=True):
        sides = part["object_id_a"] > 0, part["object_id_b"] > 0
        inside = ~part["touches_border_a"], ~part["touches_border_b"]
        matched = int((sides[0] & sides[1]).sum())
        found.append({"class": kind, "measure": "n_objects", "objects": "all",
                      "n_a": int(sides[0].sum()), "n_b": int(sides[1].sum()),
                      "n_matched": matched})  # fmt: skip
        for name in SHIFTS if matched else ():
            change = part.loc[sides[0] & sides[1], name].dropna().to_numpy()
            found.append({"class": kind, "measure": name, "objects": "all"} | moved(change, seed))
        for name in names:
            a, b = part[f"{name}_a"].to_numpy(float), part[f"{name}_b"].to_numpy(float)
            for which, free in (("all", (True, True)), ("inside", inside)):
                keep = [np.asarray(s & f & np.isfinite(v), bool)
                        for s, f, v in zip(sides, free, (a, b), strict=True)]  # fmt: skip
                row = {"class": kind, "measure": name, "objects": which}
                row |= described(a[keep[0]], b[keep[1]], seed)
                pairs = keep[0] & keep[1]
                found.append(row | moved((b - a)[pairs], seed))
        log.info("%s: %d measures compared", kind, len(names))
    table = pd.DataFrame(found, columns=list(SUMMARY))
    whole = dict.fromkeys(("n_a", "n_b", "n_matched"), "Int64")
    return table.astype(whole).fillna(dict.fromkeys(whole, 0)).astype(dict.fromkeys(whole, int))


def described(a: np.ndarray, b: np.ndarray, seed: int) -> dict[str, float]:
    """Number, mean, median and SD of two samples, and the effect between them."""
    row = {}
    for side, values in (("a", a), ("b", b)):
        n = len(values)
        row |= {f"n_{side}": n, f"mean_{side}": values.mean() if n else np.nan,
                f"median_{side}": np.median(values) if n else np.nan,
                f"sd_{side}": values.std(ddof=1) if n > 1 else np.nan}  # fmt: skip
    ends = ("cliffs_delta", "cliffs_delta_low", "cliffs_delta_high")
    return row | dict(zip(ends, cliffs_delta(a, b, seed), strict=True))


def moved(change: np.ndarray, seed: int) -> dict[str, float]:
    """Number of matched objects and the mean of their ``change`` with its interval."""
    ends = ("change_mean", "change_low", "change_high")
    return {"n_matched": len(change)} | dict(zip(ends, mean_change(change, seed), strict=True))


def stack_rows(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Rows of SUMMARY for what two summary.csv tell of the whole stacks: densities and directions.

    ``mean`` is the value of all objects, ``sd`` its spread between layers.
    """
    per_object = a["measure"].str.contains(r"_(?:mean|median|sd)$") & ~a["measure"].str.startswith(
        ("direction_", "nearest_centre")
    )
    both = a[~per_object & (a["measure"] != "n_objects")].merge(
        b, on=["class", "measure"], suffixes=("_a", "_b")
    )
    names = {f"{old}_{s}": f"{new}_{s}" for s in "ab" for old, new in
             (("all", "mean"), ("spread", "sd"), ("layers", "n"))}  # fmt: skip
    rows = both.rename(columns=names).assign(objects="stack", n_matched=0)
    return rows.reindex(columns=list(SUMMARY))
