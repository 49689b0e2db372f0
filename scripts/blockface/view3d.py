"""A picture of the objects in 3-D, rendered without a screen: rays through a thinned volume."""

from itertools import product
from pathlib import Path

import numpy as np
import zarr
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter, map_coordinates

from blockface.figures import save, styled
from blockface.pictures_objects import id_colours
from blockface.volume import slab_rows, voxel_size

EDGE = 220  # voxels that the longest side of the volume is brought down to
PIXELS = 760  # across the picture
TURN, TILT = np.radians(-35), np.radians(24)  # about the vertical axis (z), then towards the viewer
LIGHT = np.array([0.35, 0.55, 0.76])  # in the picture: right, up, towards the viewer
STEP = 0.6  # of a ray, in thinned voxels


def thinned_ids(objects: zarr.Array, edge: int = EDGE) -> tuple[np.ndarray, np.ndarray]:
    """Every nth voxel of a volume (z, y, x), read slice by slice, and its size (3,) in nm."""
    spacing = np.asarray(voxel_size(objects))
    fine = (np.asarray(objects.shape) * spacing).max() / edge
    every = np.maximum(1, np.rint(fine / spacing)).astype(int)
    first = np.minimum(every // 2, np.asarray(objects.shape) - 1)
    planes = [
        objects[z, first[1] :: every[1], first[2] :: every[2]]
        for row in slab_rows(objects.shape)
        for z in range(row.start, row.stop)
        if z % every[0] == first[0]
    ]
    return np.stack(planes), spacing * every


def camera() -> np.ndarray:
    """Unit vectors (3, 3) in z, y, x: right and up in the picture, and towards the viewer.

    The first slice is on top; x, y and z are right-handed, as in an image with z away from the eye.
    """
    right = np.array([0, np.sin(TURN), np.cos(TURN)])
    front, top = np.array([0, np.cos(TURN), -np.sin(TURN)]), np.array([-1.0, 0, 0])
    up, near = np.cos(TILT) * top - np.sin(TILT) * front, np.cos(TILT) * front + np.sin(TILT) * top
    return np.stack([right, up, near])


def cast(ids: np.ndarray, step: np.ndarray, pixels: int = PIXELS):
    """What rays of parallel light meet: ids (h, w), depth in nm, and the places (n, 3) of the hits.

    Also the ``frame``: the picture's left, right, low and high border in nm along `camera`.
    """
    size = np.array(ids.shape) * step
    axes = camera()
    corners = np.array(list(product(*zip(np.zeros(3), size, strict=True)))) @ axes.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    pixel = (high[:2] - low[:2]).max() / pixels
    u = np.arange(low[0], high[0], pixel) + pixel / 2
    v = np.arange(high[1], low[1], -pixel) - pixel / 2
    flat = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    start = flat @ axes[:2] + high[2] * axes[2]
    way = -axes[2]
    # where a ray enters and leaves the box
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.stack([-start / way, (size - start) / way])
    enter, leave = ends.min(axis=0).max(axis=1), ends.max(axis=0).min(axis=1)
    far = np.full(len(flat), np.nan)
    seen = np.zeros(len(flat), ids.dtype)
    going = np.flatnonzero(enter < leave)
    t = enter[going] + 1e-6 * size.max()
    stride = STEP * step.min()
    while len(going):
        at = ((start[going] + t[:, None] * way) / step).astype(int)
        np.clip(at, 0, np.array(ids.shape) - 1, out=at)
        found = ids[tuple(at.T)]
        hit = found > 0
        seen[going[hit]], far[going[hit]] = found[hit], t[hit]
        t += stride
        rest = ~hit & (t < leave[going])
        going, t = going[rest], t[rest]
    shape = len(v), len(u)
    where = start + np.nan_to_num(far)[:, None] * way
    frame = low[0], low[0] + len(u) * pixel, high[1] - len(v) * pixel, high[1]
    return seen.reshape(shape), far.reshape(shape), where.reshape(*shape, 3), frame


def shaded(ids: np.ndarray, step: np.ndarray, seen, far, where) -> np.ndarray:
    """RGB of what is seen: colour of the id, light from the upper right, lines between objects."""
    solid = gaussian_filter((ids > 0).astype(np.float32), np.clip(1.2 * step.min() / step, 0.4, 2))
    hit = seen > 0
    at = (where[hit] / step - 0.5).T
    slope = (
        np.stack(
            [
                map_coordinates(solid, at + d[:, None], order=1, mode="constant")
                - map_coordinates(solid, at - d[:, None], order=1, mode="constant")
                for d in np.eye(3)
            ],
            -1,
        )
        / step
    )
    normal = -slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
    facing = normal @ camera().T
    light = np.clip(facing @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    picture = np.ones((*seen.shape, 3))
    picture[hit] = id_colours(seen)[hit] * (0.38 + 0.62 * light)[:, None]
    depth = np.where(hit, far, np.nanmax(far) if hit.any() else 0)
    hollow = (depth - gaussian_filter(depth, 6)) / (20 * step.min())
    picture[hit] *= np.clip(1 - np.clip(hollow[hit], 0, 0.45), 0, 1)[:, None]
    line = np.zeros(seen.shape, bool)
    line[1:] |= seen[1:] != seen[:-1]
    line[:, 1:] |= seen[:, 1:] != seen[:, :-1]
    picture[line] *= 0.45
    return np.clip(picture, 0, 1)


@styled
def objects_in_3d(objects: zarr.Array, path: str | Path) -> Path:
    """PNG of the objects of a volume of ids, each in its colour, seen from above a corner."""
    ids, step = thinned_ids(objects)
    seen, far, where, frame = cast(ids, step)
    size = np.array(objects.shape) * voxel_size(objects)
    figure = Figure(figsize=(8.4, 8.4 * seen.shape[0] / seen.shape[1]))
    axis = figure.add_subplot()
    axis.imshow(shaded(ids, step, seen, far, where), extent=frame, interpolation="antialiased")
    axes = camera()
    corners = np.array(list(product((0, 1), repeat=3)))
    for a, b in product(corners, corners):
        if (b - a).sum() == 1 and (b - a).min() == 0:
            ends = np.stack([a * size, b * size]) @ axes[:2].T
            axis.plot(*ends.T, color="#444444", lw=0.8, alpha=0.5)
    middle, room = axes[:2] @ size / 2, 0.09 * (frame[1] - frame[0])
    # the outline's edges along each axis, seen from the viewer: left, below right, below left
    for i, edge in enumerate(((0.5, 1, 0), (1, 0.5, 1), (1, 1, 0.5))):
        spot = axes[:2] @ (np.array(edge) * size)
        away = (spot - middle) * (1, 0 if i == 0 else 1)
        spot = spot + 0.6 * room * away / np.linalg.norm(away)
        axis.text(*spot, f"{'zyx'[i]}\n{size[i] / 1000:.3g} µm", ha="center", va="center")
    axis.set(xlim=(frame[0] - room, frame[1] + room / 3), ylim=(frame[2] - room / 3, frame[3]))
    axis.set_aspect("equal")
    axis.set_axis_off()
    return save(figure, path)
