"""An object cut into bands of equal walking distance from one end, and what hangs on what.

The pieces of the bands, linked where they touch, are the graph of the object's shape: a line for a
fibril, a fork where it branches, a cycle for a ring (Reeb graph of the walking distance; Verroust &
Lazarus 2000, The Visual Computer 16).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from blockface.nodes import Edges, Nodes, neighbours

SHORT = 2.5  # length over diameter up to which an object is not walked over
TWIG = 1.5  # diameters that a twig must reach from the middle of what it grows from


@dataclass
class Walk:
    """What walking over an object tells.

    ``points`` (n, 3) nm along the longest way, or once round a ring (``closed``), ``main`` (nodes,)
    those that belong to it, ``width`` of the bands in nm, ``tips`` a node at each further end (not
    the two of the line), and the numbers of ``branch_points`` and ``loops``.
    """

    points: np.ndarray
    main: np.ndarray
    width: float
    closed: bool = False
    tips: tuple[np.ndarray, ...] = ()
    branch_points: int = 0
    loops: int = 0


def walk(nodes: Nodes, volume: float) -> Walk | None:
    """The bands of an object of ``volume`` nm³; None where it is too short for bands."""
    if len(nodes.at) < 4:
        return None
    edges = neighbours(nodes)
    links = linked(edges, len(nodes.at))
    centre = nodes.count @ nodes.at / nodes.count.sum()
    start = int(np.argmax(((nodes.at - centre) ** 2).sum(axis=1)))
    first = farthest(dijkstra(links, indices=start))
    away, before = dijkstra(links, indices=first, return_predecessors=True)
    last = farthest(away)
    length = away[last]
    wide = np.sqrt(4 / np.pi * volume / max(length, nodes.cell.min()))
    width = max(0.75 * wide, 1.5 * nodes.cell.max())
    if length < SHORT * wide or length < 4 * width:
        return None
    reached = np.isfinite(away)
    n = round(length / width)
    band = np.full(len(away), -1)
    band[reached] = np.minimum(away[reached] * (n / length), n - 1)
    same = band[edges.a] == band[edges.b]
    inside = Edges(edges.a[same], edges.b[same], edges.length[same])
    count, piece = connected_components(linked(inside, len(away)), directed=False)
    path = [last]
    while path[-1] != first:
        path.append(int(before[path[-1]]))
    if count == n:
        return Walk(centroids(nodes, band, np.arange(n)), reached, width)
    return shape_of(nodes, edges, away, band, piece, np.array(path[::-1]), width)


def linked(edges: Edges, n: int) -> csr_array:
    """Symmetric matrix of ``n`` nodes with the lengths of the edges."""
    row, column = np.r_[edges.a, edges.b], np.r_[edges.b, edges.a]
    order = np.argsort(row, kind="stable")
    starts = np.r_[0, np.cumsum(np.bincount(row, minlength=n))].astype(np.int32)
    lengths = np.r_[edges.length, edges.length][order]
    return csr_array((lengths, column[order].astype(np.int32), starts), shape=(n, n))


def farthest(distance: np.ndarray) -> int:
    """Node at the greatest finite distance."""
    return int(np.argmax(np.where(np.isfinite(distance), distance, -1)))


def centroids(nodes: Nodes, label: np.ndarray, wanted) -> np.ndarray:
    """Centroids (n, 3) of the nodes of each ``wanted`` label."""
    used = label >= 0
    label, count = label[used], nodes.count[used]
    total = np.bincount(label, count)[wanted]
    return np.stack(
        [np.bincount(label, count * nodes.at[used, i])[wanted] / total for i in range(3)], 1
    )


def shape_of(nodes, edges: Edges, away, band, piece, path, width) -> Walk:
    """Walk of an object whose bands are in several pieces."""
    links = touching(edges, piece, band)
    merged = close_holes(links, band_of(piece, band))
    piece = np.where(band >= 0, merged[piece], -1)
    tree = Shape(touching(edges, piece, band), piece, away, nodes.count)
    kept = set() if tree.loops() else {int(piece[path[0]]), int(piece[path[-1]])}
    volume = nodes.count[np.isin(piece, piece[path])].sum() * nodes.step.prod()
    tree.prune(TWIG * np.sqrt(4 / np.pi * volume / away[path[-1]]) - width / 2, kept)
    order = tree.ring()
    if order is not None and len(order) > 5:
        points = centroids(nodes, piece, np.array(order))
        return Walk(points, piece >= 0, width, closed=True, loops=1)
    along = piece[path]
    along = along[np.r_[True, along[1:] != along[:-1]]]
    along = list(dict.fromkeys(along.tolist()))
    line = {along[0], along[-1]}
    tips = tuple(np.flatnonzero(piece == leaf) for leaf in tree.leaves() if leaf not in line)
    return Walk(
        centroids(nodes, piece, np.array(along)),
        np.isin(piece, along),
        width,
        tips=tips,
        branch_points=tree.branch_points(),
        loops=tree.loops(),
    )


def band_of(piece: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Band of each piece."""
    out = np.full(piece.max() + 1, -1)
    out[piece] = band
    return out


def touching(edges: Edges, piece: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Pairs (n, 2) of pieces that touch, nearer to the start first."""
    a, b = edges.a, edges.b
    cross = (piece[a] != piece[b]) & (band[a] >= 0) & (band[b] >= 0)
    a, b = a[cross], b[cross]
    swap = band[a] > band[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    return np.unique(np.stack([piece[a], piece[b]], 1), axis=0)


def close_holes(links: np.ndarray, band: np.ndarray) -> np.ndarray:
    """New number of each piece: pieces of a band with a common one before and after are one."""
    new = np.arange(len(band))
    before: dict[int, set[int]] = {}
    after: dict[int, set[int]] = {}
    for a, b in links.tolist():
        after.setdefault(a, set()).add(b)
        before.setdefault(b, set()).add(a)
    for number in np.unique(band[band >= 0]):
        inside = np.flatnonzero(band == number).tolist()
        for i, one in enumerate(inside):
            for other in inside[:i]:
                shared = before.get(one, set()) & before.get(other, set())
                if shared and after.get(one, set()) & after.get(other, set()):
                    new[new == new[one]] = new[other]
    return new


class Shape:
    """Graph of the pieces: ``near`` maps each to those that it touches."""

    def __init__(self, links: np.ndarray, piece: np.ndarray, away: np.ndarray, count: np.ndarray):
        self.near: dict[int, set[int]] = {int(p): set() for p in np.unique(piece[piece >= 0])}
        for a, b in links.tolist():
            self.near[a].add(b)
            self.near[b].add(a)
        used = piece >= 0
        size = piece.max() + 1
        weight = np.bincount(piece[used], count[used], size)
        middle = np.bincount(piece[used], (count * away)[used], size) / np.maximum(weight, 1)
        self.away = dict(enumerate(middle.tolist()))

    def leaves(self) -> list[int]:
        """Pieces at the ends."""
        return [p for p, near in self.near.items() if len(near) == 1]

    def twig(self, leaf: int) -> tuple[list[int], int | None]:
        """Pieces from a leaf up to where it grows from, and that; None in a plain line."""
        chain, before, at = [], None, leaf
        while len(self.near[at]) <= 2:
            chain.append(at)
            following = [p for p in self.near[at] if p != before]
            if not following:
                return chain, None
            before, at = at, following[0]
        return chain, at

    def prune(self, shortest: float, kept: set[int]) -> None:
        """Take away twigs shorter than ``shortest`` nm, to the middle of their last piece.

        Those that end in ``kept`` stay.
        """
        while True:
            twigs = []
            for leaf in self.leaves():
                chain, root = self.twig(leaf)
                reach = abs(self.away[leaf] - self.away[root]) if root is not None else np.inf
                if root is not None and leaf not in kept and reach < shortest:
                    twigs.append((reach, chain))
            if not twigs:
                return
            for piece in min(twigs)[1]:
                for other in self.near.pop(piece):
                    self.near[other].discard(piece)

    def loops(self) -> int:
        """Independent cycles."""
        links = sum(len(near) for near in self.near.values()) // 2
        return max(0, links - len(self.near) + 1)

    def branch_points(self) -> int:
        """Places where three or more ways meet; neighbouring pieces are one place."""
        forks = {p for p, near in self.near.items() if len(near) > 2}
        places = 0
        while forks:
            places += 1
            group = [forks.pop()]
            while group:
                beside = self.near[group.pop()] & forks
                forks -= beside
                group += beside
        return places

    def ring(self) -> list[int] | None:
        """Pieces in their order round the object, if it is one ring and nothing else."""
        if len(self.near) < 3 or any(len(near) != 2 for near in self.near.values()):
            return None
        order = [next(iter(self.near))]
        while len(order) < len(self.near):
            ways = [p for p in self.near[order[-1]] if p not in order[-2:]]
            if not ways or ways[0] == order[0]:
                return None
            order.append(ways[0])
        return order
