"""The scripts that separate objects and take in labels and objects, on tiny volumes."""

import numpy as np
import pytest
import tifffile
import zarr

import import_labels
import import_objects
import separate_objects
import separate_slab
from blockface.errors import InputError
from blockface.tables import read_table
from blockface.volume import Progress, create_volume, open_volume

SIZE = (50, 10, 10)
COLUMNS = ["object_id", "class", "voxels", "z0", "z1", "y0", "y1", "x0", "x1"]


def separate(tmp_path, slabs, method="watershed", **given):
    folders = [str(tmp_path / f"slab_{k}") for k in range(slabs)]
    for k, folder in enumerate(folders):
        separate_slab.main(
            local=folder, settings={"method": method}, slab=k, slabs=slabs, threads=1, **given
        )
    out = {"objects": str(tmp_path / "objects.zarr"), "index": str(tmp_path / "index.csv")}
    out["links"] = str(tmp_path / "links.csv")
    separate_objects.main(slabs=folders, min_volume_um3=0, threads=1, **given, **out)
    return open_volume(out["objects"]), read_table(out["index"])


@pytest.mark.parametrize("slabs", [1, 2, 5])
def test_probability_becomes_objects(tmp_path, slabs):
    probability = np.zeros((2, 40, 20, 20), np.uint8)
    probability[0, :, 2:9, 2:9] = 250
    probability[1, 5:9, 8:18, 8:18] = 200
    path = str(tmp_path / "probability.zarr")
    names = {"classes": ["fibril", "cell"], "values": [1, 2]}
    create_volume(path, probability.shape, np.uint8, SIZE, **names)[:] = probability
    objects, index = separate(tmp_path, slabs, probability=path)
    assert list(index.columns) == COLUMNS
    assert list(index["class"]) == ["fibril", "cell"]
    assert list(index.voxels) == [40 * 49, 4 * 100 - 4]
    assert objects.dtype == np.uint32
    assert objects.attrs["voxel_size_nm"] == list(SIZE)
    assert np.array_equal(objects[:] > 0, probability.max(axis=0) > 127)
    assert read_table(tmp_path / "index.parquet").equals(index)


def test_a_class_with_nothing_in_it_is_told(tmp_path, caplog):
    labels = np.zeros((6, 20, 20), np.uint8)
    labels[:, 5:9, 5:9] = 1
    path = str(tmp_path / "labels.zarr")
    names = {"1": "fibril", "2": "cell"}
    create_volume(path, labels.shape, np.uint8, SIZE, classes=names)[:] = labels
    separate(tmp_path, 1, labels=path)
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["cell: no objects; look at the prediction, threshold and min_volume_um3"]


@pytest.mark.parametrize("slabs", [1, 3])
def test_each_class_comes_apart_its_own_way(tmp_path, slabs):
    classes = np.zeros((40, 24, 40), np.uint8)
    classes[:, 2:9, 2:9] = classes[:, 2:9, 10:17] = 1
    classes[:, 5, 9] = 1  # fibrils that touch: two
    classes[3:30, 12:20, 4:12] = classes[3:30, 12:20, 13:21] = 2
    classes[3:30, 16, 12] = 2  # cells that touch: one
    path = str(tmp_path / "labels.zarr")
    names = {"1": "fibril", "2": "cell"}
    create_volume(path, classes.shape, np.uint8, SIZE, classes=names)[:] = classes
    how = {"fibril": "slices", "cell": "components"}
    objects, index = separate(tmp_path, slabs, how, labels=path)
    assert list(index["class"]) == ["fibril", "fibril", "cell"]
    assert list(index["voxels"])[2] == (classes == 2).sum()
    assert np.array_equal(objects[:] > 0, classes > 0)
    assert len(read_table(tmp_path / "links.csv")) == 0
    with pytest.raises(InputError, match="class 'cell' has no method"):
        separate(tmp_path, slabs, {"fibril": "slices"}, labels=path)


def test_labels_become_objects_of_their_classes(tmp_path):
    values = np.zeros((6, 12, 12), np.uint8)
    values[:, 1:4, 1:4], values[:, 4:8, 1:4] = 3, 255
    tifffile.imwrite(tmp_path / "labels.tif", values)
    labels = str(tmp_path / "labels.zarr")
    given = {"labels_in": str(tmp_path / "labels.tif"), "voxel_size_nm": SIZE, "threads": 1}
    import_labels.main(labels=labels, classes={3: "fibril", 255: "cell"}, **given)
    assert open_volume(labels).attrs["classes"] == {"3": "fibril", "1": "cell"}
    _, index = separate(tmp_path, 1, labels=labels)
    assert list(index["class"]) == ["fibril", "cell"]
    import_labels.main(labels=labels, **given)
    assert set(open_volume(labels).attrs["classes"].values()) == {"object_3", "object_255"}
    with pytest.raises(InputError, match=r"255 \(72 voxels\) without a class") as error:
        import_labels.main(labels=labels, classes={3: "fibril"}, **given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["labels.tif", "in.zarr"])
def test_a_label_map_changed_after_a_kill_is_read_anew(tmp_path, monkeypatch, name):
    monkeypatch.setattr("blockface.volume.ROW_VOXELS", 144)
    given = {"voxel_size_nm": SIZE, "threads": 1, "labels": str(tmp_path / "labels.zarr"),
             "labels_in": str(tmp_path / name), "classes": {3: "fibril"}}  # fmt: skip
    values = np.full((6, 12, 12), 3, np.uint8)

    def save():
        if name == "labels.tif":
            tifffile.imwrite(tmp_path / name, values)
        elif (tmp_path / name).exists():  # in place, so that the folder keeps its time
            zarr.open_array(str(tmp_path / name), mode="r+")[:] = values
        else:
            zarr.create_array(str(tmp_path / name), data=values, chunks=(2, 12, 12))

    save()
    add, rows = Progress.add, []

    def killed(self, row):
        add(self, row)
        rows.append(row)
        if len(rows) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            import_labels.main(**given)
    values[:, :6] = 0
    save()
    import_labels.main(**given)
    assert np.array_equal(open_volume(given["labels"])[:], values)


def test_a_named_background_becomes_no_object(tmp_path):
    values = np.ones((6, 12, 12), np.uint8)
    values[:, 1:4, 1:4], values[:, 4:8, 5:9], values[:, :, 11] = 3, 255, 0
    tifffile.imwrite(tmp_path / "labels.tif", values)
    labels = str(tmp_path / "labels.zarr")
    import_labels.main(
        labels_in=str(tmp_path / "labels.tif"), voxel_size_nm=SIZE, threads=1, labels=labels,
        classes={1: "background", 3: "fibril", 255: "cell"},
    )  # fmt: skip
    _, index = separate(tmp_path, 1, labels=labels)
    assert list(index["class"]) == ["fibril", "cell"]
    assert list(index["voxels"]) == [54, 96]


def test_a_binary_mask_is_one_class_of_objects(tmp_path):
    mask = np.zeros((3, 12, 12), np.uint8)
    mask[:, 1:4, 1:4], mask[:, 6:9, 6:9] = 255, 255
    tifffile.imwrite(tmp_path / "mask.tif", mask, photometric="minisblack")
    labels = str(tmp_path / "labels.zarr")
    import_labels.main(
        labels_in=str(tmp_path / "mask.tif"), labels=labels, voxel_size_nm=SIZE, threads=1
    )
    _, index = separate(tmp_path, 1, labels=labels)
    assert list(index["class"]) == ["object", "object"]


def bring_in(tmp_path, values, **given):
    photometric = "rgb" if values.ndim == 4 else "minisblack"
    tifffile.imwrite(tmp_path / "ids.tif", values, photometric=photometric)
    out = {"objects": str(tmp_path / "objects.zarr"), "index": str(tmp_path / "index.csv")}
    import_objects.main(
        objects_in=str(tmp_path / "ids.tif"), voxel_size_nm=SIZE, threads=1, **out, **given
    )
    return open_volume(out["objects"])[:], read_table(out["index"])


def test_objects_keep_their_ids(tmp_path):
    ids = np.zeros((20, 8, 8), np.uint16)
    ids[2:18, 1:3, 1:4], ids[4, 6, 6], ids[7:9, 5, 0:8:7] = 70, 2, 65535
    volume, index = bring_in(tmp_path, ids, classes={1: "fibril"})
    assert np.array_equal(volume, ids)
    assert list(index.columns) == COLUMNS
    assert index.values.tolist() == [
        [2, "fibril", 1, 4, 5, 6, 7, 6, 7],
        [70, "fibril", 96, 2, 18, 1, 3, 1, 4],
        [65535, "fibril", 4, 7, 9, 5, 6, 0, 8],
    ]


def test_no_objects_at_all(tmp_path):
    volume, index = bring_in(tmp_path, np.zeros((3, 8, 8), np.uint8))
    assert not volume.any()
    assert len(index) == 0
    assert list(index.columns) == COLUMNS


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones((3, 8, 8), np.float32),
        np.full((3, 8, 8), -4, np.int16),
        np.arange(3 * 8 * 8 * 3).astype(np.uint8).reshape(3, 8, 8, 3),
    ],
)
def test_what_cannot_be_objects_is_refused(tmp_path, wrong):
    with pytest.raises(InputError, match=r"ids\.tif") as error:
        bring_in(tmp_path, wrong)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "objects.zarr").exists()
