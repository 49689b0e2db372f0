"""Pictures of the whole stack: what they show where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blockface import figures_stack, pictures_objects, sampling, view3d
from object_shapes import store

SPACING = (50.0, 10.0, 10.0)


def ids_of_slabs():
    """Object 1 is the first half along x; object 2 the last third of x and y."""
    ids = np.zeros((20, 90, 120), np.uint32)
    ids[:, :, :60], ids[:, 60:, 80:] = 1, 2
    return ids


def shown(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_densities_are_the_shares_of_the_classes(tmp_path):
    array = store(tmp_path / "o.zarr", ids_of_slabs(), SPACING)
    kinds = np.array(["cell", "fibril"])
    shares, cell = sampling.densities(array, np.array([1, 2]), kinds, limit=8)
    assert shares["cell"].shape[0] == 8
    assert shares["cell"].mean() == pytest.approx(0.5, abs=0.01)
    assert shares["fibril"].mean() == pytest.approx(1 / 9, abs=0.01)
    assert (shares["cell"][:, :, : 55 * 10 // int(cell[2])] == 1).all()
    assert cell[0] * 8 == 20 * 50
    assert pictures_objects.density_map(shares, cell, tmp_path / "d.png").is_file()


def test_rays_meet_the_object_in_front(tmp_path):
    """The viewer looks from large y and x and from above: object 2 hides a part of 1."""
    array = store(tmp_path / "o.zarr", ids_of_slabs(), SPACING)
    ids, step = view3d.thinned_ids(array)
    assert np.array(ids.shape) * step == pytest.approx(np.array(array.shape) * SPACING, rel=0.05)
    seen, far, where, _ = view3d.cast(ids, step, 300)
    assert set(np.unique(seen)) == {0, 1, 2}
    size = np.array(array.shape) * SPACING
    for number, (low, high) in {
        1: ((0, 0, 0), (1, 1, 0.5)),
        2: ((0, 2 / 3, 2 / 3), (1, 1, 1)),
    }.items():
        at = where[seen == number] / size
        assert (at >= np.array(low) - 0.02).all()
        assert (at <= np.array(high) + 0.02).all()
    right, up, near = view3d.camera()
    assert np.array([right, up, near]) @ np.array([right, up, near]).T == pytest.approx(np.eye(3))
    assert np.linalg.det([v[::-1] for v in (right, up, near)]) == pytest.approx(1)  # not mirrored
    assert right[2] > 0.5
    assert up[0] < -0.5
    beyond = (where[seen == 1] + 5 * near * step.max()) @ near
    assert (beyond > where[seen == 1] @ near).all()
    assert np.isnan(far[seen == 0]).all()


@pytest.mark.parametrize("ids", [np.zeros((4, 30, 30)), np.ones((1, 8, 200)), ids_of_slabs()])
def test_the_3d_view_of_any_volume(tmp_path, ids):
    array = store(tmp_path / "o.zarr", ids.astype(np.uint32), SPACING)
    picture = shown(view3d.objects_in_3d(array, tmp_path / "v.png"))
    coloured = (np.ptp(picture, axis=2) > 60).mean()
    assert (coloured > 0.005) == bool(ids.any())


def test_numbers_stand_in_their_objects(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(pictures_objects, "save", lambda figure, path: kept.append(figure) or path)
    ids = np.zeros((80, 100), np.uint32)
    ids[10:30, 10:30], ids[50:70, 40:45], ids[50:55, 40:90] = 70_000, 9, 9
    pictures_objects.numbered_objects(None, ids, tmp_path / "n.png", (10.0, 10.0), "z 3")
    told = {t.get_text(): t.get_position() for t in kept[0].axes[0].texts if t.get_text().isdigit()}
    assert set(told) == {"70000", "9"}
    for number, (x, y) in told.items():
        assert ids[int(y / 10), int(x / 10)] == int(number)


def test_directions_are_drawn_where_they_point(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(figures_stack, "save", lambda figure, path: kept.append(figure) or path)
    rng = np.random.default_rng(0)
    along = rng.normal([0.2, 0, 1], 0.05, (300, 3))
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    frame = pd.DataFrame(along, columns=["direction_z", "direction_y", "direction_x"])
    frame = frame.assign(**{"class": "fibril", "length_nm": 1000.0})
    assert figures_stack.directions(frame, tmp_path / "d.png")
    axis = kept[0].axes[0]
    density = axis.collections[0].get_array()
    y, x = np.unravel_index(np.nanargmax(np.ma.filled(density, np.nan)), density.shape)
    middle = figures_stack.GRID // 2
    assert abs(x - middle) > 0.7 * middle  # near the rim, along x
    assert abs(y - middle) < 0.15 * middle
    star = axis.lines[1].get_xydata()[0]
    assert star[0] > 0.8


def test_directions_at_random_have_a_density_of_one():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(4000, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[vectors[:, 0] < 0] *= -1
    frame = pd.DataFrame(vectors, columns=["direction_z", "direction_y", "direction_x"])
    figure = figures_stack.Figure()
    axis = figure.add_subplot()
    figures_stack.hemisphere(figure, axis, frame.assign(length_nm=1.0), "any")
    density = np.ma.filled(axis.collections[0].get_array(), np.nan)
    assert np.nanmean(density) == pytest.approx(1, abs=0.03)


def test_tables_without_objects_have_no_picture(tmp_path):
    none = pd.DataFrame({"class": [], "low_nm": [], "all": []})
    assert figures_stack.diameters_and_order(none, none, none, tmp_path / "o.png") is None
    frame = pd.DataFrame({"class": ["a"], "length_nm": [1.0]})
    assert figures_stack.directions(frame, tmp_path / "d.png") is None
