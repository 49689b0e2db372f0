"""Labels and objects made elsewhere: what is wrong is refused in one line, the rest is measured."""

import struct

import nrrd
import numpy as np
import pytest
import tifffile

import import_labels
import import_objects
import measure_objects
import measure_pairs
import measure_slab
import separate_objects
import separate_slab
from blockface.errors import InputError
from blockface.tables import read_table

SIZE = (50.0, 10.0, 10.0)


def ids():
    values = np.zeros((6, 12, 14), np.uint16)
    values[1:5, 2:6, 2:6], values[2:4, 7:10, 3:9] = 1, 2
    return values


def refused(folder, name, voxel_size_nm=SIZE, kind=None) -> str:
    """The one line that a file is refused with, as labels and as objects; nothing is written."""
    told = []
    for script, entry, given in (
        (import_labels, "labels", {"classes": {1: "fibril", 2: "cell"}}),
        (import_objects, "objects", {"index": str(folder / "index.csv")}),
    ):
        if kind in (None, entry):
            with pytest.raises(InputError) as caught:
                script.main(
                    **{f"{entry}_in": str(folder / name), entry: str(folder / "out.zarr")},
                    **given, voxel_size_nm=voxel_size_nm, dataset="mine", threads=1,
                )  # fmt: skip
            told.append(str(caught.value))
            assert not (folder / "out.zarr").exists()
            assert "\n" not in told[-1]
            assert str(folder / name) in told[-1]
    return told[-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", ids().astype(dtype), metadata=None)
    line = refused(tmp_path, "a.tif")
    assert f"values of type {np.dtype(dtype).name} found; expected whole numbers" in line
    assert "save them as 8-, 16- or 32-bit integers" in line


def test_negative(tmp_path):
    values = ids().astype(np.int16)
    values[3, 3, 3] = -7
    tifffile.imwrite(tmp_path / "a.tif", values, metadata=None)
    line = refused(tmp_path, "a.tif")
    assert "value -7 found, expected 0 (nothing) to" in line
    assert "put 0 in place of what is below" in line


@pytest.mark.parametrize("where", ["first slice", "last slice"])
def test_colours(tmp_path, where):
    values = np.repeat(ids().astype(np.uint8)[..., None], 3, -1)
    values[0 if where == "first slice" else -1, 1, 1] = (255, 0, 40)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", metadata=None)
    line = refused(tmp_path, "a.tif")
    assert "colours found, expected one whole number per voxel" in line
    assert "export the label image itself" in line


def test_a_compression_that_is_not_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ids(), compression="zlib", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        places = [page.tags["Compression"].valueoffset for page in tif.pages]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    for place in places:
        data[place : place + 2] = struct.pack("<H", 34676)
    (tmp_path / "a.tif").write_bytes(data)
    line = refused(tmp_path, "a.tif")
    assert "compressed by SGILOG, which is not read; expected no compression, LZW" in line
    header = {"encoding": "bzip2", "space": "left-posterior-superior"}
    nrrd.write(str(tmp_path / "a.nrrd"), ids(), header)
    line = refused(tmp_path, "a.nrrd")
    assert "encoding bzip2" in line
    assert "expected raw or gzip; save it again" in line


def test_a_compression_that_changes_labels(tmp_path):
    values = ids().astype(np.uint8)
    values = values.repeat(4, 1).repeat(4, 2)
    tifffile.imwrite(tmp_path / "a.tif", values, compression="jpeg", metadata=None)
    line = refused(tmp_path, "a.tif")
    assert "compressed by JPEG, which changes values at every edge" in line


def test_voxel_size_not_given(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", ids(), metadata=None)
    line = refused(tmp_path, "a.tif", voxel_size_nm=None)
    assert "voxel size unknown" in line
    assert "set datasets.mine.voxel_size_nm: [z, y, x]" in line
    tifffile.imwrite(
        tmp_path / "b.tif", ids(), imagej=True, resolution=(0.1, 0.1),
        metadata={"unit": "nm", "axes": "ZYX"},
    )  # fmt: skip
    assert "z unknown, y 10 nm, x 10 nm" in refused(tmp_path, "b.tif", voxel_size_nm=None)


def test_ids_beyond_32_bits_and_classes_without_a_name(tmp_path):
    values = ids().astype(np.uint64)
    values[3, 3, 3] = 2**33
    nrrd.write(str(tmp_path / "a.nrrd"), values)
    assert "value 8589934592 found, expected 0" in refused(tmp_path, "a.nrrd", kind="objects")
    many = (ids() * 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", many, metadata=None)
    line = refused(tmp_path, "b.tif", kind="labels")
    assert "value(s) 3 (64 voxels), 6 (36 voxels) without a class, expected 1, 2 or 0" in line


def measured(folder, values, *, classes=None, as_labels=False):
    """Tables of a label map, or of ids, through all scripts."""
    tifffile.imwrite(folder / "in.tif", values, photometric="minisblack", metadata=None)
    at = {n: str(folder / n) for n in ("objects.zarr", "labels.zarr", "slab", "part", "pairs")}
    common = {"voxel_size_nm": SIZE, "dataset": "mine", "threads": 1, "classes": classes}
    index, slab = str(folder / "index.csv"), {"slab": 0, "slabs": 1, "threads": 1}
    source = str(folder / "in.tif")
    if as_labels:
        import_labels.main(labels_in=source, labels=at["labels.zarr"], **common)
        settings = {"method": "components", "threshold": 0.5, "merge_ratio": 0.75}
        separate_slab.main(labels=at["labels.zarr"], local=at["slab"], settings=settings, **slab)
        separate_objects.main(labels=at["labels.zarr"], slabs=[at["slab"]], index=index,
                              objects=at["objects.zarr"], links=str(folder / "links.csv"),
                              threads=1)  # fmt: skip
    else:
        import_objects.main(objects_in=source, objects=at["objects.zarr"], index=index, **common)
    given = {"objects": at["objects.zarr"], "index": index}
    measure_slab.main(**given, part=at["part"], **slab)
    measure_pairs.main(**given, part=at["pairs"], settings={"neighbours": 3}, **slab)
    names = ("objects", "contacts", "neighbours", "summary", "diameters", "radial",
             "cross_sections", "centrelines")  # fmt: skip
    measure_objects.main(
        **given, parts=at["part"], pairs=at["pairs"], threads=1,
        **{f"{n}_table": str(folder / f"{n}.csv") for n in names},
    )  # fmt: skip
    return {n: read_table(folder / f"{n}.csv") for n in names}


def test_ids_with_gaps_are_kept(tmp_path):
    values = ids() * 30_000
    found = measured(tmp_path, values)
    assert found["objects"].object_id.tolist() == [30_000, 60_000]
    assert found["neighbours"].neighbour_id.tolist() == [60_000, 30_000]
    assert found["neighbours"].surface_distance_nm.tolist() == [10, 10]


def test_an_object_that_touches_all_borders(tmp_path):
    values = np.full((6, 12, 14), 3, np.uint8)
    values[2:4, 4:8, 4:8] = 4
    found = measured(tmp_path, values)
    assert found["objects"].touches_border.tolist() == [True, False]
    assert found["contacts"].contact_faces.tolist() == [2 * 16 + 4 * 8]
    summary = found["summary"].set_index("measure")
    assert summary.loc["n_objects", ["all", "inside"]].tolist() == [2, 1]
    unbiased = (6 / 3) * (12 / 7) * (14 / 9)  # places of a box of 2 x 4 x 4 that touches no side
    assert summary.loc["n_objects", "unbiased"] == pytest.approx(unbiased)
    assert summary.loc["volume_um3_mean", "inside"] == pytest.approx(32 * 5000 / 1e9)


def test_a_class_with_nothing_in_it(tmp_path):
    classes = {1: "fibril", 2: "cell", 3: "vessel"}
    found = measured(tmp_path, ids(), classes=classes, as_labels=True)
    table = found["summary"].set_index(["class", "measure"])["all"]
    assert table[("fibril", "n_objects")] == 1
    assert table[("vessel", "n_objects")] == table[("vessel", "volume_fraction")] == 0
    assert set(found["neighbours"].neighbour_class) == {"fibril", "cell"}
