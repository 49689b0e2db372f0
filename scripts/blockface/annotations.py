"""From the rounds of annotations to one sparse volume of labels: class, background or unknown.

Later rounds override earlier ones where both were reviewed. Annotation files are only read.
"""

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from blockface.annotation_files import AnnotationFile, Reference, read_bundle
from blockface.clashes import Clashes
from blockface.errors import InputError
from blockface.rounds import BOX, bundles_of, round_folders, runs
from blockface.volume import create_volume, row_depth

log = logging.getLogger(__name__)

UNKNOWN = 255
NO_ROUND = 255


def class_table(classes: dict) -> dict[int, str]:
    """Classes as {value: name}, from a mapping whose keys may be text, as in JSON.

    Raises
    ------
    InputError
        A value outside 1 … 254, or a name used twice.
    """
    table = {int(value): str(name) for value, name in classes.items()}
    wrong = [v for v in table if not 1 <= v <= 254]
    names = [n.lower() for n in table.values()]
    if wrong or len(set(names)) < len(names) or not table:
        raise InputError(
            f"classes: found {table}; expected values from 1 to 254, each with a name of its own, "
            "as in {1: fibril, 2: cell}"
        )
    return dict(sorted(table.items()))


def import_rounds(
    folder: str | Path,
    rounds: Iterable[int],
    classes: dict,
    shape: tuple[int, int, int],
    voxel_size_nm: tuple[float, float, float],
    out_path: str | Path,
    *,
    rounds_path: str | Path | None = None,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> pd.DataFrame:
    """Table of the annotation files of ``rounds``, whose labels are written to ``out_path``.

    ``out_path`` becomes a volume (z, y, x) of uint8: class value, 0 background, 255 unknown.
    ``rounds_path``, if given, gets the same shape: the round that said so, 255 where unknown.
    Only chunks with something known are stored; slices are worked on one at a time. A class
    without a file leaves unpainted voxels unknown; where an earlier round had painted it and a
    later one took the paint away, the voxel becomes unknown.

    Raises
    ------
    InputError
        Gaps in the rounds, files that do not fit, two classes or two files of one round that
        contradict each other.
    """
    classes, available = class_table(classes), round_folders(folder)
    rounds = sorted(rounds)
    if rounds and rounds[-1] >= len(available):
        raise InputError(
            f"{folder}: round {rounds[-1]:02d} is missing, found 00 to {len(available) - 1:02d}; "
            "put the corrections of the last iteration there, or ask for fewer iterations"
        )
    scratch = Path(out_path).parent
    scratch.mkdir(parents=True, exist_ok=True)
    reference = Reference(tuple(shape), tuple(voxel_size_nm), tuple(origin_nm), str(scratch))
    bundles = [
        (number, read_bundle(paths, Path(folder), classes, reference, number == 0))
        for number in rounds
        for paths in bundles_of(available[number])
    ]
    stores = _stores(out_path, rounds_path, reference, classes)
    known = _paint(bundles, classes, reference, stores)
    for path, store in zip((out_path, rounds_path), stores, strict=True):
        if store is not None:
            store.attrs["known_slices"] = runs(known)
            shutil.rmtree(path, ignore_errors=True)
            os.replace(f"{path}.partial", path)
    return _table(bundles, classes)


def _stores(out_path, rounds_path, reference: Reference, classes) -> list[zarr.Array | None]:
    named = {str(value): name for value, name in classes.items()}
    return [
        create_volume(
            f"{path}.partial",
            reference.shape,
            np.uint8,
            reference.voxel_size_nm,
            fill_value=UNKNOWN,
            **extra,
        )
        if path
        else None
        for path, extra in ((out_path, {"classes": named}), (rounds_path, {}))
    ]


def _paint(bundles, classes, reference: Reference, stores) -> list[int]:
    """Write the labels of all bundles, row by row; gives the slices with a known voxel."""
    depth, (n, *plane) = row_depth(reference.shape), reference.shape
    clashes, known = Clashes(), []
    for start in range(0, n, depth):
        row = slice(start, min(start + depth, n))
        touched = [
            (number, [f for f in files if any(_meets(box, row) for box in f.boxes)])
            for number, files in bundles
        ]
        if not any(files for _, files in touched):
            continue
        labels = np.full((row.stop - row.start, *plane), UNKNOWN, np.uint8)
        origin = np.full_like(labels, NO_ROUND)
        for z in range(row.start, row.stop):
            here = (labels[z - start], origin[z - start])
            for number, files in touched:
                _paint_slice(files, z, number, here, classes, reference, clashes)
            if (here[0] != UNKNOWN).any():
                known.append(z)
        for _, files in touched:
            for file in files:
                if not any(box[1] > row.stop for box in file.boxes):
                    file.close()
        for store, values in zip(stores, (labels, origin), strict=True):
            if store is not None:
                store[row] = values
    clashes.refuse()
    return known


def _meets(box, row: slice) -> bool:
    return box[0] < row.stop and row.start < box[1]


def _paint_slice(files, z: int, number: int, here, classes, reference, clashes) -> None:
    """Let the files of one bundle speak for slice ``z``; ``here`` is (labels, rounds), changed."""
    active = [(f, [b for b in f.boxes if b[0] <= z < b[1]]) for f in files]
    boxes = [b for _, found in active for b in found]
    if not boxes:
        return
    y0, x0 = min(b[2] for b in boxes), min(b[4] for b in boxes)
    y1, x1 = max(b[3] for b in boxes), max(b[5] for b in boxes)
    painted = np.zeros((y1 - y0, x1 - x0), np.uint8)
    covered = {c: np.zeros(painted.shape, bool) for c in classes}
    for file, found in active:
        if not found:
            continue
        region = np.zeros(painted.shape, bool)
        for b in found:
            region[b[2] - y0 : b[3] - y0, b[4] - x0 : b[5] - x0] = True
        paint = _paint_of(file, z, region, (y0, x0), reference)
        both = (painted > 0) & (paint > 0) & (painted != paint)
        if both.any():
            clashes.note(
                "two classes are painted at once", [f.name for f in files], both, z, y0, x0
            )
        painted = np.where(paint > 0, paint, painted)
        for c in file.classes:
            covered[c] |= region
        file.reviewed_voxels += int(region.sum())
        file.painted_voxels += int(np.count_nonzero(paint))
    labels, rounds = (a[y0:y1, x0:x1] for a in here)
    whole = np.logical_and.reduce(list(covered.values()))
    says = whole | (painted > 0)
    both = says & (rounds == number) & (labels != painted)
    for c, where in covered.items():
        gone = where & ~says & (labels == c)
        both |= gone & (rounds == number)
        gone &= rounds != number  # paint of an earlier round that was taken away
        labels[gone], rounds[gone] = UNKNOWN, NO_ROUND
    if both.any():
        clashes.note("two folders of one round disagree", [f.name for f in files], both, z, y0, x0)
    labels[says], rounds[says] = painted[says], number


def _paint_of(file: AnnotationFile, z: int, region, corner, reference) -> np.ndarray:
    """The file's labels in slice ``z``, over ``region`` and nowhere else."""
    out = np.zeros(region.shape, np.uint8)
    values = file.labels(z, reference)
    y, x = file.placement.offset[1] - corner[0], file.placement.offset[2] - corner[1]
    ya, xa = max(0, y), max(0, x)
    yb = min(region.shape[0], y + values.shape[0])
    xb = min(region.shape[1], x + values.shape[1])
    out[ya:yb, xa:xb] = values[ya - y : yb - y, xa - x : xb - x]
    out[~region] = 0
    return out


def _table(bundles, classes: dict[int, str]) -> pd.DataFrame:
    rows = []
    for number, files in bundles:
        for file in files:
            boxes = np.array(file.boxes or [(0,) * 6])
            outside = int(file.painted.sum()) - file.painted_voxels
            notes = list(file.notes)
            if outside:
                notes.append(f"{outside} painted voxels lie outside the reviewed regions")
                log.warning("%s: %s", file.path, notes[-1])
            used = sorted(set(file.meaning.values())) or file.classes
            corner = [(boxes[:, i].min(), boxes[:, i + 1].max()) for i in (0, 2, 4)]
            rows.append(
                {
                    "round": number,
                    "file": file.name,
                    "kind": file.kind,
                    "class": ", ".join(classes[c] for c in used),
                    **dict(zip(BOX, (int(v) for pair in corner for v in pair), strict=True)),
                    "voxels_painted": file.painted_voxels,
                    "voxels_reviewed": file.reviewed_voxels,
                    "note": "; ".join(notes),
                }
            )
    return pd.DataFrame(rows)


def known_slices(annotations: zarr.Array) -> np.ndarray:
    """Numbers of the slices of which ``import_rounds`` knows at least one voxel."""
    parts = [np.arange(a, b) for a, b in annotations.attrs.get("known_slices", [])]
    return np.concatenate(parts) if parts else np.zeros(0, int)


def check_held_out(annotations: zarr.Array, held_out_slices: Iterable[int], name="") -> None:
    """Nothing, if an annotated slice is left for training and held-out ones are in the stack.

    ``name`` is the dataset's folder, for messages.
    """
    held_out, known = sorted({int(z) for z in held_out_slices}), known_slices(annotations)
    outside = [z for z in held_out if not 0 <= z < annotations.shape[0]]
    if outside:
        raise InputError(
            f"{name}: held_out_slices {', '.join(map(str, outside))} are not in the stack of "
            f"{annotations.shape[0]} slices (0 to {annotations.shape[0] - 1}); correct them"
        )
    if not set(known.tolist()) - set(held_out):
        raise InputError(
            f"{name}: all {len(known)} annotated slices are held out, none is left for training; "
            "paint more slices or name fewer in held_out_slices"
        )
    if missing := set(held_out) - set(known.tolist()):
        log.warning(
            "%s: held-out slices without annotation cannot be scored: %s",
            name,
            ", ".join(map(str, sorted(missing))),
        )
