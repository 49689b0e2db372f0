"""Drift between two scans with jumps between lines, as many as the images give evidence for.

A jump that the smooth model leaves out shows in how the rest still pulls on the lines below it.
For every line at once, the score test (Rao 1948, doi:10.1017/S0305004100023987) says how much
better a step there would fit, the smooth part giving way. The best line is tried; the step stays
if the images agree better by more than chance, and it is moved to the line that divides them best.
"""

import numpy as np

from blockface.drift import Drift
from blockface.drift_model import Comparison, Grid, Model

SCALES = ((6.0, 4), (3.0, 2), (1.5, 1))  # smoothing in pixels, grid step in pixels
MOST = 6  # jumps in a frame
APART = 16  # lines, least distance between two jumps and from the frame's first and last line
EVIDENCE = 40.0  # chi-square that a jump must explain
SMALLEST = 0.3  # px, a jump under this is left to the smooth part
REACH = 12  # lines (times the grid's step) over which a jump is moved to where it fits best


def estimate_drift(noisy: np.ndarray, clean: np.ndarray, start: tuple[float, float]) -> Drift:
    """Drift of ``clean`` against ``noisy`` (2-D, one shape), searched around the shift ``start``.

    The search finds drift and jumps of about 10 px either side of ``start``.
    """
    model = Model(noisy.shape)
    values = model.shifted(start)
    for smooth, step in SCALES:
        grid = Grid(noisy, clean, smooth, step)
        values = grid.settled(model, values)
        model, values = added(grid, model, values)
        model, values = kept(grid, model, values)
    return model.drift(values)


def added(grid: Grid, model: Model, values: np.ndarray) -> tuple[Model, np.ndarray]:
    """Model and coefficients with the jumps that this scale gives evidence for."""
    while len(model.jumps) < MOST:
        found = candidate(grid, model, values)
        if found is None:
            break
        line, size = found
        steps = np.column_stack([model.steps(values), size])
        more, start = model.jumping(values, (*model.jumps, line), steps)
        more, settled = moved(grid, more, grid.settled(more, start))
        if better(grid, (model, values), (more, settled)) < EVIDENCE:
            break
        model, values = more, settled
    return model, values


def candidate(grid: Grid, model: Model, values: np.ndarray) -> tuple[int, np.ndarray] | None:
    """Line and size (dy, dx) of the step that would help most, if by more than chance."""
    seen = grid.compare(model.drift(values))
    scores, sizes = step_scores(grid, seen, model, values)
    ends = np.array([0, *model.jumps, model.shape[0]])
    scores[np.abs(grid.at[:, None] - ends).min(axis=1) < APART] = 0
    best = int(np.argmax(scores))
    if scores[best] < EVIDENCE:
        return None
    return int(grid.at[best]), np.clip(sizes[best], -2 * grid.smooth, 2 * grid.smooth)


def step_scores(
    grid: Grid, seen: Comparison, model: Model, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Chi-square (lines,) and size (lines, 2) of a step that begins at each line of the grid."""
    matrix, pull = grid.equations(seen, model, values)
    lines, columns = model.lines[grid.part[0]], model.columns[grid.part[1]]
    force = from_here_down((seen.weight * seen.slopes * seen.rest).sum(axis=2).T)
    information, cross = np.empty((len(lines), 2, 2)), []
    for i, slope in enumerate(seen.slopes):
        row = []
        for j, other in enumerate(seen.slopes):
            weight = seen.gain * seen.weight * slope * other
            information[:, i, j] = weight.sum(axis=1)
            row += [information[:, i, j, None] * lines, weight @ columns]
        cross.append(np.hstack(row))
    cross = from_here_down(np.stack(cross, axis=1))  # (lines, 2, all functions of y, of x)
    gone = np.linalg.solve(matrix, cross.reshape(-1, len(matrix)).T).T.reshape(cross.shape)
    force = force - gone @ pull
    free = from_here_down(information) - np.einsum("lik,ljk->lij", gone, cross)
    free += 1e-2 * np.eye(2)  # steps of 10 px are likely, larger ones are not
    sizes = np.linalg.solve(free, force[..., None])[..., 0]
    return (sizes * force).sum(axis=1), sizes


def from_here_down(values: np.ndarray) -> np.ndarray:
    """Sums over each line and all below it."""
    return values[::-1].cumsum(axis=0)[::-1]


def better(grid: Grid, plain: tuple, other: tuple) -> float:
    """By how much chi-square with its penalty is lower with ``other`` (model, values)."""
    scale, costs = None, []
    for model, values in (plain, other):
        seen = grid.compare(model.drift(values), scale)
        scale = seen.scale
        costs.append(seen.cost.sum() + sum(v @ model.penalty @ v for v in values))
    return costs[0] - costs[1]


def moved(grid: Grid, model: Model, values: np.ndarray) -> tuple[Model, np.ndarray]:
    """The same with every jump at the line that divides the images best, settled again."""
    places, steps = list(model.jumps), model.steps(values)
    scale = grid.compare(model.drift(values)).scale
    for i, line in enumerate(places):
        ends = [0, *places, model.shape[0]][i : i + 3 : 2]
        low = max(line - REACH * grid.step, ends[0] + APART)
        high = min(line + REACH * grid.step, ends[1] - APART)
        lines = grid.at[(grid.at >= low) & (grid.at < high)]
        if not len(lines):
            continue
        above, below = (
            grid.compare(
                Model(model.shape, (*places[:i], place, *places[i + 1 :])).drift(values), scale
            ).cost[np.isin(grid.at, lines)]
            for place in (high, low)  # the lines between belong to the part above, to that below
        )
        first_below = np.append(0, np.cumsum(above - below))  # cost by number of lines above
        places[i] = int(np.append(lines, high)[np.argmin(first_below)])
    model, values = model.jumping(values, tuple(places), steps)
    return model, grid.settled(model, values)


def kept(grid: Grid, model: Model, values: np.ndarray) -> tuple[Model, np.ndarray]:
    """The same without jumps that are too small, or that the images do without as well."""
    model, values = moved(grid, model, values) if model.jumps else (model, values)
    for i in reversed(range(len(model.jumps))):
        steps = model.steps(values)
        fewer, start = model.jumping(
            values, model.jumps[:i] + model.jumps[i + 1 :], np.delete(steps, i, axis=1)
        )
        start = grid.settled(fewer, start)
        small = np.hypot(*steps[:, i]) < SMALLEST
        if small or better(grid, (fewer, start), (model, values)) < EVIDENCE:
            model, values = fewer, start
    return model, values
