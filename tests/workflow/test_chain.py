"""The chain from images to tables over two iterations, and the other ways in and out."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from workflow.project import SHAPE, VOXEL_NM, truth

OBJECTS = {
    *("object_id", "class", "volume_um3", "surface_area_um2", "sphericity", "elongation"),
    *(f"centroid_{a}_nm" for a in "zyx"),
    *("length_nm", "displacement_nm", *(f"displacement_{a}_nm" for a in "zyx"), "tortuosity"),
    *(f"diameter_{kind}_nm" for kind in ("mean", "min", "max")),
    *(f"direction_{a}" for a in "zyx"),
    *("nearest_id", "nearest_distance_nm", "n_contacts", "touches_border"),
}
TABLES = ("tables/objects.csv", "tables/contacts.csv", "tables/neighbours.csv", "evaluation.csv",
          "worklist.tsv", "slices.tsv")  # fmt: skip


def table(path):
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("iteration", ["00", "01"])
def test_every_named_output_is_there_with_its_shape_and_type(second, iteration):
    project, _ = second
    folder = project / f"results/demo/iter_{iteration}"
    probability = zarr.open_array(folder / "probability.zarr", mode="r")
    assert (probability.shape, probability.dtype) == ((2, *SHAPE), np.uint8)
    assert probability.attrs["classes"] == ["fibril", "cell"]
    objects = zarr.open_array(folder / "objects.zarr", mode="r")
    assert objects.shape == SHAPE
    assert objects.dtype.kind == "u"
    for kind in ("raw", "denoised"):
        volume = zarr.open_array(project / f"results/demo/stack/{kind}.zarr", mode="r")
        assert (volume.shape, volume.dtype) == (SHAPE, np.uint8)
        assert volume.attrs["voxel_size_nm"] == list(VOXEL_NM)
    for name in ("report.html", "manifest.json", "corrections/places.json", "segmenter/model.pt"):
        assert (folder / name).stat().st_size > 0
    assert (project / "results/denoisers/d/model.pt").is_file()
    places = table(folder / "worklist.tsv")["folder"]
    assert all((folder / "corrections" / place).is_dir() for place in places)


@pytest.mark.parametrize("name", TABLES)
def test_text_and_parquet_of_a_table_are_equal(second, name):
    path = second[0] / "results/demo/iter_01" / name
    text, parquet = table(path), pd.read_parquet(path.with_suffix(".parquet"))
    assert text.columns.tolist() == parquet.columns.tolist()
    assert len(text) == len(parquet)
    for column in text:
        if parquet[column].dtype.kind == "f":
            np.testing.assert_allclose(text[column].astype(float), parquet[column], rtol=1e-6)
        else:
            assert text[column].tolist() == parquet[column].tolist()


def test_every_text_table_has_a_parquet_beside_it(second):
    results = second[0] / "results"
    tables = [f for f in results.rglob("*.[ct]sv") if f.name != "regions.tsv"]
    assert len(tables) > 15
    assert [f for f in tables if not f.with_suffix(".parquet").is_file()] == []


def test_columns_of_the_tables(second):
    folder = second[0] / "results/demo/iter_01"
    objects, contacts = table(folder / "tables/objects.csv"), table(folder / "tables/contacts.csv")
    assert set(objects) >= OBJECTS
    assert {"object_a", "object_b", "contact_area_um2", "contact_length_nm"} <= set(contacts)
    registration = table(second[0] / "results/denoisers/d/registration.tsv")
    assert registration["accepted"].all()
    assert {"correlation", "residual_px", "reason"} <= set(registration)


def test_the_tables_tell_what_is_in_the_stack(second):
    folder = second[0] / "results/demo/iter_01"
    objects = table(folder / "tables/objects.csv")
    ids = zarr.open_array(folder / "objects.zarr", mode="r")[:]
    assert sorted(objects["object_id"]) == np.unique(ids[ids > 0]).tolist()
    rods = objects[objects["class"] == "fibril"].nlargest(4, "volume_um3")
    size = np.prod(VOXEL_NM) / 1e9
    voxels = np.bincount(ids.ravel())[rods["object_id"]]
    np.testing.assert_allclose(rods["volume_um3"], voxels * size, rtol=1e-5)
    np.testing.assert_allclose(rods["displacement_z_nm"].abs(), 2000, rtol=0.05)
    scores = table(folder / "evaluation.csv")
    held = scores[(scores["split"] == "held_out") & (scores["class"] == "fibril")]
    assert held["iteration"].tolist() == [0, 1]
    assert (held["dice"] > 0.6).all()
    predicted = zarr.open_array(folder / "probability.zarr", mode="r")[0, 20] > 127
    rod = truth()[20] == 1
    dice = 2 * (predicted & rod).sum() / (predicted.sum() + rod.sum())
    assert held["dice"].iloc[-1] == pytest.approx(dice, abs=0.02)
    corrected = scores[scores["split"] == "corrected"]
    assert corrected["iteration"].unique().tolist() == [0]


def test_denoising_does_not_touch_the_shape_of_things(second):
    raw, made = (zarr.open_array(second[0] / f"results/demo/stack/{k}.zarr", mode="r")[:]
                 for k in ("raw", "denoised"))  # fmt: skip
    assert np.corrcoef(raw.ravel(), made.ravel())[0, 1] > 0.8


def test_the_manifest_tells_how_it_came_about(second):
    record = json.loads((second[0] / "results/demo/iter_01/manifest.json").read_text())
    assert record["seed"] == 3
    named = json.dumps(record)
    for word in ("annotations/demo/01", "annotations/demo/00", "stack", "torch", "learning_rate"):
        assert word in named


def only(project, name: str, **dataset):
    """Configuration with nothing but dataset ``name``, beside the denoisers."""
    config = project.read()
    config["datasets"] = {name: {"voxel_size_nm": list(VOXEL_NM), **dataset}}
    project.write(config)


def test_a_segmentation_made_elsewhere_is_measured(project):
    labels = truth()
    labels[:, :, :2] = 0
    tifffile.imwrite(project / "labels.tif", labels)
    only(project, "mine", labels="labels.tif", classes={1: "fibril", 2: "cell"})
    project.make()
    folder = project / "results/mine/iter_00"
    objects = table(folder / "tables/objects.csv")
    assert objects["class"].value_counts().to_dict() == {"fibril": 4, "cell": 1}
    size = np.prod(VOXEL_NM) / 1e9
    cell = objects[objects["class"] == "cell"].iloc[0]
    assert cell["volume_um3"] == pytest.approx((labels == 2).sum() * size, rel=1e-5)
    np.testing.assert_allclose(objects["displacement_z_nm"].abs(), 2000, rtol=0.03)
    assert (folder / "report.html").is_file()
    assert not (folder / "probability.zarr").exists()


def test_separated_objects_keep_their_ids(project):
    ids = np.zeros(SHAPE, np.uint16)
    ids[5:15, 10:20, 10:20], ids[5:15, 20:30, 10:20], ids[25:35, 50:60, 50:60] = 7, 9, 40
    tifffile.imwrite(project / "ids.tif", ids)
    only(project, "mine", objects="ids.tif")
    assert "separate_slab" not in project.jobs()
    project.make()
    folder = project / "results/mine/iter_00"
    objects = table(folder / "tables/objects.csv")
    assert objects["object_id"].tolist() == [7, 9, 40]
    np.testing.assert_allclose(objects["volume_um3"], 1000 * 5e-6, rtol=1e-6)
    contact = table(folder / "tables/contacts.csv")
    assert contact[["object_a", "object_b"]].to_numpy().tolist() == [[7, 9]]
    assert contact["contact_area_um2"][0] == pytest.approx(10 * 10 * 50 * 10 / 1e6)


def test_another_dataset_takes_the_network(project):
    config = project.read()
    config["datasets"]["other"] = {"stack": "stack", "voxel_size_nm": list(VOXEL_NM),
                                   "denoiser": "d", "segmenter": "demo/iter_00", "views": 2,
                                   "min_volume_um3": 0.001, "separate": "watershed"}  # fmt: skip
    project.write(config)
    assert "train_segmenter" not in project.jobs()
    assert project.jobs()["report"] == 1
    project.make("results/other/iter_00/tables/objects.csv")
    one, other = (project / f"results/{n}/iter_00" for n in ("demo", "other"))
    names = ("probability.zarr", "objects.zarr")
    assert all((zarr.open_array(one / n)[:] == zarr.open_array(other / n)[:]).all() for n in names)
    first, second = ((f / "tables/objects.csv").read_text() for f in (one, other))
    assert first == second


def test_a_stack_alone_is_imported_and_with_a_denoiser_denoised(project):
    only(project, "mine", stack="stack")
    assert project.jobs() == {"check_stack": 1, "import_stack": 1}
    only(project, "mine", stack="stack", denoiser="d")
    assert project.jobs() == {"denoise": 1, "denoise_slab": 1, "check_stack": 1, "import_stack": 1,
                              "check_denoiser": 1}  # fmt: skip
    project.make()
    assert not (project / "results/mine/iter_00").exists()
    one, other = (project / f"results/{n}/stack/denoised.zarr" for n in ("demo", "mine"))
    assert (zarr.open_array(one)[:] == zarr.open_array(other)[:]).all()


def test_three_slabs_give_what_one_gives(first, project):
    project.change("slabs", value=3)
    jobs = project.jobs()
    assert jobs["denoise_slab"] == jobs["predict_slab"] == jobs["measure_slab"] == 3
    assert "train_denoiser" not in jobs
    assert "import_stack" not in jobs
    project.make(*(f"results/demo/iter_00/{name}" for name in TABLES))
    for name in ("stack/denoised.zarr", "iter_00/probability.zarr", "iter_00/objects.zarr"):
        one, three = (zarr.open_array(p / "results/demo" / name)[:] for p in (first, project))
        assert (one == three).all(), name
    for name in TABLES:
        path = f"results/demo/iter_00/{name}"
        assert (first / path).read_bytes() == (project / path).read_bytes(), name
