"""What is measured object by object: the centreline, and what lies along it."""

import logging
import time

import numpy as np
import pandas as pd

from blockface.centreline import Centreline, centreline
from blockface.crops import Crops, reading_order
from blockface.cross_sections import POINTS, TANGENTS
from blockface.feret import feret
from blockface.heap import give_back
from blockface.measure import upward
from blockface.nodes import Nodes, gather
from blockface.profile import slice_tangents
from blockface.volume import voxel_size
from blockface.waves import Wave, curvature, wave

log = logging.getLogger(__name__)

LINES = (
    "object_id", "length_nm", "displacement_nm", "displacement_z_nm", "displacement_y_nm",
    "displacement_x_nm", "tortuosity", "diameter_mean_nm", "diameter_sd_nm", "diameter_min_nm",
    "diameter_max_nm", "diameter_minor_mean_nm", "diameter_minor_min_nm", "diameter_minor_max_nm",
    "cross_section_area_um2", "feret_nm", "feret_min_nm", "curvature_mean_per_um",
    "curvature_max_per_um", "crimp_period_nm", "crimp_amplitude_nm", "helix_pitch_nm",
    "helix_radius_nm", "handedness", "branch_points", "loops", "ends_inside",
    "length_sensitivity_percent", "diameter_sensitivity_percent",
)  # fmt: skip
WHOLE = {
    "object_id", "point", "slice", "handedness", "branch_points", "loops", "ends_inside",
}  # fmt: skip


def starting_in(index: pd.DataFrame, rows: list[slice], chunks) -> np.ndarray:
    """Positions in ``index`` of the objects whose box starts in ``rows``, as they are best read."""
    if not rows or not len(index):
        return np.zeros(0, int)
    z = index.z0.to_numpy()
    own = np.flatnonzero((z >= rows[0].start) & (z < rows[-1].stop))
    return own[reading_order(index[["z0", "y0", "x0"]].to_numpy()[own], chunks)]


def measure_each(array, index: pd.DataFrame, rows: list[slice], points, tangents) -> pd.DataFrame:
    """Table LINES of the objects whose box starts in ``rows``.

    ``points`` and ``tangents`` are called with tables of
    the columns POINTS and TANGENTS as they come: the centrelines with their diameters, and the
    centreline's direction in each slice.
    """
    give_back()
    spacing, crops = voxel_size(array), Crops(array)
    step = np.asarray(spacing, float)
    own = starting_in(index, rows, array.chunks)
    first, last = (index[[f"{a}{e}" for a in "zyx"]].to_numpy() for e in "01")
    ids, voxels = index.object_id.to_numpy(), index.voxels.to_numpy()
    lines, along, tilts = [], [], []
    told = time.monotonic()
    for n, row in enumerate(own.tolist()):
        lo, hi = first[row], last[row]
        nodes, at = gather(crops, ids[row], lo, hi, voxels[row], spacing)
        line = centreline(nodes, at)
        lines.append(line_row(ids[row], line, nodes, at, lo, hi, array.shape))
        along.append(point_rows(ids[row], line, lo * step))
        tilts.append(tangent_rows(ids[row], line, lo[0], hi[0], step[0]))
        if n % 1000 == 999:
            along, tilts = flushed(along, points, POINTS), flushed(tilts, tangents, TANGENTS)
        if time.monotonic() - told > 10:
            told = time.monotonic()
            log.info("centrelines: object %d of %d", n + 1, len(own))
    flushed(along, points, POINTS)
    flushed(tilts, tangents, TANGENTS)
    return typed(lines, LINES)


def flushed(parts: list[np.ndarray], take, columns: tuple[str, ...]) -> list:
    """Hand ``parts`` on as one table; an empty list to go on with."""
    take(typed(np.concatenate([np.zeros((0, len(columns))), *parts]), columns))
    return []


def line_row(object_id, line: Centreline, nodes: Nodes, at, lo, hi, shape) -> np.ndarray:
    """Values of LINES of one object; the end-to-end vector points up as a direction does."""
    vector = tidy(upward(line.displacement[None])[0], line.length)
    across = float(np.linalg.norm(vector))
    profile, length = line.profile, line.length
    wide, minor = profile.diameter[profile.free], profile.minor[profile.free]
    exact, step = (nodes.at, nodes.cell) if at is None else (at, nodes.step)
    bends, swing = np.zeros(1), Wave()
    if line.walked is not None:
        inner = line.curve.point(profile.middle)
        bends = curvature(inner, length / len(inner), line.closed)
        swing = Wave() if line.closed else wave(inner, nodes.step / 2)
    ahead = line.curve.direction(profile.middle)
    along2 = ((ahead * nodes.step) ** 2).sum(axis=1).mean()
    aside = np.sqrt(((nodes.step**2).sum() - along2) / 2)
    return np.array([
        object_id, length, across, *vector, length / across if across else np.nan,
        wide.mean(), wide.std(), wide.min(), wide.max(), minor.mean(), minor.min(), minor.max(),
        np.pi / 4 * (wide**2).mean() / 1e6, *feret(exact, step),
        1e3 * bends.mean(), 1e3 * bends.max(), swing.crimp_period, swing.crimp_amplitude,
        swing.helix_pitch, swing.helix_radius, swing.hand,
        line.walked.branch_points if line.walked else 0, line.walked.loops if line.walked else 0,
        ends_inside(line, nodes, lo, hi, shape),
        0 if line.closed else 100 * np.sqrt(along2) / length, 100 * aside / wide.mean(),
    ])  # fmt: skip


def tidy(values: np.ndarray, scale: float) -> np.ndarray:
    """Values without what is only rounding beside ``scale``, and without -0."""
    return np.where(np.abs(values) > 1e-9 * scale, values, 0.0)


def ends_inside(line: Centreline, nodes: Nodes, lo, hi, shape) -> int:
    """Ends that lie inside the volume: those of the line and of its branches.

    An end of the line is cut where the object touches the border there and would go on beyond it by
    half a diameter; that of a branch where its last piece touches the border.
    """
    further = line.walked.tips if line.walked else ()
    ends = 0 if line.closed else 2
    room = np.asarray(shape) * nodes.step - lo * nodes.step
    first, last = lo == 0, hi == np.asarray(shape)
    if not (first.any() or last.any()):
        return ends + len(further)
    size = np.rint(nodes.cell / nodes.step)
    final = (np.asarray(hi) - lo - 1) // size
    border = ((nodes.grid == 0) & first | (nodes.grid == final) & last).any(axis=1)
    count = sum(not border[tip].any() for tip in further)
    if line.closed:
        return count
    reach = line.profile.diameter[line.profile.free].mean()
    for arc, sign in zip(line.ends, (-1, 1), strict=True):
        point = line.curve.point(np.array([arc]))
        beyond = point + sign * line.curve.direction(np.array([arc])) * reach / 2
        out = ((beyond < -lo * nodes.step) | (beyond > room)).any()
        near = ((nodes.at - point) ** 2).sum(axis=1) < (reach + nodes.cell.max()) ** 2
        count += not (out and border[near].any())
    return count


def point_rows(object_id, line: Centreline, corner) -> np.ndarray:
    """Values of POINTS of one object, (n, 8)."""
    arcs, at = line.arcs, line.points + corner
    from_start = np.linspace(0, line.length, len(arcs)) if line.closed else arcs - line.ends[0]
    number = np.arange(len(arcs))
    return np.column_stack(
        [np.full(len(arcs), object_id), number, from_start, at, *line.profile.at(arcs)]
    )


def tangent_rows(object_id, line: Centreline, first: int, last: int, thick: float) -> np.ndarray:
    """Values of TANGENTS of one object in slices ``first`` up to ``last``, (n, 5)."""
    n = last - first
    reach = 1.5 * line.length / len(line.profile.middle)
    z = (np.arange(n) + 0.5) * thick
    found = slice_tangents(line.curve, line.ends, reach, z, thick)
    return np.column_stack([np.full(n, object_id), np.arange(first, last), found])


def typed(rows, columns: tuple[str, ...]) -> pd.DataFrame:
    """Table of ``rows`` whose ids, ranks and numbers are integers, also when it is empty."""
    values = np.asarray(rows, float).reshape(-1, len(columns))
    return pd.DataFrame(
        {c: values[:, i].astype(np.int64 if c in WHOLE else float) for i, c in enumerate(columns)}
    )
