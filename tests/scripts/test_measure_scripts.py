"""measure_slab and measure_objects: the same tables whatever the number of slabs, and no crash."""

import numpy as np
import pandas as pd
import pytest

import measure_objects
import measure_pairs
import measure_slab
from blockface import contacts
from blockface.errors import InputError
from blockface.object_tables import COLUMNS, NEIGHBOURS
from blockface.tables import read_table, write_table
from object_shapes import index_of, scattered, store

SPACING = (50.0, 10.0, 10.0)
NAMES = (
    "objects", "contacts", "neighbours", "summary", "diameters", "radial", "cross_sections",
    "centrelines",
)  # fmt: skip


def tables(folder, labels, slabs=1, name="fibril"):
    """The tables of ``labels``, measured in ``slabs`` jobs, through the scripts."""
    paths = measured(folder, labels, slabs, name)
    measure_objects.main(**paths, threads=1)
    return {n: read_table(folder / f"{n}.parquet") for n in NAMES}


def measured(folder, labels, slabs=1, name="fibril"):
    """What measure_objects is called with after ``labels`` were measured in ``slabs`` jobs."""
    folder.mkdir()
    kinds = dict(enumerate(["fibril"] if isinstance(name, str) else ["fibril", "cell"], 1))
    store(folder / "objects.zarr", labels, SPACING, classes={str(k): v for k, v in kinds.items()})
    write_table(index_of(labels, name), folder / "index.csv")
    common = {"objects": str(folder / "objects.zarr"), "index": str(folder / "index.parquet")}
    for slab in range(slabs):
        given = {**common, "slab": slab, "slabs": slabs, "threads": 1}
        measure_slab.main(**given, part=str(folder / f"part{slab}"))
        settings = {"neighbours": 3}
        measure_pairs.main(**given, part=str(folder / f"pairs{slab}"), settings=settings)
    paths = {f"{n}_table": str(folder / f"{n}.csv") for n in NAMES}
    paths |= {k: [str(folder / f"{n}{s}") for s in range(slabs)]
              for k, n in (("parts", "part"), ("pairs", "pairs"))}  # fmt: skip
    return common | paths


@pytest.mark.parametrize("slabs", [2, 5, 9])
def test_any_number_of_slabs(tmp_path, slabs):
    labels = scattered(8, (90, 40, 50), 40)
    one, many = tables(tmp_path / "one", labels), tables(tmp_path / "many", labels, slabs)
    assert tuple(one["objects"].columns) == COLUMNS
    for name in NAMES:
        pd.testing.assert_frame_equal(one[name], many[name], rtol=1e-9)


def test_slabs_that_are_not_of_this_table_are_told(tmp_path):
    paths = measured(tmp_path / "o", scattered(8, (30, 40, 50), 10), 2)
    known = read_table(paths["index"])
    middle, last = known.object_id.iloc[[4, -1]]
    for object_id, told in (
        (middle, f"object {middle} was measured 1 times, expected 0"),
        (last, f"object_id {last} was measured, expected"),
    ):
        write_table(known[known.object_id != object_id], tmp_path / "fewer.csv")
        fewer = paths | {"index": str(tmp_path / "fewer.parquet")}
        with pytest.raises(InputError, match=told):
            measure_objects.main(**fewer, threads=1)


@pytest.mark.parametrize("name", ["NA", "12"])
def test_a_class_may_be_called_what_reads_as_nothing_or_a_number(tmp_path, name):
    paths = measured(tmp_path / "o", scattered(8, (30, 40, 50), 10), 1, name)
    measure_objects.main(**paths | {"index": str(tmp_path / "o/index.csv")}, threads=1)
    for table in ("objects", "summary"):
        assert name in read_table(tmp_path / f"o/{table}.csv")["class"].tolist()


def test_tables_agree_with_one_another(tmp_path):
    labels = scattered(9, (60, 40, 50), 40)
    classes = {i: "cell" if i % 2 else "fibril" for i in range(1000)}
    found = tables(tmp_path / "o", labels, 2, classes)
    objects, near = found["objects"].set_index("object_id"), found["neighbours"]
    assert tuple(near.columns) == NEIGHBOURS
    first = near[near["rank"] == 1].set_index("object_id")
    assert (objects.nearest_id == first.neighbour_id).all()
    assert (objects.nearest_distance_nm[objects.n_contacts > 0] == 0).all()
    assert objects.n_contacts.sum() == 2 * len(found["contacts"])
    assert tuple(found["contacts"].columns) == contacts.COLUMNS
    summary = found["summary"].pivot(index="class", columns="measure", values="all")
    assert list(summary.index) == ["cell", "fibril"]
    assert summary.n_objects.sum() == len(objects)
    assert summary.volume_fraction.sum() == pytest.approx((labels > 0).mean())


def test_no_object_at_all(tmp_path):
    found = tables(tmp_path / "o", np.zeros((40, 20, 20), np.uint32), 2)
    assert tuple(found["objects"].columns) == COLUMNS
    assert {n for n in NAMES if len(found[n])} == {"summary"}
    summary = found["summary"]
    assert summary.loc[summary["measure"] == "n_objects", "all"].tolist() == [0]


def test_one_object_and_tiny_ones(tmp_path):
    labels = np.zeros((20, 20, 20), np.uint32)
    labels[5, 5, 5] = 65_537
    one = tables(tmp_path / "one", labels)["objects"].iloc[0]
    assert one.nearest_id == 0
    assert np.isnan(one.nearest_distance_nm)
    labels[7, 5, 5:7] = 300
    labels[:, 12, :] = 5
    found = tables(tmp_path / "three", labels, 2)["objects"].set_index("object_id")
    assert found.nearest_id.to_dict() == {5: 300, 300: 65_537, 65_537: 300}
    assert found.nearest_distance_nm[300] == 50
    assert found.touches_border.tolist() == [True, False, False]
    found = found.drop(columns=[c for c in found if c.startswith(("crimp", "helix"))])
    assert np.isfinite(found.select_dtypes("number").to_numpy()).all()


def test_an_object_that_fills_the_volume(tmp_path):
    found = tables(tmp_path / "o", np.ones((20, 30, 30), np.uint32))
    assert found["objects"].touches_border.tolist() == [True]
    summary = found["summary"].set_index("measure")
    assert summary.loc["n_objects", ["all", "inside"]].tolist() == [1, 0]
    assert np.isnan(summary.loc["n_objects", "unbiased"])  # nothing tells it
    assert summary.loc["volume_fraction", ["all", "spread"]].tolist() == pytest.approx([1, 0])
