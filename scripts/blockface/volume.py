"""Volumes on disk: one sharded zarr array per store, with axes, voxel size and grey range.

A volume is written in *rows*: all y and x of a few neighbouring slices. A row is one shard (one
file), small enough for memory, and the unit of work, of resuming and of slabs: a *slab* is a run
of rows that one job writes. Slabs are stores of their own with the shape of the whole; joining
them links their files, it copies nothing.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr

from blockface.errors import InputError

ROW_VOXELS = 2**25  # 32 Mi voxels: 32 MB of 8-bit grey, 128 MB of object ids
ROW_DEPTH = 16
CHUNK = 256


def row_depth(shape: tuple[int, ...]) -> int:
    """Slices in a row of a volume whose last three axes are z, y, x."""
    fit = max(1, ROW_VOXELS // (shape[-2] * shape[-1]))
    return min(ROW_DEPTH, 2 ** (fit.bit_length() - 1))


def slab_rows(shape: tuple[int, ...], slab: int = 0, slabs: int = 1) -> list[slice]:
    """Rows (slices along z) that slab number ``slab`` of ``slabs`` has to make; may be none."""
    depth, n = row_depth(shape), shape[-3]
    rows = [slice(z, min(z + depth, n)) for z in range(0, n, depth)]
    return rows[slab * len(rows) // slabs : (slab + 1) * len(rows) // slabs]


def create_volume(
    path: str | Path,
    shape: tuple[int, ...],
    dtype,
    voxel_size_nm: tuple[float, float, float],
    *,
    fill_value: int = 0,
    **attributes,
) -> zarr.Array:
    """New zarr array at ``path``, (z, y, x) or (class, z, y, x), one shard per row.

    ``voxel_size_nm`` is in z, y, x; further ``attributes`` must be JSON. What lies at ``path``
    is replaced.
    """
    depth = row_depth(shape)
    chunks = (depth, min(CHUNK, shape[-2]), min(CHUNK, shape[-1]))
    whole = [-(-n // c) * c for n, c in zip(shape[-2:], chunks[1:], strict=True)]
    channels = (1,) * (len(shape) - 3)
    return zarr.create_array(
        str(path),
        shape=shape,
        dtype=dtype,
        chunks=(*channels, *chunks),
        shards=(*channels, depth, *whole),
        fill_value=fill_value,
        attributes={
            "axes": ["class", "z", "y", "x"][-len(shape) :],
            "voxel_size_nm": [float(v) for v in voxel_size_nm],
            **attributes,
        },
        overwrite=True,
    )


def open_volume(path: str | Path) -> zarr.Array:
    """Zarr array at ``path``, read-only, checked to carry ``voxel_size_nm`` and ``axes``."""
    try:
        array = zarr.open_array(str(path), mode="r")
    except (FileNotFoundError, ValueError) as error:
        raise InputError(
            f"{path}: not a zarr array ({error}); remove it and run again to have it made anew"
        ) from None
    if "voxel_size_nm" not in array.attrs or "axes" not in array.attrs:
        raise InputError(
            f"{path}: the attributes voxel_size_nm and axes are missing, so this is not a volume "
            "of Blockface; enter it through datasets.<name>.stack, labels or objects"
        )
    return array


def voxel_size(array: zarr.Array) -> tuple[float, float, float]:
    """Voxel size of a volume in nm, order z, y, x."""
    return tuple(array.attrs["voxel_size_nm"])


@contextmanager
def resumable(path: str | Path, key: dict, make) -> Iterator[tuple[object, "Progress"]]:
    """What ``make(partial_path)`` creates, and the rows already done by a killed run before.

    The work lies beside ``path`` in ``<path>.partial`` until it is whole, and is then renamed, so
    nothing half-made carries the final name. ``key`` (JSON) says what it is made from: work of
    another key is thrown away and begun again.
    """
    path, partial = Path(path), Path(f"{path}.partial")
    record = partial / "progress.json"
    done = json.loads(record.read_text()) if record.is_file() else None
    if done is None or done["key"] != json.loads(json.dumps(key)):
        shutil.rmtree(partial, ignore_errors=True)
        partial.parent.mkdir(parents=True, exist_ok=True)
        store, done = make(partial), {"key": key, "rows": []}
    else:
        store = zarr.open_array(str(partial), mode="r+")
    progress = Progress(record, done)
    progress.save()
    yield store, progress
    record.unlink()
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(partial, path)


class Progress:
    """Rows that are safely on disk."""

    def __init__(self, record: Path, state: dict):
        self.record, self.state = record, state

    def __contains__(self, row: slice) -> bool:
        return row.start in self.state["rows"]

    def add(self, row: slice) -> None:
        """Note that ``row`` is written."""
        self.state["rows"].append(row.start)
        self.save()

    def save(self) -> None:
        """Write the record in one step, so that a kill leaves the old or the new one."""
        temporary = self.record.with_suffix(".new")
        temporary.write_text(json.dumps(self.state))
        os.replace(temporary, self.record)


def join_slabs(slabs: list[str], path: str | Path) -> None:
    """Make the volume ``path`` of the rows of its ``slabs``: files are linked, not copied."""
    path, partial = Path(path), Path(f"{path}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for slab in map(Path, slabs):
        for file in sorted(f for f in slab.rglob("*") if f.is_file()):
            target = partial / file.relative_to(slab)
            if file.name.startswith(".snakemake") or target.exists():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except OSError:  # a file system without hard links
                shutil.copy2(file, target)
    shutil.rmtree(path, ignore_errors=True)
    os.replace(partial, path)


def grey_statistics(histogram: np.ndarray, values: np.ndarray) -> dict[str, float]:
    """Percentiles, mean and SD of grey levels, from a ``histogram`` over sorted ``values``."""
    share = np.cumsum(histogram) / histogram.sum()
    at = {f"p{p}": float(values[np.searchsorted(share, p / 100)]) for p in (1, 50, 99)}
    mean = float(np.average(values, weights=histogram))
    sd = float(np.sqrt(np.average((values - mean) ** 2, weights=histogram)))
    return {
        **at,
        "mean": mean,
        "sd": sd,
        "min": float(values[histogram > 0][0]),
        "max": float(values[histogram > 0][-1]),
    }
