"""Copy a stack of any format into a volume: row by row, checked, and its grey levels counted."""

import hashlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr

from blockface.errors import InputError
from blockface.stack import Stack
from blockface.volume import create_volume, grey_statistics, resumable, slab_rows

log = logging.getLogger(__name__)

BINS = 2**16
REPORT_S = 10.0


class GreyLevels:
    """Sums over the rows of a volume, equal whatever the order in which they came."""

    def __init__(self, dtype: np.dtype):
        """No voxel counted yet."""
        self.dtype = np.dtype(dtype)
        self.counts = np.zeros(BINS, np.int64)
        self.sums: dict[int, tuple[float, float, float, float, int]] = {}  # of each slice
        self.blank: list[int] = []

    def add(self, z0: int, row: np.ndarray) -> None:
        """Count the voxels of ``row`` (z, y, x), which begins at slice ``z0``."""
        low, high = row.min(axis=(1, 2)), row.max(axis=(1, 2))
        self.blank += [z0 + i for i in np.flatnonzero(low == high)]
        for i, plane in enumerate(row):  # one at a time: the float64 copy is twice as large
            self.counts += np.bincount(self._bins(plane).ravel(), minlength=BINS)
            if self.dtype.kind == "f":
                values = plane.astype(np.float64).ravel()
                self.sums[z0 + i] = (low[i], high[i], values.sum(), values @ values, values.size)

    def _bins(self, plane: np.ndarray) -> np.ndarray:
        """Number of the bin of each value: itself, or the upper 16 bits of a float."""
        if self.dtype.kind == "f":
            return _order(plane) >> 16
        return plane.astype(np.int64) - np.iinfo(self.dtype).min

    def statistics(self, rows: Iterator[np.ndarray]) -> dict[str, float]:
        """p1, p50, p99, mean, sd, min and max of all voxels.

        Exact for integers. For floats the percentiles come from a second pass over ``rows``, in
        65536 bins over the range in which all but 0.2 % of the voxels lie.
        """
        if self.dtype.kind != "f":
            values = np.arange(BINS) + np.iinfo(self.dtype).min
            return grey_statistics(self.counts, values)
        share = np.cumsum(self.counts) / self.counts.sum()
        low, high = (
            _edge(int(np.searchsorted(share, at)), up) for at, up in ((0.001, 0), (0.999, 1))
        )
        sums = np.array([self.sums[z] for z in sorted(self.sums)], float)
        least, most, n = sums[:, 0].min(), sums[:, 1].max(), sums[:, 4].sum()
        low, high = max(low, least), min(high, most)
        width = (high - low) / BINS or 1.0
        counts = np.zeros(BINS, np.int64)
        for plane in (plane for row in rows for plane in row):
            bins = np.clip((plane.astype(np.float64) - low) / width, 0, BINS - 1)
            counts += np.bincount(bins.astype(np.int64).ravel(), minlength=BINS)
        middles = low + (np.arange(BINS) + 0.5) * width
        mean = sums[:, 2].sum() / n
        sd = np.sqrt(max(0.0, sums[:, 3].sum() / n - mean**2))
        return {
            **grey_statistics(counts, middles),
            **{"mean": float(mean), "sd": float(sd), "min": float(least), "max": float(most)},
        }


def copy_stack(stack: Stack, path: str | Path, threads: int = 1) -> None:
    """Write ``stack`` as the volume ``path`` with the attributes grey and source, and
    world where the file tells where its voxels lie.

    A killed copy goes on where it stopped and ends in the same volume.

    Raises
    ------
    InputError
        A slice holds NaN or infinite values, or a file turns out broken.
    """
    rows = slab_rows(stack.shape)
    size = stack.voxel_size_nm

    def make(at: Path) -> zarr.Array:
        world = {"world": stack.world.as_json()} if stack.world else {}
        return create_volume(at, stack.shape, stack.dtype, size, source=stack.source, **world)

    grey = GreyLevels(stack.dtype)
    with resumable(path, made_from(stack), make) as (volume, done), _pool(threads) as each:
        shown = started = time.monotonic()
        for number, row in enumerate(rows, start=1):
            if row in done:
                grey.add(row.start, volume[row])
                continue
            block = np.concatenate(
                list(each(lambda z: stack.read(z, z + 1), range(row.start, row.stop)))
            )
            _check_finite(block, row.start, stack)
            volume[row] = block
            grey.add(row.start, block)
            done.add(row)
            if time.monotonic() - shown > REPORT_S or number == len(rows):
                shown = time.monotonic()
                log.info("%d of %d slices copied in %.0f s", row.stop, rows[-1].stop,
                         shown - started)  # fmt: skip
        if grey.blank:
            log.warning(
                "%s: %d slice(s) of one grey level only: %s; charging or a lost slice? They are "
                "kept", stack.source, len(grey.blank), _ranges(grey.blank),
            )  # fmt: skip
        volume.attrs["grey"] = grey.statistics(volume[row] for row in rows)


def _order(row: np.ndarray) -> np.ndarray:
    """uint32 that sort as the float32 of ``row`` do."""
    bits = np.ascontiguousarray(row, np.float32).view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _edge(index: int, upper: int) -> float:
    """Lower or upper edge of bin ``index`` of the upper 16 bits of ``_order``."""
    bits = np.uint32((index << 16) | (0xFFFF if upper else 0))
    bits = bits & np.uint32(0x7FFFFFFF) if bits >> 31 else ~bits
    return float(np.array(bits, np.uint32).view(np.float32))


def made_from(stack: Stack) -> dict:
    """What a copy is made from, for `resumable`: the files by name, size and time of change.

    Of a folder that is a zarr those in it: its own time stays when a chunk is written anew.
    """
    digest = hashlib.sha256()
    for file in (f for path in stack.files for f in _files(Path(path))):
        stat = file.stat()
        digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return {
        "source": stack.source, "files": digest.hexdigest(), "shape": list(stack.shape),
        "dtype": stack.dtype.name, "voxel_size_nm": list(stack.voxel_size_nm),
    }  # fmt: skip


def _files(path: Path) -> list[Path]:
    return sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]


@contextmanager
def _pool(threads: int):
    if threads < 2:
        yield map
        return
    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


def _check_finite(block: np.ndarray, z0: int, stack: Stack) -> None:
    if block.dtype.kind != "f":
        return
    bad = (~np.isfinite(block)).sum(axis=(1, 2))
    if bad.any():
        z = int(np.flatnonzero(bad)[0])
        file = stack.files[z0 + z] if len(stack.files) == stack.shape[0] > 1 else stack.source
        raise InputError(
            f"{file}: slice {z0 + z} holds {int(bad[z])} values that are NaN or infinite; expected "
            "numbers; replace them (ImageJ: Process > Math > NaN Background) or export it again"
        )


def _ranges(numbers: list[int]) -> str:
    """Numbers as short text: 3, 5-8."""
    parts: list[list[int]] = []
    for n in sorted(numbers):
        if parts and n == parts[-1][1] + 1:
            parts[-1][1] = n
        else:
            parts.append([n, n])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
