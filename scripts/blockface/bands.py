"""Objects cut into bands of equal walking distance from one end, and the line through the bands."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra

from blockface.bridges import bridged
from blockface.nodes import Nodes, neighbours
from blockface.runs import Runs
from blockface.shape import Pieces, Way, way_through

SHORT = 2.5  # length over diameter up to which an object is not walked over
NO_BRIDGES = np.zeros((2, 0), int)
EVEN = 1e-6  # of the distance from the centroid, which decides between ways of one length


@dataclass
class Walks:
    """What walking over objects tells; of one too short to be ``walked`` (k,) nothing.

    ``points`` (3, n) nm along the longest way, or once round a ring (``closed``, (k,)), and
    ``runs`` of them. ``main`` (nodes,) are the nodes that belong to it, or all. ``width`` (k,) is
    that of the bands in nm. ``ways`` says more of the objects whose bands are in several pieces;
    all others are unbranched. ``pieces`` (k,) are those that objects are in, and ``bridges`` (2, m)
    the nodes by which these are joined.
    """

    points: np.ndarray
    runs: Runs
    main: np.ndarray
    width: np.ndarray
    walked: np.ndarray
    closed: np.ndarray
    ways: dict[int, Way]
    bridges: np.ndarray
    pieces: np.ndarray

    @property
    def forked(self) -> np.ndarray:
        """Which objects (k,) have branches."""
        found = np.zeros(len(self.walked), bool)
        found[[k for k, way in self.ways.items() if way.branch_points]] = True
        return found


def walk(nodes: Nodes) -> Walks:
    """The bands of objects."""
    links, runs = neighbours(nodes), nodes.runs
    far = ((nodes.at - runs.spread(nodes.centre)) ** 2).sum(axis=0)
    aside = EVEN * np.sqrt(far)
    away, gaps, number = distances(links, runs.peaks(far)), NO_BRIDGES, np.ones(len(runs), int)
    if not np.isfinite(away).all():
        links, gaps, number = bridged(links, nodes)
        away = distances(links, runs.peaks(far))
    first = runs.peaks(away + aside)
    away = distances(links, first)
    last = runs.peaks(away + aside)
    length = away[last]
    wide = np.sqrt(4 / np.pi * nodes.volume / np.maximum(length, nodes.size.min(axis=0)))
    width = np.maximum(0.75 * wide, 1.5 * nodes.size.max(axis=0))
    walked = (runs.counts >= 4) & (length >= SHORT * wide) & (length >= 4 * width)
    bands = Runs(np.where(walked, np.rint(length / width), 0).astype(int))
    used = np.repeat(walked, runs.counts)
    scale = runs.spread(bands.counts / np.where(walked, length, 1))
    band = np.minimum(np.where(used, away, -1) * scale, runs.spread(bands.counts - 1))
    band = np.where(used, band, -1).astype(int)
    piece = pieces(links, band)
    begin = piece[runs.first]
    centre, whole = centres(nodes, band, bands)
    several = walked & ((runs.most(piece) - begin + 1 != bands.counts) | ~whole)
    points, ways = [centre[:, rows] for rows in bands.slices], {}
    main, closed = np.ones(len(used), bool), np.zeros(len(runs), bool)
    for k in np.flatnonzero(several):
        rows = runs.slices[k]
        inside = part(links, rows)
        path = way(inside, first[k] - rows.start, last[k] - rows.start)
        ways[k] = way_through(
            Pieces(
                nodes.at[:, rows], nodes.count[rows] * nodes.step.prod(), away[rows], band[rows],
                piece[rows] - begin[k], *inside.nonzero(), path, width[k],
            )
        )  # fmt: skip
        points[k], main[rows], closed[k] = ways[k].points, ways[k].main, ways[k].closed
    counts = [p.shape[1] for p in points]
    # a ring is twice as long as the way to its far side, so less wide than was reckoned with
    width = np.where(closed, np.maximum(width / 2**0.5, 1.5 * nodes.size.max(axis=0)), width)
    points, runs = np.concatenate(points, axis=1), Runs(counts)
    return Walks(points, runs, main, width, walked, closed, ways, gaps, number)


def distances(links: csr_array, start: np.ndarray) -> np.ndarray:
    """Length (n,) in nm of the shortest way from the node in ``start`` of the same object."""
    return dijkstra(links, directed=False, indices=start, min_only=True)


def pieces(links: csr_array, band: np.ndarray) -> np.ndarray:
    """Numbers (n,) of the connected pieces of the bands, ascending from object to object."""
    same = np.flatnonzero(np.repeat(band, np.diff(links.indptr)) == band.take(links.indices))
    starts = same.searchsorted(links.indptr).astype(np.int32)
    linked = links.data[: len(same)], links.indices.take(same), starts  # any lengths will do
    inside = csr_array(linked, shape=links.shape)
    return connected_components(inside, directed=False)[1]


def centres(nodes: Nodes, band: np.ndarray, bands: Runs) -> tuple[np.ndarray, np.ndarray]:
    """Centroids (3, m) of the nodes of each band, and of which objects (k,) no band is empty."""
    used = np.flatnonzero(band >= 0)
    label = (band + nodes.runs.spread(bands.first)).take(used)
    weight = nodes.count.take(used)
    total = np.bincount(label, weight, bands.starts[-1])
    sums = [np.bincount(label, weight * a.take(used), len(total)) for a in nodes.at]
    return np.stack(sums) / np.maximum(total, 1), bands.sums(total == 0) == 0


def part(links: csr_array, rows: slice) -> csr_array:
    """The links within one object, whose nodes are ``rows``."""
    starts = links.indptr[rows.start : rows.stop + 1]
    mine, n = slice(starts[0], starts[-1]), rows.stop - rows.start
    inside = links.data[mine], links.indices[mine] - rows.start, starts - starts[0]
    return csr_array(inside, shape=(n, n))


def way(links: csr_array, first: int, last: int) -> np.ndarray:
    """Nodes of the shortest way from one node to another."""
    before = dijkstra(links, directed=False, indices=first, return_predecessors=True)[1]
    path = [last]
    while path[-1] != first:
        path.append(before[path[-1]])
    return np.array(path[::-1])
