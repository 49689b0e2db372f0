"""Files that Seg3D wrote, and files written with the library it uses."""

import json
import shutil

import numpy as np
import pytest

from blockface.annotations import import_rounds
from blockface.errors import InputError
from blockface.grids import place
from blockface.layers import Reference, open_layers
from blockface.seg3d import read_mask, write_nrrd
from blockface.seg3d_project import group_grid, plane, read_session
from blockface.volume import open_volume

LABEL_MAPS = [
    "label_map_nrrd0001_cell",
    "label_map_nrrd0001_node",
    "label_map_nrrd0005_cell",
    "label_map_nrrd0005_cell_raw",
    "label_map_nrrd0005_node",
]
EXPORTS = {  # voxels; bounding box x y z, inclusive; both from the data's README
    "RThalamus": (67326, [136, 181, 125], [180, 249, 179]),
    "RMammilary body": (1420, [167, 185, 107], [178, 198, 124]),
    "MaskLayer_3": (10380, [53, 155, 180], [68, 192, 239]),
}
ATLAS = {"reference_shape": (362, 434, 362), "voxel_size_nm": (0.5,) * 3,
         "origin_nm": (-72.25, -90.25, -90.25)}  # fmt: skip


@pytest.fixture(scope="module")
def synthetic(shared_data):
    return shared_data / "seg3d" / "synthetic"


@pytest.fixture(scope="module")
def exports(shared_data):
    return shared_data / "seg3d" / "blahb" / "exports"


@pytest.mark.parametrize("name", LABEL_MAPS)
def test_label_maps_of_both_styles_and_centrings_are_one(synthetic, name):
    expected = json.loads((synthetic / "expected.json").read_text())
    mask = read_mask(synthetic / f"{name}.nrrd")
    grid = expected["grid"]
    assert list(mask.grid.sizes) == grid["sizes_xyz"]
    assert np.allclose(mask.grid.spacing, grid["spacing_xyz"])
    assert np.allclose(mask.grid.first_centre, grid["first_sample_xyz"])
    for value, truth in expected["label_map"].items():
        where = np.argwhere(mask.array == int(value))
        assert len(where) == truth["voxels"]
        assert [where.min(0).tolist(), where.max(0).tolist()] == truth["bbox_zyx_inclusive"]


@pytest.mark.parametrize("name", EXPORTS)
def test_real_exports_have_their_voxels_where_they_belong(exports, name):
    count, low, high = EXPORTS[name]
    mask = read_mask(exports / f"{name}.nrrd")
    where = place(mask.grid, **ATLAS)
    assert where.offset == (0, 0, 0)
    z, y, x = np.nonzero(where.view(mask.array))
    assert len(z) == count
    assert [x.min(), y.min(), z.min()] == low
    assert [x.max(), y.max(), z.max()] == high


def test_node_and_cell_export_of_one_grid_agree(exports):
    node, cell = (read_mask(exports / f"{n}.nrrd").grid for n in ("RThalamus", "MaskLayer_3"))
    assert (node.centering, cell.centering) == ("node", "cell")
    assert np.array_equal(node.first_centre, cell.first_centre)


def test_a_real_mask_survives_our_writing(exports, tmp_path):
    mask = read_mask(exports / "RThalamus.nrrd").array[125:180, 181:250, 136:181]
    write_nrrd(tmp_path / "a.nrrd", mask, (0.5,) * 3, (125, 181, 136), origin_nm=ATLAS["origin_nm"])
    again = read_mask(tmp_path / "a.nrrd")
    where = place(again.grid, **ATLAS)
    assert where.offset == (125, 181, 136)
    assert np.array_equal(where.view(again.array), mask)


LAYERS = {  # voxels of the masks of session 11 whose block is there; from the data's README
    "RThalamus": 67326, "Corpus Callosum": 183919, "RFornix": 7892, "RHypothalamus": 3856,
    "RMammilary body": 1420, "RMedial Globus Pallidus": 4533, "RNucleus Accumbens": 5783,
    "RPutamen": 49394, "RHippocampus": 44997, "RLateral Globus Pallidus": 5979,
    "Superior Colliculus": 7919, "Midbrain": 109670, "LHippocampus": 34555,
}  # fmt: skip
REFERENCE = Reference(ATLAS["reference_shape"], ATLAS["voxel_size_nm"], ATLAS["origin_nm"])


@pytest.fixture(scope="module")
def atlas(shared_data):
    return shared_data / "seg3d" / "blahb" / "subcortical.seg3dproj"


def test_the_real_project_has_its_masks_in_their_bits(atlas, exports):
    session = read_session(atlas)
    assert (session.number, len(session.masks)) == (11, 34)
    assert len({m.file for m in session.masks}) == 6
    found = {}
    for layer in open_layers(atlas, REFERENCE):
        if layer.frames:
            where = layer.place(REFERENCE, atlas)
            assert (where.offset, where.note) == ((0, 0, 0), "")
            found[layer.name] = layer.view(where)
    assert {name: int(np.count_nonzero(view[:])) for name, view in found.items()} == LAYERS
    for name in ("RThalamus", "RMammilary body"):
        assert np.array_equal(found[name][:], read_mask(exports / f"{name}.nrrd").array)


def test_masks_of_blocks_left_out_of_the_real_project_name_layer_and_file(atlas):
    missing = {layer.name: layer for layer in open_layers(atlas, REFERENCE) if not layer.frames}
    assert len(missing) == 34 - len(LAYERS)
    assert {m.file.stem for m in read_session(atlas).masks if m.name in missing} == {
        "7", "23", "61"
    }  # fmt: skip
    with pytest.raises(InputError, match=r"7.nrrd: missing; the mask Cerebellum"):
        missing["Cerebellum"].place(REFERENCE, atlas)


def test_a_real_session_without_masks_is_told_by_name(atlas):
    with pytest.raises(InputError, match=r"no mask layers in session 1 \(.*with masks: 11 \("):
        read_session(atlas, 1)
    with pytest.raises(InputError, match="session 5 has no XML"):
        read_session(atlas, 5)


@pytest.mark.parametrize("number", [1, 2, None])
def test_the_synthetic_project_gives_its_sessions(synthetic, number):
    expected = json.loads((synthetic / "expected.json").read_text())["mini_project"]
    truth = expected[f"session_{number or 2}"]
    overlap = truth.pop("overlap fibril & void space", None)
    session = read_session(synthetic / "mini.seg3dproj", number)
    assert [m.name for m in session.masks] == list(truth)
    found = {m.name: plane(read_mask(m.file).array, m.bit) for m in session.masks}
    assert {name: int(a.sum()) for name, a in found.items()} == truth
    if overlap:
        assert np.count_nonzero(found["fibril"] & found["void space"]) == overlap
    grid = group_grid(session, session.masks[0].group)
    assert np.allclose(grid.first_centre, [100, 200, 300])
    assert np.allclose(grid.spacing, [0.65, 0.65, 1.3])


def test_the_synthetic_image_has_the_values_it_should(synthetic):
    image = read_mask(synthetic / "mini.seg3dproj" / "data" / "0.nrrd").array
    z, y, x = np.indices(image.shape)
    assert np.array_equal(image, 1000 + 10 * x + 100 * y + 1000 * z)


def test_the_real_project_becomes_a_round(atlas, tmp_path):
    folder = tmp_path / "annotations" / "00"
    shutil.copytree(atlas, folder / "atlas.seg3dproj")
    classes = {1: "RThalamus", 2: "RPutamen", 3: "LHippocampus"}
    table = import_rounds(
        folder.parent, [0], classes, ATLAS["reference_shape"], ATLAS["voxel_size_nm"],
        tmp_path / "a.zarr", origin_nm=ATLAS["origin_nm"],
    )  # fmt: skip
    labels, seen = open_volume(tmp_path / "a.zarr"), np.zeros(256, np.int64)
    for z in range(labels.shape[0]):
        seen += np.bincount(labels[z].ravel(), minlength=256)
    assert seen[1:4].tolist() == [67326, 49394, 34555]
    assert "layers of no class left out: Cerebellum" in table["note"][0]


def test_two_real_exports_become_one_round(exports, tmp_path):
    folder = tmp_path / "annotations" / "00"
    folder.mkdir(parents=True)
    for name, new in (("RThalamus", "RThalamus"), ("RMammilary body", "RMammilary body")):
        (folder / f"{new}.nrrd").write_bytes((exports / f"{name}.nrrd").read_bytes())
    table = import_rounds(
        folder.parent, [0], {1: "RThalamus", 2: "RMammilary body"}, ATLAS["reference_shape"],
        ATLAS["voxel_size_nm"], tmp_path / "a.zarr", origin_nm=ATLAS["origin_nm"],
    )  # fmt: skip
    labels = open_volume(tmp_path / "a.zarr")
    seen = np.zeros(256, np.int64)
    for z in range(100, 190):
        seen += np.bincount(labels[z].ravel(), minlength=256)
    assert seen[1] == 67326
    assert seen[2] == 1420
    # slices 107 to 124 hold one mask and 125 to 179 the other
    assert set(table["voxels_reviewed"]) == {(180 - 107) * 434 * 362}


def test_a_label_map_in_a_stack_of_another_size_is_refused(synthetic):
    mask = read_mask(synthetic / "label_map_nrrd0005_cell.nrrd")
    where = {"voxel_size_nm": (1.3, 0.65, 0.65), "origin_nm": (300, 200, 100)}
    assert place(mask.grid, (8, 10, 12), **where).offset == (0, 0, 0)
    with pytest.raises(InputError, match=r"12 x 10 x 8 .* 11 x 10 x 8"):
        place(mask.grid, (8, 10, 11), **where)
    where["origin_nm"] = (300, 200, 100.325)
    with pytest.raises(InputError, match="node/cell centering differs"):
        place(mask.grid, (8, 10, 12), **where)
