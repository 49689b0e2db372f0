"""Rings, branches, waves, Feret diameters and ends of objects of known shape."""

import numpy as np
import pytest
from scipy import ndimage

from blockface.volume import slab_rows
from object_shapes import (
    SPACINGS,
    arm,
    ellipsoid,
    helix,
    index_of,
    mask_of,
    measured,
    rod,
    rod_extent,
    row_of,
    scale,
    store,
    torus,
    tube,
    union,
)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (1, 1, 0.3)])
def test_torus(tmp_path, axis, spacing):
    k = scale(spacing)
    mask = mask_of(torus(axis, 450 * k, 90 * k), [1100 * k] * 3, spacing)
    row = row_of(tmp_path, mask, spacing)
    close = 0.03 if spacing[0] == 200 else 0.01
    assert row.length_nm == pytest.approx(2 * np.pi * 450 * k, rel=close)
    for name in ("diameter_mean_nm", "diameter_min_nm", "diameter_max_nm"):
        at_20_to_1 = spacing[0] == 200 and name != "diameter_mean_nm"  # 3.6 slices across
        assert row[name] == pytest.approx(180 * k, rel=0.035 if at_20_to_1 else 0.03)
    assert row.curvature_mean_per_um == pytest.approx(1e3 / 450 / k, rel=0.06)
    assert row.feret_nm == pytest.approx(1080 * k, rel=0.01)
    assert abs(row.feret_min_nm - 180 * k) < max(0.03 * 180 * k, spacing[0])
    assert (row.loops, row.branch_points, row.ends_inside, row.displacement_nm) == (1, 0, 0, 0)
    assert np.isnan(row.tortuosity)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("radius", "tube"), [(360, 90), (270, 90)])
def test_narrow_torus(tmp_path, radius, tube, spacing):
    """A ring whose slices are wedges: their centroids lie inwards of the line."""
    k = scale(spacing)
    mask = mask_of(torus((1, 0, 0), radius * k, tube * k), [1100 * k] * 3, spacing)
    row = row_of(tmp_path, mask, spacing)
    assert row.length_nm == pytest.approx(2 * np.pi * radius * k, rel=0.01)
    assert row.loops == 1


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("pose", ["z", "x"])
def test_helix_has_a_hand(tmp_path, pose, spacing):
    k = scale(spacing)
    line, _ = helix(300 * k, 1500 * k, 2)
    right = line * [1, -1, 1]  # with x, y, z right-handed, object_shapes' helix is left-handed
    for number, (points, hand) in enumerate([(line, -1), (right, 1)]):
        points = points if pose == "z" else points[:, [1, 2, 0]]  # a turn, no mirror image
        mask = mask_of(tube(points, 80 * k), np.ptp(points, axis=0) + 160 * k, spacing)
        row = row_of(tmp_path, mask, spacing, number)
        assert row.handedness == hand
        assert row.helix_pitch_nm == pytest.approx(1500 * k, rel=0.02)
        assert row.helix_radius_nm == pytest.approx(300 * k, rel=0.03)
        kappa = 1e3 * 300 / (300**2 + (1500 / 2 / np.pi) ** 2) / k
        assert row.curvature_mean_per_um == pytest.approx(kappa, rel=0.05)
        assert row.curvature_max_per_um == pytest.approx(kappa, rel=0.1)
        assert np.isnan(row.crimp_period_nm)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_crimp_has_period_and_amplitude(tmp_path, spacing):
    k = scale(spacing)
    z = np.linspace(-2.5, 2.5, 3000) * 900 * k
    wave = np.stack([z, 60 * k * np.sin(2 * np.pi * z / 900 / k), 0 * z], 1)
    for number, line in enumerate([wave, wave[:, [2, 1, 0]]]):
        mask = mask_of(tube(line, 60 * k), np.ptp(line, axis=0) + 120 * k, spacing)
        row = row_of(tmp_path, mask, spacing, number)
        assert row.crimp_period_nm == pytest.approx(900 * k, rel=0.01)
        assert row.crimp_amplitude_nm == pytest.approx(60 * k, rel=0.04)
        assert row.handedness == 0
        assert np.isnan(row.helix_pitch_nm)


@pytest.mark.parametrize(("periods", "told"), [(1.25, False), (1.75, True)])
def test_a_crimp_shows_one_and_a_half_periods(tmp_path, periods, told):
    z = np.linspace(-periods / 2, periods / 2, 3000) * 900
    line = np.stack([z, 60 * np.sin(2 * np.pi * z / 900), 0 * z], 1)
    mask = mask_of(tube(line, 60), np.ptp(line, axis=0) + 120, SPACINGS[0])
    assert np.isfinite(row_of(tmp_path, mask, SPACINGS[0]).crimp_period_nm) == told


@pytest.mark.parametrize("spacing", SPACINGS)
def test_neither_straight_nor_bent_rods_are_waves(tmp_path, spacing):
    k = scale(spacing)
    u = np.linspace(-0.7, 0.7, 1000)
    arc = np.stack([np.sin(u), np.cos(u), 0 * u], 1) * 1500 * k
    shapes = [rod((1, 0.3, 0.2), 1800 * k, 60 * k), tube(arc - arc.mean(axis=0), 60 * k)]
    for number, shape in enumerate(shapes):
        mask = mask_of(shape, [2100 * k, 700 * k, 500 * k], spacing)
        row = row_of(tmp_path, mask, spacing, number)
        assert np.isnan(row[["crimp_period_nm", "helix_pitch_nm"]].to_numpy(float)).all()
        assert row.handedness == 0
        assert row.curvature_mean_per_um == pytest.approx(number / 1.5 / k, abs=0.1 / k)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_rods_ends_and_branches(tmp_path, spacing):
    k = scale(spacing)
    length, radius = 2000 * k, 60 * k

    def of(direction, share):
        return arm(direction, length * share, radius)

    stem = [of((1, 0, 0), 1 / 2), of((-1, 0, 0), 1 / 2)]
    cases = [
        (stem, 0, 2),
        ([*stem, of((0.3, 1, 0), 1 / 3)], 1, 3),
        ([*stem, of((0, 1, 0), 1 / 3), of((0, -1, 0.2), 1 / 3)], 1, 4),
        ([stem[0], of((-1, 0.5, 0), 1 / 2), of((-1, -0.5, 0), 1 / 3)], 1, 3),
    ]
    for number, (arms, branches, ends) in enumerate(cases):
        mask = mask_of(union(arms), [length, length, 400 * k], spacing)
        row = row_of(tmp_path, mask, spacing, number)
        assert (row.branch_points, row.ends_inside, row.loops) == (branches, ends, 0)
        assert row.length_nm == pytest.approx(length, rel=0.02)
        across = mask[np.flatnonzero(mask.any(axis=(1, 2)))[0] + 2 :]  # cut by the border
        assert row_of(tmp_path, across, spacing, f"{number}c").ends_inside == ends - 1


@pytest.mark.parametrize(("cut", "ends"), [(False, 3), (True, 2)])
def test_ends_in_a_single_slice(tmp_path, cut, ends):
    arms = [arm((0, 1, 0), 1000, 60), arm((0, -1, 0), 1000, 60), arm((0, 0.3, 1), 700, 60)]
    plane = mask_of(union(arms), [50, 2200, 1600], (50, 10, 10))
    plane = plane[len(plane) // 2][None]
    if cut:
        plane = plane[:, np.flatnonzero(plane.any(axis=(0, 2)))[0] + 5 :]
    row = row_of(tmp_path, plane, (50, 10, 10))
    assert len(plane) == 1
    assert (row.ends_inside, row.branch_points, row.loops) == (ends, 1, 0)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", [(1, 0, 0), (1, 0.4, -0.3)])
@pytest.mark.parametrize("gaps", [(0.3,), (0.3, 0.33), (0.2, 0.5, 0.8)])
def test_blank_slices_change_no_length_and_no_diameter(tmp_path, gaps, axis, spacing):
    """Fibrils are linked across slices in which they are missing; nothing is filled in there."""
    k = scale(spacing)
    box = rod_extent(axis, 2000 * k, 60 * k)
    mask = mask_of(rod(axis, 2000 * k, 60 * k), box, spacing)
    mask[[int(gap * len(mask)) for gap in gaps]] = False
    row = row_of(tmp_path, mask, spacing)
    assert row.length_nm == pytest.approx(2000 * k, rel=0.03 if spacing[0] == 200 else 0.01)
    assert row.displacement_nm == pytest.approx(2000 * k, rel=0.01)
    assert row.diameter_mean_nm == pytest.approx(120 * k, rel=0.03)
    # cells of several slices do not know of a blank one (docs/measures.md)
    assert row.diameter_min_nm == pytest.approx(120 * k, rel=0.07 if spacing[0] == 10 else 0.03)
    assert (row.branch_points, row.loops, row.ends_inside) == (0, 0, 2)
    blank = len({int(gap * len(mask)) for gap in gaps})
    if spacing[0] > 10:
        assert 2 <= row.pieces <= 1 + blank


@pytest.mark.parametrize("thick", [50, 200])
@pytest.mark.parametrize("tilt", [20, 35, 45, 60])
@pytest.mark.parametrize("diameter", [80, 150, 250])
def test_thin_rods_whose_sections_lie_beside_one_another(tmp_path, diameter, tilt, thick):
    """A fibril thinner than a slice that leans is in one piece, and as thick as it is."""
    t, length, spacing = np.radians(tilt), {50: 3000, 200: 6000}[thick], (thick, 10, 10)
    axis = np.array([np.cos(t), 0.8 * np.sin(t), 0.6 * np.sin(t)])
    rod_ = rod(axis, length, diameter / 2), rod_extent(axis, length, diameter / 2)
    row = row_of(tmp_path, mask_of(*rod_, spacing), spacing)
    assert (row.pieces, row.branch_points, row.ends_inside) == (1, 0, 2)
    assert row.length_nm == pytest.approx(length, rel=0.03 if thick == 200 else 0.01)
    for measure in ("diameter_mean_nm", "diameter_min_nm", "diameter_max_nm"):
        assert row[measure] == pytest.approx(diameter, rel=0.04), measure
    assert row.diameter_minor_mean_nm == pytest.approx(diameter, rel=0.05)


def test_crumbs_and_an_id_given_twice(tmp_path):
    spacing, line = (50, 10, 10), np.zeros((60, 60, 300), bool)
    line[28:32, 26:34, 20:120] = True
    whole = row_of(tmp_path, line, spacing, "one")
    assert whole.pieces == 1
    twice = line.copy()
    twice[28:32, 26:34, 180:280] = True
    row = row_of(tmp_path, twice, spacing, "two")
    assert row.pieces == 2
    assert row.length_nm == pytest.approx(2600, rel=0.02)
    assert row.diameter_mean_nm == pytest.approx(whole.diameter_mean_nm, rel=0.03)
    crumbs = line | (np.random.default_rng(0).random(line.shape) < 1e-3)
    row = row_of(tmp_path, crumbs, spacing, "crumbs")
    assert row.pieces > 500
    assert np.isfinite(row[["length_nm", "diameter_mean_nm", "feret_nm"]].to_numpy(float)).all()


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize(("lean", "long"), [(0.35, 20), (0.5, 33), (0.8, 20), (0.8, 33)])
def test_a_third_arm_does_not_draw_the_line(tmp_path, lean, long, spacing):
    radius = 60 * scale(spacing)
    length = long * radius
    arms = [
        arm((1, 0, 0), length / 2, radius), arm((-1, lean, 0), length / 2, radius),
        arm((-1, -lean, 0), length / 3, radius),
    ]  # fmt: skip
    mask = mask_of(union(arms), [1.05 * length, length, 7 * radius], spacing)
    assert row_of(tmp_path, mask, spacing).length_nm == pytest.approx(length, rel=0.011)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_feret(tmp_path, spacing):
    """Right to 3 %, or to one voxel along the direction: half of one at each plane."""
    k = scale(spacing)
    for number, axis in enumerate([(1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 0.3, -0.2)]):
        length, radius = 1500 * k, 120 * k
        mask = mask_of(rod(axis, length, radius), rod_extent(axis, length, radius), spacing)
        row = row_of(tmp_path, mask, spacing, number)
        assert row.feret_nm == pytest.approx(np.hypot(length, 2 * radius), rel=0.03)
        assert row.feret_min_nm == pytest.approx(2 * radius, rel=0.04)
    for number, axes in enumerate([(150, 150, 150), (300, 125, 125), (140, 180, 600)], 9):
        axes = np.array(axes) * 2 * k
        row = row_of(tmp_path, mask_of(ellipsoid(*axes), 2 * axes, spacing), spacing, number)
        assert row.feret_nm == pytest.approx(2 * axes.max(), rel=0.03)
        assert row.feret_min_nm == pytest.approx(2 * axes.min(), rel=0.03)
        assert row.diameter_minor_max_nm == pytest.approx(2 * axes.min(), rel=0.03)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("tilt", [2, 5])
def test_feret_of_a_rod_nearly_upright(tmp_path, spacing, tilt):
    """Its last slice ends half a slice beyond the centres, however the plane lies on it."""
    length, radius = 3000, 100
    axis = np.array([1, 0.8 * np.tan(np.radians(tilt)), 0.6 * np.tan(np.radians(tilt))])
    mask = mask_of(rod(axis, length, radius), rod_extent(axis, length, radius), spacing)
    row = row_of(tmp_path, mask, spacing)
    assert row.feret_nm == pytest.approx(np.hypot(length, 2 * radius), rel=0.015)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_cone_narrows(tmp_path, spacing):
    """Its area grows as the square of the way from the tip, wherever the voxels resolve it."""
    k = scale(spacing)
    mask = mask_of(
        lambda z, y, x: (
            (np.abs(z) < 1500 * k) & (y**2 + x**2 < (200 * k * (0.5 - z / 3000 / k)) ** 2)
        ),
        [3000 * k, 400 * k, 400 * k],
        spacing,
    )
    labels = mask.astype(np.uint32)
    array = store(tmp_path / "o.zarr", labels, spacing)
    _, points, _ = measured(array, index_of(labels), slab_rows(mask.shape))
    line = points.iloc[2:-6]
    z = line.z_nm - (mask.shape[0] / 2 - 0.13) * spacing[0]  # OFF_GRID of object_shapes
    true = 400 * k * (0.5 - z / 3000 / k)
    assert line.diameter_nm.to_numpy() == pytest.approx(true.to_numpy(), rel=0.04)
    assert line.diameter_minor_nm.to_numpy() == pytest.approx(true.to_numpy(), rel=0.04)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_one_and_two_voxels(tmp_path, spacing):
    labels = np.zeros((5, 6, 6), np.uint32)
    labels[2, 2, 2] = 70_000
    row = row_of(tmp_path, labels, spacing)
    assert (row.feret_nm, row.feret_min_nm) == pytest.approx((spacing[0], 10), rel=0.01)
    labels[2, 2, 3] = 70_000
    row = row_of(tmp_path, labels, spacing, 2)
    assert (row.feret_nm, row.feret_min_nm) == pytest.approx((max(spacing[0], 20), 10), rel=0.01)
    assert (row.ends_inside, row.branch_points, row.curvature_max_per_um) == (2, 0, 0)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_nets(tmp_path, spacing):
    """Ragged bodies of a bad prediction, with loops and spurs, are measured too."""
    shape = (1 if spacing[0] == 200 else 4, 250, 250)
    loops = branches = 0
    for seed in range(6):
        noise = np.random.default_rng(seed).standard_normal(shape)
        smooth = np.abs(ndimage.gaussian_filter(noise, (1, 4, 4), mode="wrap"))
        labels = ndimage.label(smooth < np.quantile(smooth, 0.25))[0].astype(np.uint32)
        array = store(tmp_path / f"{seed}.zarr", labels, spacing)
        rows, _, _ = measured(array, index_of(labels), slab_rows(labels.shape))
        assert (rows.length_nm > 0).all()
        assert np.isfinite(rows.length_nm).all()
        loops, branches = loops + rows.loops.max(), branches + rows.branch_points.max()
    assert loops > 10
    assert branches > 10
