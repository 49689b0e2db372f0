"""The small graph of a separation: basins (nodes), passes between them (edges), and their merging.

An edge is the highest pass between two basins; a pass is a pair of face-neighbouring voxels and
its height the smaller of their two heights. Passes are taken from the highest to the lowest and
two basins become one where the pass is nearly as high as the lower of their peaks. The outcome
depends on the passes alone, so it can be worked out in any order that respects them: a *closed*
node, all of whose passes are known, can be settled at once by its own highest pass (see
`contract`), which keeps the graph small while a volume is walked through block by block.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BOX = ("z0", "z1", "y0", "y1", "x0", "x1")
NODE = np.dtype(
    [("id", "u4"), ("class", "u1"), ("peak", "u4"), ("voxels", "i8"), ("first", "i8")]
    + [(name, "i4") for name in BOX]
    + [("bottom", "?"), ("band", "i4")]
)
"""A basin: ``first`` is the raster position of its first voxel, the box half-open; ``bottom``: it
touches the first plane of its slab; ``band``: the last band whose last plane it touches."""
EDGE = np.dtype([("a", "u4"), ("b", "u4"), ("saddle", "u4"), ("place", "i8")])
ROUNDS = 64


@dataclass(frozen=True)
class Merging:
    """When a pass joins two basins: at ``ratio`` of the lower peak, or ``slack`` below it.

    ``slack`` is in steps of height, see `heights.heights`.
    """

    ratio: float
    slack: float

    def needed(self, peak: np.ndarray) -> np.ndarray:
        """Height a pass must reach, given the ``peak`` of the lower basin."""
        height = peak.astype(np.float64)
        return np.minimum(self.ratio * height, height - self.slack) - 1e-6


def reduced(edges: np.ndarray) -> np.ndarray:
    """Of each pair of nodes the first edge (highest, then lowest place), in that order."""
    edges = edges[edges["a"] != edges["b"]]
    if len(edges) == 0:
        return edges
    low, high = np.minimum(edges["a"], edges["b"]), np.maximum(edges["a"], edges["b"])
    edges["a"], edges["b"] = low, high
    order = np.lexsort((edges["place"], -edges["saddle"].astype(np.int64)))
    edges = edges[order]
    pair = edges["a"].astype(np.uint64) << np.uint64(32) | edges["b"]
    _, first = np.unique(pair, return_index=True)
    return edges[np.sort(first)]


def contract(peak, is_open, edges, merging: Merging) -> tuple[np.ndarray, np.ndarray]:
    """Node that each node now belongs to, and the edges that are still undecided.

    A closed node looks at its first edge. If the other end is at least as high, the edge is
    decided by the closed node's own peak, whatever happens elsewhere before: it either merges
    now or never. Repeated until nothing moves; with no open node nothing remains.
    """
    n = len(peak)
    parent = np.arange(n, dtype=np.int64)
    needed = merging.needed(peak)
    edges = reduced(edges)
    for _ in range(ROUNDS):
        count = len(edges)
        if count == 0:
            return parent, edges
        a, b = edges["a"].astype(np.int64), edges["b"].astype(np.int64)
        first = np.full(n, count)
        ends = np.stack([a, b], axis=1).ravel()[::-1]
        first[ends] = np.repeat(np.arange(count), 2)[::-1]
        node = np.flatnonzero((first < count) & ~is_open)
        edge = first[node]
        other = a[edge] + b[edge] - node
        both = ~is_open[other] & (first[other] == edge)
        higher = (peak[other] > peak[node]) | (
            (peak[other] == peak[node]) & ~(both & (other > node))
        )
        joins = edges["saddle"][edge] >= needed[node]
        move, drop = higher & joins, higher & ~joins
        if not (move.any() or drop.any()):
            return parent, edges
        parent[node[move]] = other[move]
        parent = flattened(parent)
        keep = np.ones(count, bool)
        keep[edge[drop]] = False
        edges = edges[keep]
        edges["a"], edges["b"] = parent[edges["a"]], parent[edges["b"]]
        edges = reduced(edges)
    return parent, edges if is_open.any() else one_by_one(parent, peak, edges, needed)


def one_by_one(parent, peak, edges, needed) -> np.ndarray:
    """Settle what is left edge by edge, in place in ``parent``; returns no edges."""

    def root(node):
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b, saddle in zip(edges["a"], edges["b"], edges["saddle"], strict=True):
        a, b = root(int(a)), root(int(b))
        low, high = (a, b) if peak[a] < peak[b] else (b, a)
        if low != high and saddle >= needed[low]:
            parent[low] = high
    parent[:] = flattened(parent)
    return edges[:0]


def flattened(parent: np.ndarray) -> np.ndarray:
    """Root of every node, given a parent of each."""
    while True:
        further = parent[parent]
        if np.array_equal(further, parent):
            return parent
        parent = further


def united(n: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Number of the connected group of each of ``n`` nodes, joined by the pairs ``a``, ``b``."""
    if len(a) == 0:
        return np.arange(n)
    links = coo_array((np.ones(len(a), bool), (a, b)), shape=(n, n))
    return connected_components(links, directed=False)[1]


def combined(nodes: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Nodes of each group (0, 1, 2 ...) made one: sums, extremes; the id is the smallest."""
    order = np.argsort(group, kind="stable")
    sorted_nodes = nodes[order]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    out = sorted_nodes[starts]
    for name, how in {
        "id": np.minimum,
        "peak": np.maximum,
        "voxels": np.add,
        "first": np.minimum,
        "z0": np.minimum,
        "y0": np.minimum,
        "x0": np.minimum,
        "z1": np.maximum,
        "y1": np.maximum,
        "x1": np.maximum,
        "bottom": np.logical_or,
        "band": np.maximum,
    }.items():
        out[name] = how.reduceat(sorted_nodes[name], starts) if len(starts) else out[name]
    return out


def simplified(nodes, links, edges, is_open, merging) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes after joining ``links`` (pairs of indices) and settling what can be; edges; group.

    ``is_open(nodes)`` tells which nodes have passes that are not known yet; ``merging`` is None
    where links alone join (connected components). ``group`` is the new index of each old node.
    """
    group = united(len(nodes), links[:, 0], links[:, 1])
    nodes = combined(nodes, group)
    if merging is None or len(nodes) == 0:
        return nodes, edges[:0], group
    edges = edges.copy()
    edges["a"], edges["b"] = group[edges["a"]], group[edges["b"]]
    root, edges = contract(nodes["peak"], is_open(nodes), edges, merging)
    kept, new = np.unique(root, return_inverse=True)
    edges["a"], edges["b"] = (np.searchsorted(kept, root[edges[end]]) for end in ("a", "b"))
    return combined(nodes, new), edges, new[group]
