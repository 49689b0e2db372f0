"""Cross-sections: the objects of every slice for itself, of the classes that are cut across.

They are basins of the same watershed as in three dimensions (`watershed`), with slices so far apart
that none touches the next, so blocks and slabs do not matter. A slab is a folder: labels.zarr
(z, y, x of the slab alone, uint32; in each slice 1, 2, 3 … by the first pixel), sections_<z>.npy
per row (`SECTION` records, slice by slice in the order of these numbers) and slab.json.
`tracks` then links them from slice to slice.
"""

import json
import logging
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.graph import BOX, Merging
from blockface.heap import give_back, keep_no_large_arrays
from blockface.heights import Metric, clipped_at, metric, tell_thick
from blockface.objects import BLOCK, walk_band
from blockface.slab_graph import Slab
from blockface.volume import create_volume, resumable, row_depth

log = logging.getLogger(__name__)

MOST_CLASSES = 127  # two values of a byte each

SECTION = np.dtype(
    [("z", "i4"), ("class", "u1"), ("area", "i4"), ("first", "i8")]
    + [(name, "f8") for name in ("y", "x", "yy", "yx", "xx")]
    + [(name, "i4") for name in BOX[2:]]
)
"""A cross-section: pixels, raster position of the first in the volume, centroid and second moments
in pixels (a pixel's own 1/12 is included), box half-open."""


@dataclass(frozen=True)
class Settings:
    """How objects that are cut across are found and linked.

    ``merge_ratio`` and ``h_maxima_px``: two basins of a slice are one cross-section where the neck
    between them is at least this share as wide as the narrower one, or narrower by less than so
    many pixels; ``max_gap``: slices in a row in which an object may be missing; ``min_area_nm2``:
    a smaller cross-section begins no object (None: 9 pixels); ``threshold`` and ``max_radius_nm``
    as in `objects.Settings`.
    """

    threshold: float = 0.5
    merge_ratio: float = 0.95
    h_maxima_px: float = 0.25
    max_gap: int = 2
    min_area_nm2: float | None = None
    max_radius_nm: float | None = None

    @classmethod
    def of(cls, given: dict | None) -> "Settings":
        """Settings from a configuration; keys left out or empty take the default."""
        given = {key: value for key, value in (given or {}).items() if value is not None}
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise InputError(
                f"slices: unknown setting {unknown[0]!r}; expected one of {', '.join(known)}"
            )
        settings = cls(**given)
        for name, low, high in (("threshold", 0, 1), ("merge_ratio", 0, 1), ("h_maxima_px", 0, 99),
                                ("max_gap", 0, 99), ("min_area_nm2", 0, 1e12),
                                ("max_radius_nm", 0, 1e9)):  # fmt: skip
            value = getattr(settings, name)
            if value is not None and not low <= value <= high:
                raise InputError(f"slices: {name} is {value}; expected {low} to {high}")
        return settings

    @property
    def of_slab(self) -> dict:
        """Those that bear on the cross-sections; the others only on how they are linked."""
        names = ("threshold", "merge_ratio", "h_maxima_px", "max_radius_nm")
        return {name: asdict(self)[name] for name in names}

    def rules(self, sides: tuple[float, float]) -> tuple[Metric, Merging]:
        """Units of distance in slices of pixels with ``sides`` (y, x, nm), and when to merge."""
        radius = clipped_at(self.max_radius_nm, sides)
        units = metric((radius, *sides), radius, smooth_slices=False)
        return units, Merging(self.merge_ratio, self.h_maxima_px * units.one_voxel)


class Apart:
    """Slices ``z`` of a volume of classes, each of another value than the next one.

    Objects never mix values, so what is found in the result are cross-sections.
    """

    def __init__(self, source: Classes, z: slice):
        self.source, self.z = source, z
        self.shape = (z.stop - z.start, *source.shape[1:])
        if len(source.names) > MOST_CLASSES:
            raise InputError(
                f"{source.path}: {len(source.names)} classes; expected at most {MOST_CLASSES} for "
                "separate: slices; name the classes under classes, or choose another way"
            )
        self.rank = {value: 2 * n + 1 for n, value in enumerate(sorted(source.names))}

    def there(self, region: tuple[slice, ...]) -> tuple[slice, ...]:
        """The region in the volume of classes."""
        return slice(region[0].start + self.z.start, region[0].stop + self.z.start), *region[1:]

    def inside(self, found: np.ndarray, region: tuple[slice, ...]) -> np.ndarray:
        """As that of the classes."""
        return self.source.inside(found, self.there(region))

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        """Values 2 n + 1 (even slices of ``z``) and 2 n + 2 of the n-th class; 0 is background."""
        table = np.zeros(256, np.uint8)
        for value, rank in self.rank.items():
            table[value] = rank
        found = table[self.source.read(self.there(region))]
        odd = found[(region[0].start + 1) % 2 :: 2]
        odd += odd > 0
        return found

    def class_of(self, values: np.ndarray) -> np.ndarray:
        """Class values of what `read` returned."""
        return np.array(sorted(self.rank), np.uint8)[(values.astype(int) - 1) // 2]


def separate_slab(
    source: Classes,
    local: str,
    z: slice,
    settings: Settings,
    threads: int = 1,
    block: tuple[int, int] = BLOCK[1:],
) -> None:
    """Make the folder ``local``: cross-sections of all classes of ``source`` in the slices ``z``.

    A killed run goes on from its last row.
    """
    keep_no_large_arrays()
    shape = (z.stop - z.start, *source.shape[1:])
    key = {
        "source": source.files,
        "z": [z.start, z.stop],
        "shape": source.shape,
        "voxel_size_nm": source.voxel_size_nm,
        "names": source.names,
        "settings": settings.of_slab,
    }
    folder = Path(f"{local}.partial")
    folder.mkdir(parents=True, exist_ok=True)

    def make(path):
        return create_volume(path, (max(1, shape[0]), *shape[1:]), np.uint32, source.voxel_size_nm)

    units, thick = settings.rules(source.voxel_size_nm[1:])[0], 0
    with resumable(folder / "labels.zarr", key, make) as (labels, done):
        for start in range(z.start, z.stop, row_depth(shape)):
            row = slice(start, min(start + row_depth(shape), z.stop))
            if row in done:
                continue
            found, sections, peaks = row_sections(Apart(source, row), settings, threads, block)
            thick += int((peaks >= units.highest).sum())
            labels[row.start - z.start : row.stop - z.start] = found
            np.save(folder / f"sections_{start}.npy", sections)
            done.add(row)
            give_back()
            log.info("slices %d to %d: %d cross-sections", start, row.stop - 1, len(sections))
    tell_thick(thick, units, z, min(source.voxel_size_nm[1:]), settings.merge_ratio)
    (folder / "slab.json").write_text(json.dumps(key))
    shutil.rmtree(local, ignore_errors=True)
    os.replace(folder, local)


def row_sections(apart: Apart, settings: Settings, threads: int, block: tuple[int, int]):
    """Labels (z, y, x) uint32 of a few slices, counted in each slice, and their `SECTION`s.

    And the height at which each of these is highest.
    """
    units, merging = settings.rules(apart.source.voxel_size_nm[1:])
    labels = np.zeros(apart.shape, np.uint32)
    whole = slice(0, len(labels))
    with tempfile.TemporaryDirectory() as folder:
        slab = Slab(Path(folder), whole, merging)
        core = (len(labels), *block)
        for _ in walk_band(apart, slab, labels, 0, whole, core, units, threads):
            pass
        slab.close_band(0)
        slab.finish()
        with np.load(Path(folder) / "graph.npz") as graph:
            nodes, merged = graph["nodes"], graph["merged"]
    order = np.argsort(nodes["first"])
    nodes = nodes[order]
    number = np.zeros(len(nodes) + 1, np.uint32)
    at = np.searchsorted(nodes["z0"], nodes["z0"])  # by first voxel is by slice, too
    number[1 + order] = 1 + np.arange(len(nodes)) - at
    table = number[merged]
    sections = np.zeros(len(nodes), SECTION)
    sections["z"] = nodes["z0"] + apart.z.start
    sections["class"] = apart.class_of(nodes["class"])
    sections["area"] = nodes["voxels"]
    sections["first"] = nodes["first"] + apart.z.start * apart.shape[1] * apart.shape[2]
    for name in BOX[2:]:
        sections[name] = nodes[name]
    for z, plane in enumerate(labels):
        plane[:] = table[plane]
        measure(plane, sections[nodes["z0"] == z], sections, np.flatnonzero(nodes["z0"] == z))
    return labels, sections, nodes["peak"]


def measure(plane: np.ndarray, own: np.ndarray, sections: np.ndarray, where: np.ndarray) -> None:
    """Enter centroid and second moments of the sections ``own`` of a plane at ``where``."""
    if not len(where):
        return
    y, x = np.nonzero(plane)
    k = plane[y, x] - 1
    n, count = len(where), own["area"]
    # from the corner of the box: small whole numbers, so that sums are exact
    y, x = (y - own["y0"][k]).astype(float), (x - own["x0"][k]).astype(float)
    my, mx = (np.bincount(k, values, n) / count for values in (y, x))
    sections["y"][where], sections["x"][where] = my + own["y0"], mx + own["x0"]
    for name, a, b, ma, mb in (("yy", y, y, my, my), ("yx", y, x, my, mx), ("xx", x, x, mx, mx)):
        own_part = 1 / 12 if a is b else 0
        sections[name][where] = np.bincount(k, a * b, n) / count - ma * mb + own_part
