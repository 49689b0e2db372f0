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

from blockface.annotation_files import read_bundle
from blockface.classes import background_value, class_table, object_classes
from blockface.corrections import correction_report
from blockface.errors import InputError
from blockface.grids import Grid
from blockface.layers import Reference
from blockface.painting import paint
from blockface.priority import Priority
from blockface.rounds import BOX, bundles_of, round_folders, runs
from blockface.scores import UNKNOWN
from blockface.tables import write_table
from blockface.volume import create_volume

log = logging.getLogger(__name__)


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
    class_priority: Iterable[str] = (),
    world: Grid | None = None,
) -> pd.DataFrame:
    """Table of the annotation files of ``rounds``, whose labels are written to ``out_path``.

    ``out_path`` becomes a volume (z, y, x) of uint8: class value, 0 background, 255 unknown, or
    one of the values in its attribute ``without``: none of these classes, else unknown.
    ``rounds_path``, if given, gets the same shape: the round that said so, 255 where unknown, 128
    more where a voxel was changed in a slice of context.
    Only chunks with something known are stored; slices are worked on one at a time. Where
    not all classes were reviewed, unpainted voxels are without those that were; so is one that an
    earlier round had painted and a later one took the paint from. Of slices that were handed out as
    context only the changed voxels are known, in ``held_out_slices`` none: they would be scored.
    What two masks of one folder hold belongs to the class that comes first in ``class_priority``.
    If one of the ``classes`` is called background, its value means so in label maps, and what is 0
    there is not reviewed.
    ``world`` is where the stack's own file says its voxels lie; masks may come in its coordinates.
    ``report_path``, if given, gets the table of what people changed (blockface.corrections).

    Raises
    ------
    InputError
        Gaps in the rounds, files that do not fit or do not lie where they were handed out, two
        classes or two files of one round that contradict each other.
    """
    table, available = class_table(classes), round_folders(folder)
    classes, background = object_classes(table), background_value(table)
    rounds = sorted(rounds)
    if rounds and rounds[-1] >= len(available):
        raise InputError(
            f"{folder}: round {rounds[-1]:02d} is missing, found 00 to {len(available) - 1:02d}; "
            "put the corrections of the last iteration there, or ask for fewer iterations"
        )
    scratch = Path(out_path).parent
    scratch.mkdir(parents=True, exist_ok=True)
    reference = Reference(
        tuple(shape), tuple(voxel_size_nm), tuple(origin_nm), str(scratch), world, background
    )
    bundles = [
        read_bundle(paths, Path(folder), classes, reference, number)
        for number in rounds
        for paths in bundles_of(available[number])
    ]
    priority = Priority(class_priority, classes)
    report = correction_report(bundles, classes, priority)
    paths = out_path, rounds_path
    stores = _stores(*paths, reference, classes)
    known, seen, codes = paint(
        bundles, classes, reference.shape, stores, set(held_out_slices), folder, priority
    )
    stores[0].attrs["without"] = codes.attribute()
    _finish(stores, paths, {"known_slices": runs(known), "seen_slices": runs(seen)})
    if report_path:
        write_table(report, report_path)
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


def _finish(stores: list[zarr.Array | None], paths, slices: dict[str, list]) -> None:
    """Give the finished ``stores`` the attributes ``slices`` and, at last, their names."""
    for path, store in zip(paths, stores, strict=True):
        if store is not None:
            store.attrs.update(slices)
            shutil.rmtree(path, ignore_errors=True)
            os.replace(f"{path}.partial", path)


def _table(bundles, classes: dict[int, str]) -> pd.DataFrame:
    rows = []
    for bundle in bundles:
        for file in bundle.files:
            boxes = np.array(file.boxes or [(0,) * 6])
            if file.predicted and not file.listed:  # of the slices of context only what changed
                boxes[:, :2] = file.predicted.z, file.predicted.z + 1
            outside = file.of_classes - file.painted_voxels
            notes = list(file.notes)
            if outside and file.predicted and not file.listed:
                notes.append("of the slices of context only changed voxels count")
            elif outside:
                notes.append(f"{outside} painted voxels lie outside the reviewed regions")
                log.warning("%s: %s", file.path, notes[-1])
            if file.shared_voxels:
                notes.append(
                    f"{file.shared_voxels} voxels are painted as another class, too; "
                    "class_priority decided"
                )
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
    return _numbers(annotations.attrs.get("known_slices", []))


def seen_slices(annotations: zarr.Array) -> np.ndarray:
    """Numbers of the slices of which anything is known, if only voxels changed as context."""
    attributes = annotations.attrs
    # an import of an earlier version knows only the others
    return _numbers(attributes.get("seen_slices", attributes.get("known_slices", [])))


def _numbers(runs_of_slices) -> np.ndarray:
    parts = [np.arange(a, b) for a, b in runs_of_slices]
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
