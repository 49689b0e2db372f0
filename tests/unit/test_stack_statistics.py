"""What is told of a whole stack, on populations whose truth is known."""

import tempfile

import numpy as np
import pandas as pd
import pytest

from blockface.directions import mean_direction, watson_kappa
from blockface.point_pattern import Hosts, Window, bins, pattern
from blockface.spatial import Reaches, distribution, in_layers, planes_across
from blockface.stack_statistics import layer_heights, mean, median, miles_lantuejoul, sd
from blockface.summary import stack_tables

SPACING = (50.0, 10.0, 10.0)
SHAPE = (80, 400, 500)  # 4 x 4 x 5 µm
SIZE = np.array(SHAPE) * SPACING


def population(rng, n, length=400.0, diameter=None, direction=None, name="fibril"):
    """Tables objects, index, layers and centrelines of straight rods at random places."""
    if direction is None:
        direction = rng.normal(size=(n, 3))
    direction = np.broadcast_to(direction, (n, 3)).astype(float)
    direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    direction = direction * np.where(direction[:, :1] < 0, -1, 1)
    middle = rng.uniform(0, SIZE, (n, 3))
    half = length / 2 * direction
    ends = np.stack([middle - half, middle + half], 1)
    low, high = ends.min(axis=1), ends.max(axis=1)
    cut = ((low < 0) | (high > SIZE)).any(axis=1)
    diameter = np.full(n, 40.0) if diameter is None else diameter
    volume = np.pi / 4 * diameter**2 * length
    objects = pd.DataFrame({
        "object_id": np.arange(1, n + 1), "class": name, "length_nm": length,
        "diameter_mean_nm": diameter, "volume_um3": volume / 1e9,
        "surface_area_um2": np.pi * diameter * length / 1e6, "touches_border": cut,
    })  # fmt: skip
    for i, a in enumerate("zyx"):
        objects[f"centroid_{a}_nm"], objects[f"direction_{a}"] = middle[:, i], direction[:, i]
    index = pd.DataFrame({"object_id": objects.object_id, "class": name, "voxels": 100})
    for i, a in enumerate("zyx"):
        index[f"{a}0"] = np.clip(np.floor(low[:, i] / SPACING[i]), 0, SHAPE[i] - 1)
        index[f"{a}1"] = np.clip(np.ceil(high[:, i] / SPACING[i]), 1, SHAPE[i])
    layer = (middle[:, 0] / SIZE[0] * 8).astype(int)
    layers = pd.DataFrame({"object_id": objects.object_id, "layer": layer, "voxels": 100})
    lines = pd.DataFrame({
        "object_id": np.repeat(objects.object_id, 2), "z_nm": ends[..., 0].ravel(),
        "y_nm": ends[..., 1].ravel(), "x_nm": ends[..., 2].ravel(),
    })  # fmt: skip
    return objects, index, layers, lines


def tables(objects, index, layers, lines, classes=()):
    with tempfile.TemporaryDirectory() as folder:
        objects.to_parquet(f"{folder}/objects.parquet")
        given = f"{folder}/objects.parquet", index, [layers], lambda: [lines], list(classes)
        return stack_tables(*given, SHAPE, SPACING)


def summary(*parts, **more):
    return tables(*parts, **more)["summary"].set_index(["class", "measure"])


def test_random_directions_have_no_order():
    rng = np.random.default_rng(0)
    axis, (order, angle, kappa) = mean_direction(rng.normal(size=(20_000, 3)), np.ones(20_000))
    vectors = rng.normal(size=(20_000, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    axis, (order, angle, kappa) = mean_direction(vectors, np.ones(20_000))
    assert np.linalg.norm(axis) == pytest.approx(1)
    assert abs(order) < 0.02
    assert angle == pytest.approx(np.degrees(np.sqrt(np.pi - 2)), abs=1)
    assert kappa < 0.2


@pytest.mark.parametrize("kappa", [0.5, 5.0, 60.0])
def test_watson_distributed_axes_give_their_kappa_and_axis(kappa):
    rng, true = np.random.default_rng(1), np.array([0.6, 0.0, 0.8])
    t = np.linspace(0, 1, 20_001)
    share = np.cumsum(np.exp(kappa * (t**2 - 1)))
    along = np.interp(rng.random(40_000) * share[-1], share, t) * rng.choice([-1, 1], 40_000)
    turn = rng.uniform(0, 2 * np.pi, 40_000)
    across = np.sqrt(1 - along**2)
    y, third = np.array([0.0, 1.0, 0.0]), np.array([-0.8, 0.0, 0.6])
    vectors = (along[:, None] * true + (across * np.cos(turn))[:, None] * y
               + (across * np.sin(turn))[:, None] * third)  # fmt: skip
    axis, (_, _, found) = mean_direction(vectors, np.ones(40_000))
    assert found == pytest.approx(kappa, rel=0.1)
    assert np.degrees(np.arccos(abs(axis @ true))) < (10 if kappa < 1 else 1)


def test_parallel_axes():
    axis, (order, angle, kappa) = mean_direction(np.tile([0, 0, -1.0], (5, 1)), np.ones(5))
    assert axis.tolist() == [0, 0, 1]
    assert (order, angle) == pytest.approx((1, 0))
    assert np.isnan(kappa)
    assert watson_kappa(1 / 3) == 0


def test_averages_with_weights_of_one_are_the_usual_ones():
    values = np.r_[np.random.default_rng(2).normal(size=31), np.nan]
    for part in (values, values[1:]):
        ones = np.ones(len(part))
        usual = np.nanmean(part), np.nanmedian(part), np.nanstd(part, ddof=1)
        assert (mean(part, ones), median(part, ones), sd(part, ones)) == pytest.approx(usual)
    assert median(np.array([1.0, 2.0, 9.0]), np.array([1, 1, 5])) == 9
    assert np.isnan(mean(np.array([np.nan]), np.ones(1)))


def test_the_unbiased_column_is_free_of_the_border():
    """Long objects are cut more often: inside alone they look short and few."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(12):
        n = 2000
        length = rng.choice([200.0, 2400.0], n)
        direction = np.tile([0.0, 1.0, 0.0], (n, 1))
        objects, index, layers, lines = population(rng, n, 1.0, None, direction)
        objects["length_nm"] = length
        low = objects.centroid_y_nm - length / 2
        high = objects.centroid_y_nm + length / 2
        objects["touches_border"] = (low < 0) | (high > SIZE[1])
        for side, at in (("y0", low), ("y1", high)):
            index[side] = np.clip(np.round(at / 10), 0, SHAPE[1]).astype(int)
        for a in "zx":
            index[f"{a}0"], index[f"{a}1"] = 0, 0
        found.append(summary(objects, index, layers, lines)[["inside", "unbiased"]])
    table = sum(found) / len(found)
    assert table.loc[("fibril", "n_objects"), "inside"] < 1500
    assert table.loc[("fibril", "n_objects"), "unbiased"] == pytest.approx(2000, rel=0.03)
    assert table.loc[("fibril", "length_nm_mean"), "unbiased"] == pytest.approx(1300, rel=0.03)
    density = table.loc[("fibril", "number_density_per_um3"), "unbiased"]
    assert density == pytest.approx(2000 / 80, rel=0.03)


@pytest.mark.parametrize(
    ("shape", "size"), [((16, 80, 80), (5, 10, 10)), ((30, 80, 80), (12, 12, 12)), ((7, 9, 9), 1)]
)
def test_boxes_at_random_places_are_counted_right_in_any_stack(shape, size):
    """Their first voxels lie in the stack; of those that touch no side the number is told."""
    rng, shape, number = np.random.default_rng(5), np.array(shape), 400_000
    low = rng.integers(0, shape, (number, 3))
    high = low + size
    boxes = {f"{a}0": low[:, i] for i, a in enumerate("zyx")}
    boxes |= {f"{a}1": high[:, i] for i, a in enumerate("zyx")}
    inside = ((low > 0) & (high < shape)).all(axis=1)
    told = miles_lantuejoul(pd.DataFrame(boxes), shape)[inside].sum()
    assert told == pytest.approx(number, rel=0.02)


def test_an_object_as_large_as_the_volume_weighs_nothing():
    index = pd.DataFrame({"z0": [0, 2], "z1": [80, 42], "y0": [0, 0], "y1": [9, 200],
                          "x0": [0, 0], "x1": [9, 0]})  # fmt: skip
    places = (80 / 39) * (400 / 199) * (500 / 499)
    assert miles_lantuejoul(index, SHAPE).tolist() == [0, pytest.approx(places)]


def test_where_the_border_cuts_all_there_is_no_unbiased_number():
    objects, index, layers, lines = population(np.random.default_rng(4), 40)
    index[["z0", "z1"]], objects["touches_border"] = (0, SHAPE[0]), True
    found = summary(objects, index, layers, lines)
    for name in ("n_objects", "number_density_per_um3"):
        assert found.loc[("fibril", name), "inside"] == 0
        assert np.isnan(found.loc[("fibril", name), "unbiased"])


def test_densities_and_their_spread():
    rng = np.random.default_rng(4)
    objects, index, layers, lines = population(rng, 4000)
    found = summary(objects, index, layers, lines)
    assert found.loc[("fibril", "number_density_per_um3"), "all"] == pytest.approx(50)
    # 500 rods in each of 8 layers of 10 µm³: Poisson
    spread = found.loc[("fibril", "number_density_per_um3"), "spread"]
    assert spread == pytest.approx(np.sqrt(500) / 10, rel=0.6)
    assert found.loc[("fibril", "length_density_um_per_um3"), "all"] == pytest.approx(20)
    assert found.loc[("fibril", "volume_fraction"), "all"] == pytest.approx(
        objects.volume_um3.sum() / 80
    )
    inside = objects[~objects.touches_border].volume_um3.sum() / 80
    assert found.loc[("fibril", "volume_fraction"), "inside"] == pytest.approx(inside)


def test_axes_that_turn_from_layer_to_layer():
    """Half of the stack 10° to one side of the mean, half to the other."""
    rng, turn = np.random.default_rng(5), np.radians(10)
    low, index, layers, lines = population(rng, 2000, direction=np.ones((2000, 3)))
    side = np.where(layers.layer < 4, -1, 1)
    low["direction_z"], low["direction_y"] = np.cos(turn), side * np.sin(turn)
    low["direction_x"] = 0.0
    found = summary(low, index, layers, lines)
    measured = found.loc[("fibril", "direction_between_layers_deg"), "all"]
    assert measured == pytest.approx(10, abs=0.5)
    area = found.loc[("fibril", "surface_density_um2_per_um3"), "all"]
    assert area == pytest.approx(2000 * np.pi * 40 * 400 / 1e6 / 80)


def test_two_diameters_are_two_modes_with_their_shares():
    rng = np.random.default_rng(5)
    diameter = np.r_[rng.normal(40, 5, 1500), rng.normal(120, 12, 500)]
    parts = population(rng, 2000, 400.0, diameter)
    found = tables(*parts)
    rows = found["summary"].set_index("measure")["all"]
    assert rows.diameter_modes_n == 2
    assert [rows.diameter_mode_1_nm, rows.diameter_mode_2_nm] == pytest.approx([40, 120], rel=0.05)
    assert rows.diameter_mode_2_share == pytest.approx(0.25, abs=0.01)
    table = found["diameters"]
    assert table["all"].sum() == 2000
    assert table["inside"].sum() == (~parts[0].touches_border).sum()
    assert ((table.high_nm - table.low_nm).round(9).nunique(), table.low_nm.iloc[0] % 5) == (1, 0)


def test_parallel_fibrils_are_looked_at_across_their_direction_and_balls_in_3d():
    rng = np.random.default_rng(6)
    rods = population(rng, 3000, 1200.0, None, np.array([1.0, 0.2, -0.1]))
    found = tables(*rods)
    g = found["radial_distribution"]
    assert set(g.space) == {"plane"}
    assert g.g.iloc[5:].mean() == pytest.approx(1, abs=0.05)
    assert (g.spread > 0).iloc[5:].all()
    assert g[["g_inside", "g_unbiased"]].iloc[5:].mean().tolist() == pytest.approx([1, 1], abs=0.05)
    rows = found["summary"].set_index("measure")
    told = rows.loc["clark_evans_ratio_in_plane", ["all", "inside", "unbiased"]].tolist()
    assert told == pytest.approx([1, 1, 1], abs=0.06)
    balls = tables(*population(rng, 3000, 60.0))
    assert set(balls["radial_distribution"].space) == {"3-D"}
    g = balls["radial_distribution"][["g", "g_inside", "g_unbiased"]]
    assert g.iloc[5:].mean().tolist() == pytest.approx([1, 1, 1], abs=0.05)
    rows = balls["summary"].set_index("measure")
    told = rows.loc["clark_evans_ratio_3d", ["all", "inside", "unbiased"]].tolist()
    assert told == pytest.approx([1, 1, 1], abs=0.05)


def test_each_object_inside_has_the_room_that_its_weight_says():
    _, index, _, _ = population(np.random.default_rng(8), 300, 900.0)
    window, every = Window(SIZE), np.arange(300)
    low, high = (index[[f"{a}{e}" for a in "zyx"]].to_numpy() for e in "01")
    reaches = Reaches(window, (low + high) / 2 * SPACING, every, index, SPACING)
    hosts = Hosts(np.ones(300), reaches).some(every)
    weight, room = miles_lantuejoul(index, SHAPE), window.content(*hosts.room(window))
    fits = weight > 0
    assert fits.sum() > 200
    assert (weight * room)[fits] == pytest.approx(np.full(fits.sum(), window.whole))


def test_planes_lie_in_the_middles_of_equal_layers():
    planes = planes_across(np.array([0.9, 0.1, -0.2]), SHAPE, SPACING)
    assert [p.at[0] for p in planes] == pytest.approx((np.arange(8) + 0.5) * SIZE[0] / 8)
    assert all(p.at[1:] == pytest.approx(SIZE[1:] / 2) for p in planes)


def test_the_pattern_seen_from_objects_inside_misses_the_long_ones_unless_weighted():
    """Short rods lie in pairs, long ones alone, and are cut more often."""
    rng, found = np.random.default_rng(9), []
    for _ in range(6):
        objects, index, layers, lines = population(rng, 2000)
        length = np.where(np.arange(2000) < 1000, 60.0, 2400.0)
        objects.loc[500:999, ["centroid_z_nm", "centroid_y_nm", "centroid_x_nm"]] = (
            objects.loc[:499, ["centroid_z_nm", "centroid_y_nm", "centroid_x_nm"]].to_numpy() + 9.0
        )
        ends = objects.centroid_y_nm - length / 2, objects.centroid_y_nm + length / 2
        objects["touches_border"] = (ends[0] < 0) | (ends[1] > SIZE[1])
        for a, size, count in zip("zx", SPACING[::2], SHAPE[::2], strict=True):
            at = np.floor(objects[f"centroid_{a}_nm"] / size).clip(0, count - 1)
            index[f"{a}0"], index[f"{a}1"] = at, at + 1
        for side, at in zip(("y0", "y1"), ends, strict=True):
            index[side] = np.clip(np.round(at / SPACING[1]), 0, SHAPE[1]).astype(int)
        made = tables(objects, index, layers, lines)
        rows = made["summary"].set_index("measure").loc["nearest_centre_3d_nm_mean"]
        g = made["radial_distribution"].iloc[0][["g", "g_inside", "g_unbiased"]]
        found.append([*rows[["all", "inside", "unbiased"]], *g])
    every, inside, unbiased, *g = np.mean(found, axis=0)
    assert unbiased == pytest.approx(every, rel=0.05)
    assert inside < 0.9 * every
    assert g[2] == pytest.approx(g[0], rel=0.12)
    assert g[1] > 1.15 * g[0]


@pytest.mark.parametrize("depth", [24, 80])
def test_layers_of_random_points_have_the_g_of_the_whole_and_its_spread_is_theirs(depth):
    rng, ratio = np.random.default_rng(10), []
    shape = (depth, 400, 500)
    size = np.array(shape) * SPACING
    for _ in range(4):
        points = rng.uniform(0, size, (3000, 3))
        hosts = list(in_layers(points, shape, SPACING))
        window = [Window(size)]
        edges = bins(window, [points])
        each = [pattern(window, [points], edges, [h]) for h in hosts]
        g = np.array([e.g for e in each])
        ratio += [e.regularity for e in each]
        whole = dict.fromkeys(("all", "inside", "unbiased"), pattern(window, [points], edges))
        told = distribution("3-D", whole, each)
        assert g[:, 8:].mean(axis=0) == pytest.approx(told.g.to_numpy()[8:], abs=0.04)
        assert told.g.iloc[8:].mean() == pytest.approx(1, abs=0.04)
        assert told.spread.to_numpy() == pytest.approx(g.std(axis=0, ddof=1))
    assert np.mean(ratio) == pytest.approx(1, abs=0.04)


def test_where_the_border_cuts_all_the_pattern_is_told_of_all_alone():
    parts = population(np.random.default_rng(6), 3000, 1200.0, None, np.array([1.0, 0.2, -0.1]))
    parts[0]["touches_border"] = True
    found = tables(*parts)
    g = found["radial_distribution"]
    assert g.g.iloc[5:].mean() == pytest.approx(1, abs=0.05)
    assert g[["g_inside", "g_unbiased"]].isna().all(axis=None)
    rows = found["summary"].set_index("measure")
    told = rows.loc["nearest_centre_in_plane_nm_mean", ["all", "inside", "unbiased"]].tolist()
    assert np.isfinite(told).tolist() == [True, False, False]


def test_a_class_without_objects_has_rows_and_one_object_has_no_spread():
    parts = population(np.random.default_rng(7), 1)
    found = summary(*parts, classes=["fibril", "cell"])
    assert found.loc[("cell", "n_objects"), "all"] == 0
    assert found.loc[("cell", "volume_fraction"), "all"] == 0
    assert np.isnan(found.loc[("cell", "length_nm_mean"), "all"])
    assert found.loc[("fibril", "length_nm_mean"), "all"] == 400
    assert np.isnan(found.loc[("fibril", "length_nm_mean"), "spread"])


def test_layers_share_out_every_slice():
    assert layer_heights(3).tolist() == [1, 1, 1]
    assert layer_heights(21).sum() == 21
    assert set(layer_heights(21)) == {2, 3}
