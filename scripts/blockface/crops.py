"""Voxels of single objects from a volume on disk, through a cache of limited size."""

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np

CACHE_BYTES = 160 * 2**20
PIECE_VOXELS = 2**24


class Crops:
    """Boxes of a (z, y, x) zarr array; its chunks are read once as long as they fit the cache."""

    def __init__(self, array, limit: int = CACHE_BYTES):
        self.array, self.limit, self.used = array, limit, 0
        self.held: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()

    def chunk(self, at: tuple[int, ...]) -> np.ndarray:
        """Chunk number ``at`` (z, y, x) of the array."""
        if at in self.held:
            self.held.move_to_end(at)
            return self.held[at]
        found = self.array[tuple(slice(i * c, (i + 1) * c)
                                 for i, c in zip(at, self.array.chunks, strict=True))]
        self.held[at] = found
        self.used += found.nbytes
        while self.used > self.limit and len(self.held) > 1:
            self.used -= self.held.popitem(last=False)[1].nbytes
        return found

    def box(self, lo, hi) -> np.ndarray:
        """Voxels from corner ``lo`` up to ``hi`` (half-open, z, y, x)."""
        lo, hi, chunks = np.asarray(lo), np.asarray(hi), np.asarray(self.array.chunks)
        first, last = lo // chunks, (hi - 1) // chunks
        if (first == last).all():
            part = self.chunk(tuple(first.tolist()))
            return part[tuple(slice(a, b) for a, b in zip(lo - first * chunks, hi - first * chunks,
                                                          strict=True))]
        out = np.empty(hi - lo, self.array.dtype)
        for step in np.ndindex(*(last - first + 1)):
            at = first + step
            a, b = np.maximum(lo, at * chunks), np.minimum(hi, (at + 1) * chunks)
            part = self.chunk(tuple(at.tolist()))
            take = tuple(slice(p, q) for p, q in zip(a - at * chunks, b - at * chunks, strict=True))
            out[tuple(slice(p, q) for p, q in zip(a - lo, b - lo, strict=True))] = part[take]
        return out


def pieces(lo, hi, chunks, voxels: int = PIECE_VOXELS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Boxes of whole ``chunks`` and at most ``voxels`` that together make the box lo to hi."""
    lo, hi, size = np.asarray(lo), np.asarray(hi), np.asarray(chunks).copy()
    if np.prod(hi - lo) <= voxels:
        yield lo, hi
        return
    for axis in (2, 1, 0):
        while np.prod(size) * 2 <= voxels and size[axis] < hi[axis]:
            size[axis] *= 2
    first, last = lo // size, (hi - 1) // size
    for step in np.ndindex(*(last - first + 1)):
        at = (first + step) * size
        yield np.maximum(lo, at), np.minimum(hi, at + size)


def reading_order(corner: np.ndarray, chunks: tuple[int, int, int]) -> np.ndarray:
    """Order of boxes with first corners (n, 3) in which neighbours share chunks."""
    z, y, x = (corner // np.asarray(chunks)).T
    return np.lexsort((corner[:, 2], corner[:, 1], corner[:, 0], np.where(y % 2, -x, x), y, z))
