"""Surfaces of objects and the gaps between them, exact, over the whole volume.

A surface is the middles of the voxel faces that bound an object: half a voxel from the centres on
either side, so the true surface is as often inside of them as outside. Corners of voxels lie up to
0.9 voxels outside where a surface is oblique. Two objects that share a face are 0 apart. Objects
are read from the volume when they are needed and kept in a cache of limited size.
"""

import math
from collections import OrderedDict

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from blockface.crops import Crops, batches, check_found, pieces
from blockface.nodes import numbering
from blockface.runs import Runs

PART_VOXELS = 2**20
FEW = 2000  # points
TREE_BYTES = 24 * 2**20
POINT_BYTES = 48  # of a point in a tree
SHARE = 8  # part of the room for trees that those made in one go take
PAIRS = 2**15  # whose gap, or least gap, is remembered
HAIR = 1e-9  # so that a distance equal to the limit is found


def face_points(voxels: np.ndarray, runs: Runs, lo: np.ndarray, hi: np.ndarray) -> list:
    """Middles (n, 3) of the faces on the surface of each object, in voxels.

    ``voxels`` (3, n) are the objects', one's after the other's as in ``runs``, within their boxes
    ``lo`` to ``hi`` (k, 3). A face is on the surface if one of its two voxels is the object's. A
    voxel begins at its own number and ends at the next.
    """
    stride, base = numbering((hi - lo).T + 1)
    own = ((voxels - runs.spread(lo.T)) * runs.spread(stride)).sum(axis=0) + runs.spread(base)
    points, owners = [], []
    for axis, middle in enumerate(0.5 * (1 - np.eye(3))):
        count = np.zeros(base[-1] + np.prod(hi[-1] - lo[-1] + 1), np.uint8)
        count[own] = 1  # no voxel comes twice, so there is nothing to add up within
        count[own + runs.spread(stride[axis])] += 1
        number = np.flatnonzero(count == 1)
        owner = base[1:].searchsorted(number, side="right")
        z, rest = np.divmod(number - base.take(owner), stride[0].take(owner))
        at = np.stack([z, *np.divmod(rest, stride[1].take(owner))], 1)
        points.append(at + (lo + middle).take(owner, axis=0))
        owners.append(owner)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    ends = np.bincount(owner, minlength=len(lo)).cumsum()
    return np.split(np.concatenate(points).take(order, axis=0), ends[:-1])


def box_gaps(lo, hi, others_lo, others_hi) -> np.ndarray:
    """Distances (n,) from the box lo to hi to other boxes (n, 3), 0 where they touch."""
    return np.sqrt(squares(np.maximum(np.maximum(others_lo - hi, lo - others_hi), 0)))


def squares(vectors: np.ndarray) -> np.ndarray:
    """Squared lengths of vectors (..., 3)."""
    return np.einsum("...i,...i", vectors, vectors)


def in_turn(index: pd.DataFrame, chunks, spacing) -> np.ndarray:
    """Rows (n,) of objects in an order in which one is near the next.

    Column after column of chunks, so that what is near fits a cache however wide slices are, and
    in each as in the leaves of a tree of the boxes' middles.
    """
    lo, hi = index[["z0", "y0", "x0"]].to_numpy(), index[["z1", "y1", "x1"]].to_numpy()
    leaves = cKDTree((lo + hi) / 2 * np.asarray(spacing)).indices
    z, y, x = (lo[leaves] // np.asarray(chunks)).T
    return leaves[np.lexsort((z, x, y))]


class Trees:
    """Search trees that were used last, as many as fit."""

    def __init__(self, limit: int):
        self.limit, self.used = limit, 0
        self.held: OrderedDict[tuple[int, int], cKDTree] = OrderedDict()

    def keep(self, key: tuple[int, int], points: np.ndarray) -> None:
        """Keep a tree of ``points`` (n, 3) in nm; what was used longest ago goes."""
        self.held[key] = cKDTree(points, leafsize=32, balanced_tree=False, compact_nodes=False)
        self.used += len(points) * POINT_BYTES
        while self.used > self.limit and len(self.held) > 1:
            self.used -= self.held.popitem(last=False)[1].n * POINT_BYTES


class Surfaces:
    """Surface points of the objects of a volume, in parts, each with its box."""

    def __init__(self, crops: Crops, index: pd.DataFrame, spacing, limit: int = TREE_BYTES):
        self.crops = crops
        self.ids = index.object_id.to_numpy()
        self.lo = index[["z0", "y0", "x0"]].to_numpy()
        self.hi = index[["z1", "y1", "x1"]].to_numpy()
        self.spacing = np.asarray(spacing, float)
        self.known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        # a part of a large object may take all the room, and small ones are needed beside it
        self.trees, self.of_parts = Trees(limit), Trees(limit)
        self.small = np.prod(self.hi - self.lo, axis=1) <= PART_VOXELS
        self.gaps: dict[tuple[int, int], tuple[float, bool]] = {}
        _, y, x = (self.lo // crops.chunks).T
        self.column = y * (x.max(initial=0) + 1) + x
        small = in_turn(index, crops.chunks, spacing)
        small = small[self.small[small]]
        z, y, x = (self.hi - self.lo)[small].T
        room = limit // (SHARE * POINT_BYTES)
        self.groups = [small[some] for some in batches(2 * (z * y + y * x + x * z), room)]
        self.group = np.zeros(len(index), int)
        for number, rows in enumerate(self.groups):
            self.group[rows] = number

    def parts(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (n, 3) and (n, 3), in voxels, of the parts of an object."""
        lo, hi = self.lo[row], self.hi[row]
        if self.small[row]:
            return lo[None], hi[None]
        if row not in self.known:
            first, last = [], []
            for a, b in pieces(lo, hi, self.crops.array.chunks, PART_VOXELS):
                found = self.crops.voxels(self.ids[row], a, b)
                if len(found):
                    first.append(found.min(axis=0))
                    last.append(found.max(axis=0) + 1)
            check_found(self.ids[row, None], np.array([len(first)]))
            self.known[row] = np.array(first), np.array(last)
        return self.known[row]

    def tree(self, row: int, part: int, alone: bool = False) -> cKDTree:
        """Search tree of the surface points, nm, of one part of an object.

        Unless it is wanted ``alone``, those of the small objects of its group are made with it.
        """
        key = row, part
        trees = self.trees if self.small[row] else self.of_parts
        if key in trees.held:
            trees.held.move_to_end(key)
        elif self.small[row]:
            self.prepare(row, np.array([row]) if alone else self.groups[self.group[row]])
        else:
            lo, hi = (corner[part, None] for corner in self.parts(row))
            voxels = self.crops.voxels(self.ids[row], lo[0], hi[0]).T
            points = face_points(voxels, Runs([voxels.shape[1]]), lo, hi)[0]
            trees.keep(key, points * self.spacing)
        return trees.held[key]

    def prepare(self, wanted: int, group: np.ndarray) -> None:
        """Make the tree of a small object, and those that are lacking in its ``group``."""
        held = self.trees.held
        rows = [row for row in group.tolist() if row != wanted and (row, 0) not in held]
        rows = np.array([*rows, wanted])  # the last one is kept in any case
        lo, hi = self.lo[rows], self.hi[rows]
        voxels, counts = self.crops.whole(self.ids[rows], lo, hi)
        check_found(self.ids[rows], counts)
        points = face_points(voxels, Runs(counts), lo, hi)
        for row, faces in zip(rows.tolist(), points, strict=True):
            self.trees.keep((row, 0), faces * self.spacing)

    def gap(self, a: int, b: int, limit: float) -> float:
        """Surface distance in nm of two objects, or inf if it is more than ``limit``.

        It is looked for from both sides, so what was found is remembered: the gap, or that it is
        more than a limit.
        """
        pair = (a, b) if a < b else (b, a)
        known, exact = self.gaps.get(pair, (-1.0, False))
        if exact:
            return known if known < limit + HAIR * self.spacing.min() else np.inf
        if limit <= known:
            return np.inf
        found = self.smallest_gap(a, b, limit)
        if len(self.gaps) >= PAIRS:
            self.gaps.clear()
        self.gaps[pair] = (found, True) if found < np.inf else (limit, False)
        return found

    def smallest_gap(self, a: int, b: int, limit: float) -> float:
        """What ``gap`` tells, from the surfaces."""
        if self.small[a] and self.small[b]:
            box = self.lo[b] * self.spacing, self.hi[b] * self.spacing
            other = self.tree(b, 0, alone=self.column[a] != self.column[b])
            return tree_gap(self.tree(a, 0), other, box, limit + HAIR * self.spacing.min())
        (alo, ahi), (blo, bhi) = self.parts(a), self.parts(b)
        s = self.spacing
        gaps = box_gaps(alo[:, None] * s, ahi[:, None] * s, blo[None] * s, bhi[None] * s)
        best = limit + HAIR * s.min()
        found = np.inf
        for flat in np.argsort(gaps, axis=None, kind="stable"):
            i, j = np.unravel_index(flat, gaps.shape)
            if gaps[i, j] >= best or found == 0:
                break
            near = tree_gap(
                self.tree(a, int(i)), self.tree(b, int(j)), (blo[j] * s, bhi[j] * s), best
            )
            if near < best:
                best = found = near
        return found


def tree_gap(one: cKDTree, two: cKDTree, box, limit: float) -> float:
    """Smallest distance between the points of two trees, if below ``limit``, else inf.

    ``box`` is that of ``two``. The point of ``one`` nearest to it gives a first limit.
    """
    apart = box_gaps(*box, one.data, one.data)
    start = one.data[apart.argmin()]
    distance, other = two.query(start)
    if one.n <= FEW:  # then to look at all is faster
        distance = min(distance, math.sqrt(squares(one.data - two.data[other]).min()))
    else:
        distance = min(distance, one.query(two.data[other])[0])
    if distance == 0:
        return 0.0
    best = min(limit, distance * (1 + HAIR))
    near = one.data[apart < best]
    if not len(near):
        return np.inf
    return float(two.query(near, distance_upper_bound=best)[0].min())
