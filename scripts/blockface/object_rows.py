"""What is measured object by object: the centreline, and what lies along it."""

import logging
import time
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
import pandas as pd

from blockface.centreline import Centrelines, centrelines
from blockface.crops import Crops, batches, reading_order
from blockface.cross_sections import POINTS, TANGENTS
from blockface.feret import feret
from blockface.heap import give_back
from blockface.measure import upward
from blockface.nodes import Nodes, Points, cells_of, gather
from blockface.profile import slice_tangents
from blockface.runs import Runs
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
    "pieces", "length_sensitivity_percent", "diameter_sensitivity_percent",
)  # fmt: skip
WHOLE = {
    "object_id", "point", "slice", "handedness", "branch_points", "loops", "ends_inside", "pieces",
    "neighbour_id", "rank", "class_rank",
}  # fmt: skip
BATCH = 30_000  # voxels of objects that are measured together
ROWS = 20_000  # of all tables that are kept before they are handed on


def starting_in(index: pd.DataFrame, rows: list[slice], chunks) -> np.ndarray:
    """Positions in ``index`` of the objects whose box starts in ``rows``, as they are best read."""
    if not rows or not len(index):
        return np.zeros(0, int)
    z = index.z0.to_numpy()
    own = np.flatnonzero((z >= rows[0].start) & (z < rows[-1].stop))
    return own[reading_order(index[["z0", "y0", "x0"]].to_numpy()[own], chunks)]


def measure_each(
    array, index: pd.DataFrame, rows: list[slice]
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """Tables LINES, POINTS and TANGENTS of the objects whose box starts in ``rows``, in parts.

    They hold the objects themselves, their centrelines with the diameters, and the centrelines'
    direction in each slice. There is at least one part, and all of an object is in one.
    """
    give_back()
    spacing, crops = voxel_size(array), Crops(array)
    own = starting_in(index, rows, array.chunks)
    lo, hi = (index[[f"{a}{e}" for a in "zyx"]].to_numpy()[own] for e in "01")
    ids, voxels = index.object_id.to_numpy()[own], index.voxels.to_numpy()[own]
    parts, held, told = [], 0, time.monotonic()
    for some in batches(voxels, BATCH):
        box = lo[some], hi[some]
        nodes, exact = gather(crops, ids[some], *box, voxels[some], spacing)
        found = centrelines(nodes, exact)
        parts.append((
            line_rows(ids[some], found, nodes, exact, *box, array.shape),
            point_rows(ids[some], found, lo[some].T * nodes.step[:, None]),
            tangent_rows(ids[some], found, *box, nodes.step[0]),
        ))  # fmt: skip
        held += sum(map(len, parts[-1]))
        if held > ROWS:
            yield typed_parts(parts)
            parts, held = [], 0
            give_back()
        if time.monotonic() - told > 10:
            told = time.monotonic()
            log.info("centrelines: object %d of %d", some.stop, len(own))
    yield typed_parts(parts)


def typed_parts(parts: list[tuple[np.ndarray, ...]]) -> tuple[pd.DataFrame, ...]:
    """The three tables of ``measure_each`` of some batches of objects."""
    each = zip(*parts, strict=True) if parts else ((), (), ())
    kinds = (LINES, POINTS, TANGENTS)
    return tuple(typed(list(p), columns) for p, columns in zip(each, kinds, strict=True))


def line_rows(ids, lines: Centrelines, nodes: Nodes, exact: Points, lo, hi, shape) -> np.ndarray:
    """Values (k, n) of LINES of objects; the end-to-end vector points up as a direction does."""
    length, profiles, walks = lines.length, lines.profiles, lines.walks
    vector = tidy(upward(lines.displacement.T).T, length)
    across = np.sqrt((vector**2).sum(axis=0))
    tortuosity = np.where(across > 0, length / np.where(across > 0, across, 1), np.nan)
    free = profiles.runs.chosen(profiles.free)
    wide, minor = profiles.diameter[profiles.free], profiles.minor[profiles.free]
    mean, ahead = free.means(wide), lines.curves.direction(profiles.middle, profiles.runs)
    along2 = profiles.runs.means(((ahead * nodes.step[:, None]) ** 2).sum(axis=0))
    aside = np.sqrt(((nodes.step**2).sum() - along2) / 2)
    inner = lines.curves.point(profiles.middle, profiles.runs)
    bends = curvature(inner, profiles.runs, length / profiles.runs.counts, lines.closed)
    swings = [
        astuple(wave(inner[:, rows].T, nodes.step / 2) if open_ else Wave())
        for rows, open_ in zip(profiles.runs.slices, walks.walked & ~lines.closed, strict=True)
    ]
    found = np.zeros((2, len(ids)))
    for k, way in walks.ways.items():
        found[:, k] = way.branch_points, way.loops
    return np.stack([
        ids, length, across, *vector, tortuosity, mean, free.sds(wide), free.least(wide),
        free.most(wide), free.means(minor), free.least(minor), free.most(minor),
        np.pi / 4 * free.means(wide**2) / 1e6, *feret(exact),
        *np.where(walks.walked, 1e3 * bends, 0), *np.transpose(swings), *found,
        ends_inside(lines, nodes, lo, hi, shape), walks.pieces,
        np.where(lines.closed, 0, 100 * np.sqrt(along2) / length), 100 * aside / mean,
    ], 1)  # fmt: skip


def tidy(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Values without what is only rounding beside ``scale``, and without -0."""
    return np.where(np.abs(values) > 1e-9 * scale, values, 0.0)


def ends_inside(lines: Centrelines, nodes: Nodes, lo, hi, shape) -> np.ndarray:
    """Ends (k,) that lie inside the volume: those of the lines and of their branches.

    An end of the line is cut where the object touches the border there and would go on beyond it by
    half a diameter; that of a branch where its last piece touches the border. The faces of a single
    slice are no border here.
    """
    ends, step = np.where(lines.closed, 0, 2), nodes.step
    for k, way in lines.walks.ways.items():
        ends[k] += len(way.tips)
    touching = np.flatnonzero((lo == 0).any(axis=1) | (hi == shape).any(axis=1))
    if not len(touching):
        return ends
    profiles, one = lines.profiles, Runs(np.ones(len(ends), int))
    free = profiles.runs.chosen(profiles.free)
    reach = free.means(profiles.diameter[profiles.free])
    last = [lines.curves.point(arc, one) for arc in lines.ends]
    thick = np.asarray(shape) > 1  # across a single slice all is border, and no end
    beyond = [p + lines.curves.direction(a, one) * s * reach / 2
              for p, a, s in zip(last, lines.ends, (-1, 1), strict=True)]  # fmt: skip
    for k in touching:
        at, cells, extent = nodes.at[:, nodes.runs.slices[k]], nodes.grid(k).T, hi[k] - lo[k]
        final = cells_of(extent - 1, extent, np.rint(nodes.size[:, k] / step).astype(int))
        border = (cells == 0) & (lo[k] == 0) | (cells == final) & (hi[k] == shape)
        border = (border & thick).any(axis=1)
        if k in lines.walks.ways:
            ends[k] -= sum(border[tip].any() for tip in lines.walks.ways[k].tips)
        for end in () if lines.closed[k] else (0, 1):
            point, out = last[end][:, k], beyond[end][:, k] + lo[k] * step
            near = ((at.T - point) ** 2).sum(axis=1) < (reach[k] + nodes.size[:, k].max()) ** 2
            cut = (((out < 0) | (out > np.asarray(shape) * step)) & thick).any()
            ends[k] -= cut and border[near].any()
    return ends


def point_rows(ids, lines: Centrelines, corner: np.ndarray) -> np.ndarray:
    """Values (n, 8) of POINTS of objects whose boxes begin at ``corner`` (3, k) nm."""
    (arcs, runs), profiles = lines.arcs(), lines.profiles
    closed, n = (np.repeat(v, runs.counts) for v in (lines.closed, profiles.runs.counts))
    evenly = runs.within * runs.spread(lines.length / (runs.counts - 1))
    from_start = np.where(closed, evenly, arcs - runs.spread(lines.ends[0]))
    at = lines.curves.point(arcs, runs) + runs.spread(corner)
    row = np.where(closed, runs.within % n, np.clip(runs.within - 1, 0, n - 1))
    row += np.repeat(profiles.runs.first, runs.counts)
    found = profiles.diameter[row], profiles.minor[row]
    return np.stack([np.repeat(ids, runs.counts), runs.within, from_start, *at, *found], 1)


def tangent_rows(ids, lines: Centrelines, lo, hi, thick: float) -> np.ndarray:
    """Values (n, 5) of TANGENTS of objects in the slices of their boxes ``lo`` to ``hi`` (k, 3)."""
    slices = Runs(hi[:, 0] - lo[:, 0])
    reach = 1.5 * lines.length / lines.profiles.runs.counts
    found = slice_tangents(lines.curves, lines.ends, reach, slices, thick)
    number = slices.within + np.repeat(lo[:, 0], slices.counts)
    return np.stack([np.repeat(ids, slices.counts), number, *found], 1)


def typed(parts: list[np.ndarray], columns: tuple[str, ...]) -> pd.DataFrame:
    """Table of the rows in ``parts`` whose ids, ranks and numbers are integers, also if empty."""
    values = np.concatenate([np.zeros((0, len(columns))), *parts])
    return pd.DataFrame(
        {c: values[:, i].astype(np.int64 if c in WHOLE else float) for i, c in enumerate(columns)}
    )
