"""What is measured object by object: the centreline and the nearest neighbours."""

import logging
import time

import numpy as np
import pandas as pd

from blockface.centreline import centreline, gather
from blockface.crops import Crops, reading_order
from blockface.heap import give_back
from blockface.measure import upward
from blockface.neighbours import COLUMNS as NEIGHBOURS
from blockface.neighbours import Candidates, Surfaces, nearest
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

LINES = (
    "object_id",
    "length_nm",
    "displacement_nm",
    "displacement_z_nm",
    "displacement_y_nm",
    "displacement_x_nm",
    "tortuosity",
    "diameter_mean_nm",
    "diameter_min_nm",
    "diameter_max_nm",
)
POINTS = ("object_id", "point", "z_nm", "y_nm", "x_nm", "diameter_nm")


def starting_in(index: pd.DataFrame, rows: list[slice], chunks) -> np.ndarray:
    """Positions in ``index`` of the objects whose box starts in ``rows``, as they are best read."""
    if not rows or not len(index):
        return np.zeros(0, int)
    z = index.z0.to_numpy()
    own = np.flatnonzero((z >= rows[0].start) & (z < rows[-1].stop))
    return own[reading_order(index[["z0", "y0", "x0"]].to_numpy()[own], chunks)]


def measure_each(array, index: pd.DataFrame, rows: list[slice], k: int):
    """Tables of lines, centreline points and ``k`` nearest neighbours.

    Columns LINES, POINTS and those of ``neighbours``, for the objects whose box starts in ``rows``.
    """
    give_back()
    spacing, crops = voxel_size(array), Crops(array)
    own = starting_in(index, rows, array.chunks)
    surfaces, candidates = Surfaces(crops, index, spacing), Candidates(index, spacing)
    ids, voxels = index.object_id.to_numpy(), index.voxels.to_numpy()
    lines, points, near = [], [], []
    told = time.monotonic()
    for n, row in enumerate(own.tolist()):
        lo, hi = surfaces.lo[row], surfaces.hi[row]
        line = centreline(*gather(crops, ids[row], lo, hi, voxels[row], spacing), spacing)
        lines.append((ids[row], *line_row(line)))
        at = line.points + lo * np.asarray(spacing)
        points.append(
            np.column_stack([np.full(len(at), ids[row]), np.arange(len(at)), at, line.diameters])
        )
        near += [
            (ids[row], ids[other], rank, distance)
            for rank, (distance, other) in enumerate(nearest(row, k, surfaces, candidates), 1)
        ]
        if time.monotonic() - told > 10:
            told = time.monotonic()
            log.info("centrelines and neighbours: object %d of %d", n + 1, len(own))
    points = pd.DataFrame(np.concatenate([np.zeros((0, len(POINTS))), *points]), columns=POINTS)
    points = points.astype({"object_id": np.int64, "point": np.int64})
    return typed(lines, LINES), points, typed(near, NEIGHBOURS)


def line_row(line) -> tuple[float, ...]:
    """Values of LINES after the id; the end-to-end vector points up as a direction does."""
    vector = upward(line.displacement[None])[0]
    across = float(np.linalg.norm(vector))
    return (line.length, across, *vector.tolist(), line.length / across, *line.diameter)


def typed(rows: list[tuple], columns: tuple[str, ...]) -> pd.DataFrame:
    """Table of ``rows`` whose ids and ranks are integers, also when it is empty."""
    frame = pd.DataFrame(rows, columns=list(columns))
    whole = {"object_id", "neighbour_id", "rank"}
    return frame.astype({c: np.int64 if c in whole else np.float64 for c in columns})
