"""Objects for other programs: meshes as PLY files, centrelines as SWC files."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.crops import Crops, reading_order
from blockface.meshes import PlyFile, mesh
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

SWC_HEADER = (
    "# Blockface: {what}\n# x, y, z and radius in µm; type 0 (undefined); one tree per object\n"
    "# n type x y z radius parent\n"
)


def export_meshes(array, index: pd.DataFrame, folder: Path, per_object: bool) -> None:
    """Write ``folder``/<class>.ply, or <class>/<id>.ply for each object of ``index``."""
    spacing, crops = voxel_size(array), Crops(array)
    lo, hi = (index[[f"{a}{e}" for a in "zyx"]].to_numpy() for e in "01")
    ids, kinds = index.object_id.to_numpy(), index["class"].to_numpy()
    files = {} if per_object else {k: PlyFile(folder / f"{k}.ply") for k in pd.unique(kinds)}
    told = time.monotonic()
    for n, row in enumerate(reading_order(lo, array.chunks)):
        number, kind = int(ids[row]), kinds[row]
        file = PlyFile(folder / kind / f"{number}.ply") if per_object else files[kind]
        file.add(number, mesh(crops, number, lo[row], hi[row], spacing))
        if per_object:
            file.close()
        if time.monotonic() - told > 10:
            told = time.monotonic()
            log.info("meshes: object %d of %d", n + 1, len(ids))
    for file in files.values():
        file.close()


def export_lines(
    lines: Iterable[pd.DataFrame], index: pd.DataFrame, folder: Path, per_object: bool
) -> None:
    """Write ``folder``/<class>.swc, or <class>/<id>.swc, from the table of centrelines in parts."""
    kind_of = dict(zip(index.object_id, index["class"], strict=True))
    counts, files = {}, {}
    if not per_object:
        for kind in pd.unique(index["class"]):
            path, counts[kind] = folder / f"{kind}.swc", 0
            path.parent.mkdir(parents=True, exist_ok=True)
            files[kind] = path.open("w", encoding="utf-8")
            files[kind].write(SWC_HEADER.format(what=f"centrelines of class {kind}"))
    for part in lines:
        for number, line in part.groupby("object_id", sort=False):
            kind = kind_of[number]
            if per_object:
                path = folder / kind / f"{number}.swc"
                path.parent.mkdir(parents=True, exist_ok=True)
                what = SWC_HEADER.format(what=f"centreline of object {number}, class {kind}")
                path.write_text(what + swc_lines(line, number, 0), encoding="utf-8")
            else:
                files[kind].write(swc_lines(line, number, counts[kind]))
                counts[kind] += len(line)
    for file in files.values():
        file.close()


def swc_lines(line: pd.DataFrame, object_id: int, before: int) -> str:
    """Text of one centreline whose first point has the number ``before`` + 1."""
    at = line[["x_nm", "y_nm", "z_nm"]].to_numpy(float) / 1000
    radius = line.diameter_nm.to_numpy(float) / 2000
    numbers = np.arange(before + 1, before + 1 + len(line))
    parents = np.r_[-1, numbers[:-1]]
    rows = zip(numbers, *at.T, radius, parents, strict=True)
    text = [f"{n} 0 {x:.6g} {y:.6g} {z:.6g} {r:.6g} {p}" for n, x, y, z, r, p in rows]
    return "\n".join([f"# object {object_id}", *text]) + "\n"
