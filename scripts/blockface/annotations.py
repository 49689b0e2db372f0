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

from blockface.annotation_files import AnnotationFile, read_bundle
from blockface.clashes import Clashes
from blockface.corrections import correction_report
from blockface.errors import InputError
from blockface.grids import Grid
from blockface.layers import Reference
from blockface.rounds import BOX, bundles_of, round_folders, runs
from blockface.tables import write_table
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
    report_path: str | Path | None = None,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    held_out_slices: Iterable[int] = (),
    world: Grid | None = None,
) -> pd.DataFrame:
    """Table of the annotation files of ``rounds``, whose labels are written to ``out_path``.

    ``out_path`` becomes a volume (z, y, x) of uint8: class value, 0 background, 255 unknown.
    ``rounds_path``, if given, gets the same shape: the round that said so, 255 where unknown.
    Only chunks with something known are stored; slices are worked on one at a time. A class
    without a file leaves unpainted voxels unknown; where an earlier round had painted it and a
    later one took the paint away, the voxel becomes unknown. Of slices that were handed out as
    context only the changed voxels are known, in ``held_out_slices`` none: they would be scored.
    ``world`` is where the stack's own file says its voxels lie; masks may come in its coordinates.
    ``report_path``, if given, gets the table of what people changed (blockface.corrections).

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
    reference = Reference(tuple(shape), tuple(voxel_size_nm), tuple(origin_nm), str(scratch), world)
    bundles = [
        read_bundle(paths, Path(folder), classes, reference, number)
        for number in rounds
        for paths in bundles_of(available[number])
    ]
    stores = _stores(out_path, rounds_path, reference, classes)
    known = _paint(bundles, classes, reference, stores, set(held_out_slices))
    for path, store in zip((out_path, rounds_path), stores, strict=True):
        if store is not None:
            store.attrs["known_slices"] = runs(known)
            shutil.rmtree(path, ignore_errors=True)
            os.replace(f"{path}.partial", path)
    if report_path:
        write_table(correction_report(bundles, classes), report_path)
    for bundle in bundles:
        bundle.close()
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


def _paint(bundles, classes, reference: Reference, stores, held_out: set[int]) -> list[int]:
    """Write the labels of all bundles, row by row; gives the slices of which a part was reviewed.

    Slices in which only voxels of a context were changed are not among them.
    """
    depth, (n, *plane) = row_depth(reference.shape), reference.shape
    clashes, known = Clashes(), []
    for start in range(0, n, depth):
        row = slice(start, min(start + depth, n))
        touched = [
            (b, [f for f in b.files if any(_meets(box, row) for box in f.boxes)]) for b in bundles
        ]
        if not any(files for _, files in touched):
            continue
        labels = np.full((row.stop - row.start, *plane), UNKNOWN, np.uint8)
        origin = np.full_like(labels, NO_ROUND)
        for z in range(row.start, row.stop):
            here = Slice(z, labels[z - start], origin[z - start], z in held_out)
            for bundle, files in sorted(
                touched, key=lambda t: (t[0].number, not t[0].is_context(z))
            ):
                _paint_slice(files, bundle.number, here, classes, clashes)
            if ((here.labels != UNKNOWN) & ~here.context).any():
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


class Slice:
    """One slice while it is painted: ``labels``, which of ``rounds`` said so, what is context."""

    def __init__(self, z: int, labels: np.ndarray, rounds: np.ndarray, held_out: bool):
        self.z, self.labels, self.rounds, self.held_out = z, labels, rounds, held_out
        self.context = np.zeros(labels.shape, bool)  # said by changes in a slice of context


def _paint_slice(files, number: int, here: Slice, classes, clashes) -> None:
    """Let the files of one bundle speak for a slice; ``here`` is changed."""
    z = here.z
    in_context = any(f.is_context(z) for f in files)
    active = [(f, [b for b in f.boxes if b[0] <= z < b[1]]) for f in files]
    boxes = [b for _, found in active for b in found]
    if not boxes or (in_context and here.held_out):
        return
    y0, x0 = min(b[2] for b in boxes), min(b[4] for b in boxes)
    y1, x1 = max(b[3] for b in boxes), max(b[5] for b in boxes)
    painted = np.zeros((y1 - y0, x1 - x0), np.uint8)
    covered = {c: np.zeros(painted.shape, bool) for c in classes}
    for file, region, paint in _reviewed(active, z, (y0, x0), painted.shape):
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
    labels, rounds, context = (a[y0:y1, x0:x1] for a in (here.labels, here.rounds, here.context))
    whole = np.logical_and.reduce(list(covered.values()))
    says = whole | (painted > 0)
    both = says & (rounds == number) & (labels != painted)
    for c, where in covered.items():
        gone = where & ~says & (labels == c)
        both |= gone & (rounds == number)
        gone &= rounds != number  # paint of an earlier round that was taken away
        labels[gone], rounds[gone] = UNKNOWN, NO_ROUND
    if not in_context:
        both &= ~context  # who was asked about the slice has the last word
    if both.any():
        clashes.note("two folders of one round disagree", [f.name for f in files], both, z, y0, x0)
    labels[says], rounds[says] = painted[says], number
    context[says] = in_context


def _reviewed(active, z: int, corner, shape) -> list[tuple[AnnotationFile, np.ndarray, np.ndarray]]:
    """Each file with what of slice ``z`` it speaks for, and its labels there.

    In a slice that was handed out as context that is where any of the files differs from what was
    predicted.
    """
    said = []
    for file, boxes in active:
        if boxes:
            region = np.zeros(shape, bool)
            for b in boxes:
                region[b[2] - corner[0] : b[3] - corner[0], b[4] - corner[1] : b[5] - corner[1]] = 1
            said.append((file, region, np.where(region, file.labels(z, corner, shape), 0)))
    context = [entry for entry in said if entry[0].is_context(z)]
    changed = np.zeros(shape, bool)
    for file, region, paint in context:
        changed |= region & (paint != file.handed_out(z, corner, shape))
    for _, region, paint in context:
        region &= changed
        paint[~region] = 0
    return said


def _table(bundles, classes: dict[int, str]) -> pd.DataFrame:
    rows = []
    for bundle in bundles:
        for file in bundle.files:
            boxes = np.array(file.boxes or [(0,) * 6])
            outside = int(file.painted.sum()) - file.painted_voxels
            notes = list(file.notes)
            if outside and file.predicted and not file.listed:
                notes.append("of the slices of context only changed voxels count")
            elif outside:
                notes.append(f"{outside} painted voxels lie outside the reviewed regions")
                log.warning("%s: %s", file.path, notes[-1])
            used = sorted(set(file.meaning.values())) or file.classes
            corner = [(boxes[:, i].min(), boxes[:, i + 1].max()) for i in (0, 2, 4)]
            rows.append(
                {
                    "round": bundle.number,
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
    """Numbers of the slices of which at least one voxel was reviewed, not just seen as context."""
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
