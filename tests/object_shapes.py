"""Objects of known size on a voxel grid: masks, an index of objects, volumes on disk."""

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from blockface.object_rows import measure_each
from blockface.volume import create_volume, row_depth, slab_rows

INDEX = ["object_id", "class", "voxels", "z0", "z1", "y0", "y1", "x0", "x1"]
SPACINGS = [(10.0, 10.0, 10.0), (50.0, 10.0, 10.0), (200.0, 10.0, 10.0)]
OFF_GRID = (0.13, 0.17, -0.23)  # of a voxel, so that no symmetry of the grid helps


def scale(spacing):
    """How much larger a body must be for the voxels of one of SPACINGS to resolve it."""
    return {10.0: 1, 50.0: 1.5, 200.0: 4}[spacing[0]]


def mask_of(inside, extent, spacing) -> np.ndarray:
    """Voxels whose centre is ``inside(z, y, x)``, nm from the middle of a box of ``extent`` nm."""
    axes = []
    for size, step, off in zip(extent, spacing, OFF_GRID, strict=True):
        n = int(np.ceil(size / step)) + 6
        axes.append((np.arange(n) + 0.5 - n / 2 + off) * step)
    return inside(axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])


def ellipsoid(a, b, c):
    """Semi-axes in z, y, x."""
    return lambda z, y, x: (z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2 < 1


def rod(axis, length, radius):
    """Cylinder with flat ends."""
    t = np.asarray(axis, float) / np.linalg.norm(axis)

    def inside(z, y, x):
        along = z * t[0] + y * t[1] + x * t[2]
        aside = (z - along * t[0]) ** 2 + (y - along * t[1]) ** 2 + (x - along * t[2]) ** 2
        return (np.abs(along) < length / 2) & (aside < radius**2)

    return inside


def rod_extent(axis, length, radius):
    """Box that holds a rod."""
    return length * np.abs(axis) / np.linalg.norm(axis) + 2 * radius


def arm(direction, reach, radius):
    """A rod from the origin on."""
    unit = np.asarray(direction, float) / np.linalg.norm(direction)
    body, (z0, y0, x0) = rod(unit, reach, radius), unit * reach / 2
    return lambda z, y, x: body(z - z0, y - y0, x - x0)


def union(bodies):
    """All of the bodies together."""
    return lambda z, y, x: np.logical_or.reduce([body(z, y, x) for body in bodies])


def torus(axis, radius, thick):
    """Ring of ``radius`` across ``axis``, of tubes of radius ``thick``."""
    t = np.asarray(axis, float) / np.linalg.norm(axis)

    def inside(z, y, x):
        along = z * t[0] + y * t[1] + x * t[2]
        aside = np.sqrt(np.maximum(z**2 + y**2 + x**2 - along**2, 0))
        return (aside - radius) ** 2 + along**2 < thick**2

    return inside


def tube(line, radius):
    """Tube with flat ends around a line (n, 3) of closely spaced points."""
    tangent = np.gradient(line, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    tree, last = cKDTree(line), len(line) - 1

    def inside(z, y, x):
        axes = z.ravel(), y.ravel(), x.ravel()
        body = np.zeros([len(axis) for axis in axes], bool)
        for part in np.array_split(line, 200):  # only what can be in it is looked at
            ends = part.min(axis=0) - radius, part.max(axis=0) + radius
            body[
                *(slice(*a.searchsorted(e)) for a, e in zip(axes, np.transpose(ends), strict=True))
            ] = True
        near = np.nonzero(body)
        at = np.stack([axis[n] for axis, n in zip(axes, near, strict=True)], 1)
        distance, nearest = tree.query(at, distance_upper_bound=radius)
        found = np.isfinite(distance)
        nearest[~found] = 0
        along = ((at - line[nearest]) * tangent[nearest]).sum(axis=1)
        beyond = ((nearest == 0) & (along < 0)) | ((nearest == last) & (along > 0))
        body[near] = found & ~beyond
        return body

    return inside


def helix(radius, pitch, turns):
    """Line (n, 3) of a helix along z, nm, and its length."""
    u = np.linspace(-turns / 2, turns / 2, 4001)
    line = np.stack([u * pitch, radius * np.cos(2 * np.pi * u), radius * np.sin(2 * np.pi * u)], 1)
    return line, turns * np.hypot(pitch, 2 * np.pi * radius)


def faces_of(labels, number):
    """Middles of the faces between voxels of object ``number`` and others, voxel by voxel."""
    own = set(map(tuple, np.argwhere(labels == number).tolist()))
    middles = []
    for voxel in own:
        for axis, side in np.ndindex(3, 2):
            other = [v + (2 * side - 1) * (i == axis) for i, v in enumerate(voxel)]
            if tuple(other) not in own:
                middles.append([(v + w + 1) / 2 for v, w in zip(voxel, other, strict=True)])
    return np.array(middles)


def index_of(labels, name="fibril") -> pd.DataFrame:
    """Index of the objects of ``labels``; ``name`` may map ids to classes."""
    rows = []
    for object_id in np.unique(labels[labels > 0]):
        at = np.argwhere(labels == object_id)
        lo, hi = at.min(axis=0), at.max(axis=0) + 1
        kind = name if isinstance(name, str) else name[object_id]
        rows.append((int(object_id), kind, len(at), lo[0], hi[0], lo[1], hi[1], lo[2], hi[2]))
    whole = {c: np.int64 for c in INDEX if c != "class"}
    return pd.DataFrame(rows, columns=INDEX).astype(whole)


def store(path, labels, spacing, **attributes):
    """Volume on disk that holds ``labels``, written row by row."""
    attributes = {"classes": {}, **attributes}
    array = create_volume(path, labels.shape, np.uint32, spacing, **attributes)
    for z in range(0, len(labels), row_depth(labels.shape)):
        array[z : z + row_depth(labels.shape)] = labels[z : z + row_depth(labels.shape)]
    return array


def measured(array, index, rows) -> list[pd.DataFrame]:
    """Lines, points and tangents of the objects that start in ``rows``."""
    parts = zip(*measure_each(array, index, rows), strict=True)
    return [pd.concat(part, ignore_index=True) for part in parts]


def row_of(path, labels, spacing, name=0):
    """What is measured of the one object of ``labels``, stored as ``name`` in the folder."""
    labels = np.asarray(labels).astype(np.uint32)
    array = store(path / f"{name}.zarr", labels, spacing)
    return measured(array, index_of(labels), slab_rows(labels.shape))[0].iloc[0]


def scattered(seed, shape=(40, 60, 70), n=30, spacing=(50.0, 10.0, 10.0)) -> np.ndarray:
    """Labels of random ellipsoids of all sizes that touch and cut one another."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    grid = np.indices(shape)
    for object_id in rng.permutation(np.arange(1, n + 1) * 7):
        centre = rng.uniform(0, shape)
        axes = rng.uniform(20, 150, 3) / np.asarray(spacing)
        far = sum(((g - c) / max(a, 0.6)) ** 2 for g, c, a in zip(grid, centre, axes, strict=True))
        labels[far < 1] = object_id
    return labels
