"""From probability, or class labels, to the provisional objects of one slab, block by block.

The slab is walked through in *bands* (a few slices, all y and x), a band in *blocks*. Each block is
separated on its own, joined to its neighbours through their touching faces, and settled as far as
its surroundings are known; what is left is a small graph that `stitch.join_objects` finishes.
A slab is a folder: labels.zarr (z, y, x of the slab alone, uint32, ids of this slab, 0 nothing),
graph.npz (nodes, edges, merged: the node of each id, counted from 1), below_*.npy (what touches
across its first plane) and slab.json.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import zarr

from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.graph import Merging
from blockface.heap import give_back, keep_no_large_arrays
from blockface.heights import (
    Metric,
    clipped_at,
    heights,
    metric,
    squared_distances,
    tell_thick,
)
from blockface.slab_graph import Slab
from blockface.watershed import SHELL, Block

log = logging.getLogger(__name__)

BLOCK = (24, 256, 512)
METHODS = ("components", "watershed")


@dataclass(frozen=True)
class Settings:
    """How to separate.

    ``threshold``: probability above which a voxel is its likeliest class; ``merge_ratio``: two
    basins are one object where the pass between them is at least this share as high as the lower
    one's peak (see `heights`), or lower than it by less than ``slack_voxels`` (of the
    smallest voxel side); ``max_radius_nm``: distances are clipped there (default 16 such sides);
    ``smooth_slices``: heights are summed over neighbouring slices too, which long objects gain by
    and objects only a few slices thick lose by.
    """

    method: str = "components"
    threshold: float = 0.5
    merge_ratio: float = 0.75
    slack_voxels: float = 1.0
    max_radius_nm: float | None = None
    smooth_slices: bool = True

    @classmethod
    def of(cls, given: dict | None) -> "Settings":
        """Settings from a configuration; keys left out or empty take the default."""
        given = {key: value for key, value in (given or {}).items() if value is not None}
        unknown = sorted(set(given) - {field.name for field in fields(cls)})
        if unknown:
            expected = ", ".join(field.name for field in fields(cls))
            raise InputError(f"separate: unknown setting {unknown[0]!r}; expected {expected}")
        return cls(**given)

    def check(self) -> None:
        """Raise `InputError` for a setting that cannot be."""
        if self.method not in METHODS:
            raise InputError(
                f"separate: method {self.method!r} is unknown; expected one of {', '.join(METHODS)}"
            )
        if not 0 <= self.threshold < 1:
            raise InputError(f"separate: threshold is {self.threshold}; expected 0 <= it < 1")
        if not 0 < self.merge_ratio <= 1:
            raise InputError(f"separate: merge_ratio is {self.merge_ratio}; expected 0 < it <= 1")
        if self.max_radius_nm is not None and not self.max_radius_nm > 0:
            raise InputError(
                f"separate: max_radius_nm is {self.max_radius_nm}; expected a length above 0"
            )

    def rules(self, voxel_size_nm) -> tuple[Metric, Merging | None]:
        """Units of distance, and when to merge (None: connected components only)."""
        radius = clipped_at(self.max_radius_nm, voxel_size_nm)
        units = metric(voxel_size_nm, radius, self.smooth_slices)
        if self.method == "components":
            return units, None
        return units, Merging(self.merge_ratio, self.slack_voxels * units.one_voxel)


def prepared(source: Classes, core: tuple[slice, ...], units: Metric | None, threads: int):
    """`Block` at ``core`` (slices z, y, x) with its distances; None if it holds no foreground."""
    reach = (1, 1, 1) if units is None else units.halo
    grown = []
    for axis, (s, halo) in enumerate(zip(core, reach, strict=True)):
        margin = SHELL + halo
        grown.append(slice(max(0, s.start - margin), min(source.shape[axis], s.stop + margin)))
    classes = source.read(tuple(grown))
    inner = tuple(
        slice(s.start - g.start, s.stop - g.start) for s, g in zip(core, grown, strict=True)
    )
    if not classes[inner].any():
        return None
    near, shell, pad = [], [], []
    for axis, (s, g) in enumerate(zip(core, grown, strict=True)):
        low, high = max(0, s.start - SHELL), min(source.shape[axis], s.stop + SHELL)
        lower, higher = max(0, low - 1), min(source.shape[axis], high + 1)
        near.append(slice(lower - g.start, higher - g.start))
        shell.append(slice(low - lower, high - lower))
        pad.append((low - s.start + SHELL, s.stop + SHELL - high))
    near, shell, height = tuple(near), tuple(shell), None
    if units is not None:
        inside = source.inside(classes, tuple(grown))
        squared = squared_distances(inside, units, threads)[near].copy()
        height = np.pad(heights(classes[near], squared, units)[shell], pad)
    origin = tuple(s.start for s in core)
    return Block(origin, source.shape, np.pad(classes[near][shell], pad), height)


def separate_slab(
    path: str,
    local: str,
    z: slice,
    settings: Settings,
    threads: int = 1,
    block: tuple[int, int, int] = BLOCK,
    only: list[str] | None = None,
    boundary: str | None = None,
) -> None:
    """Make the folder ``local``: provisional objects of the slices ``z`` of the volume ``path``.

    Of all classes, or of those named in ``only``. Watersheds run along ``boundary``, if given
    (`foreground.Classes`). Begun work lies in ``<local>.partial`` and is taken up after its last
    finished band.
    """
    settings.check()
    keep_no_large_arrays()
    source = Classes(path, settings.threshold, only, boundary)
    units, merging = settings.rules(source.voxel_size_nm)
    key = {
        "source": source.files,
        "z": [z.start, z.stop],
        "shape": source.shape,
        "voxel_size_nm": source.voxel_size_nm,
        "settings": asdict(settings),
        "names": source.names,
        "block": block,
    }
    folder = Path(f"{local}.partial")
    labels = begun(folder, key, source, z, block)
    slab = Slab(folder, z, merging)
    slab.load()
    last = time.monotonic()
    for number, start in enumerate(range(z.start, z.stop, block[0])):
        if number <= slab.band:
            continue
        band = slice(start, min(start + block[0], z.stop))
        for done, tiles in walk_band(source, slab, labels, number, band, block, units, threads):
            if time.monotonic() - last > 10:
                last = time.monotonic()
                log.info("slices %d-%d: block %d of %d", band.start, band.stop - 1, done, tiles)
        slab.close_band(number)
        give_back()
    slab.finish()
    log.info("%s: %d pieces, %d passes left to the whole", local, len(slab.nodes), len(slab.edges))
    if merging:
        thick = int((slab.nodes["peak"] >= units.highest).sum())
        tell_thick(thick, units, z, min(source.voxel_size_nm), settings.merge_ratio)
    shutil.rmtree(local, ignore_errors=True)
    os.replace(folder, local)


def begun(folder: Path, key: dict, source: Classes, z: slice, block) -> zarr.Array:
    """Labels of a begun slab in ``folder``, made new unless begun with the same ``key``."""
    record, key = folder / "slab.json", json.loads(json.dumps(key))
    if record.is_file() and json.loads(record.read_text()) == key:
        return zarr.open_array(str(folder / "labels.zarr"), mode="r+")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "below").mkdir(parents=True)
    shape = (max(1, z.stop - z.start), *source.shape[1:])
    shard = [min(n, b) for n, b in zip(shape, block, strict=True)]
    chunk = [c if n % c == 0 else n for n, c in zip(shard, (8, 256, 256), strict=True)]
    labels = zarr.create_array(
        str(folder / "labels.zarr"),
        shape=shape,
        dtype="uint32",
        chunks=chunk,
        shards=shard,
        fill_value=0,
    )
    record.write_text(json.dumps(key))
    return labels


def walk_band(source, slab, labels, number, band, block, units, threads) -> Iterator:
    """Separate the blocks of one ``band`` (slice along z), yielding how many are done, of all."""
    depth, height, width = source.shape
    tiles = [
        (band, slice(y, min(y + block[1], height)), slice(x, min(x + block[2], width)))
        for y in range(0, height, block[1])
        for x in range(0, width, block[2])
    ]
    units = None if slab.merging is None else units
    above: dict[int, np.ndarray] = {}
    for done, (core, piece) in enumerate(ahead(source, tiles, units, threads)):
        z, y, x = core
        if x.start == 0:
            left = None
        if piece is None:
            left = None
            continue
        found, nodes, edges, faces = piece.separate(slab.merging)
        if slab.z.start == z.start > 0:
            nodes["bottom"][found[0][found[0] > 0] - 1] = True
        if z.stop < depth:
            nodes["band"][found[-1][found[-1] > 0] - 1] = number
        offset = slab.add(found, nodes, edges)
        for face in faces:
            face["node"] += np.uint32(offset)
        if len(faces[0]) and z.start == slab.z.start:
            np.save(slab.folder / "below" / f"{y.start}_{x.start}.npy", faces[0])
        elif len(faces[0]):
            slab.touch(faces[0], labels[z.start - slab.z.start - 1, y, x])
        if len(faces[1]):
            slab.touch(faces[1], above[x.start])
        if len(faces[2]):
            slab.touch(faces[2], left)
        above[x.start], left = found[:, -1].copy(), found[:, :, -1].copy()
        labels[slice(z.start - slab.z.start, z.stop - slab.z.start), y, x] = found
        yield done + 1, len(tiles)


def ahead(source: Classes, tiles: list, units: Metric | None, threads: int) -> Iterator:
    """Tiles and their blocks, the next one read while this one is worked on if threads allow."""
    if threads < 2:
        yield from ((core, prepared(source, core, units, 1)) for core in tiles)
        return
    with ThreadPoolExecutor(1) as pool:
        following = None
        for core, after in zip(tiles, [*tiles[1:], None], strict=True):
            now = following or pool.submit(prepared, source, core, units, threads - 1)
            piece = now.result()
            following = after and pool.submit(prepared, source, after, units, threads - 1)
            yield core, piece
