"""Length, displacement and diameters of objects of known size."""

from dataclasses import dataclass

import numpy as np
import pytest

from blockface.centreline import centrelines
from blockface.crops import Crops
from blockface.nodes import gather
from object_shapes import (
    ellipsoid,
    helix,
    index_of,
    mask_of,
    rod,
    rod_extent,
    scattered,
    store,
    tube,
)

SPACINGS = [(10.0, 10.0, 10.0), (50.0, 10.0, 10.0), (200.0, 10.0, 10.0)]
AXES = [
    (1, 0, 0),
    (0, 1, 0),
    (0, 0, 1),
    (0, 1, 1),
    (1, 1, 0),
    (1, -1, 1),
    (1, 0.3, -0.2),
    (0.3, 1, 0.5),
]


def lines_of(path, labels, spacing):
    """Centrelines of all objects, measured together."""
    index = index_of(labels)
    lo, hi = (index[[f"{a}{e}" for a in "zyx"]].to_numpy() for e in "01")
    crops = Crops(store(path, labels, spacing))
    ids, voxels = index.object_id.to_numpy(), index.voxels.to_numpy()
    return centrelines(*gather(crops, ids, lo, hi, voxels, spacing))


@dataclass
class Line:
    """What is looked at of one object's line."""

    length: float
    displacement: np.ndarray
    diameter: np.ndarray


def line_of(path, mask, spacing):
    lines = lines_of(path, mask.astype(np.uint32), spacing)
    profiles = lines.profiles
    return Line(lines.length.item(), lines.displacement[:, 0], profiles.diameter[profiles.free])


def diameters(line):
    """Mean, smallest and largest along the line."""
    return [line.diameter.mean(), line.diameter.min(), line.diameter.max()]


def size_for(spacing):
    """Radius and length of a rod that the voxels resolve."""
    return {10.0: (80.0, 2400.0), 50.0: (150.0, 3000.0), 200.0: (500.0, 8000.0)}[spacing[0]]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", AXES)
def test_rod(tmp_path, axis, spacing):
    radius, length = size_for(spacing)
    mask = mask_of(rod(axis, length, radius), rod_extent(axis, length, radius), spacing)
    line = line_of(tmp_path / "o.zarr", mask, spacing)
    close = 0.03 if spacing[0] == 200 else 0.01
    assert line.length == pytest.approx(length, rel=close)
    assert diameters(line) == pytest.approx([2 * radius] * 3, rel=0.03)
    assert line.length / np.linalg.norm(line.displacement) == pytest.approx(1, abs=0.003)
    unit = line.displacement / np.linalg.norm(line.displacement)
    assert np.degrees(np.arccos(min(1, abs(unit @ axis) / np.linalg.norm(axis)))) < 1


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("turn", [(600, 1500, 2, 120), (400, 2400, 3, 100)])
def test_helix(tmp_path, turn, spacing):
    radius, pitch, turns, thick = np.array(turn) * ((3, 3, 1, 3) if spacing[0] == 200 else 1)
    points, length = helix(radius, pitch, turns)
    extent = np.ptp(points, axis=0) + 2 * thick
    line = line_of(tmp_path / "o.zarr", mask_of(tube(points, thick), extent, spacing), spacing)
    assert line.length == pytest.approx(length, rel=0.03 if spacing[0] == 200 else 0.01)
    assert diameters(line) == pytest.approx([2 * thick] * 3, rel=0.03)
    assert np.linalg.norm(line.displacement) == pytest.approx(turns * pitch, rel=0.02)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("radii", "turn"), [(6, 1.5), (6, 2.4), (10, 1.0), (20, 0.7)])
def test_short_arc_that_is_cut_straight_across(tmp_path, radii, turn, spacing):
    """A fibril of radius r bent to a circle of so many r, over ``turn`` radians, in any plane."""
    thick = {10.0: 60.0, 50.0: 120.0, 200.0: 480.0}[spacing[0]]
    bent, u = radii * thick, np.linspace(-turn / 2, turn / 2, 2001)
    arc = np.stack([bent * np.sin(u), bent * (np.cos(u) - np.cos(turn / 4)), 0 * u], 1)
    for number in range(3):
        plane, _ = np.linalg.qr(np.random.default_rng([number, radii]).normal(size=(3, 3)))
        points = arc @ plane
        mask = mask_of(tube(points, thick), np.ptp(points, axis=0) + 2 * thick, spacing)
        line = line_of(tmp_path / f"{number}.zarr", mask, spacing)
        chord = np.linalg.norm(points[-1] - points[0])
        close = {10.0: 0.015, 50.0: 0.025, 200.0: 0.04}[spacing[0]]
        assert line.length == pytest.approx(bent * turn, rel=close)
        assert np.linalg.norm(line.displacement) == pytest.approx(chord, rel=2 * close)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ball_and_ellipsoids(tmp_path, spacing):
    close = 0.03 if spacing[0] == 200 else 0.01
    scale = 3 if spacing[0] == 200 else 1
    for number, axes in enumerate(
        [(300, 300, 300), (600, 250, 250), (250, 250, 600), (240, 300, 1500)]
    ):
        axes = np.array(axes) * scale
        line = line_of(
            tmp_path / f"{number}.zarr", mask_of(ellipsoid(*axes), 2 * axes, spacing), spacing
        )
        waist = 2 * np.sqrt(np.prod(axes) / axes.max())
        assert line.length == pytest.approx(2 * axes.max(), rel=close)
        assert diameters(line)[2] == pytest.approx(waist, rel=0.03)


def test_branch_follows_the_longest_way(tmp_path):
    spacing = (10.0, 10.0, 10.0)
    stem, arm = rod((1, 0, 0), 3000, 70), rod((0, 1, 0), 900, 70)
    mask = mask_of(
        lambda z, y, x: stem(z, y, x) | arm(z - 300, y - 450, x), (3100, 2000, 300), spacing
    )
    line = line_of(tmp_path / "o.zarr", mask, spacing)
    assert line.length == pytest.approx(3000, rel=0.02)


def test_noise_adds_no_length(tmp_path):
    spacing = (50.0, 10.0, 10.0)
    mask = mask_of(rod((1, 0.2, 0.1), 6000, 120), rod_extent((1, 0.2, 0.1), 6000, 120), spacing)
    rng = np.random.default_rng(0)
    clean = line_of(tmp_path / "a.zarr", mask, spacing).length
    for z in range(len(mask)):
        mask[z] = np.roll(mask[z], rng.integers(-1, 2, 2), (0, 1))
    assert line_of(tmp_path / "b.zarr", mask, spacing).length == pytest.approx(clean, rel=0.01)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_tiny(tmp_path, spacing):
    mask = np.zeros((4, 5, 5), bool)
    mask[1, 2, 2] = True
    one = line_of(tmp_path / "1.zarr", mask, spacing)
    assert one.length == pytest.approx(spacing[0])
    assert np.pi / 4 * diameters(one)[0] ** 2 * one.length == pytest.approx(np.prod(spacing))
    mask[1, 2, 3] = True
    two = line_of(tmp_path / "2.zarr", mask, spacing)
    assert two.length == pytest.approx(max(spacing[0], 20.0))
    assert np.isfinite(diameters(two)).all()


def test_any_lump_has_finite_measures(tmp_path):
    labels = scattered(11, n=25)
    for object_id in np.unique(labels[labels > 0]):
        line = line_of(tmp_path / "o.zarr", labels == object_id, (50.0, 10.0, 10.0))
        assert np.isfinite([line.length, *diameters(line), *line.displacement]).all()
        assert line.length >= np.linalg.norm(line.displacement) * (1 - 1e-9)
        assert min(diameters(line)) > 0
