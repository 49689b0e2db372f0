"""From the phantom to pictures: brightness without noise, object ids, and the table of truth."""

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

from demo.phantom import SAMPLES, VOXEL_NM, Cell, Phantom

MATRIX, FIBRIL, RESIN = 0.33, 0.67, 0.86
CYTOPLASM, NUCLEUS, CHROMATIN, MEMBRANE, MITOCHONDRION = 0.53, 0.6, 0.43, 0.2, 0.26


def texture(shape, sigma, rng) -> np.ndarray:
    """Random field float32 of mean 0 and SD 1, smooth over ``sigma`` pixels."""
    field = gaussian_filter(rng.standard_normal(shape, np.float32), sigma, mode="wrap", truncate=3)
    return (field - field.mean()) / field.std()


class Scene:
    """Slices of a phantom: ``scene(z)`` gives brightness 0..1 float32 and object ids uint32.

    Ids are 1..n for fibrils in the order of the phantom, then the cells.
    """

    def __init__(self, phantom: Phantom):
        self.phantom = phantom
        rng = np.random.default_rng([phantom.seed, 2])
        shape = phantom.shape
        self.slow = texture(shape, (3, 9, 9), rng)
        self.fine = texture(shape, (0.7, 1.4, 1.4), rng)
        self.grain = texture(shape, (1.0, 2.2, 2.2), rng)
        self.tint = rng.normal(0, 0.035, len(phantom.radii))

    def __call__(self, z: int) -> tuple[np.ndarray, np.ndarray]:
        """Brightness and ids of slice ``z``, (y, x)."""
        v, u, z_nm = *self._plane(z), z * VOXEL_NM[0]
        slow, fine = self.slow[z], self.fine[z]
        grey = MATRIX + 0.035 * slow + 0.045 * fine
        ids = np.zeros(grey.shape, np.uint32)
        void = self._resin(v, u, slow)
        grey += void * (RESIN + 0.01 * fine - grey)
        first = len(self.phantom.radii) + 1
        for number, cell in enumerate(self.phantom.cells, first):
            box = _box(cell, v, u)
            if box is not None:
                textures = self.slow[z][box], fine[box], self.grain[z][box]
                _draw_cell(grey[box], ids[box], number, cell, v[box], u[box], z_nm, *textures)
        self._draw_fibrils(grey, ids, z)
        return grey.astype(np.float32), ids

    def _plane(self, z: int) -> tuple[np.ndarray, np.ndarray]:
        """Material coordinates of every pixel: the shift undone, by fixed-point iteration."""
        y, x = np.mgrid[: self.phantom.shape[1], : self.phantom.shape[2]].astype(np.float32)
        v, u = y, x
        for _ in range(3):
            dy, dx = self.phantom.shift(z * VOXEL_NM[0], v, u)
            v, u = y - dy, x - dx
        return v.astype(np.float32), u.astype(np.float32)

    def _resin(self, v, u, slow) -> np.ndarray:
        """Share 0..1 of empty resin: the middle of the clefts, ragged by the matrix."""
        void = np.zeros(v.shape, np.float32)
        for cleft in self.phantom.clefts:
            along, across = cleft.axes(v, u)
            wide = 2.5 + 5 * np.sin(along / 23 + 3 * cleft.phase) + 1.5 * slow
            void = np.maximum(void, np.clip(wide - np.abs(across) + 0.5, 0, 1))
        return void

    def _draw_fibrils(self, grey, ids, z: int) -> None:
        for i, box, far, radius in cross_sections(self.phantom, z):
            shade = FIBRIL + self.tint[i] + 0.02 * self.fine[z][box] + 0.02 * far / radius
            grey[box] += _cover(far) * (shade - grey[box])
        paint_fibrils(self.phantom, ids, z)


def cross_sections(phantom: Phantom, z: int):
    """Of each fibril in a slice: index, box, signed distance (px) to its surface there, radius."""
    at, (_, height, width) = phantom.at_slice(z), phantom.shape
    step = VOXEL_NM[0] / VOXEL_NM[2] / SAMPLES  # px of depth in a step of the centreline
    slopes = (phantom.lines[:, at + 1] - phantom.lines[:, at - 1]) / (2 * step)
    for i in np.flatnonzero(phantom.radii[:, at] > 0.3):
        (y, x), radius = phantom.lines[i, at], phantom.radii[i, at]
        reach = radius * 1.25 + 2
        y0, y1 = max(int(y - reach), 0), min(int(y + reach) + 2, height)
        x0, x1 = max(int(x - reach), 0), min(int(x + reach) + 2, width)
        if y0 >= y1 or x0 >= x1:
            continue
        v, u = np.ogrid[y0:y1, x0:x1]
        far = _fibril_distance(v - y, u - x, radius, slopes[i], phantom.lobes[i])
        yield i, np.s_[y0:y1, x0:x1], far, radius


def paint_fibrils(phantom: Phantom, ids: np.ndarray, z: int) -> None:
    """Enter the fibrils' ids, 1 … n, of slice ``z`` into ``ids`` (y, x); the nearer one wins."""
    nearest = np.full(ids.shape, np.inf, np.float32)
    for i, box, far, _ in cross_sections(phantom, z):
        ids[box][(far < 0) & (far < nearest[box])] = i + 1
        nearest[box] = np.minimum(nearest[box], far)


def _box(cell: Cell, v, u, step: int = 8) -> tuple[slice, slice] | None:
    """Part of the image that the cell can touch, or None."""
    along, across = cell.cleft.axes(v[::step, ::step], u[::step, ::step])
    near = (np.abs(along - cell.centre) < cell.reach + 40) & (np.abs(across) < 1.2 * cell.body + 25)
    if not near.any():
        return None
    y, x = np.nonzero(near)
    return np.s_[y.min() * step : (y.max() + 1) * step, x.min() * step : (x.max() + 1) * step]


def _draw_cell(grey, ids, number, cell: Cell, v, u, z_nm, slow, fine, grain) -> None:
    distance = cell.distance(v, u, z_nm)
    along, across = cell.cleft.axes(v, u)
    body, _ = cell.half_thickness(along, z_nm)
    inside = CYTOPLASM + 0.05 * grain + 0.05 * fine
    inside = inside - 0.22 * np.clip(grain - 1.1, 0, 1)  # ribosomes, vesicles
    for a, c, zc, ra, rc, rz in cell.mitochondria:
        gone = 1 - ((z_nm - zc) / rz) ** 2
        if gone <= 0.05:
            continue
        far = np.hypot((along - a) / ra, (across - c) / rc) - np.sqrt(gone)
        cristae = 0.07 * np.sin(1.5 * along + 0.6 * across + zc)
        inside += _cover(far * rc) * (MITOCHONDRION + cristae * (far < -0.2) - inside)
    middle, half = cell.nucleus_nm
    reach = np.sqrt(max(0.0, 1 - ((z_nm - middle) / half) ** 2))
    nucleus = np.abs(across) - reach * (body - 0.35 * cell.body)
    chromatin = np.clip(0.6 * slow + 0.5 * grain + np.exp(nucleus / 2.5) - 0.4, 0, 1)
    shade = NUCLEUS + 0.03 * fine - (NUCLEUS - CHROMATIN) * chromatin
    inside += _cover(nucleus) * (shade - inside)
    inside -= 0.2 * np.exp(-((nucleus / 1.2) ** 2)) * (body > 0.35 * cell.body) * (reach > 0)
    inside += np.exp(-(((distance + 1) / 1.1) ** 2)) * (MEMBRANE - inside)
    grey += _cover(distance) * (inside - grey)
    ids[distance < 0] = number


def _cover(distance) -> np.ndarray:
    return np.clip(0.5 - distance, 0, 1)


def _fibril_distance(v, u, radius: float, slope, lobe) -> np.ndarray:
    """Signed distance (px) to the surface of a tilted fibril cut by the plane of the slice."""
    along = v * slope[0] + u * slope[1]
    square = v * v + u * u
    turn = np.cos(2 * (np.arctan2(v, u) - lobe[1]))
    rim = radius * (1 + lobe[0] * turn)
    return np.sqrt(np.maximum(square - along**2 / (1 + slope @ slope), 0)) - rim


def truth_table(phantom: Phantom, voxels: np.ndarray) -> pd.DataFrame:
    """One row per fibril and cell that has voxels in the stack.

    ``voxels`` are counts by id as in `Scene`. Fibrils: length, end-to-end displacement, mean
    diameter and volume of the analytic centreline, clipped to the stack (the faces of the outer
    slices). Where ``cut`` is 1 the y or x border cuts the cross-section, and the volume is that of
    the voxels. Cells: volume of the voxels, no length.
    """
    rows, voxel_um3 = [], np.prod(VOXEL_NM) / 1e9
    border = np.array(phantom.shape[1:]) - 0.5
    for i in np.flatnonzero(voxels[1 : len(phantom.radii) + 1]):
        line = np.column_stack([phantom.z_nm, phantom.lines[i] * VOXEL_NM[2]])
        radius, reach = phantom.radii[i], phantom.radii[i][:, None] * 1.1
        there = radius > 0
        low, high = (phantom.lines[i] - reach)[there], (phantom.lines[i] + reach)[there]
        cut = (low < -0.5).any() or (high > border).any()
        inside = there & ((phantom.lines[i] > -0.5) & (phantom.lines[i] < border)).all(axis=1)
        inside = np.maximum.accumulate(inside) & np.maximum.accumulate(inside[::-1])[::-1]
        steps = np.linalg.norm(np.diff(line, axis=0), axis=1) * (inside[1:] & inside[:-1])
        ends = np.flatnonzero(inside)[[0, -1]] if inside.any() else [0, 0]
        area_nm2 = np.pi * (radius * VOXEL_NM[2]) ** 2 * (1 + phantom.lobes[i, 0] ** 2 / 2)
        mid_area, wide = (area_nm2[1:] + area_nm2[:-1]) / 2, 2 * np.sqrt(area_nm2 / np.pi)
        total = steps.sum()
        rows.append(
            {
                "object_id": i + 1,
                "class": "fibril",
                "length_nm": total,
                "displacement_nm": np.linalg.norm(line[ends[1]] - line[ends[0]]),
                "diameter_mean_nm": ((wide[1:] + wide[:-1]) / 2 * steps).sum() / (total or np.nan),
                "volume_um3": voxels[i + 1] * voxel_um3 if cut else (mid_area * steps).sum() / 1e9,
                "voxels": int(voxels[i + 1]),
                "ends_inside": int((~there[[0, -1]]).sum()),
                "cut": int(cut),
            }
        )
    for i in range(len(phantom.radii) + 1, len(voxels)):
        if voxels[i]:
            rows.append(
                {
                    "object_id": i,
                    "class": "cell",
                    "volume_um3": voxels[i] * voxel_um3,
                    "voxels": int(voxels[i]),
                    "ends_inside": 0,
                    "cut": 1,
                }
            )
    return pd.DataFrame(rows)
