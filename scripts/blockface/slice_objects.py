"""Whole objects of the cross-sections in all slabs: linked in one pass through the slices."""

import json
import logging
import pickle
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.cuts import Cut, pixels
from blockface.errors import InputError
from blockface.graph import BOX, NODE, combined
from blockface.linker import Found, Linker
from blockface.slices import Settings
from blockface.volume import open_volume, row_depth

log = logging.getLogger(__name__)

MUCH = 1.0  # percent of the voxels, above which it is a warning that they are left out
WARM = 24  # slices gone through backwards at first, to know apart what touches in the first slice
EVENT = np.dtype(
    [("kind", "U5")]
    + [(name, "i8") for name in ("object", "other", "slice", "missing")]
    + [("y", "f8"), ("x", "f8")]
)
"""An event of `linker.Found`."""

LINKS = (
    *("kind", "class", "object_id", "other_id", "slice", "z_nm", "y_nm", "x_nm", "missing_slices"),
)


class Kept:
    """What each slice came to: object of each cross-section, and `Cut`s; on disk, not in memory.

    The file has no name, so nothing of it stays behind, whatever happens.
    """

    def __init__(self, folder: str | Path):
        """A file in ``folder``."""
        self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self.starts: list[int] = []

    def add(self, number: np.ndarray, cuts: list[Cut]) -> None:
        """Keep the next slice."""
        self.starts.append(self.file.seek(0, 2))
        pickle.dump((number, cuts), self.file)

    def __getitem__(self, z: int) -> tuple[np.ndarray, list[Cut]]:
        self.file.seek(self.starts[z])
        return pickle.load(self.file)


class Linked:
    """Objects of one class, linked: their ``nodes`` (`graph.NODE`), where they are, events.

    ``records``: what they were made from, slab by slab.
    """

    def __init__(self, slabs: list[str], value: int, settings: Settings, scratch: str | Path):
        """Link the class ``value`` in the folders ``slabs`` that `slices.separate_slab` made.

        What would fill the memory lies in a nameless file in the folder ``scratch``.
        """
        found = [(json.loads(Path(s, "slab.json").read_text()), Path(s)) for s in slabs]
        found = sorted(((r, s) for r, s in found if r["z"][0] < r["z"][1]), key=lambda x: x[0]["z"])
        self.slabs = [(slice(*record["z"]), folder) for record, folder in found]
        self.records = [{**record, "class": value, "link": vars(settings)} for record, _ in found]
        self.value, self.shape = value, tuple(found[0][0]["shape"])
        self.voxel_size_nm = found[0][0]["voxel_size_nm"]
        self.name = self.records[0]["names"][str(value)]
        at = [0, *(z.stop for z, _ in self.slabs)]
        if at[:-1] != [z.start for z, _ in self.slabs] or at[-1] != self.shape[0]:
            raise InputError(
                f"{slabs[-1]}: the slabs hold slices {[r['z'] for r, _ in found]} of "
                f"{self.shape[0]}; remove the folders of slabs and run again"
            )
        self.slices = Kept(scratch)
        self.events = np.zeros(0, EVENT)
        self.nodes = np.zeros(0, NODE)
        self.link(settings)

    @classmethod
    def of_all(cls, slabs: list[str], settings: Settings, scratch: str | Path) -> list["Linked"]:
        """One for each class in the slabs."""
        names = json.loads(Path(slabs[0], "slab.json").read_text())["names"]
        return [cls(slabs, int(value), settings, scratch) for value in names]

    def link(self, settings: Settings) -> None:
        """Go through all slices: first some backwards, then all from the first one on."""
        pixel = self.voxel_size_nm[1] * self.voxel_size_nm[2]
        least = 9 if settings.min_area_nm2 is None else settings.min_area_nm2 / pixel
        warm = Linker(settings.max_gap, least)
        for z, plane, sections in self.planes(slice(0, min(WARM, self.shape[0])), back=True):
            warm.step(z, plane, sections)
        linker, last = Linker(settings.max_gap, least, warm.turned()), time.monotonic()
        fresh, told, small = [], [], np.zeros(3, np.int64)
        for z, plane, sections in self.planes(slice(0, self.shape[0])):
            found = linker.step(z, plane, sections)
            small += left_out(sections, found)
            self.slices.add(found.number.astype(np.int32), found.cuts)
            told += found.events
            fresh += self.entered(z, plane, sections, found)
            if z % 16 == 15 or z == self.shape[0] - 1:
                self.add(fresh, told)
                fresh, told = [], []
            if time.monotonic() - last > 10:
                last = time.monotonic()
                log.info("slice %d of %d: %d objects", z + 1, self.shape[0], linker.count)
        self.add([], linker.finish())
        if small[0]:
            share = 100 * small[1] / small[2]
            log.log(
                logging.WARNING if share > MUCH else logging.INFO,
                "%s: %d cross-sections of less than %g pixels belong to no fibril and are left "
                "out, %.3g %% of the voxels; if fibrils are as thin, lower slices.min_area_nm2 "
                "(now %g)", self.name, small[0], least, share, least * pixel,
            )  # fmt: skip

    def planes(self, z: slice, back: bool = False) -> Iterator[tuple]:
        """Slice, labels (y, x) of this class alone and their sections, one slice after another."""
        for own, folder in self.slabs[::-1] if back else self.slabs:
            labels = open_volume(folder / "labels.zarr")
            depth = row_depth(labels.shape)
            starts = range(own.start, own.stop, depth)
            for start in starts[::-1] if back else starts:
                row = slice(max(start, z.start), min(start + depth, own.stop, z.stop))
                if row.start >= row.stop:
                    continue
                planes = labels[row.start - own.start : row.stop - own.start]
                sections = np.load(folder / f"sections_{start}.npy")
                for k in range(row.start, row.stop)[:: -1 if back else 1]:
                    here = sections[sections["z"] == k]
                    mine = here["class"] == self.value
                    plane = planes[k - row.start]
                    if not mine.all():
                        table = np.zeros(len(here) + 1, np.uint32)
                        table[1:][mine] = np.arange(1, mine.sum() + 1)
                        plane = table[plane]
                    yield k, plane, here[mine]

    def entered(self, z: int, plane, sections: np.ndarray, found: Found) -> list[np.ndarray]:
        """`NODE` records of what a slice adds to each object; the id is its number."""
        given = np.flatnonzero(found.number >= 0)
        whole = np.zeros(len(given), NODE)
        whole["id"] = found.number[given]
        for name, own in (("voxels", "area"), ("first", "first"), *((b, b) for b in BOX[2:])):
            whole[name] = sections[own][given]
        nodes = [whole]
        for cut in found.cuts:
            y, x = pixels(plane, cut.box, cut.section + 1)
            owner = cut.owners(y, x)
            for k, number in enumerate(cut.number):
                own_y, own_x = y[owner == k], x[owner == k]
                node = np.zeros(1, NODE)
                node["id"], node["voxels"] = number, len(own_y)
                node["first"] = (z * self.shape[1] + own_y[0]) * self.shape[2] + own_x[0]
                node["y0"], node["y1"] = own_y.min(), own_y.max() + 1
                node["x0"], node["x1"] = own_x.min(), own_x.max() + 1
                nodes.append(node)
        for node in nodes:
            node["class"], node["z0"], node["z1"] = self.value, z, z + 1
        return nodes

    def add(self, fresh: list[np.ndarray], told: list[tuple]) -> None:
        """Add ``fresh`` records up to those of the objects, and events."""
        nodes = np.concatenate([self.nodes, *fresh])
        self.nodes = combined(nodes, nodes["id"].astype(np.int64))
        events = np.zeros(len(told), EVENT)
        for at, event in enumerate(told):
            kind, number, other, z, y, x, missing = event
            events[at] = kind, number, other, z, missing, y, x
        self.events = np.concatenate([self.events, events])

    def paint(self, out: np.ndarray, row: slice, ids: np.ndarray) -> None:
        """Enter the slices ``row`` into ``out``: of each node its number in ``ids``, 0 for none."""
        with_none = np.append(ids, np.uint32(0))  # the object -1
        for z, plane, _ in self.planes(row):
            number, cuts = self.slices[z]
            table = np.concatenate([[np.uint32(0)], with_none[number]])
            out[z - row.start] += table[plane]
            for cut in cuts:
                y, x = pixels(plane, cut.box, cut.section + 1)
                out[z - row.start, y, x] = ids[cut.number[cut.owners(y, x)]]


def left_out(sections: np.ndarray, found: Found) -> tuple[int, int, int]:
    """Of a slice: cross-sections that no object got, their voxels, and those of all."""
    none = found.number < 0
    none[[cut.section for cut in found.cuts]] = False
    area = sections["area"]
    return np.count_nonzero(none), area[none].sum(), area.sum()


def links_of(linked: list[tuple[Linked, np.ndarray]]) -> pd.DataFrame:
    """Where objects begin, end, meet, part and are missing, with the ids of the final volume.

    Columns `LINKS`; ``kind``: start and end (inside the stack), split (the object begins in a
    cross-section of other_id), merge (it ends in one), gap (it is found again after
    missing_slices). Objects that were left out (id 0) are not listed; as other_id 0 is nothing.
    """
    parts = []
    for source, ids in linked:
        events, size = source.events, np.array(source.voxel_size_nm)
        place = np.stack([events["slice"], events["y"], events["x"]], axis=1) + 0.5
        other = events["other"]
        part = {
            "kind": events["kind"], "class": source.name, "object_id": ids[events["object"]],
            "other_id": np.where(other < 0, 0, ids[np.maximum(other, 0)]),
            "slice": events["slice"], "missing_slices": events["missing"],
        }  # fmt: skip
        part |= {f"{a}_nm": place[:, i] * size[i] for i, a in enumerate("zyx")}
        parts.append(pd.DataFrame(part)[list(LINKS)])
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(LINKS))
    table = table[table["object_id"] > 0].sort_values(["object_id", "slice", "kind"])
    whole = dict.fromkeys(("object_id", "other_id", "slice", "missing_slices"), np.int64)
    real = dict.fromkeys(("z_nm", "y_nm", "x_nm"), float)
    text = dict.fromkeys(("kind", "class"), str)
    return table.astype({**whole, **real, **text}).reset_index(drop=True)
