"""The script for napari: what it shows, and that it saves where and what Seg3D's script saves."""

import ast
import sys
import types
from pathlib import Path

import nrrd
import numpy as np
import pytest

from blockface import open_in_napari
from blockface.annotations import import_rounds
from blockface.bundles import export_bundle
from blockface.tables import read_table
from blockface.volume import create_volume, open_volume

SHAPE, VOXEL, Z = (12, 40, 56), (50.0, 10.0, 12.0), 6
PART = slice(0, 32), slice(16, 48)


@pytest.fixture
def place(tmp_path):
    rng = np.random.default_rng(0)
    raw = create_volume(tmp_path / "raw.zarr", SHAPE, np.uint8, VOXEL)
    raw[:] = rng.integers(0, 255, SHAPE).astype(np.uint8)
    predicted = create_volume(
        tmp_path / "p.zarr", (2, *SHAPE), np.uint8, VOXEL, classes=["fibril", "cell"], values=[1, 4]
    )
    predicted[:] = rng.integers(0, 255, (2, *SHAPE)).astype(np.uint8)
    folder = tmp_path / "annotations" / "00" / "z0006"
    export_bundle(folder, Z, raw, predicted, 0.5, part=PART, context_slices=1)
    return folder


class Viewer:
    """The part of napari's viewer that the script uses."""

    def __init__(self):
        self.dims, self.images, self.labels = types.SimpleNamespace(), {}, {}

    def add_image(self, data, *, name, **look):
        self.images[name] = types.SimpleNamespace(data=data, **look)

    def add_labels(self, data, *, name, **look):
        self.labels[name] = types.SimpleNamespace(data=data, **look)
        return self.labels[name]


def viewers():
    try:
        from napari.components import ViewerModel
    except ImportError:
        return [Viewer]
    return [Viewer, ViewerModel]


@pytest.mark.parametrize("viewer", viewers())
def test_masks_open_where_they_lie_and_come_back_as_they_are_or_were_changed(place, viewer):
    opened = open_in_napari.Place(place)
    opened.open(viewer())
    offset = opened.record["offset_voxels_zyx"]
    for layer in opened.masks.values():
        assert np.allclose(layer.scale, VOXEL)
        assert np.allclose(layer.translate, np.multiply(offset, VOXEL))
    assert [p.name for p in opened.save()] == ["z0006_fibril.nrrd", "z0006_cell.nrrd"]
    for name in ("z0006_fibril.nrrd", "z0006_cell.nrrd"):
        before, head = nrrd.read(str(place / name))
        after, other = nrrd.read(str(place / "corrected" / name))
        assert np.array_equal(before, after)
        assert {k: str(v) for k, v in head.items()} == {k: str(v) for k, v in other.items()}
    assert status(place)["status"].tolist() == ["confirmed"] * 3
    fibril, cell = opened.masks.values()
    fibril.data[1, :5, :7], cell.data[1, :5, :7] = 0, 2
    opened.save()
    report = status(place)
    assert report.loc["all", "status"] == "corrected"
    _, before = (
        nrrd.read(str(place / "z0006_cell.nrrd")),
        nrrd.read(str(place / "z0006_cell.nrrd"), index_order="C")[0],
    )
    assert report.loc["cell", "voxels_added"] == 35 - before[1, :5, :7].sum()
    lines = (place / "corrected" / "times.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["opened", "saved", "saved"]


def test_a_second_sitting_goes_on_in_a_renamed_folder(place):
    opened = open_in_napari.Place(place)
    opened.open(Viewer())
    fibril, cell = opened.masks.values()
    fibril.data[1, 3:9, 4:20] = 1 - fibril.data[1, 3:9, 4:20]
    first = [fibril.data.copy(), cell.data.copy()]
    opened.save()
    moved = place.rename(place.with_name("anna_z0006"))
    again = open_in_napari.Place(moved)
    again.open(Viewer())
    for layer, before in zip(again.masks.values(), first, strict=True):
        assert np.array_equal(layer.data, before)
    nrrd.write(str(moved / "corrected" / "z0006_cell.nrrd"), np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(ValueError, match=r"corrected/z0006_cell.nrrd: \(4, 3, 2\) voxels"):
        open_in_napari.Place(moved).open(Viewer())


def status(place):
    home = place.parents[2]
    import_rounds(
        home / "annotations", [0], {1: "fibril", 4: "cell"}, SHAPE, VOXEL, home / "a.zarr",
        report_path=home / "report.tsv",
    )  # fmt: skip
    assert (open_volume(home / "a.zarr")[Z] != 255).any()
    return read_table(home / "report.tsv").set_index("class")


def test_a_layer_of_another_size_is_not_saved(place):
    opened = open_in_napari.Place(place)
    opened.open(Viewer())
    next(iter(opened.masks.values())).data = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(ValueError, match="do not resize"):
        opened.save()
    assert not list((place / "corrected").glob("*.nrrd"))


def test_the_script_stands_alone_and_napari_is_imported_only_to_show(place):
    source = (place / "open_in_napari.py").read_text()
    assert source == Path(open_in_napari.__file__).read_text()
    tree = ast.parse(source)
    imported = {
        name.split(".")[0]
        for node in tree.body
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import)
            else [node.module] if isinstance(node, ast.ImportFrom) else []
        )
    }  # fmt: skip
    assert imported - set(sys.stdlib_module_names) == {"nrrd", "numpy"}
