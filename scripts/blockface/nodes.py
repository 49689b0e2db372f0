"""The voxels of objects, or cells of voxels where they are many, as points and as a graph."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from blockface.crops import Crops, check_found, pieces
from blockface.runs import Runs

MAX_NODES = 12_000
FEW_NODES = 300
MAX_VOXELS = 3_000_000  # an object with more is measured from its cells alone


@dataclass
class Points:
    """Points of objects: ``at`` (3, n) in nm from the corner of the object's box, and whose.

    Each stands for a box of ``size`` (3, k) nm.
    """

    at: np.ndarray
    runs: Runs
    size: np.ndarray


@dataclass
class Nodes(Points):
    """Cells of voxels, sorted by place: ``at`` is the mean position of the ``count`` (n,) voxels.

    ``key`` (n,) numbers the cells of each object's box, with a margin of one cell all round it,
    from where the last box ended; ``base`` (k,) is the number of the first one and ``stride``
    (3, k) how much one step adds. ``step`` (3,) is the size of a voxel in nm.
    """

    count: np.ndarray
    key: np.ndarray
    base: np.ndarray
    stride: np.ndarray
    step: np.ndarray

    @cached_property
    def voxels(self) -> np.ndarray:
        """Voxels (k,) of each object."""
        return self.runs.sums(self.count)

    @cached_property
    def volume(self) -> np.ndarray:
        """Volume (k,) of each object in nm³."""
        return self.voxels * self.step.prod()

    @cached_property
    def centre(self) -> np.ndarray:
        """Centroid (3, k) of each object."""
        return np.stack([self.runs.sums(a * self.count) for a in self.at]) / self.voxels

    def rows(self, mask: np.ndarray) -> "Nodes":
        """Those of the nodes that ``mask`` (n,) names."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        at, count, key = self.at.take(rows, axis=1), self.count.take(rows), self.key.take(rows)
        return replace(self, at=at, count=count, key=key, runs=self.runs.chosen(rows))

    def objects(self, mask: np.ndarray) -> "Nodes":
        """The nodes of the objects that ``mask`` (k,) names."""
        if mask.all():
            return self
        kept = self.rows(np.repeat(mask, self.runs.counts))
        size, base, stride = self.size[:, mask], self.base[mask], self.stride[:, mask]
        runs = Runs(self.runs.counts[mask])
        return replace(kept, runs=runs, size=size, base=base, stride=stride)

    def grid(self, k: int) -> np.ndarray:
        """Cells (3, n) of object ``k``, counted from the corner of its box."""
        z, rest = np.divmod(self.key[self.runs.slices[k]] - self.base[k], self.stride[0, k])
        return np.stack([z, *np.divmod(rest, self.stride[1, k])]) - 1


def cell_size(voxels: int, spacing) -> list[int]:
    """Voxels (z, y, x) per cell so that an object has about a third as many cells, of limits.

    The shortest edge grows first; y and x of one length grow together, so that an object that lies
    along y is measured as along x.
    """
    cell = [1, 1, 1]
    most = min(max(voxels / 3, FEW_NODES), MAX_NODES)
    while voxels / math.prod(cell) > most:
        size = [n * nm for n, nm in zip(cell, spacing, strict=True)]
        least = min(size)
        grown = [n + (s == least) for n, s in zip(cell, size, strict=True)]
        if size[0] == least:
            grown[1:] = cell[1:]
        if voxels / math.prod(grown) < most / 2:
            break
        cell = grown
    return cell


def gather(crops: Crops, ids, lo, hi, voxels, spacing) -> tuple[Nodes, Points]:
    """Cells of the objects ``ids`` (k,) read from ``crops``, and their voxels.

    ``lo`` and ``hi`` (k, 3) are the objects' boxes, ``voxels`` (k,) how many they have. Only one
    object alone is read in pieces; where it has too many voxels, its cells stand for them.
    """
    step = np.asarray(spacing, float)
    cell = np.array([cell_size(n, spacing) for n in voxels]).T
    extent = (hi - lo).T.astype(np.int32)
    # 64 bits: one id may be two specks in opposite corners of a large volume
    stride, base = numbering(cells_of(extent - 1, extent, cell).astype(np.int64) + 3)
    alone = len(ids) == 1
    boxes = pieces(lo[0], hi[0], crops.array.chunks) if alone else [(lo, hi)]
    keys, sums, counts, kept = [], [], [], []
    for a, b in boxes:
        found, count = crops.whole(ids, a.reshape(-1, 3), b.reshape(-1, 3))
        runs = Runs(count)
        found -= runs.spread(lo.T.astype(np.int32))
        cells = cells_of(found, runs.spread(extent), runs.spread(cell)) + 1
        key = (cells * runs.spread(stride)).sum(axis=0)
        key, inverse, n = np.unique(
            key + runs.spread(base), return_inverse=True, return_counts=True
        )
        sums.append(np.stack([np.bincount(inverse, a, len(key)) for a in found]))
        keys.append(key)
        counts.append(n)
        if not alone or voxels[0] <= MAX_VOXELS:
            kept.append(found)
    key, total, count = keys[0], sums[0], counts[0]
    if len(keys) > 1:
        key, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        count = np.bincount(inverse, np.concatenate(counts), len(key))
        total = np.stack([np.bincount(inverse, a, len(key)) for a in np.concatenate(sums, axis=1)])
    owned = Runs(np.diff(np.append(key.searchsorted(base), len(key))))
    check_found(ids, owned.counts)
    at = (total / count + 0.5) * step[:, None]
    nodes = Nodes(at, owned, cell * step[:, None], count.astype(float), key, base, stride, step)
    if not kept:
        return nodes, nodes
    found = np.concatenate(kept, axis=1)
    runs = Runs([found.shape[1]]) if alone else runs
    size = np.repeat(step[:, None], len(ids), axis=1)
    return nodes, Points((found + 0.5) * step[:, None], runs, size)


def cells_of(place: np.ndarray, extent: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Number of the cell in which the voxel ``place`` of a box ``extent`` voxels long lies.

    Cells of ``cell`` voxels lie about the middle of the box, so that an object has the mirrored
    cells when it is mirrored: one on it where the box is an odd number of voxels long, else two
    beside it.
    """
    if (cell == 1).all():
        return place
    odd = extent % 2
    first, aside = extent - 1, 2 * place - (extent - 1)
    far, most = ((n + cell * odd) // (2 * cell) for n in (np.abs(aside), first))
    return most + np.where(aside < 0, -far, far + 1 - odd)


def numbering(shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What one step adds to the number of a cell, (3, k), in boxes of ``shape`` (3, k) cells.

    And the number (k,) of the first cell of each box, so that no number comes twice.
    """
    stride = np.stack([shape[1] * shape[2], shape[2], np.ones_like(shape[2])])
    return stride, np.concatenate([[0], np.cumsum(shape[0] * stride[0])[:-1]])


def neighbours(nodes: Nodes) -> csr_array:
    """Distances in nm of nodes whose cells share a face, edge or corner, (n, n), each pair once."""
    n, keys = len(nodes.key), np.append(nodes.key, np.iinfo(np.int64).max)
    found, count = np.full((n, 13), -1, np.int32), np.zeros(n, np.int32)
    column = 0
    for z, y, x in ((0, 0, 1), (0, 1, -1), (1, -1, -1), (1, 0, -1), (1, 1, -1)):
        wanted = nodes.key + nodes.runs.spread((nodes.stride * [[z], [y], [x]]).sum(axis=0))
        at = keys.searchsorted(wanted)
        for _ in range(1 if x > 0 else 3):  # and its neighbours along x
            hit = keys.take(at) == wanted
            found[:, column] = np.where(hit, at, -1)
            count += hit
            at += hit
            wanted += 1
            column += 1
    other = found.ravel().take(np.flatnonzero(found >= 0))
    apart = np.repeat(nodes.at, count, axis=1)
    apart -= nodes.at.take(other, axis=1)
    apart *= apart
    starts = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
    return csr_array((np.sqrt(apart.sum(axis=0)), other, starts), shape=(n, n))
