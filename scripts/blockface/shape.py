"""The shape of an object from the pieces of its bands: a line, a fork where it branches, a ring.

The pieces of bands of equal walking distance, linked where they touch, are the Reeb graph of the
walking distance (Verroust & Lazarus 2000, The Visual Computer 16).
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

TWIG = 1.5  # diameters that a twig must reach from the middle of what it grows from


@dataclass
class Pieces:
    """Bands of one object cut into pieces.

    Of its nodes: ``at`` (3, n) nm, ``volume`` (n,) nm³, ``away`` (n,) nm from the start, ``band``
    (n,), -1 if not reached, and ``piece`` (n,). ``a`` and ``b`` (m,) are the nodes that touch,
    ``path`` those of the shortest way from the start to the farthest, ``width`` of a band in nm.
    """

    at: np.ndarray
    volume: np.ndarray
    away: np.ndarray
    band: np.ndarray
    piece: np.ndarray
    a: np.ndarray
    b: np.ndarray
    path: np.ndarray
    width: float


@dataclass
class Way:
    """The line through an object: ``points`` (3, n) nm, or once round a ring (``closed``).

    ``main`` (nodes,) are the nodes that belong to it, ``tips`` a few at each further end (not the
    two of the line); and the numbers of ``branch_points`` and ``loops``.
    """

    points: np.ndarray
    main: np.ndarray
    closed: bool = False
    tips: tuple[np.ndarray, ...] = ()
    branch_points: int = 0
    loops: int = 0


def way_through(of: Pieces) -> Way:
    """The longest way through an object, or that round it."""
    merged = close_holes(touching(of, of.piece), band_of(of.piece, of.band))
    piece = np.where(of.band >= 0, merged[of.piece], -1)
    tree = Shape(touching(of, piece), piece, of.away, of.volume)
    along = piece[of.path]
    kept = set() if tree.loops() else {int(along[0]), int(along[-1])}
    volume = of.volume[np.isin(piece, along)].sum()
    tree.prune(TWIG * np.sqrt(4 / np.pi * volume / of.away[of.path[-1]]) - of.width / 2, kept)
    order = tree.ring()
    if order is not None and len(order) > 5:
        return Way(centroids(of, piece, np.array(order)), piece >= 0, closed=True, loops=1)
    along = list(dict.fromkeys(along.tolist()))
    line = {along[0], along[-1]}
    tips = tuple(np.flatnonzero(piece == leaf) for leaf in tree.leaves() if leaf not in line)
    # where ways meet, a piece's centroid lies between them, on none; ends may be pruned twigs
    single = [p for p in along if len(tree.near.get(p, ())) <= 2]
    return Way(
        centroids(of, piece, np.array(single if len(single) > 3 else along)),
        np.isin(piece, along),
        tips=tips,
        branch_points=tree.branch_points(),
        loops=tree.loops(),
    )


def centroids(of: Pieces, piece: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Centroids (3, m) of the nodes of each ``wanted`` piece."""
    used = piece >= 0
    piece, weight = piece[used], of.volume[used]
    total = np.bincount(piece, weight)[wanted]
    return np.stack([np.bincount(piece, weight * a)[wanted] for a in of.at[:, used]]) / total


def band_of(piece: np.ndarray, band: np.ndarray) -> np.ndarray:
    """Band of each piece."""
    out = np.full(piece.max() + 1, -1)
    out[piece] = band
    return out


def touching(of: Pieces, piece: np.ndarray) -> np.ndarray:
    """Pairs (n, 2) of pieces that touch, nearer to the start first.

    Bridges across a gap may pass over a band: only those that nothing goes round count.
    """
    a, b, band = of.a, of.b, of.band
    cross = (piece[a] != piece[b]) & (band[a] >= 0) & (band[b] >= 0)
    a, b = a[cross], b[cross]
    swap = band[a] > band[b]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    pairs, at = np.unique(np.stack([piece[a], piece[b]], 1), axis=0, return_index=True)
    over = (band[b] - band[a])[at] > 1
    kept, n = [pairs[~over]], len(piece)
    if over.any():
        graph = coo_array((np.ones(len(kept[0])), kept[0].T), shape=(n, n))
        number = connected_components(graph, directed=False)[1]
        for pair in pairs[over]:
            one, other = number[pair]
            if one != other:
                kept.append(pair[None])
                number[number == other] = one
    return np.concatenate(kept)


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

    def __init__(self, links: np.ndarray, piece: np.ndarray, away: np.ndarray, volume: np.ndarray):
        self.near: dict[int, set[int]] = {int(p): set() for p in np.unique(piece[piece >= 0])}
        for a, b in links.tolist():
            self.near[a].add(b)
            self.near[b].add(a)
        used = piece >= 0
        size = piece.max() + 1
        weight = np.bincount(piece[used], volume[used], size)
        middle = np.bincount(piece[used], (volume * away)[used], size) / np.maximum(weight, 1)
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
