"""The voxels of one object, or cells of voxels if they are many, as points and as a graph."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from blockface.crops import pieces

MAX_NODES = 12_000
FEW_NODES = 900
MAX_VOXELS = 3_000_000  # an object with more is measured from its cells alone


@dataclass
class Nodes:
    """Cells of voxels of one object.

    ``at`` (n, 3) mean position in nm from the corner of the object's box, ``count`` (n,) voxels,
    ``grid`` (n, 3) numbers of the cells, ``cell`` (3,) their size in nm, ``step`` (3,) a voxel's.
    """

    at: np.ndarray
    count: np.ndarray
    grid: np.ndarray
    cell: np.ndarray
    step: np.ndarray


@dataclass
class Edges:
    """Nodes ``a`` and ``b`` (m,) that are 26-neighbours, and their distance ``length`` in nm."""

    a: np.ndarray
    b: np.ndarray
    length: np.ndarray


def cell_size(voxels: int, spacing: np.ndarray) -> np.ndarray:
    """Voxels (z, y, x) per cell so that an object has about a third as many cells, of limits."""
    cell = np.ones(3, int)
    most = np.clip(voxels / 3, FEW_NODES, MAX_NODES)
    while voxels / cell.prod() > most:
        cell[np.argmin(cell * spacing)] += 1
    return cell


def gather(crops, object_id: int, lo, hi, voxels: int, spacing) -> tuple[Nodes, np.ndarray | None]:
    """Cells of an object read from ``crops``, and its voxels (n, 3) in nm unless too many."""
    spacing, lo = np.asarray(spacing, float), np.asarray(lo)
    cell = cell_size(voxels, spacing)
    kept, grids, sums, counts = [], [], [], []
    for a, b in pieces(lo, hi, crops.array.chunks):
        found = crops.voxels(object_id, a, b) - lo
        grid, inverse, count = group(found // cell)
        sums.append(np.stack([np.bincount(inverse, found[:, i], len(grid)) for i in range(3)], 1))
        grids.append(grid)
        counts.append(count)
        if voxels <= MAX_VOXELS:
            kept.append(found.astype(np.int32))
    grid, count, total = grids[0], counts[0], sums[0]
    if len(grids) > 1:
        grid, inverse, _ = group(np.concatenate(grids))
        count = np.bincount(inverse, np.concatenate(counts), len(grid))
        total = np.concatenate(sums)
        total = np.stack([np.bincount(inverse, total[:, i], len(grid)) for i in range(3)], 1)
    at = (total / count[:, None] + 0.5) * spacing
    voxel = (np.concatenate(kept) + 0.5) * spacing if kept else None
    return Nodes(at, count.astype(float), grid, cell * spacing, spacing), voxel


def group(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct rows of ``cells`` (n, 3), which of them each row is, and how many there are."""
    if not len(cells):
        return cells, np.zeros(0, int), np.zeros(0, int)
    shape = cells.max(axis=0) + 1
    keys, inverse, count = np.unique(
        np.ravel_multi_index(cells.T, shape), return_inverse=True, return_counts=True
    )
    return np.stack(np.unravel_index(keys, shape), 1), inverse, count


def neighbours(nodes: Nodes) -> Edges:
    """Pairs of nodes whose cells share a face, edge or corner, each once."""
    shape = nodes.grid.max(axis=0) + 3
    keys = np.ravel_multi_index((nodes.grid + 1).T, shape)  # ascending, as ``group`` leaves them
    strides = np.array([shape[1] * shape[2], shape[2], 1])
    steps = np.array([s for s in product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]) @ strides
    wanted = keys + steps[:, None]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    hit = keys[at] == wanted
    a, b = np.nonzero(hit)[1], at[hit]
    return Edges(a, b, np.sqrt(((nodes.at[a] - nodes.at[b]) ** 2).sum(axis=1)))
