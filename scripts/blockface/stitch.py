"""Objects of the whole volume from the provisional objects of its slabs."""

import json
import logging
import time
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from blockface.errors import InputError
from blockface.graph import BOX, EDGE, simplified
from blockface.object_index import INDEX
from blockface.objects import Settings
from blockface.slab_graph import across
from blockface.volume import create_volume, resumable, row_depth

log = logging.getLogger(__name__)


@dataclass
class Piece:
    """A slab as `objects.separate_slab` left it."""

    folder: Path
    record: dict
    nodes: np.ndarray
    edges: np.ndarray
    merged: np.ndarray
    offset: int = 0

    @property
    def z(self) -> slice:
        """Slices the slab holds."""
        return slice(*self.record["z"])

    def labels(self) -> zarr.Array:
        """Provisional ids, (z of the slab, y, x)."""
        return zarr.open_array(str(self.folder / "labels.zarr"), mode="r")


def pieces(slabs: list[str]) -> list[Piece]:
    """Slabs in order of z, those without slices left out, numbered through."""
    found = []
    for folder in map(Path, slabs):
        record = json.loads((folder / "slab.json").read_text())
        if record["z"][0] < record["z"][1]:
            with np.load(folder / "graph.npz") as graph:
                parts = [graph[name] for name in ("nodes", "edges", "merged")]
            found.append(Piece(folder, record, *parts))
    found.sort(key=lambda piece: piece.z.start)
    at = 0
    for piece in found:
        if piece.z.start != at:
            raise InputError(
                f"{piece.folder}: slices {piece.z.start} to {piece.z.stop}, expected to begin at "
                f"{at}; remove the folders of slabs and run again"
            )
        at = piece.z.stop
    if not found or at != found[0].record["shape"][0]:
        raise InputError(
            f"{slabs[-1]}: the slabs end at slice {at}, before the volume does; remove the folders "
            "of slabs and run again"
        )
    for before, piece in pairwise(found):
        piece.offset = before.offset + len(before.nodes)
    return found


def faces_between(before: Piece, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
    """Links and edges, by global index of nodes, across the face between two slabs."""
    plane = before.labels()
    _, height, width = piece.record["block"]
    links, edges = [np.zeros((0, 2), np.int64)], [np.zeros(0, EDGE)]
    for file in sorted((piece.folder / "below").glob("*.npy")):
        y, x = map(int, file.stem.split("_"))
        face = np.load(file)
        beyond = plane[-1, y : y + height, x : x + width].ravel()[face["index"]]
        face["node"] = piece.merged[face["node"]] + np.uint32(piece.offset)
        link, edge = across(face, before.merged[beyond] + np.uint32(before.offset))
        links.append(link)
        edges.append(edge)
    links, edges = np.concatenate(links).astype(np.int64) - 1, np.concatenate(edges)
    edges["a"] -= 1
    edges["b"] -= 1
    return links, edges


def solved(parts: list[Piece]) -> tuple[np.ndarray, np.ndarray]:
    """Objects of the whole as nodes, and for each node of the slabs the object it belongs to."""
    record = parts[0].record
    _, merging = Settings(**record["settings"]).rules(record["voxel_size_nm"])
    links, edges = [np.zeros((0, 2), np.int64)], []
    for piece in parts:
        own = piece.edges.copy()
        own["a"] += piece.offset
        own["b"] += piece.offset
        edges.append(own)
    for before, piece in pairwise(parts):
        link, edge = faces_between(before, piece)
        links.append(link)
        edges.append(edge)
    nodes, _, group = simplified(
        np.concatenate([piece.nodes for piece in parts]),
        np.concatenate(links),
        np.concatenate(edges),
        lambda n: np.zeros(len(n), bool),
        merging,
    )
    return nodes, group


def numbered(nodes: np.ndarray, least_voxels: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of at least that many voxels by their first voxel, and the id (or 0) of each node."""
    kept = np.flatnonzero(nodes["voxels"] >= least_voxels)
    kept = kept[np.argsort(nodes["first"][kept])]
    ids = np.zeros(len(nodes), np.uint32)
    ids[kept] = np.arange(1, len(kept) + 1)
    return nodes[kept], ids


def index_of(nodes: np.ndarray, names: dict[int, str]) -> pd.DataFrame:
    """Table of objects in order of their ids: class, voxels, half-open bounding box."""
    columns = {name: nodes[name].astype(np.int64) for name in ("voxels", *BOX)}
    classes = pd.Series(nodes["class"]).map(names).astype(str)
    table = pd.DataFrame({"object_id": np.arange(1, len(nodes) + 1), "class": classes, **columns})
    return table[list(INDEX)]


class Joined:
    """Objects of the slabs that `objects.separate_slab` made: their ``nodes``, and where they are.

    ``records``: what they were made from, slab by slab.
    """

    def __init__(self, slabs: list[str]):
        """Join the folders ``slabs``, all of one volume."""
        self.parts = pieces(slabs)
        self.records = [piece.record for piece in self.parts]
        self.nodes, self.group = solved(self.parts)
        self.tables: dict[int, np.ndarray] = {}

    def paint(self, out: np.ndarray, row: slice, ids: np.ndarray) -> None:
        """Enter the slices ``row`` into ``out``: of each node its number in ``ids``, 0 for none."""
        for number, piece in enumerate(self.parts):
            z = slice(max(row.start, piece.z.start), min(row.stop, piece.z.stop))
            if z.start >= z.stop:
                continue
            if number not in self.tables:
                own = ids[self.group[piece.offset : piece.offset + len(piece.nodes)]]
                self.tables = {number: np.concatenate([[np.uint32(0)], own])[piece.merged]}
            fill(out[z.start - row.start : z.stop - row.start], piece, z, self.tables[number])


def join_objects(sources: list, objects: str, min_volume_um3: float = 0) -> tuple:
    """Write the volume ``objects`` (uint32, ids 1..n in raster order of first voxels).

    ``sources`` are `Joined` or `slice_objects.Linked`, of classes of their own in one volume.
    Returns the index, and for each source the id of each node. Objects below ``min_volume_um3``
    are left out (id 0). A killed run goes on from its last row.
    """
    records = [source.records[0] for source in sources]
    size, shape = records[0]["voxel_size_nm"], tuple(records[0]["shape"])
    nodes = np.concatenate([source.nodes for source in sources])
    kept, ids = numbered(nodes, min_volume_um3 / (np.prod(size) * 1e-9) * (1 - 1e-9))
    log.info("%d objects; %d smaller ones left out", len(kept), len(nodes) - len(kept))
    ids = np.split(ids, np.cumsum([len(source.nodes) for source in sources])[:-1])
    names = {int(v): name for record in records for v, name in record["names"].items()}
    key = {"slabs": [s.records for s in sources], "objects": zlib.crc32(kept.tobytes())}

    def make(path):
        return create_volume(
            path,
            shape,
            np.uint32,
            size,
            classes={str(value): names[value] for value in sorted(names)},
            settings=[record["settings"] for record in records],
            min_volume_um3=min_volume_um3,
        )

    with resumable(objects, key, make) as (volume, done):
        write_rows(sources, ids, volume, done)
    return index_of(kept, names), ids


def write_rows(sources: list, ids: list[np.ndarray], volume, done) -> None:
    """Write each row not yet done: what each of the ``sources`` holds, by its ``ids``."""
    depth, last = row_depth(volume.shape), time.monotonic()
    for start in range(0, volume.shape[0], depth):
        row = slice(start, min(start + depth, volume.shape[0]))
        if row in done:
            continue
        out = np.zeros((row.stop - row.start, *volume.shape[1:]), np.uint32)
        for source, own in zip(sources, ids, strict=True):
            source.paint(out, row, own)
        if out.any():
            volume[row] = out
        done.add(row)
        if time.monotonic() - last > 10:
            last = time.monotonic()
            log.info("slices %d of %d written", row.stop, volume.shape[0])


def fill(out: np.ndarray, piece: Piece, z: slice, table: np.ndarray) -> None:
    """Final ids of the slices ``z`` of a slab into ``out`` where it has any, tile by tile."""
    labels = piece.labels()
    _, height, width = labels.shards
    within = slice(z.start - piece.z.start, z.stop - piece.z.start)
    for y in range(0, out.shape[1], height):
        for x in range(0, out.shape[2], width):
            tile = labels[within, y : y + height, x : x + width]
            if tile.any():
                out[:, y : y + height, x : x + width] += table[tile]
