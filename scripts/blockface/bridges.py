"""Objects in several pieces, as across a blank slice: bridges where the pieces are nearest.

A thin fibril that leans so much that its cross-sections lie beside one another from slice to slice
is joined likewise, but is one piece: nothing of it is missing.
"""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from blockface.nodes import Nodes


def bridged(links: csr_array, nodes: Nodes) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """``links`` that join all nodes of each object, bridges across gaps, and pieces (k,).

    ``links`` (n, n) are those of the nodes that touch. Bridges (2, m) are pairs of nodes; those to
    the next slice cross no gap and are not told.
    """
    label = connected_components(links, directed=False)[1]
    several = [len(np.unique(label[rows])) > 1 for rows in nodes.runs.slices]
    pieces, pairs, gaps = np.ones(len(several), int), [], [np.zeros((2, 0), int)]
    for k in np.flatnonzero(several):
        rows, z = nodes.runs.slices[k], nodes.grid(k)[0]
        for pair in bridges(nodes.at[:, rows].T, label[rows], nodes.size[:, k]):
            pairs.append(pair + rows.start)
            if (abs(z[pair[0]] - z[pair[1]]) != 1).all():
                pieces[k] += 1
                gaps.append(pairs[-1])
    one, other = np.concatenate(pairs, axis=1)
    apart = np.sqrt(((nodes.at[:, one] - nodes.at[:, other]) ** 2).sum(axis=0))
    joined = (links + csr_array((apart, (one, other)), shape=links.shape)).tocsr()
    return joined, np.concatenate(gaps, axis=1), pieces


def bridges(at: np.ndarray, label: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
    """Pairs (2, m) of points that join the pieces ``label`` (n,) of points ``at`` (n, 3) nm.

    The nearest piece is joined first. A bridge is as wide as the pieces' ends: it leads from
    each point to the other side that is no farther than the nearest two and a cell of ``size`` nm.
    """
    n, found = len(at), []
    left = np.ones(n, bool)
    distance, nearest = np.full(n, np.inf), np.zeros(n, int)
    new = np.flatnonzero(label == np.bincount(label).argmax())
    while True:
        left[new] = False
        out = np.flatnonzero(left)
        if not len(out):
            return found
        d, i = cKDTree(at[new]).query(at[out])
        nearer = d < distance[out]
        distance[out[nearer]], nearest[out[nearer]] = d[nearer], new[i[nearer]]
        wanted = label[out[distance[out].argmin()]]
        new = np.flatnonzero(label == wanted)
        ends = new[distance[new] <= distance[new].min() + np.linalg.norm(size)]
        found.append(np.stack([nearest[ends], ends]))
