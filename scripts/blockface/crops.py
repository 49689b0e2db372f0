"""Voxels of single objects from a volume on disk, through a cache of limited size."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import product

import numpy as np

from blockface.errors import InputError

CACHE_BYTES = 16 * 2**20
PIECE_VOXELS = 2**24


class Crops:
    """Voxels of objects in a (z, y, x) array of ids; chunks are read once while the cache lasts.

    A chunk is kept as the positions of its objects' voxels, sorted by object, so that empty space
    takes no room and an object is found without a search.
    """

    def __init__(self, array, limit: int = CACHE_BYTES):
        self.array, self.limit, self.used = array, limit, 0
        self.chunks = np.asarray(array.chunks)
        self.held: OrderedDict[tuple[int, ...], tuple[np.ndarray, np.ndarray, np.ndarray]]
        self.held = OrderedDict()

    def chunk(self, at: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids in chunk ``at``, where their voxels begin and end, and the voxels' flat positions."""
        if at in self.held:
            self.held.move_to_end(at)
            return self.held[at]
        flat = np.zeros(self.chunks, self.array.dtype)
        box = tuple(slice(i * c, (i + 1) * c) for i, c in zip(at, self.chunks, strict=True))
        found = self.array[box]
        flat[tuple(slice(0, n) for n in found.shape)] = found
        flat = flat.reshape(-1)
        where = np.flatnonzero(flat != 0)
        ids = flat[where]
        order = np.argsort(ids, kind="stable")
        ids, where = ids[order], where[order].astype(np.uint32)
        starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]]) if len(ids) else np.zeros(0, int)
        entry = ids[starts], np.r_[starts, len(ids)], where
        self.held[at] = entry
        self.used += size(entry)
        while self.used > self.limit and len(self.held) > 1:
            self.used -= size(self.held.popitem(last=False)[1])
        return entry

    def whole(self, ids, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Voxels (3, n) of objects, one's after the other's, and how many (k,) each has.

        ``lo`` and ``hi`` (k, 3), half-open, are the objects' boxes, or boxes of whole chunks: all
        that an object has in the chunks they touch is given, chunk by chunk, in order z, y, x.
        """
        parts, corners, sizes, counts = [np.zeros(0, np.uint32)], [(0, 0, 0)], [0], []
        first, last = (lo // self.chunks).tolist(), ((hi - 1) // self.chunks + 1).tolist()
        for object_id, low, high in zip(ids, first, last, strict=True):
            count = 0
            for at in product(*map(range, low, high)):
                held, starts, where = self.chunk(at)
                k = int(held.searchsorted(object_id))
                if k < len(held) and held[k] == object_id:
                    parts.append(where[starts[k] : starts[k + 1]])
                    corners.append(at)
                    sizes.append(len(parts[-1]))
                    count += sizes[-1]
            counts.append(count)
        flat, (_, rows, columns) = np.concatenate(parts), self.chunks.astype(np.uint32)
        z = flat // (rows * columns)
        flat -= z * (rows * columns)
        y = flat // columns
        found = np.stack([z, y, flat - y * columns]).astype(np.int32)
        found += np.repeat((corners * self.chunks).T.astype(np.int32), sizes, axis=1)
        return found, np.array(counts)

    def voxels(self, object_id: int, lo, hi) -> np.ndarray:
        """Voxels (n, 3) of an object in the box from ``lo`` up to ``hi`` (half-open), z, y, x."""
        lo, hi = np.asarray(lo), np.asarray(hi)
        found = self.whole([object_id], lo[None], hi[None])[0].T.astype(np.int64)
        if (lo % self.chunks).any() or (hi % self.chunks).any():
            found = found[((found >= lo) & (found < hi)).all(axis=1)]
        return found


def check_found(ids: np.ndarray, counts: np.ndarray) -> None:
    """Raise `InputError` if an object of ``ids`` has no voxel where the table has it."""
    if not np.all(counts):
        raise InputError(
            f"objects.zarr: object {ids[np.argmin(counts)]} is in the table of objects, but not in "
            "the volume where the table has it; make the table anew from this volume"
        )


def size(entry: tuple[np.ndarray, ...]) -> int:
    """Bytes of a cached chunk."""
    return sum(part.nbytes for part in entry) + 200


def pieces(lo, hi, chunks, voxels: int = PIECE_VOXELS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Boxes of whole ``chunks`` and at most ``voxels`` that together make the box lo to hi."""
    lo, hi, step = np.asarray(lo), np.asarray(hi), np.asarray(chunks).copy()
    if np.prod(hi - lo) <= voxels:
        yield lo, hi
        return
    for axis in (2, 1, 0):
        while np.prod(step) * 2 <= voxels and step[axis] < hi[axis]:
            step[axis] *= 2
    first, last = lo // step, (hi - 1) // step
    for number in np.ndindex(*(last - first + 1)):
        at = (first + number) * step
        yield np.maximum(lo, at), np.minimum(hi, at + step)


def reading_order(corner: np.ndarray, chunks: tuple[int, int, int]) -> np.ndarray:
    """Order of boxes with first corners (n, 3) in which neighbours share chunks."""
    z, y, x = (corner // np.asarray(chunks)).T
    return np.lexsort((corner[:, 2], corner[:, 1], corner[:, 0], np.where(y % 2, -x, x), y, z))


def batches(sizes: np.ndarray, limit: int) -> Iterator[slice]:
    """Runs of objects that are worked at together: of ``limit`` in size at most, or one alone."""
    first, held = 0, 0
    for k, n in enumerate(sizes.tolist()):
        if held and held + n > limit:
            yield slice(first, k)
            first, held = k, 0
        held += n
    if held:
        yield slice(first, len(sizes))
