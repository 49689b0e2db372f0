"""Where in a slice patches are cut, so that they cover what was annotated."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import block_reduce

CELL = 4  # pixels that count as one when it is looked for what is connected


def grid(length: int, size: int, step: int) -> list[int]:
    """First pixels of patches of ``size`` that cover ``length``, ``step`` apart, all inside."""
    return sorted({*range(0, length - size + 1, step), length - size})


def regions(known: NDArray[np.bool_], size: int) -> list[tuple[slice, slice]]:
    """Boxes (y, x) that hold all that is ``known`` (y, x) of a slice, each about one annotation.

    What is connected is in one box; boxes that overlap, or fit into a patch of ``size`` together,
    are one. So two places far apart in a slice are not learnt from more often than in two slices.
    """
    labelled, _ = ndimage.label(block_reduce(known, CELL, np.any), np.ones((3, 3)))
    boxes: list[tuple[slice, slice]] = []
    for cells in ndimage.find_objects(labelled):
        box = tuple(
            slice(CELL * part.start, min(CELL * part.stop, n))
            for part, n in zip(cells, known.shape, strict=True)
        )
        while (other := next((b for b in boxes if belong(box, b, size)), None)) is not None:
            boxes.remove(other)
            box = around(box, other)
        boxes.append(box)
    return boxes


def around(one: tuple[slice, slice], other: tuple[slice, slice]) -> tuple[slice, slice]:
    """The box that holds two boxes."""
    sides = zip(one, other, strict=True)
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in sides)


def belong(one: tuple[slice, slice], other: tuple[slice, slice], size: int) -> bool:
    """Whether two boxes overlap, or fit into a patch of ``size`` together."""
    sides = zip(one, other, strict=True)
    overlap = all(a.start < b.stop and b.start < a.stop for a, b in sides)
    return overlap or all(side.stop - side.start <= size for side in around(one, other))


def starts(seen: NDArray[np.bool_], size: int) -> list[int]:
    """First pixels of patches of ``size`` that cover what was ``seen`` (n,), half a patch apart.

    What is smaller than a patch lies in the middle of one, as far as the image goes.
    """
    first, last = np.flatnonzero(seen)[[0, -1]].tolist()
    spare = max(0, size - (last + 1 - first))
    low = min(max(0, first - spare // 2), len(seen) - size)
    return [low + n for n in grid(max(size, last + 1 - low), size, size // 2)]
