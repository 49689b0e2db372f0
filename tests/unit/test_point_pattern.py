"""Radial distribution and nearest neighbours of patterns whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from blockface.point_pattern import Hosts, Window, bins, pattern

SIZE = np.array([4000.0, 6000.0, 5000.0])
AXES = [(1, 0, 0), (0, 0, 1), (1, 0.4, -0.3)]


def plane(axis, z=0.5):
    return Window.plane(SIZE, np.array(axis, float), SIZE * z)


def at_random(window, n, seed):
    """Poisson points in a plane's window."""
    rng = np.random.default_rng(seed)
    span = 9000
    at = rng.uniform(-span / 2, span / 2, (n, 2))
    where = window.at + at @ window.across
    return at[((where >= 0) & (where <= SIZE)).all(axis=1)]


def lattice(window, a):
    """Hexagonal lattice of constant ``a`` in a plane's window."""
    i, j = np.meshgrid(np.arange(-99, 100), np.arange(-99, 100))
    at = np.stack([(i + 0.5 * j).ravel() * a, (np.sqrt(0.75) * j).ravel() * a], 1) + 0.123 * a
    where = window.at + at @ window.across
    return at[((where >= 0) & (where <= SIZE)).all(axis=1)]


@pytest.mark.parametrize("axis", AXES)
def test_random_points_of_a_plane_have_g_of_one(axis):
    windows = [plane(axis)] * 6
    points = [at_random(windows[0], 3000, s) for s in range(6)]
    found = pattern(windows, points, bins(windows, points))
    error = 1 / np.sqrt(np.maximum(found.pairs / 2, 1))
    assert (np.abs(found.g[1:] - 1) < 4 * error[1:]).all()
    assert found.g[5:].mean() == pytest.approx(1, abs=0.02)
    assert found.regularity == pytest.approx(1, abs=0.03)


def test_random_points_of_a_box_have_g_of_one():
    rng = np.random.default_rng(1)
    points = rng.uniform(0, SIZE, (6000, 3))
    windows = [Window(SIZE)]
    found = pattern(windows, [points], bins(windows, [points]))
    assert found.edges[-1] > 3.5 * (SIZE.prod() / 6000) ** (1 / 3)
    assert (np.abs(found.g[3:] - 1) < 0.12).all()
    assert found.g[8:].mean() == pytest.approx(1, abs=0.015)
    assert found.regularity == pytest.approx(1, abs=0.03)


def test_the_edge_is_corrected_where_it_matters():
    """Few points in a flat box: without a correction g would fall to a half."""
    size, rng = np.array([300.0, 3000.0, 3000.0]), np.random.default_rng(2)
    windows, points = [Window(size)] * 20, [rng.uniform(0, size, (200, 3)) for _ in range(20)]
    found = pattern(windows, points, bins(windows, points))
    assert found.g[3:].mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("axis", AXES)
def test_a_hexagonal_lattice(axis):
    a, window = 150.0, plane(axis)
    points = lattice(window, a)
    density = 2 / np.sqrt(3) / a**2
    assert len(points) / window.whole == pytest.approx(density, rel=0.02)
    found = pattern([window], [points], bins([window], [points]))
    middle = (found.edges[1:] + found.edges[:-1]) / 2
    assert (found.g[found.edges[1:] < 0.99 * a] == 0).all()
    shell = (middle > 0.8 * a) & (middle < 1.2 * a)
    around = density * (found.g * np.pi * np.diff(found.edges**2))[shell].sum()
    assert around == pytest.approx(6, rel=0.03)
    assert found.nearest == pytest.approx(a, rel=1e-6)
    assert found.regularity == pytest.approx(2 * np.sqrt(density) * a, rel=0.02)


def test_a_plane_knows_its_size():
    assert plane((1, 0, 0)).whole == pytest.approx(6000 * 5000, rel=1e-9)
    tilted = Window.plane(SIZE, np.array([1.0, 0.0, 0.5]), SIZE / 2)
    assert tilted.whole == pytest.approx(6000 * 5000 * np.sqrt(1.25), rel=1e-9)
    inner = tilted.inner(np.array([0.0, 100.0]))
    size = np.array([6000, 5000 * np.sqrt(1.25)])
    assert inner[1] == pytest.approx((size - 200).prod(), rel=1e-9)
    assert tilted.overlap(np.array([[0.0, 0.0]]))[0] == pytest.approx(tilted.whole, rel=1e-6)


def test_a_window_of_few_slices_is_no_wider_than_they_are():
    """Fibrils along x, 10 slices of 50 nm: a plane of 500 nm by 80 µm."""
    size = np.array([500.0, 80_000.0, 80_000.0])
    window = Window.plane(size, np.array([0.0, 0.0, 1.0]), size / 2)
    assert window.whole == pytest.approx(500 * 80_000, rel=1e-6)
    shift = np.array([[100.0, 0, 0]]) @ window.across.T
    assert window.overlap(shift)[0] == pytest.approx(400 * 80_000, rel=1e-6)
    assert window.inner(np.array([50.0]))[0] == pytest.approx(400 * 79_900, rel=1e-6)


def test_lines_cross_planes_where_they_do():
    window = plane((1, 0, 0))
    line = np.array([[1500, 10, 20], [2500, 30, 40], [2600, 0, 0], [0, 5, 5], [100, 5, 5.0]])
    found, whose = window.crossings(line, np.array([1, 1, 2, 3, 3]))
    assert window.unfold(found) == pytest.approx(np.array([[2000, 20, 30]]))
    assert whose.tolist() == [1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3).filter(lambda a: np.linalg.norm(a) > 0.1),
    st.lists(st.floats(0.05, 0.45) | st.floats(0.51, 0.6), min_size=6, max_size=6),
)
def test_the_content_between_sides_is_that_of_points_thrown_at_it(axis, cuts):
    window = Window.plane(SIZE, np.array(axis), SIZE / 2)
    low, high = np.array(cuts[:3]) * SIZE, SIZE * (1 - np.array(cuts[3:]))
    span, n = 9000, 50_000
    at = np.random.default_rng(0).uniform(-span / 2, span / 2, (n, 2))
    hits = ((window.unfold(at) > low) & (window.unfold(at) < high)).all(axis=1).sum()
    told = window.content(low[None], high[None])[0] / span**2 * n
    assert abs(hits - told) <= 6 * np.sqrt(told) + 6


def test_objects_inside_are_freed_of_the_border_by_their_room():
    """Long and short boxes; a short one has a twin beside it, so a sample short of long ones errs.

    All points in the volume are known, boxes only where they lie in it whole.
    """
    rng, mean, near, far = np.random.default_rng(3), [], [], []
    for _ in range(6):
        points = rng.uniform(-1500, SIZE + 1500, (6000, 3))
        half = np.full((6000, 3), 20.0)
        half[:, 1] = rng.choice([30.0, 1500.0], 6000)
        short = half[:, 1] < 100
        points = np.r_[points, points[short] + rng.normal(0, 40, (short.sum(), 3))]
        half = np.r_[half, half[short]]
        true = cKDTree(points).query(points, 2)[0][:, 1]
        ours = ((points > 0) & (points < SIZE)).all(axis=1)
        points, half, true = points[ours], half[ours], true[ours]
        inside = ((points - half > 0) & (points + half < SIZE)).all(axis=1)
        room = (SIZE - 2 * half).prod(axis=1) / SIZE.prod()
        weight = inside / room
        hosts = Hosts(weight, np.stack([half, half], axis=1))
        plain = Hosts(inside.astype(float), np.stack([half, half], axis=1))
        window = [Window(SIZE)]
        edges = bins(window, [points])
        found = [pattern(window, [points], edges, h) for h in (None, [plain], [hosts])]
        mean.append([true.mean(), *(f.nearest for f in found)])
        near.append([f.g[0] for f in found])
        far.append([f.g[15:].mean() for f in found])
    true, every, plain, unbiased = np.mean(mean, axis=0)
    assert every == pytest.approx(true, rel=0.03)
    assert unbiased == pytest.approx(true, rel=0.03)
    assert plain < 0.9 * true
    every, plain, unbiased = np.mean(near, axis=0)
    assert unbiased == pytest.approx(every, rel=0.06)
    assert plain > 1.1 * every
    assert np.mean(far, axis=0) == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(
    ("depth", "number", "told"), [(500, 500, False), (1000, 200, False), (3000, 500, True)]
)
def test_a_stack_thinner_than_the_distances_tells_none(depth, number, told):
    """Where it were told, random points would read as clusters: those far apart are not seen."""
    rng, size, ratio = np.random.default_rng(4), np.array([depth, 10_000.0, 10_000.0]), []
    for _ in range(20):
        points = [rng.uniform(0, size, (number, 3))]
        ratio.append(pattern([Window(size)], points, bins([Window(size)], points)).regularity)
    assert np.isfinite(ratio).mean() == told
    if told:
        assert np.mean(ratio) == pytest.approx(1, abs=0.03)


def test_distances_and_pairs_of_random_points_are_counted_as_by_hand():
    """Two windows of which one holds four times as many points."""
    windows = [plane((1, 0, 0))] * 2
    points = [at_random(windows[0], n, s) for s, n in enumerate((1500, 6000))]
    found = pattern(windows, points, bins(windows, points))
    each = [pattern([w], [p], found.edges) for w, p in zip(windows, points, strict=True)]
    share = np.array([len(p) for p in points]) / sum(map(len, points))
    assert found.nearest == pytest.approx(share @ [e.nearest for e in each])
    for one, where in zip(each, points, strict=True):
        density = len(where) / windows[0].whole
        assert one.nearest == pytest.approx(0.5 / np.sqrt(density), rel=0.05)
        assert one.nearest_sd == pytest.approx(np.sqrt((1 / np.pi - 0.25) / density), rel=0.08)
        apart = cdist(where, where).ravel()
        counted = np.histogram(apart[apart > 0], found.edges)[0]
        assert one.pairs.tolist() == counted.tolist()
    assert found.pairs == pytest.approx(each[0].pairs + each[1].pairs)


def test_one_object_inside_tells_nothing():
    points = np.random.default_rng(5).uniform(0, SIZE, (200, 3))
    hosts = Hosts((np.arange(200) == 7).astype(float), np.zeros((200, 2, 3)))
    window = [Window(SIZE)]
    found = pattern(window, [points], bins(window, [points]), [hosts])
    assert len(found.g) > 10
    assert np.isnan(found.g).all()
    assert np.isnan(found.nearest)


def test_too_few_points_say_nothing():
    points = [np.ones((3, 2))]
    windows = [plane((1, 0, 0))]
    found = pattern(windows, points, bins(windows, points))
    assert len(found.g) == 0
    assert np.isnan(found.nearest)


def test_the_spread_of_distances_is_that_of_all_windows_together():
    """A lattice in each, whose distances are all alike."""
    windows, points = [Window((200.0,) * 3)] * 2, []
    for step in (10, 20):
        axis = np.arange(step / 2, 200, step)
        points.append(np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3))
    found = pattern(windows, points, bins(windows, points))
    each = np.repeat([10.0, 20.0], [len(p) for p in points])
    assert found.nearest == pytest.approx(each.mean())
    assert found.nearest_sd == pytest.approx(each.std())
