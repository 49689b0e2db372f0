"""Basins of one block of a volume: steepest ascent on the heights, passes between basins.

A voxel flows to a neighbour of its own class only, so basins never mix classes. What flows over
the faces of the block is left as a piece of its own, to be joined with the block beyond.
"""

from dataclasses import dataclass

import cc3d
import numpy as np

from blockface.graph import BOX, EDGE, NODE, Merging, contract, reduced

SHELL = 2  # voxels around a block whose heights are needed to know what flows over its faces
FACE = np.dtype([("index", "u4"), ("node", "u4"), ("saddle", "u4"), ("link", "?"), ("place", "i8")])


@dataclass
class Block:
    """A block with ``SHELL`` voxels around it (0 beyond the volume).

    ``origin``: first voxel of the block itself in the volume of ``shape``; ``classes`` uint8 and
    ``height`` (uint16, or None where not needed) with the shell.
    """

    origin: tuple[int, int, int]
    shape: tuple[int, int, int]
    classes: np.ndarray
    height: np.ndarray | None

    def __post_init__(self):
        """Strides of the flat index, and whether there are several classes."""
        self.strides = (self.classes.shape[1] * self.classes.shape[2], self.classes.shape[2], 1)
        self.several = bool(((self.classes != 0) & (self.classes != self.classes.max())).any())
        self.core = tuple(slice(SHELL, n - SHELL) for n in self.classes.shape)

    def position(self, flat: np.ndarray) -> np.ndarray:
        """Raster position in the volume of voxels given by their flat index in the block."""
        z, rest = np.divmod(flat.astype(np.int64), self.strides[0])
        y, x = np.divmod(rest, self.strides[1])
        z, y, x = (a + o - SHELL for a, o in zip((z, y, x), self.origin, strict=True))
        return (z * self.shape[1] + y) * self.shape[2] + x

    def foreground(self, margin: int) -> list[np.ndarray]:
        """Flat indices of foreground voxels, plane by plane, ``margin`` voxels off the rim."""
        within = np.zeros(self.classes.shape[1:], bool)
        within[margin:-margin, margin:-margin] = True
        planes = range(margin, len(self.classes) - margin)
        return [
            (np.flatnonzero(within & (self.classes[z] > 0)) + z * self.strides[0]).astype(np.int32)
            for z in planes
        ]

    def ascend(self) -> np.ndarray:
        """Where each foreground voxel flows: to the highest of its six neighbours, if higher.

        Of equal ones to the first in raster order. What has no higher neighbour is a *top* and
        stays; tops that touch are equally high, and are one.
        """
        k, d = self.classes.ravel(), self.height.ravel()
        z, y, x = self.strides
        goal = np.zeros(k.size, np.int32)
        for p in self.foreground(1):
            best, to = d[p], p.copy()
            for step in (-z, -y, -x, x, y, z):
                q = p + np.int32(step)
                there = d[q]
                if self.several:
                    there = np.where(k[q] == k[p], there, np.uint16(0))
                better = there > best
                np.copyto(best, there, where=better)
                np.copyto(to, q, where=better)
            goal[p] = to
        return goal

    def faces(self, goal: np.ndarray | None) -> list[np.ndarray]:
        """Per axis, what touches across the block's first face: `FACE` records, sparse.

        ``index``: place in the face; ``node``: flat index of the voxel inside, to be replaced by
        its label; ``link``: same basin for certain.
        """
        found = []
        k = self.classes.ravel()
        for axis, step in enumerate(self.strides):
            q = self.numbers(axis, SHELL).ravel()
            index = np.flatnonzero((k[q] > 0) & (k[q] == k[q - step]))
            q = q[index]
            p = q - step
            records = np.zeros(len(q), FACE)
            records["index"], records["node"], records["link"] = index, q, True
            records["place"] = self.position(p) * 3 + axis
            if goal is not None:
                tops = (goal[p] == p) & (goal[q] == q)
                records["link"] = (goal[p] == q) | (goal[q] == p) | tops
                records["saddle"] = np.minimum(self.height.ravel()[p], self.height.ravel()[q])
            found.append(records)
        return found

    def rim(self, axis: int, plane: int) -> tuple[slice | int, ...]:
        """Index of one plane of the block itself, across ``axis``."""
        where = list(self.core)
        where[axis] = plane
        return tuple(where)

    def numbers(self, axis: int, plane: int) -> np.ndarray:
        """Flat indices, int32, of what `rim` gives."""
        lines = [
            np.arange(SHELL, n - SHELL, dtype=np.int32) * np.int32(step)
            for n, step in zip(self.classes.shape, self.strides, strict=True)
        ]
        lines[axis] = np.array(
            [plane % self.classes.shape[axis] * self.strides[axis]], dtype=np.int32
        )
        return (lines[0][:, None, None] + lines[1][:, None] + lines[2]).squeeze(axis)

    def basins(self, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Label of the tree each voxel flows into, uint32 with shell, and the passes between.

        A tree that flows out of the block is a basin of its own here.
        """
        planes = self.foreground(SHELL)
        tops = np.zeros(goal.size, np.uint8)
        for p in planes:
            top = p[goal[p] == p]
            tops[top] = self.classes.ravel()[top]
        labels = cc3d.connected_components(
            tops.reshape(self.classes.shape), connectivity=6, out_dtype=np.uint32
        ).ravel()
        inside = goal.reshape(self.classes.shape)
        for axis, step in enumerate(self.strides):
            for plane, out in ((SHELL, -step), (-SHELL - 1, step)):
                where = self.rim(axis, plane)
                own = self.numbers(axis, plane)
                inside[where] = np.where(inside[where] == own + out, own, inside[where])
        out = np.concatenate([p[(goal[p] == p) & (tops[p] == 0)] for p in planes])
        labels[out] = np.arange(1, len(out) + 1, dtype=np.uint32) + labels.max()
        moved = True
        while moved:
            moved = False
            for p in planes:
                now = goal[p]
                further = goal[now]
                if not np.array_equal(now, further):
                    goal[p], moved = further, True
        for p in planes:
            labels[p] = labels[goal[p]]
        return labels.reshape(self.classes.shape), self.passes(labels, planes)

    def passes(self, labels: np.ndarray, planes: list[np.ndarray]) -> np.ndarray:
        """Highest pass between each two labels that touch: `EDGE` records."""
        k, d = self.classes.ravel(), self.height.ravel()
        found = []
        for p in planes:
            mine = labels[p]
            for axis, step in enumerate(self.strides):
                theirs = labels[p + step]
                touch = (theirs != mine) & (theirs > 0)
                if self.several:
                    touch &= k[p] == k[p + step]
                a = p[touch]
                edges = np.zeros(len(a), EDGE)
                edges["a"], edges["b"] = mine[touch], theirs[touch]
                edges["saddle"] = np.minimum(d[a], d[a + step])
                edges["place"] = self.position(a) * 3 + axis
                found.append(reduced(edges))
        return reduced(np.concatenate(found))

    def separate(self, merging: Merging | None):
        """Labels of the block itself (uint32, 1..n), `NODE` and `EDGE` records, faces per axis.

        Settles at once what does not depend on other blocks; ids and edge ends are labels.
        """
        if merging is None:
            faces, edges = self.faces(None), np.zeros(0, EDGE)
            labels = np.zeros(self.classes.shape, np.uint32)
            labels[self.core] = cc3d.connected_components(
                np.ascontiguousarray(self.classes[self.core]), connectivity=6, out_dtype=np.uint32
            )
            peak = np.zeros(int(labels.max()), np.uint32)
        else:
            goal = self.ascend()
            faces = self.faces(goal)
            labels, edges = self.basins(goal)
            labels, peak, edges = self.settled(labels, goal, edges, merging)
        for records in faces:
            records["node"] = labels.ravel()[records["node"]]
        nodes = self.nodes(labels, len(peak))
        nodes["peak"] = peak
        return labels[self.core], nodes, edges, faces

    def settled(self, labels, goal, edges, merging):
        """Labels, peaks and edges after merging what the block alone decides."""
        root = np.concatenate([p[goal[p] == p] for p in self.foreground(SHELL)])
        peak = np.zeros(int(labels.max()), np.uint32)
        peak[labels.ravel()[root] - 1] = self.height.ravel()[root]
        is_open = np.zeros(len(peak) + 1, bool)
        for axis, size in enumerate(self.shape):
            length = self.classes.shape[axis] - 2 * SHELL
            if self.origin[axis] > 0:
                is_open[labels[self.rim(axis, SHELL)]] = True
            if self.origin[axis] + length < size:
                is_open[labels[self.rim(axis, -SHELL - 1)]] = True
        edges["a"] -= 1
        edges["b"] -= 1
        root, edges = contract(peak, is_open[1:], edges, merging)
        kept, new = np.unique(root, return_inverse=True)
        lut = np.concatenate([[0], new + 1]).astype(np.uint32)
        edges["a"], edges["b"] = lut[edges["a"] + 1], lut[edges["b"] + 1]
        return lut[labels], peak[kept], edges

    def nodes(self, labels: np.ndarray, count: int) -> np.ndarray:
        """`NODE` records of labels 1..count: class, voxels, bounding box, first voxel."""
        nodes = np.zeros(count, NODE)
        nodes["id"], nodes["band"] = np.arange(1, count + 1), -1
        if count == 0:
            return nodes
        flat = labels.ravel()
        first = np.zeros(count + 1, np.int64)
        for p in reversed(self.foreground(SHELL)):
            first[flat[p[::-1]]] = p[::-1]
        nodes["first"] = self.position(first[1:])
        nodes["class"] = self.classes.ravel()[first[1:]]
        found = cc3d.statistics(labels, no_slice_conversion=True)
        nodes["voxels"] = found["voxel_counts"][1:]
        box = np.asarray(found["bounding_boxes"])[1:].astype(np.int64)
        for axis, low in enumerate(self.origin):
            nodes[BOX[2 * axis]] = box[:, 2 * axis] + low - SHELL
            nodes[BOX[2 * axis + 1]] = box[:, 2 * axis + 1] + low - SHELL + 1
        return nodes
