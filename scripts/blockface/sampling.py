"""What pictures need of volumes, read a slice or a row of slices at a time."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import zarr

from blockface.scores import to_labels
from blockface.volume import slab_rows, voxel_size


def evenly(count: int, n: int) -> list[int]:
    """At most ``n`` slice numbers spread over ``count`` slices, the first and last left out."""
    if count <= n:
        return list(range(count))
    return [int((i + 0.5) * count / n) for i in range(n)]


def window(shape: tuple[int, int], size: int) -> tuple[slice, slice]:
    """The middle of a slice, at most ``size`` pixels each way."""
    return tuple(slice(max(0, (n - size) // 2), max(0, (n - size) // 2) + size) for n in shape)


def step(shape: tuple[int, ...], limit: int) -> int:
    """Every how many pixels to take so that the longer side has at most ``limit``."""
    return max(1, -(-max(shape[-2:]) // limit))


def thinned(image: np.ndarray, every: int) -> np.ndarray:
    """Image, float32, with each ``every`` x ``every`` pixels averaged to one."""
    if every == 1:
        return image.astype(np.float32)
    height, width = (n // every * every for n in image.shape)
    blocks = image[:height, :width].reshape(height // every, every, width // every, every)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def fitted(labels: np.ndarray, every: int) -> np.ndarray:
    """Labels at every ``every``-th pixel, of the shape that `thinned` gives."""
    height, width = (n // every * every for n in labels.shape)
    return labels[:height, :width][every // 2 :: every, every // 2 :: every]


def predicted(
    probability: zarr.Array, z: int, values: list[int], threshold: float, *,
    yx: tuple[slice, slice] = (slice(None), slice(None)), every: int = 1,
) -> np.ndarray:  # fmt: skip
    """Class values (uint8) of slice ``z``, of the part ``yx`` and at every ``every``-th pixel.

    Channels are read one by one, so that a wide slice never lies in memory with all of them.
    """
    channels = [fitted(probability[c, z, *yx], every).copy() for c in range(len(values))]
    return to_labels(np.stack(channels), values, threshold)


def grey_counts(image: np.ndarray) -> np.ndarray:
    """Number of pixels of each of the 256 values of a uint8 image, a few lines at a time."""
    lines = max(1, 2**20 // image.shape[1])
    parts = (image[y : y + lines].ravel() for y in range(0, image.shape[0], lines))
    return sum(np.bincount(part, minlength=256) for part in parts)


def profile(
    probability: zarr.Array, names: list[str], threshold: float, limit: int = 240
) -> pd.DataFrame:
    """Area fraction and uncertainty of each class at up to ``limit`` slices spread over the stack.

    Columns z, class, area_fraction (share of pixels at or above ``threshold``) and uncertainty
    (mean binary entropy in bits).
    """
    p = np.clip(np.arange(256) / 255, 1e-9, 1 - 1e-9)
    entropy = -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    above = np.arange(256) >= threshold * 255
    rows = []
    for row, chosen in chosen_rows(probability.shape, limit):
        for channel, name in enumerate(names):
            block = probability[channel, row]
            for z in chosen:
                share = grey_counts(block[z - row.start])
                share = share / share.sum()
                rows.append((z, name, float(share @ above), float(share @ entropy)))
    frame = pd.DataFrame(rows, columns=["z", "class", "area_fraction", "uncertainty"])
    return frame.sort_values("z", kind="stable", ignore_index=True)


def chosen_rows(shape: tuple[int, ...], limit: int) -> Iterator[tuple[slice, list[int]]]:
    """Rows of a volume with the slices wanted of them, ``limit`` in all."""
    wanted = evenly(shape[-3], limit)
    for row in slab_rows(shape):
        chosen = [z for z in wanted if row.start <= z < row.stop]
        if chosen:
            yield row, chosen


def densities(
    objects: zarr.Array, ids: np.ndarray, kinds: np.ndarray, limit: int = 64, cells: int = 48
) -> tuple[dict[str, np.ndarray], tuple[float, float, float]]:
    """Share of each class (0 to 1) in the cells (z, y, x) of a coarse grid, and their size in nm.

    ``kinds`` are the classes of the objects ``ids`` (sorted). At most ``limit`` slices are looked
    at, thinned to pixels enough for the cells.
    """
    names = sorted(set(kinds))
    number = np.searchsorted(names, kinds) + 1
    shape = np.array(objects.shape[1:])
    cell = max(1, -(-int(shape.max()) // cells))
    every = max(1, cell // 12)
    grid = -(-shape // cell)
    y, x = (np.arange(every // 2, n, every) // cell for n in shape)
    flat = (y[:, None] * grid[1] + x).ravel()
    total = np.bincount(flat, minlength=grid.prod())
    found: dict[str, list] = {name: [] for name in names}
    for _, chosen in chosen_rows(objects.shape, limit):
        for z in chosen:
            plane = objects[z, every // 2 :: every, every // 2 :: every].ravel()
            there = np.flatnonzero(plane)
            kind = number[np.minimum(np.searchsorted(ids, plane[there]), len(ids) - 1)]
            for i, name in enumerate(names, 1):
                count = np.bincount(flat[there[kind == i]], minlength=grid.prod())
                found[name].append((count / total).reshape(grid))
    nz, ny, nx = voxel_size(objects)
    shown = min(limit, objects.shape[0])
    size = nz * objects.shape[0] / shown, ny * cell, nx * cell
    return {name: np.stack(parts) for name, parts in found.items()}, size


def held_slice(objects: zarr.Array, ys: slice, xs: slice) -> int:
    """Slice near the middle with an object in the window ``ys``, ``xs``; the middle if none."""
    middle = objects.shape[0] // 2
    for row in sorted(slab_rows(objects.shape), key=lambda r: abs(r.start + r.stop - 2 * middle)):
        held = row.start + np.flatnonzero(objects[row, ys, xs].any(axis=(1, 2)))
        if len(held):
            return int(held[np.abs(held - middle).argmin()])
    return middle


def planes(objects: zarr.Array, image: zarr.Array | None, size: int = 640) -> list[tuple]:
    """Planes xy, xz and yz through the middle, for `pictures_objects.objects_in_colour`.

    Each is its title, the image or None, the ids and the pixel size (down, across) in nm. Seen is
    the middle of the volume, at most ``size`` voxels each way; it is read row by row. Of the xy
    slices it is one near the middle that holds an object.
    """
    y, x = (n // 2 for n in objects.shape[1:])
    ys, xs = window(objects.shape[1:], size)
    z = held_slice(objects, ys, xs)
    (zs,) = window(objects.shape[:1], size)
    nz, ny, nx = voxel_size(objects)

    def through(array: zarr.Array | None) -> list[np.ndarray | None]:
        if array is None:
            return [None] * 3
        xz, yz = [], []
        for row in slab_rows(array.shape):
            part = slice(max(row.start, zs.start), min(row.stop, zs.stop))
            if part.start < part.stop:
                xz.append(array[part, y, xs])
                yz.append(array[part, ys, x])
        return [array[z, ys, xs], np.concatenate(xz), np.concatenate(yz).T]

    names = (f"xy, z {z}", f"xz, y {y}", f"yz, x {x}")
    sizes = ((ny, nx), (nz, nx), (ny, nz))
    return list(zip(names, through(image), through(objects), sizes, strict=True))
