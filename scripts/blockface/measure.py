"""Sums over the voxels of every object, slice by slice, and what follows from them.

Everything here adds up over slabs: each job sums its own rows and ``join_sums`` adds the parts.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

from blockface import surface
from blockface.cross_sections import section_sums
from blockface.errors import InputError
from blockface.heap import give_back
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

MOMENTS = ("z", "y", "x", "zz", "yy", "xx", "zy", "zx", "yx")
GREY = ("grey", "grey2")
SUMS = ("object_id", "voxels", *MOMENTS, "surface_nm2", "shell_nm3", *GREY)
STRIP = 512  # lines read at a time


def padded_blocks(
    array, rows: list[slice], halo: int, pad: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks (n + 2 halo, y + 2 pad, x + 2 pad) over ``rows``, with the z of their first own slice.

    A block's own slices are ``[halo:-halo]``; the blocks' own slices are those of the rows, each
    once. Outside the volume is 0. The block is overwritten by the next one. Each row is read once.
    """
    start, stop, end = rows[0].start, rows[-1].stop, array.shape[0]
    deepest = max(halo, *(row.stop - row.start for row in rows))
    block = np.zeros(
        (deepest + 2 * halo, array.shape[1] + 2 * pad, array.shape[2] + 2 * pad), np.uint32
    )
    inside = slice(pad, pad + array.shape[2])
    for first, last in [
        (start - halo, start),
        *((r.start, r.stop) for r in rows),
        (stop, stop + halo),
    ]:
        n = last - first
        lo, hi = max(first, 0), min(last, end)
        new = block[2 * halo : 2 * halo + n]
        new[:] = 0
        if lo < hi:
            for y in range(0, array.shape[1], STRIP):
                strip = array[lo:hi, y : y + STRIP]
                new[lo - first : hi - first, pad + y : pad + y + strip.shape[1], inside] = strip
        own = max(first - halo, start), min(last - halo, stop)
        if own[0] < own[1]:
            skip = own[0] - (first - halo)
            yield own[0], block[skip : skip + own[1] - own[0] + 2 * halo]
        block[: 2 * halo] = block[n : n + 2 * halo].copy()


def slab_sums(
    array, index: pd.DataFrame, rows: list[slice], sections=None, image=None
) -> Iterator[pd.DataFrame]:
    """Sums (columns SUMS) of the voxels in ``rows``, in parts that are to be added; at least one.

    ``array`` is (z, y, x) uint32, ``index`` has its objects sorted by object_id. Moments are sums
    of voxel indices from the corner of the object's box, exact in float64. ``sections``, if given,
    is called with the ``section_sums`` of each slice. ``image``, if given, holds the grey values,
    of the same shape; without it their sums are 0.
    """
    yield summed(index[:0], np.zeros((0, len(SUMS) - 1)))
    if not rows or not len(index):
        return
    spacing = voxel_size(array)
    halo, pad = surface.REACH, surface.widest(spacing) + 1
    for z, block in padded_blocks(array, rows, halo, pad):
        depth = len(block) - 2 * halo
        near = index[(index.z1 > z) & (index.z0 < z + depth)]  # so work is what is there
        sums = np.zeros((len(near), len(SUMS) - 1))
        mean = np.sqrt(near.voxels / (near.z1 - near.z0) / np.pi).to_numpy()
        grey = None if image is None else image[z : z + depth]
        for k in range(halo, halo + depth):
            moments = run_sums(block[k], z + k - halo, pad, near)
            sums[:, : len(MOMENTS) + 1] += moments
            if sections is not None:
                sections(section_sums(z + k - halo, moments, near))
            add_surface(block, k, near, moments[:, 0], mean, spacing, sums)
            if grey is not None:
                plane = block[k, pad:-pad, pad:-pad]
                sums[:, -len(GREY) :] += grey_sums(plane, grey[k - halo], near)
        yield summed(near, sums)
        give_back()
        log.info("sums: slice %d of %d to %d", z + depth, rows[0].start, rows[-1].stop)


def summed(index: pd.DataFrame, sums: np.ndarray) -> pd.DataFrame:
    """Table SUMS of the objects of ``index`` that have voxels among those summed."""
    found = sums[:, 0] > 0
    table = pd.DataFrame(sums[found], columns=list(SUMS[1:]))
    table.insert(0, "object_id", index.object_id.to_numpy()[found])
    return table


def positions(ids: np.ndarray, index: pd.DataFrame) -> np.ndarray:
    """Rows of ``index`` (sorted by object_id) that hold ``ids``."""
    known = index.object_id.to_numpy()
    at = np.minimum(np.searchsorted(known, ids), max(len(known) - 1, 0))
    strange = ids[known[at] != ids] if len(known) else ids
    if len(strange):
        raise InputError(
            f"objects.zarr: object {strange[0]} is in the volume, but the table of objects does "
            "not have it there; make the table anew from this volume"
        )
    return at


def run_sums(plane: np.ndarray, z: int, pad: int, index: pd.DataFrame) -> np.ndarray:
    """Voxels and moments (objects, 10) of one padded slice, from its runs along x."""
    edge = np.flatnonzero(plane.ravel()[1:] != plane.ravel()[:-1]) + 1
    ids = plane.ravel()[edge]
    starts = np.flatnonzero(ids)
    out = np.zeros((len(index), len(MOMENTS) + 1))
    if not len(starts):
        return out
    at = positions(ids[starts], index)
    first, stop = edge[starts], edge[starts + 1]
    y, x = np.divmod(first, plane.shape[1])
    z0, y0, x0 = (index[c].to_numpy()[at] for c in ("z0", "y0", "x0"))
    n = (stop - first).astype(float)
    dz, dy, a = (z - z0).astype(float), (y - pad - y0).astype(float), (x - pad - x0).astype(float)
    sx = n * a + n * (n - 1) / 2
    sxx = n * a * a + a * n * (n - 1) + (n - 1) * n * (2 * n - 1) / 6
    for column, values in enumerate(
        (n, n * dz, n * dy, sx, n * dz * dz, n * dy * dy, sxx, n * dz * dy, dz * sx, dy * sx)
    ):
        out[:, column] = np.bincount(at, values, len(index))
    return out


def grey_sums(plane: np.ndarray, grey: np.ndarray, index: pd.DataFrame) -> np.ndarray:
    """Sums (objects, 2) of grey values and of their squares in one slice."""
    held = plane != 0
    ids, found = np.unique(plane[held], return_inverse=True)
    values = grey[held].astype(float)
    out = np.zeros((len(index), len(GREY)))
    at = positions(ids, index)
    for column, weight in enumerate((values, values**2)):
        out[at, column] = np.bincount(found, weight, len(ids))
    return out


def add_surface(block, k, index, area, mean, spacing, total) -> None:
    """Add surface and shell of slice ``k`` of a padded block to ``total``.

    ``area`` is that of the objects in this slice in voxels, ``mean`` the radius of a disc of the
    area that they have in all their slices on average.
    """
    plane, inner = block[k], (slice(1, -1), slice(1, -1))
    middle = plane[inner]
    faces = np.zeros(middle.shape, np.uint8)
    for other in (plane[:-2, 1:-1], plane[2:, 1:-1], plane[1:-1, :-2], plane[1:-1, 2:]):
        faces += middle != other
    edge = (faces > 0) | (middle != block[k - 1][inner]) | (middle != block[k + 1][inner])
    edge &= middle != 0
    y, x = np.nonzero(edge)
    steps = (plane.size, plane.shape[1], 1)
    flat = block.reshape(-1)
    at = k * steps[0] + (y + 1) * steps[1] + x + 1
    ids = flat[at]
    rows = positions(ids, index)
    narrow = surface.narrowness(area, np.bincount(rows, faces[y, x], len(index)))
    radius = surface.radii((mean * narrow)[rows], spacing)
    found = surface.voxel_areas(flat, steps, at, radius, spacing)
    for column, values in zip(("surface_nm2", "shell_nm3"), found, strict=True):
        total[:, SUMS.index(column) - 1] += np.bincount(rows, values, len(index))


def join_sums(sums: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Sums of all blocks added, one row per row of ``index``; their counts must agree with it."""
    sums = sums.groupby("object_id").sum().reindex(index.object_id.to_numpy())
    wrong = np.flatnonzero(sums.voxels.to_numpy() != index.voxels.to_numpy())
    if len(wrong):
        first = wrong[0]
        raise InputError(
            f"objects.zarr: object {index.object_id.iloc[first]} has {sums.voxels.iloc[first]:g} "
            f"voxels, the table of objects says {index.voxels.iloc[first]}; make the table anew"
        )
    return sums


def shapes(sums: pd.DataFrame, index: pd.DataFrame, shape, spacing) -> pd.DataFrame:
    """Volume, surface, form, place, axes and grey values of every object, in the order of index.

    ``sums`` as from ``join_sums``, ``shape`` and ``spacing`` (nm) of the volume in z, y, x.
    """
    step = np.asarray(spacing, float)
    n = sums.voxels.to_numpy()[:, None]
    mean = sums[["z", "y", "x"]].to_numpy() / n
    corner = index[["z0", "y0", "x0"]].to_numpy()
    centroid = (corner + mean + 0.5) * step
    axes, direction = principal_axes(sums, mean, step)
    volume = n[:, 0] * step.prod()
    area = sums.surface_nm2.to_numpy()
    box_end = index[["z1", "y1", "x1"]].to_numpy()
    border = (corner == 0).any(axis=1) | (box_end == np.asarray(shape)).any(axis=1)
    table = {
        "object_id": index.object_id.to_numpy(),
        "class": index["class"].to_numpy(),
        "volume_um3": volume / 1e9,
        "surface_area_um2": area / 1e6,
        "sphericity": np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / area,
        "elongation": axes[:, 0] / axes[:, 1],
    }
    table |= {f"centroid_{a}_nm": centroid[:, i] for i, a in enumerate("zyx")}
    table |= {f"direction_{a}": direction[:, i] for i, a in enumerate("zyx")}
    table |= {"touches_border": border}
    table |= {f"axis_{i + 1}_nm": axes[:, i] for i in range(3)}
    for i, a in enumerate("zyx"):
        table |= {
            f"box_{a}_min_nm": corner[:, i] * step[i],
            f"box_{a}_max_nm": box_end[:, i] * step[i],
        }
    grey = sums.grey.to_numpy() / n[:, 0]
    spread = np.maximum(sums.grey2.to_numpy() / n[:, 0] - grey**2, 0)
    table |= {"intensity_mean_grey": grey, "intensity_sd_grey": np.sqrt(spread)}
    table |= {"volume_sensitivity_percent": 100 * sums.shell_nm3.to_numpy() / volume}
    return pd.DataFrame(table)


def principal_axes(sums: pd.DataFrame, mean: np.ndarray, step: np.ndarray):
    """Full lengths (n, 3) of the axes of the ellipsoid of equal moments, longest first, in nm.

    And the unit vector (n, 3) of the longest. A voxel's own second moment, s²/12, is included.
    """
    n = sums.voxels.to_numpy()
    second = np.zeros((len(n), 3, 3))
    for i, a in enumerate("zyx"):
        for j, b in enumerate("zyx"):
            product = sums[a + b] if a + b in sums else sums[b + a]
            second[:, i, j] = (product / n - mean[:, i] * mean[:, j]) * step[i] * step[j]
        second[:, i, i] += step[i] ** 2 / 12
    values, vectors = np.linalg.eigh(second)
    return 2 * np.sqrt(5 * np.maximum(values[:, ::-1], 0)), upward(vectors[:, :, 2])


def upward(vectors: np.ndarray) -> np.ndarray:
    """The vectors (n, 3), each turned so that its first component of note is positive.

    Components that are only rounding are 0.
    """
    size = np.abs(vectors).max(axis=1, keepdims=True) if len(vectors) else vectors
    note = np.where(np.abs(vectors) > 1e-9 * size, np.sign(vectors), 0)
    sign = np.where(note[:, 0] != 0, note[:, 0], np.where(note[:, 1] != 0, note[:, 1], note[:, 2]))
    return np.where(note != 0, vectors * np.where(sign == 0, 1, sign)[:, None], 0.0)
