"""Which parts of the images a network learns from, and the store they lie in."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from itertools import islice, product
from pathlib import Path

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from blockface.errors import InputError
from blockface.patch_grid import regions, starts
from blockface.reviewed import Without, seen_for
from blockface.scores import UNKNOWN

log = logging.getLogger(__name__)

TOGETHER = 256  # patches in a file


def check_size(size: int, shape: tuple[int, int], where: str, key: str) -> None:
    """Refuse patches that are larger than the image they are to be cut from."""
    if size > min(shape):
        raise InputError(
            f"{where}: a patch of {size} × {size} pixels is larger than the image of "
            f"{shape[0]} × {shape[1]} (y, x); lower {key} to {min(shape)} or less"
        )


def store_patches(path: str | Path, patches: Iterable[NDArray], n: int, **attributes) -> None:
    """Write ``n`` equal-shaped ``patches`` (channels, y, x) as one zarr array (n, channels, y, x).

    Only a file of them, `TOGETHER`, is in memory at a time.
    """
    patches = iter(patches)
    for first in range(0, n, TOGETHER):
        some = np.stack(list(islice(patches, TOGETHER)))
        if first == 0:
            array = zarr.create_array(
                str(path),
                shape=(n, *some.shape[1:]),
                dtype=some.dtype,
                chunks=(1, *some.shape[1:]),
                shards=some.shape,
                attributes=attributes,
                overwrite=True,
            )
        array[first : first + len(some)] = some


def load_patches(path: str | Path) -> tuple[NDArray, dict, str]:
    """Patches (n, channels, y, x), their attributes, and a digest of both."""
    array = zarr.open_array(str(path), mode="r")
    patches = array[:]
    digest = hashlib.sha256(np.ascontiguousarray(patches))
    digest.update(repr(dict(array.attrs)).encode())
    return patches, dict(array.attrs), digest.hexdigest()


def candidates(
    annotations: zarr.Array,
    slices: list[int],
    held_out: list[int],
    size: int,
    rounds: zarr.Array | None = None,
) -> Iterator[tuple[int, int, int, NDArray, str, bool]]:
    """Places (z, y, x, labels, objection, corrected) with something reviewed, half a patch apart.

    ``objection`` is empty, or says why the place may not be used: its slice is held out. In the
    slices around it that does not matter: `surroundings` replaces them. It is ``corrected`` if
    some of it was reviewed in a round after the first, by the volume of ``rounds``.
    """
    for z in slices:
        labels = annotations[z]
        later = np.zeros(labels.shape, bool)
        if rounds is not None:
            number = rounds[z]
            later = (number > 0) & (number != UNKNOWN)
        objection = f"held-out slice {z}" if z in held_out else ""
        known = labels != UNKNOWN
        if not known.any():
            continue
        corners = set()
        for box in regions(known, size):
            seen = [np.zeros(n, bool) for n in known.shape]
            for axis in (0, 1):
                seen[axis][box[axis]] = known[box].any(axis=1 - axis)
            corners |= set(product(*(starts(side, size) for side in seen)))
        for y, x in sorted(corners):
            patch = labels[y : y + size, x : x + size]
            if (patch != UNKNOWN).any():
                yield z, y, x, patch, objection, later[y : y + size, x : x + size].any()


def choose(
    annotations: zarr.Array,
    slices: list[int],
    *,
    held_out: list[int],
    classes: dict[int, str],
    size: int,
    min_foreground: dict[str, float],
    background_share: float,
    seed: int,
    source: str = "annotations",
    without: Without | None = None,
    rounds: zarr.Array | None = None,
) -> pd.DataFrame:
    """Every place looked at, kept or rejected, and why.

    A place is kept if the share of at least one class, of the area reviewed for it, reaches that
    class's ``min_foreground``. Of the others some are let through, ``background_share`` times the
    number kept, drawn by ``seed``: a network that never sees background finds objects everywhere.
    Of those that were corrected, as the volume of ``rounds`` tells, all are, up to the number kept:
    there a network has taken background for objects. ``source`` is named in the error.
    ``without``: codes among the labels (blockface.reviewed). Columns: z, y, x, reviewed, corrected,
    background (for all classes), foreground_<class>…, kept, reason.

    Raises
    ------
    InputError
        No place reaches ``min_foreground``.
    """
    rows = []
    places = candidates(annotations, slices, held_out, size, rounds)
    for z, y, x, labels, objection, corrected in places:
        known = np.count_nonzero(labels != UNKNOWN)
        shares = {
            name: share_of(v, seen_for(labels, v, without or {})) for v, name in classes.items()
        }
        enough = [name for name, share in shares.items() if 0 < share >= min_foreground[name]]
        reason = objection or (f"enough {', '.join(enough)}" if enough else "too little foreground")
        rows.append(
            {"z": z, "y": y, "x": x, "reviewed": known / labels.size, "corrected": corrected}
            | {"background": np.count_nonzero(labels == 0) / labels.size}
            | {f"foreground_{name}": share for name, share in shares.items()}
            | {"kept": bool(enough) and not objection, "reason": reason}
        )
    table = pd.DataFrame(
        rows, columns=["z", "y", "x", "reviewed", "kept", "reason"] if not rows else None
    )
    if not table["kept"].any():
        raise InputError(f"{source}: {nothing_kept(table, size, min_foreground, classes.values())}")
    kept, count = int(table["kept"].sum()), 0
    spare, rng = table["reason"] == "too little foreground", np.random.default_rng(seed)
    for corrected, share in ((False, background_share), (True, 1.0)):
        free = table.index[spare & (table["corrected"] == corrected)]
        through = rng.choice(free, size=min(len(free), round(share * kept)), replace=False)
        table.loc[through, "kept"] = True
        table.loc[through, "reason"] = f"background {'corrected' if corrected else 'let through'}"
        count += len(through)
    log.info("%d of %d places kept, %d of them background", kept + count, len(table), count)
    for said in not_taught(table):
        log.warning("%s: %s", source, said)
    return table


def not_taught(table: pd.DataFrame) -> list[str]:
    """What no kept place of a ``table`` as of `choose` shows to the network, a sentence each."""
    kept, start = table[table["kept"]], "foreground_"
    names = [name.removeprefix(start) for name in table if name.startswith(start)]
    found = [
        f"Nothing of class {name} is painted in any place that is learnt from, so none will be "
        "found; paint some, or take it out of classes."
        for name in names
        if not kept[start + name].any()
    ]
    # a table of an older version lacks the column
    if "background" in kept and not kept["background"].any():
        found.append(
            "In no place that is learnt from is there background reviewed for all classes, so "
            "nothing tells them from it; paint all classes of one slice."
        )
    return found


def nothing_kept(
    table: pd.DataFrame, size: int, min_foreground: dict[str, float], names: Iterable[str]
) -> str:
    """Message for a ``table`` as of `choose` in which no place reaches ``min_foreground``."""
    free = table[~table["reason"].str.startswith("held-out")] if len(table) else table
    where = ", ".join(map(str, sorted(set(free["z"])))) if len(free) else "none"
    best = {n: free[f"foreground_{n}"].max() if len(free) else 0.0 for n in names}
    found = ", ".join(f"{n} {best[n]:.4f} (expected {min_foreground[n]:g})" for n in best)
    return (
        f"no patch of {size} × {size} pixels reaches min_foreground: found at most {found} in "
        f"{len(free)} places on slices {where}; lower patches.min_foreground or paint more"
    )


def share_of(value: int, labels: NDArray) -> float:
    """Share of the known voxels of ``labels`` that have ``value``; 0 if none is known."""
    return np.count_nonzero(labels == value) / max(1, np.count_nonzero(labels != UNKNOWN))


def surroundings(z: int, context: int, depth: int, held_out: Iterable[int]) -> list[int]:
    """The ``context`` slices on either side of ``z``, and ``z``, of a stack of ``depth`` slices.

    In place of one that is held out, or beyond the stack, the one beside it towards ``z`` is
    repeated.
    """
    held_out, found = set(held_out), [z]
    for step in (-1, 1):
        side, last = [], z
        for n in range(z + step, z + step * (context + 1), step):
            last = n if 0 <= n < depth and n not in held_out else last
            side.append(last)
        found = side[::-1] + found if step < 0 else found + side
    return found


def cut(
    image: zarr.Array,
    annotations: zarr.Array,
    table: pd.DataFrame,
    size: int,
    context: int,
    held_out: Iterable[int] = (),
    volumetric: bool = False,
) -> Iterator[NDArray]:
    """Kept patches of ``table`` as arrays (channels, y, x): 2 * context + 1 slices, then labels.

    Labels are those of the middle slice; of a ``volumetric`` patch those of every slice, unknown
    where a slice is but a repeat (`surroundings`).
    """
    for z, y, x in table.loc[table["kept"], ["z", "y", "x"]].itertuples(index=False):
        near = surroundings(int(z), context, image.shape[0], held_out)
        window = (slice(y, y + size), slice(x, x + size))
        slices = [image[(n, *window)] for n in near]
        labels = [annotations[(int(z), *window)]]
        if volumetric:
            own = range(int(z) - context, int(z) + context + 1)
            labels = [
                annotations[(n, *window)] if n == place else np.full((size, size), UNKNOWN)
                for n, place in zip(near, own, strict=True)
            ]
        yield np.stack([*slices, *(plane.astype(image.dtype) for plane in labels)])
