"""Datasets that enter late: with labels (a class per voxel) or with objects (an id per voxel)."""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

from blockface.classes import background_value, object_classes
from blockface.errors import InputError
from blockface.graph import BOX
from blockface.intake import made_from
from blockface.object_index import INDEX
from blockface.stack import Stack
from blockface.volume import create_volume, resumable, slab_rows

log = logging.getLogger(__name__)

LARGEST_CLASS = 254
LARGEST_ID = 2**32 - 1
LISTED = 8
STRIP_VOXELS = 2**22


def checked(block: np.ndarray, stack: Stack, what: str, largest: int) -> np.ndarray:
    """``block`` itself, if it can be ``what`` (labels or objects): whole numbers in range."""
    if block.dtype == bool:
        return block.astype(np.uint8)
    if block.dtype.kind not in "ui":
        raise InputError(
            f"{stack.source}: values are {block.dtype}, expected whole numbers for {what}; save "
            "the file as 8-, 16- or 32-bit integers"
        )
    if block.ndim != 3:
        raise InputError(
            f"{stack.source}: slices of shape {block.shape[1:]}, expected one value per voxel; "
            f"colours cannot be {what}, save the ids themselves"
        )
    low, high = (int(block.min()), int(block.max())) if block.size else (0, 0)
    if low < 0 or high > largest:
        raise InputError(
            f"{stack.source}: value {low if low < 0 else high} found, expected 0 (nothing) to "
            f"{largest} for {what}; "
            + ("put 0 in place of what is below" if low < 0 else "renumber them")
        )
    return block


def class_names(stack: Stack, classes: dict | None) -> dict[int, str]:
    """Name of each class value that is in ``stack``.

    Without ``classes``, every value is a class, ``object_<value>``, or ``object`` if there is one.
    """
    counts: dict[int, int] = {}
    for row in slab_rows(stack.shape):
        block = checked(stack.read(row.start, row.stop), stack, "labels", LARGEST_ID)
        for value, count in zip(*np.unique(block, return_counts=True), strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
    for nothing in (0, background_value(classes or {})):
        counts.pop(nothing, None)
    if not classes:
        if len(counts) <= 1:
            return dict.fromkeys(counts or [1], "object")
        classes = {value: f"object_{value}" for value in counts}
        if len(classes) > LARGEST_CLASS:
            raise InputError(
                f"{stack.source}: {len(classes)} different values, expected a few classes; if "
                "they are objects, give the file as objects: in place of labels:"
            )
    names = {int(value): str(name) for value, name in object_classes(classes).items()}
    unknown = sorted(value for value in counts if value not in names)
    if unknown:
        listed = ", ".join(f"{v} ({counts[v]} voxels)" for v in unknown[:LISTED])
        more = f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        raise InputError(
            f"{stack.source}: value(s) {listed}{more} without a class, expected "
            f"{', '.join(map(str, sorted(names)))} or 0; name them under classes, as in "
            f"{{{unknown[0]}: name}}"
        )
    return names


def enter_labels(stack: Stack, labels: str, classes: dict | None = None) -> None:
    """Write ``labels``, (z, y, x) uint8 of class values, from a label map in ``stack``.

    Values above 254 (a mask of 255, say) get the lowest free class value instead; a class called
    background is none.
    """
    names = class_names(stack, classes)
    small = {value for value in names if value <= LARGEST_CLASS}
    free = (value for value in range(1, LARGEST_CLASS + 1) if value not in small)
    new = {value: value if value in small else next(free) for value in sorted(names)}
    key = made_from(stack) | {"names": names}
    attributes = {"classes": {str(new[value]): name for value, name in names.items()}}

    def make(path):
        return create_volume(path, stack.shape, np.uint8, stack.voxel_size_nm, **attributes)

    nothing = dict.fromkeys((0, background_value(classes or {})), 0)
    old, new = map(np.array, zip(*sorted((nothing | new).items()), strict=True))
    table = new.astype(np.uint8)
    with resumable(labels, key, make) as (volume, done):
        for row in slab_rows(stack.shape):
            if row not in done:
                block = stack.read(row.start, row.stop)
                volume[row] = table[np.searchsorted(old, block)]
                done.add(row)
    log.info("%s: classes %s", labels, attributes["classes"])


def enter_objects(stack: Stack, objects: str, classes: dict | None = None) -> pd.DataFrame:
    """Write ``objects``, (z, y, x) uint32, from ids in ``stack``, as they are; returns the index.

    ``classes`` with one entry names what they are; without it they are of class ``object``.
    """
    name = next(iter(classes.values())) if classes and len(classes) == 1 else "object"
    if classes and len(classes) > 1:
        raise InputError(
            f"classes: {len(classes)} given for {stack.source}, expected one, as ids do not tell "
            "the class; give a dataset per class, or labels: in place of objects:"
        )
    key = made_from(stack) | {"name": name}

    def make(path):
        return create_volume(path, stack.shape, np.uint32, stack.voxel_size_nm, classes={"1": name})

    table = totals([extents(np.zeros((0, 1, 1), np.uint8), (0, 0, 0))])
    with resumable(objects, key, make) as (volume, done):
        for row in slab_rows(stack.shape):
            block = checked(stack.read(row.start, row.stop), stack, "objects", LARGEST_ID)
            table = totals([table, *strips(block, row.start)])
            if row not in done:
                volume[row] = block
                done.add(row)
    table["class"] = pd.Series(name, index=table.index, dtype=str)
    return table[list(INDEX)]


def totals(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """One row per id of what `extents` says of parts of a volume."""
    how = {"voxels": "sum"} | {name: "min" if name.endswith("0") else "max" for name in BOX}
    return pd.concat(parts).groupby("object_id", as_index=False).agg(how)


def strips(block: np.ndarray, z: int) -> Iterator[pd.DataFrame]:
    """`extents` of a row of slices from ``z`` on, a few million voxels at a time."""
    height = max(1, STRIP_VOXELS // block.shape[2])
    for i, plane in enumerate(block):
        for y in range(0, len(plane), height):
            yield extents(plane[None, y : y + height], (z + i, y, 0))


def extents(block: np.ndarray, origin: tuple[int, int, int]) -> pd.DataFrame:
    """Voxels and half-open bounding box of each id in ``block``, which begins at ``origin``."""
    place = np.flatnonzero(block)
    ids, group = np.unique(block.ravel()[place], return_inverse=True)
    table = {"object_id": ids.astype(np.int64), "voxels": np.bincount(group, minlength=len(ids))}
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(ids)))
    found = np.unravel_index(place[order], block.shape)
    for axis, values, first in zip("zyx", found, origin, strict=True):
        low = np.minimum.reduceat(values, starts) if len(ids) else values
        high = np.maximum.reduceat(values, starts) if len(ids) else values
        table[f"{axis}0"], table[f"{axis}1"] = low + first, high + first + 1
    return pd.DataFrame(table)
