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
    found = np.array([[(p.start, p.stop) for p in o] for o in ndimage.find_objects(labelled)])
    found = np.minimum(CELL * found.reshape(-1, 2, 2), np.array(known.shape)[:, None])
    boxes = found[:0]  # of each the first pixel and the end, of y and x
    for box in found:
        while (others := belong(box, boxes, size)).any():
            other = boxes[others.argmax()]
            boxes = np.delete(boxes, others.argmax(), axis=0)
            box = np.stack([np.minimum(box, other)[:, 0], np.maximum(box, other)[:, 1]], 1)
        boxes = np.append(boxes, box[None], axis=0)
    return [tuple(slice(*side) for side in box) for box in boxes.tolist()]


def belong(box: NDArray, others: NDArray, size: int) -> NDArray[np.bool_]:
    """Which ``others`` (n, 2, 2) overlap a box (2, 2), or fit into a patch of ``size`` with it."""
    low, high = (end(box, others) for end in (np.minimum, np.maximum))
    overlap = high[..., 0] < low[..., 1]  # the later start comes before the earlier end
    return overlap.all(axis=1) | (high[..., 1] - low[..., 0] <= size).all(axis=1)


def starts(seen: NDArray[np.bool_], size: int) -> list[int]:
    """First pixels of patches of ``size`` that cover what was ``seen`` (n,), half a patch apart.

    What is smaller than a patch lies in the middle of one, as far as the image goes.
    """
    first, last = np.flatnonzero(seen)[[0, -1]].tolist()
    spare = max(0, size - (last + 1 - first))
    low = min(max(0, first - spare // 2), len(seen) - size)
    return [low + n for n in grid(max(size, last + 1 - low), size, size // 2)]
