"""A folder of slices, one per file, in the order of the number that varies in their names."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.formats.found import Found

log = logging.getLogger(__name__)

NUMBER = re.compile(r"(\d+)")
EVEN_STEPS = 4  # so many files with numbers in equal steps (000, 050, 100, ...) are no gap


def open_folder(path: str | Path, openers: dict[str, Callable[[Path], Found]]) -> Found:
    """Stack of the slices in the folder ``path``; ``openers`` by file name suffix.

    The headers of all files are read at once; the pixels when asked for.
    """
    files = in_order(_of_one_kind(Path(path), openers))
    with ThreadPoolExecutor(8) as pool:
        slices = list(pool.map(lambda file: openers[file.suffix.lower()](file), files))
    first = slices[0]
    for file, found in zip(files, slices, strict=True):
        if found.shape[0] != 1:
            raise InputError(
                f"{file}: {found.shape[0]} slices found in one file of a folder; expected one; "
                "name the file itself as the stack"
            )
        if (found.shape, found.dtype) != (first.shape, first.dtype):
            raise InputError(
                f"{file}: {_words(found)} found, but {files[0].name} is {_words(first)}; expected "
                "slices of one size and type; take the odd one out or export it again"
            )
    voxel = _voxel_size(slices, files)

    def read(z0: int, z1: int) -> np.ndarray:
        return np.concatenate([slices[z].reader(0, 1) for z in range(z0, z1)])

    shape = (len(files), *first.shape[1:])
    return Found(shape, first.dtype, voxel, read, [str(file) for file in files])


def in_order(files: list[Path]) -> list[Path]:
    """The files of one naming pattern, sorted by slice number, which must have no gap.

    Single files of another pattern (an overview, a copy) are left out with a line in the log.
    """
    patterns = defaultdict(list)
    for file in files:
        patterns[tuple(NUMBER.split(file.name)[::2])].append(file)
    ranked = sorted(patterns.values(), key=len, reverse=True)
    if len(ranked) > 1 and (len(ranked[1]) > 1 or len(ranked[0]) == 1):
        raise InputError(
            f"{files[0].parent}: files of several names found, {ranked[0][0].name} and "
            f"{ranked[1][0].name}; expected one name with the slice number in it; keep each stack "
            "in a folder of its own"
        )
    for other in ranked[1:]:
        log.warning("%s: not one of the slices by its name, left out", other[0])
    chosen = ranked[0]
    if len(chosen) == 1:
        return chosen
    numbers = np.array([[int(n) for n in NUMBER.findall(file.name)] for file in chosen], object)
    column = _slice_column(numbers)
    order = sorted(range(len(chosen)), key=lambda i: numbers[i, column])
    _check_gaps([numbers[i, column] for i in order], [chosen[i] for i in order])
    return [chosen[i] for i in order]


def _slice_column(numbers: np.ndarray) -> int:
    """Which number of the name counts the slices: it varies, best without gap or repeat."""
    vary = [c for c in range(numbers.shape[1]) if len(set(numbers[:, c])) > 1]

    def fault(column: int) -> tuple[int, int]:
        values = numbers[:, column]
        repeats = len(values) - len(set(values))
        gaps = max(values) - min(values) + 1 - len(set(values))
        return repeats, gaps

    return min(reversed(vary), key=fault)


def _check_gaps(values: list[int], files: list[Path]) -> None:
    steps = np.diff(values)
    if (steps == 0).any():
        at = int(np.argmax(steps == 0))
        raise InputError(
            f"{files[at + 1]}: has the slice number {values[at]}, as {files[at].name} has; "
            "expected every number once; take one of them out"
        )
    if (steps == 1).all():
        return
    if len(files) >= EVEN_STEPS and (steps == steps[0]).all():
        log.warning("%s: slice numbers go in steps of %d; taken as neighbouring slices",
                    files[0].parent, steps[0])  # fmt: skip
        return
    at = int(np.argmax(steps > np.min(steps)))
    low, high = values[at] + 1, values[at + 1] - 1
    missing = f"slice {low} is" if low == high else f"slices {low} to {high} are"
    raise InputError(
        f"{files[0].parent}: a gap in the slice numbers: {missing} missing between "
        f"{files[at].name} and {files[at + 1].name}; expected every slice; add the files, or "
        "number the slices without gap if that tissue is lost"
    )


def _of_one_kind(path: Path, openers: dict) -> list[Path]:
    files = sorted(f for f in path.iterdir() if f.is_file() and not f.name.startswith("."))
    kinds = Counter(openers[f.suffix.lower()] for f in files if f.suffix.lower() in openers)
    ranked = kinds.most_common(2)
    if not ranked:
        there = ", ".join(sorted({f.suffix or f.name for f in files})[:5]) or "nothing"
        raise InputError(
            f"{path}: no slices found in the folder ({there}); expected files ending in "
            f"{', '.join(openers)}, one per slice"
        )
    if len(ranked) > 1 and ranked[1][1] > 1:
        raise InputError(
            f"{path}: {ranked[0][1]} and {ranked[1][1]} files of two image formats found; "
            "expected one; keep each stack in a folder of its own"
        )
    chosen = [f for f in files if openers.get(f.suffix.lower()) is ranked[0][0]]
    for file in sorted(set(files) - set(chosen)):
        log.info("%s: no slice, left out", file)
    return chosen


def _voxel_size(slices: list[Found], files: list[Path]):
    """Voxel size of the slices, which must be one within 1 % along y and x."""
    sizes = np.array([s.voxel_size_nm for s in slices], dtype=float)
    for axis, name in ((1, "y"), (2, "x")):
        column = sizes[:, axis]
        odd = ~(np.abs(column - column[0]) <= 0.01 * column[0]) & np.isfinite(column)
        if np.isfinite(column[0]) and odd.any():
            at = int(np.argmax(odd))
            raise InputError(
                f"{files[at]}: a pixel of {column[at]:.4g} nm along {name} found, but "
                f"{files[0].name} has {column[0]:.4g} nm; expected one magnification; take the "
                "odd slices out or scale them"
            )
    return slices[0].voxel_size_nm


def _words(found: Found) -> str:
    return f"{found.shape[1]} × {found.shape[2]} {found.dtype}"
