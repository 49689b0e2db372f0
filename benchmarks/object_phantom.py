"""A stack of many rods that do not touch, of known length and diameter, of any size."""

from pathlib import Path

import numpy as np
import pandas as pd

from blockface.tables import write_table
from blockface.volume import create_volume, row_depth

MARGIN = 1.0  # voxels that stay free on each side of a cell


def rods(size: int, count: int, voxel_nm, seed: int = 0) -> tuple[pd.DataFrame, int]:
    """Rods with round ends, one in each of ``count`` cells of a cube of ``size`` voxels, and cells.

    Columns: cell_z, cell_y, cell_x, centre and direction (z, y, x), length_nm (tip to tip),
    diameter_nm. The second value is how many cells a side has.
    """
    rng = np.random.default_rng(seed)
    side = int(np.ceil(count ** (1 / 3) - 1e-9))
    step = np.asarray(voxel_nm, float)
    cell = size / side * step
    chosen = np.sort(rng.choice(side**3, count, replace=False))
    at = np.stack(np.unravel_index(chosen, (side,) * 3), 1)
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = cell.min() * rng.uniform(0.12, 0.2, count)
    room = cell / 2 - MARGIN * step
    half = ((room - radius[:, None]) / np.abs(direction)).min(axis=1)
    table = pd.DataFrame(at, columns=[f"cell_{a}" for a in "zyx"])
    for i, a in enumerate("zyx"):
        table[f"{a}_nm"], table[f"direction_{a}"] = (at[:, i] + 0.5) * cell[i], direction[:, i]
    return table.assign(length_nm=2 * (half + radius), diameter_nm=2 * radius), side


def draw(layer: np.ndarray, first: int, rod, step: np.ndarray) -> None:
    """Draw one rod into ``layer``, whose first slice is slice ``first`` of the stack."""
    centre = np.array([rod.z_nm, rod.y_nm, rod.x_nm])
    along = np.array([rod.direction_z, rod.direction_y, rod.direction_x])
    radius = rod.diameter_nm / 2
    half = rod.length_nm / 2 - radius
    reach = np.abs(along) * half + radius
    low = np.maximum(np.floor((centre - reach) / step).astype(int), 0)
    high = np.ceil((centre + reach) / step).astype(int) + 1
    low[0], high[0] = max(low[0], first), min(high[0], first + len(layer))
    grid = [
        (np.arange(a, b) + 0.5) * s - c for a, b, s, c in zip(low, high, step, centre, strict=True)
    ]
    z, y, x = np.meshgrid(*grid, indexing="ij", sparse=True)
    on = np.clip(z * along[0] + y * along[1] + x * along[2], -half, half)
    far = (z - on * along[0]) ** 2 + (y - on * along[1]) ** 2 + (x - on * along[2]) ** 2
    part = layer[low[0] - first : high[0] - first, low[1] : high[1], low[2] : high[2]]
    inside = (far <= radius**2)[tuple(slice(0, n) for n in part.shape)]
    part[inside] = 1


def make(
    folder: Path, size: int, count: int, voxel_nm, copies: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Write ``folder``/labels.zarr (1 in every rod) and truth.csv; the truth.

    A stack deeper than wide is as many ``copies`` of the cube, one below the other.
    """
    truth, side = rods(size, count, voxel_nm, seed)
    shape, step = (copies * size, size, size), np.asarray(voxel_nm, float)
    depth = row_depth(shape)
    volume = create_volume(folder / "labels.zarr", shape, np.uint8, voxel_nm, classes={"1": "rod"})
    edges = np.floor(np.arange(side + 1) * size / side).astype(int)
    edges[-1] = size
    layers = dict(list(truth.groupby("cell_z")))
    held, written = np.zeros((0, size, size), np.uint8), 0
    for number in list(range(side)) * copies:
        new = np.zeros((edges[number + 1] - edges[number], size, size), np.uint8)
        for rod in layers[number].itertuples() if number in layers else ():
            draw(new, edges[number], rod, step)
        held = np.concatenate([held, new])
        while len(held) >= depth:
            volume[written : written + depth] = held[:depth]
            held, written = held[depth:], written + depth
    if len(held):
        volume[written : written + len(held)] = held
    truth = pd.concat([truth] * copies, ignore_index=True)
    write_table(truth, folder / "truth.csv")
    return truth
