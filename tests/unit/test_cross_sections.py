"""Cross-sections of tilted rods: centroid, displacement, tilt and diameters, from the scripts."""

import numpy as np
import pandas as pd
import pytest

import measure_objects
import measure_pairs
import measure_slab
from blockface.tables import read_table, write_table
from object_shapes import ellipsoid, helix, index_of, mask_of, rod, store, tube

SPACINGS = [(10.0, 10.0, 10.0), (50.0, 10.0, 10.0), (200.0, 10.0, 10.0)]
NAMES = ("objects", "contacts", "neighbours", "summary", "diameters", "radial", "cross_sections",
         "centrelines")  # fmt: skip


def tables(folder, labels, spacing, slabs=1, image=None):
    """All tables of ``labels``, measured in ``slabs`` jobs, through the scripts."""
    folder.mkdir()
    store(folder / "objects.zarr", labels, spacing, classes={"1": "fibril"})
    write_table(index_of(labels), folder / "index.csv")
    common = {"objects": str(folder / "objects.zarr"), "index": str(folder / "index.parquet")}
    grey = {}
    if image is not None:
        store(folder / "image.zarr", image, spacing)
        grey = {"image": str(folder / "image.zarr")}
    parts, pairs = ([str(folder / f"{n}{s}") for s in range(slabs)] for n in ("part", "pairs"))
    for slab in range(slabs):
        given = {**common, "slab": slab, "slabs": slabs, "threads": 1}
        measure_slab.main(**given, **grey, part=parts[slab])
        measure_pairs.main(**given, part=pairs[slab], settings={"neighbours": 1})
    paths = {f"{n}_table": str(folder / f"{n}.csv") for n in NAMES}
    paths |= {"parts": parts, "pairs": pairs}
    measure_objects.main(**common, **paths, threads=1, intensity=image is not None)
    return {n: read_table(folder / f"{n}.parquet") for n in NAMES}


def bundle(axis, length, radius, spacing):
    """Four parallel rods, three radii apart, as labels."""
    axis = np.asarray(axis) / axis[0]
    extent = np.abs(axis) * length + [0, 8 * radius, 8 * radius]
    body, labels = rod(axis, 1.6 * length * np.linalg.norm(axis), radius), 0
    for number, (y0, x0) in enumerate([(-2, -2), (-2, 2), (2, -2), (2, 2)], 1):
        mask = mask_of(
            lambda z, y, x, y0=y0, x0=x0: body(z, y - y0 * radius, x - x0 * radius),
            extent, spacing,
        )  # fmt: skip
        labels = np.where(mask, number * 70_000, labels)
    return labels.astype(np.uint32)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("axis", [(1, 0, 0), (1, 0.4, -0.3), (1, 0, 1.2)])
def test_tilted_rods(tmp_path, axis, spacing):
    radius, depth = 100.0, 40 * spacing[0] if spacing[0] > 10 else 1200.0
    labels = bundle(axis, depth, radius, spacing)
    found = tables(tmp_path / "o", labels, spacing, 2)
    sections, objects = found["cross_sections"], found["objects"]
    assert objects.touches_border.all()  # the rods go on above and below the volume
    # at 20:1 these rods are one slice thick; the last slices' tilt is off by up to 2.5°
    margin, close = (10, 1.5) if spacing[0] == 200 else (5, 1)
    depth = labels.shape[0]
    inner = sections[(sections["slice"] >= margin) & (sections["slice"] < depth - margin)]
    tilt = np.degrees(np.arccos(1 / np.linalg.norm(axis)))
    assert (inner.tilt_deg - tilt).abs().max() < close
    assert inner.diameter_nm.to_numpy() == pytest.approx(2 * radius, rel=0.03)
    assert inner.diameter_minor_nm.to_numpy() == pytest.approx(2 * radius, rel=0.03)
    area = np.pi * radius**2 * np.linalg.norm(axis) / 1e6
    assert inner.area_um2.mean() == pytest.approx(area, rel=0.015)
    shift = np.array(axis[1:]) * spacing[0]
    moved = inner[["displacement_y_nm", "displacement_x_nm"]].to_numpy()
    assert np.abs(moved - shift).max() < 5  # half a pixel
    relative = inner[["relative_displacement_y_nm", "relative_displacement_x_nm"]].to_numpy()
    assert np.abs(relative).max() < 5
    assert sections.groupby("object_id").displacement_nm.apply(lambda d: d.isna().sum()).eq(1).all()


def test_shifted_slice_and_a_lone_mover(tmp_path):
    """A slice shifted as a whole moves all, none against its neighbours; a lone mover shows."""
    spacing = (50.0, 10.0, 10.0)
    one = np.zeros((20, 90, 90), np.uint32)
    for number, (y, x) in enumerate(np.ndindex(3, 3), 300):
        one[:, 10 + 25 * y : 20 + 25 * y, 10 + 25 * x : 20 + 25 * x] = number
    one[8] = np.roll(one[8], (3, -2), (0, 1))
    lone = one[14] == 304
    one[14][lone] = 0
    one[14][np.roll(lone, 4, 0)] = 304
    rows = tables(tmp_path / "o", one, spacing)["cross_sections"]
    rows = rows.set_index(["slice", "object_id"])
    assert (rows.loc[8].displacement_y_nm == 30).all()
    assert (rows.loc[8].displacement_x_nm == -20).all()
    assert (rows.loc[8].relative_displacement_nm == 0).all()
    assert (rows.loc[9].displacement_y_nm == -30).all()
    assert rows.loc[(14, 304)].relative_displacement_y_nm == 40
    assert rows.loc[(14, 300)].relative_displacement_y_nm == -5  # 40 nm over eight neighbours
    assert rows.loc[0].displacement_nm.isna().all()
    assert (rows.area_um2 == 0.01).all()
    assert rows.loc[0].centroid_y_nm.iloc[0] == 150


def test_intensity_is_that_of_the_image(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 30, 30), np.uint32)
    labels[3:35, 5:12, 5:12], labels[10:20, 15:25, 15:25] = 256, 65_537
    image = rng.integers(0, 60_000, labels.shape).astype(np.uint32)
    rows = tables(tmp_path / "o", labels, (50.0, 10.0, 10.0), 3, image)["objects"]
    for row in rows.itertuples():
        values = image[labels == row.object_id]
        assert row.intensity_mean_grey == pytest.approx(values.mean(), rel=1e-12)
        assert row.intensity_sd_grey == pytest.approx(values.std(), rel=1e-9)
    without = tables(tmp_path / "n", labels, (50.0, 10.0, 10.0))["objects"]
    assert not any(name.startswith("intensity") for name in without)


def test_box_and_sensitivity_of_a_box(tmp_path):
    """Half a voxel outward on all six sides, whatever the voxel's form."""
    labels = np.zeros((40, 60, 60), np.uint32)
    labels[10:30, 10:50, 10:50] = 7
    row = tables(tmp_path / "o", labels, (50.0, 10.0, 10.0))["objects"].iloc[0]
    names = [f"box_{a}_{e}_nm" for a in "zyx" for e in ("min", "max")]
    assert row[names].tolist() == [500, 1500, 100, 500, 100, 500]
    assert row.volume_sensitivity_percent == pytest.approx(
        100 * (1 / 20 + 1 / 40 + 1 / 40), rel=0.1
    )
    assert row.length_sensitivity_percent == pytest.approx(100 * 50 / 1000)


def bodies(spacing):
    """A straight and an oblique rod, a left-handed helix and a lump, some way apart."""
    k = {10.0: 1, 50.0: 1.5, 200.0: 4}[spacing[0]]
    line, _ = helix(150 * k, 800 * k, 2)
    extent = np.array([1800, 1200, 1100]) * k
    shapes = [
        (rod((1, 0, 0), 1500 * k, 60 * k), (0, -450, -400)),
        (rod((1, 0.2, -0.15), 1400 * k, 80 * k), (0, -300, 300)),
        (tube(line, 70 * k), (0, 150, 0)),
        (ellipsoid(150 * k, 120 * k, 190 * k), (0, 450, 350)),
    ]
    labels = 0
    for number, (shape, at) in enumerate(shapes, 1):
        z0, y0, x0 = np.array(at) * k
        inside = mask_of(lambda z, y, x, s=shape: s(z - z0, y - y0, x - x0), extent, spacing)  # noqa: B023
        labels = np.where(inside, number * 50, labels)
    return labels.astype(np.uint32)


POSES = {
    "padded": lambda v: np.pad(v, ((3, 9), (5, 0), (1, 17))),
    "flipped": lambda v: v[::-1, :, ::-1],
    "transposed": lambda v: v.transpose(0, 2, 1),
    "renumbered": lambda v: np.where(v > 0, 70_000 - 300 * v, 0).astype(np.uint32),
}


@pytest.mark.parametrize("spacing", SPACINGS)
def test_nothing_changes_with_place_and_pose(tmp_path, spacing):
    """Two rods and a helix: lengths and diameters to 1 %, all else to 3 %, hands as mirrored."""
    labels = bodies(spacing)
    first = tables(tmp_path / "o", labels, spacing)["objects"].sort_values("volume_um3")
    free = [c for c in first if c.startswith(("centroid", "direction", "displacement_", "box"))]
    skip = {"object_id", "class", "nearest_id", "handedness", "diameter_sd_nm", *free}
    for name, pose in POSES.items():
        table = tables(tmp_path / name, np.ascontiguousarray(pose(labels)), spacing)["objects"]
        table = table.sort_values("volume_um3")
        for column in first:
            if column in skip:
                continue
            close = 0.01 if column in ("length_nm", "diameter_mean_nm", "volume_um3") else 0.03
            close = 0.1 if column.startswith("curvature") else close
            tiny = 0.05 if column.startswith("curvature") else 1e-6
            assert table[column].to_numpy(float) == pytest.approx(
                first[column].to_numpy(float), rel=close, abs=tiny, nan_ok=True
            ), (name, column)
        mirrored = -1 if name == "transposed" else 1
        assert table.handedness.tolist() == (mirrored * first.handedness).tolist()


def test_how_many_rows_are_held_at_a_time_changes_nothing(tmp_path, monkeypatch):
    labels = bundle((1, 0.4, -0.3), 1200.0, 60.0, SPACINGS[0])
    labels[labels == 140_000] = 70_000
    labels[:, :, 1:][(labels[:, :, 1:] == 0) & (labels[:, :, :-1] == 70_000)] = 9  # they touch
    whole = tables(tmp_path / "whole", labels, SPACINGS[0], 2)
    monkeypatch.setattr("blockface.tables.WAITING_BYTES", 1)
    monkeypatch.setattr("blockface.object_rows.ROWS", 1)
    monkeypatch.setattr("blockface.cross_sections.ROWS", 20)
    monkeypatch.setattr("blockface.object_tables.ROWS", 2)
    monkeypatch.setattr("blockface.object_tables.OBJECTS", 2)
    monkeypatch.setattr("blockface.contacts.ROWS", 1)
    monkeypatch.setattr("blockface.long_tables.ROWS", 3)
    monkeypatch.setattr("blockface.long_tables.SORTED", 7)
    monkeypatch.setattr("blockface.contacts.FACES", 10)
    few = tables(tmp_path / "few", labels, SPACINGS[0], 2)
    assert len(whole["cross_sections"]) > 200
    assert len(whole["contacts"]) > 0
    assert whole["neighbours"].object_id.nunique() > 2
    for name in NAMES:
        pd.testing.assert_frame_equal(few[name], whole[name], obj=name)
        texts = [(tmp_path / kind / f"{name}.csv").read_text() for kind in ("few", "whole")]
        assert texts[0] == texts[1], name
