"""The graph of one slab: it grows block by block, shrinks band by band, and survives a kill."""

import os
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.graph import EDGE, NODE, Merging, flattened, reduced, simplified


class Slab:
    """The graph of a slab as it grows, and what is needed to go on after a kill."""

    def __init__(self, folder: Path, z: slice, merging: Merging | None):
        """Graph of the slices ``z``, without nodes, kept in ``folder``."""
        self.folder, self.z, self.merging = folder, z, merging
        self.band = -1
        self.nodes = np.zeros(0, NODE)
        self.edges = np.zeros(0, EDGE)
        self.parent = np.zeros(1, np.uint32)
        self.fresh: dict[str, list] = {"nodes": [], "edges": [], "links": []}
        self.count = 1

    def load(self) -> None:
        """Take up the state after the last finished band, if there is one."""
        file = self.folder / "state.npz"
        if file.is_file():
            with np.load(file) as state:
                self.nodes, self.edges = state["nodes"], state["edges"]
                self.parent, self.band = state["parent"], int(state["band"])
            self.count = len(self.parent)

    def add(self, labels, nodes, edges) -> int:
        """Enter a block; its labels become ids of the slab, in place. Returns what was added."""
        offset = self.count - 1
        if offset + len(nodes) >= 2**32:
            raise InputError(
                "separate: more than 4 294 967 295 fragments in one slab; use more slabs"
            )
        labels[labels > 0] += np.uint32(offset)
        nodes["id"] += offset
        edges["a"] += offset
        edges["b"] += offset
        self.count += len(nodes)
        self.fresh["nodes"].append(nodes)
        self.fresh["edges"].append(edges)
        return offset

    def touch(self, face: np.ndarray, beyond: np.ndarray) -> None:
        """Enter the records of a face whose other side has the ids ``beyond``."""
        links, edges = across(face, beyond.ravel()[face["index"]])
        self.fresh["links"].append(links)
        self.fresh["edges"].append(edges)

    def close_band(self, band: int) -> None:
        """Join and settle what is known after ``band``, and save it."""
        nodes = np.concatenate([self.nodes, *self.fresh["nodes"]])
        edges = np.concatenate([self.edges, *self.fresh["edges"]])
        links = np.concatenate([np.zeros((0, 2), np.uint32), *self.fresh["links"]])
        self.fresh = {name: [] for name in self.fresh}
        grown = np.arange(self.count, dtype=np.uint32)
        grown[: len(self.parent)] = self.parent
        self.parent = flattened(grown)
        ids = nodes["id"].copy()
        links = np.searchsorted(ids, self.parent[links])
        for end in ("a", "b"):
            edges[end] = np.searchsorted(ids, self.parent[edges[end]])
        self.nodes, edges, group = simplified(
            nodes, links, edges, lambda n: n["bottom"] | (n["band"] == band), self.merging
        )
        order = np.argsort(self.nodes["id"])
        for end in ("a", "b"):
            edges[end] = self.nodes["id"][edges[end]]
        self.parent[ids] = self.nodes["id"][group]
        self.parent = flattened(self.parent)
        self.nodes, self.edges, self.band = self.nodes[order], edges, band
        part = self.folder / "state.part.npz"
        np.savez(part, nodes=self.nodes, edges=edges, parent=self.parent, band=band)
        os.replace(part, self.folder / "state.npz")

    def finish(self) -> None:
        """Write the graph in its final form: edges by index, and the node of each id."""
        ids = self.nodes["id"]
        merged = np.searchsorted(ids, self.parent).astype(np.uint32) + np.uint32(1)
        merged[0] = 0
        edges = self.edges.copy()
        for end in ("a", "b"):
            edges[end] = np.searchsorted(ids, edges[end])
        np.savez(self.folder / "graph.npz", nodes=self.nodes, edges=edges, merged=merged)
        (self.folder / "state.npz").unlink(missing_ok=True)


def across(face: np.ndarray, beyond: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Links (pairs of ids, each once) and edges of face records, with the ids beyond the face."""
    sure = face["link"]
    code = beyond[sure].astype(np.uint64) << np.uint64(32) | face["node"][sure]
    code = np.unique(code)
    links = np.stack([code >> np.uint64(32), code & np.uint64(0xFFFFFFFF)], axis=1)
    edges = np.zeros(np.count_nonzero(~sure), EDGE)
    edges["a"], edges["b"] = beyond[~sure], face["node"][~sure]
    edges["saddle"], edges["place"] = face["saddle"][~sure], face["place"][~sure]
    return links.astype(np.uint32), reduced(edges)
