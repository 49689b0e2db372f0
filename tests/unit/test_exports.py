"""Meshes that are closed and have the volume of their voxels; files that others can read."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import export_objects
from blockface.crops import Crops
from blockface.meshes import FACE, VERTEX, mesh
from blockface.tables import write_table
from object_shapes import ellipsoid, index_of, mask_of, scattered, store

SPACING = (50.0, 10.0, 12.0)


def whole(crops, row, spacing, voxels):
    """Vertices (n, 3) and faces (m, 3) of all pieces."""
    lo, hi = row[["z0", "y0", "x0"]].to_numpy(int), row[["z1", "y1", "x1"]].to_numpy(int)
    pieces = list(mesh(crops, int(row.object_id), lo, hi, spacing, voxels))
    return [np.concatenate(part) for part in zip(*pieces, strict=True)]


def signed_volume(at, faces):
    a, b, c = (at[faces[:, i]].astype(float) for i in range(3))
    return (np.cross(a, b) * c).sum() / 6


def edges(faces):
    """Directed edges of all faces."""
    return np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), voxels=st.sampled_from([10, 400, 10**6]))
def test_every_mesh_is_closed_however_it_is_cut(tmp_path_factory, seed, voxels):
    """Every edge is walked once in each direction; the surface encloses about the voxels."""
    labels = scattered(seed, (14, 16, 18), 8, SPACING)
    crops = Crops(store(tmp_path_factory.mktemp("o") / "o.zarr", labels, SPACING))
    for _, row in index_of(labels).iterrows():
        at, faces = whole(crops, row, SPACING, voxels)
        assert len(np.unique(at, axis=0)) == len(at)
        there = edges(faces)
        found, count = np.unique(there, axis=0, return_counts=True)
        back, other = np.unique(there[:, ::-1], axis=0, return_counts=True)
        assert (found == back).all()
        assert (count == other).all()
        assert 0 < signed_volume(at, faces) < 1.001 * row.voxels * np.prod(SPACING)


def test_a_ball_has_its_volume_and_place(tmp_path):
    mask = mask_of(ellipsoid(600, 300, 300), (1200, 600, 600), SPACING)
    crops = Crops(store(tmp_path / "o.zarr", mask.astype(np.uint32), SPACING))
    row = index_of(mask.astype(np.uint32)).iloc[0]
    at, faces = whole(crops, row, SPACING, 10**6)
    assert signed_volume(at, faces) == pytest.approx(mask.sum() * np.prod(SPACING), rel=0.01)
    centre = (np.argwhere(mask).mean(axis=0) + 0.5) * SPACING
    assert (at.min(axis=0) + at.max(axis=0)) / 2 == pytest.approx(centre[::-1], abs=15)


def exported(tmp_path, files):
    labels = np.zeros((20, 20, 24), np.uint32)
    labels[2:18, 3:9, 3:9], labels[5:8, 12:18, 12:20], labels[0:2, 0:2, 22:] = 7, 70_000, 9
    names = {7: "fibril", 70_000: "cell", 9: "fibril"}
    store(tmp_path / "o.zarr", labels, SPACING)
    write_table(index_of(labels, names), tmp_path / "index.csv")
    lines = pd.DataFrame({
        "object_id": [7, 7, 7, 9, 9, 70_000, 70_000], "point": [0, 1, 2, 0, 1, 0, 1],
        "z_nm": [100.0, 500, 900, 0, 100, 300, 300], "y_nm": 60.0, "x_nm": 72.0,
        "diameter_nm": 66.0,
    })  # fmt: skip
    lines.to_parquet(tmp_path / "lines.parquet")
    export_objects.main(
        objects=str(tmp_path / "o.zarr"), index=str(tmp_path / "index.parquet"),
        centrelines=str(tmp_path / "lines.parquet"), exports=str(tmp_path / "exports"),
        formats=["ply", "swc"], files=files, threads=1,
    )  # fmt: skip
    folder = tmp_path / "exports"
    return folder, sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def read_ply(path):
    """Vertices and faces of a binary PLY file, as its header describes them."""
    data = path.read_bytes()
    head, body = data.split(b"end_header\n", 1)
    counts = [int(line.split()[2]) for line in head.decode().splitlines() if "element" in line]
    kinds = [line.split()[1] for line in head.decode().splitlines() if "property" in line]
    assert kinds == ["float"] * 3 + ["uchar"] * 3 + ["uint", "list"]
    assert len(body) == counts[0] * VERTEX.itemsize + counts[1] * FACE.itemsize
    assert VERTEX.itemsize == 3 * 4 + 3 + 4
    vertices = np.frombuffer(body, VERTEX, counts[0])
    return vertices, np.frombuffer(body, FACE, counts[1], vertices.nbytes)


def test_a_file_per_class(tmp_path):
    folder, files = exported(tmp_path, "class")
    assert files == ["cell.ply", "cell.swc", "fibril.ply", "fibril.swc"]
    vertices, faces = read_ply(folder / "fibril.ply")
    assert set(vertices["object_id"].tolist()) == {7, 9}
    own = vertices["at"][vertices["object_id"] == 7]
    low, high = np.array([3 * 12, 3 * 10, 2 * 50]), np.array([9 * 12, 9 * 10, 18 * 50])
    assert own.min(axis=0) == pytest.approx(low)
    assert own.max(axis=0) == pytest.approx(high)
    assert (faces["n"] == 3).all()
    assert faces["of"].max() == len(vertices) - 1
    colours = {tuple(c) for c in vertices["colour"].tolist()}
    assert len(colours) == 2
    points = np.loadtxt(folder / "fibril.swc")
    assert points[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert points[:, 6].tolist() == [-1, 1, 2, -1, 4]
    assert points[0, 2:6].tolist() == pytest.approx([0.072, 0.06, 0.1, 0.033])


def test_a_file_per_object(tmp_path):
    folder, files = exported(tmp_path, "object")
    assert files == ["cell/70000.ply", "cell/70000.swc", "fibril/7.ply", "fibril/7.swc",
                     "fibril/9.ply", "fibril/9.swc"]  # fmt: skip
    assert len(np.loadtxt(folder / "fibril/7.swc")) == 3
