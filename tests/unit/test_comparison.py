"""Two volumes compared, where what happened between them is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree

import compare
from blockface.comparison import SHIFTS
from blockface.effects import cliffs_delta, mean_change
from blockface.errors import InputError
from blockface.tables import read_table, write_table
from blockface.volume import create_volume

SPACING = (50.0, 10.0, 10.0)
SHAPE = (24, 60, 80)


def test_cliffs_delta_of_every_pair():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40).astype(float), rng.integers(2, 12, 33).astype(float)
    delta, low, high = cliffs_delta(a, b)
    assert delta == pytest.approx(np.sign(b[None] - a[:, None]).mean())
    assert low < delta < high
    assert cliffs_delta(a, a + 100) == (1, 1, 1)
    assert cliffs_delta(b, a)[0] == pytest.approx(-delta)
    assert np.isnan(cliffs_delta(a, b[:0])).all()


def test_the_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(60):
        a, b = rng.normal(0, 1, 60), rng.normal(0.5, 1, 60)
        _, low, high = cliffs_delta(a, b, seed)
        held += low <= 0.2763 <= high  # 2 Φ(0.5 / √2) - 1
    assert held >= 52
    held = sum(low <= 3 <= high for low, high in
               (mean_change(rng.normal(3, 2, 50), s)[1:] for s in range(60)))  # fmt: skip
    assert held >= 51


def side(folder, labels, spacing=SPACING, kinds=None, factor=1.0):
    """Volume and tables of ``labels`` as an iteration has them."""
    create_volume(folder / "objects.zarr", labels.shape, np.uint32, spacing)[:] = labels
    rows = []
    for i in np.unique(labels[labels > 0]).tolist():
        at = np.argwhere(labels == i)
        centre = (at.mean(axis=0) + 0.5) * spacing
        cut = (at.min(axis=0) == 0).any()
        kind = (kinds or {}).get(i, "fibril")
        rows.append((i, kind, cut, *centre, len(at) * np.prod(spacing) / 1e9, factor * len(at)))
    names = ["object_id", "class", "touches_border", "centroid_z_nm", "centroid_y_nm",
             "centroid_x_nm", "volume_um3", "length_nm"]  # fmt: skip
    kinds = {"object_id": np.int64, "class": str, "touches_border": bool}
    kinds |= dict.fromkeys(names[3:], float)  # of no objects, too
    write_table(pd.DataFrame(rows, columns=names).astype(kinds), folder / "objects.csv")
    summary = {"class": "fibril", "measure": ["volume_fraction", "length_nm_mean"], "all": 0.1,
               "spread": 0.01, "layers": 8}  # fmt: skip
    write_table(pd.DataFrame(summary), folder / "summary.csv")


def run(folder, match=True):
    files = {"objects": "objects.zarr", "table": "objects.parquet", "summary": "summary.csv"}
    given = {f"{k}_{s}": str(folder / s / n) for s in "ab" for k, n in files.items()}
    compare.main(
        **given, objects_table=folder / "objects.csv", summary_table=folder / "summary.csv",
        figure=folder / "figure.png", name="c", of=["x/iter_00", "x/iter_01"], match=match, seed=0,
        threads=1,
    )  # fmt: skip
    return read_table(folder / "objects.parquet"), read_table(folder / "summary.parquet")


def boxes():
    """Twelve blocks of 8 × 8 × 8 voxels, ids 7, 14, …"""
    labels = np.zeros(SHAPE, np.uint32)
    for n in range(12):
        z, y, x = 4 + 10 * (n // 6), 4 + 16 * (n % 3), 4 + 30 * (n // 3 % 2)
        labels[z : z + 8, y : y + 8, x : x + 8] = 7 * (n + 1)
    return labels


def test_objects_that_moved_came_and_went(tmp_path):
    """All move by (0, 2, 3) voxels and get new ids, one goes, one comes."""
    before = boxes()
    after = np.roll(before, (0, 2, 3), (0, 1, 2))
    after = np.where(after > 0, 500 - after, 0).astype(np.uint32)
    after[after == 500 - 14] = 0
    after[0:3, 50:58, 70:78] = 3
    side(tmp_path / "a", before)
    side(tmp_path / "b", after)
    rows, summary = run(tmp_path)
    assert rows.fate.value_counts().to_dict() == {"matched": 11, "gone": 1, "appeared": 1}
    matched = rows[rows.fate == "matched"]
    assert (matched.object_id_a + matched.object_id_b == 500).all()
    assert matched[list(SHIFTS)].to_numpy() == pytest.approx(
        np.tile([np.hypot(20, 30), 0, 20, 30], (11, 1))
    )
    shared = 8 * 6 * 5
    assert matched.iou.tolist() == pytest.approx([shared / (2 * 512 - shared)] * 11)
    gone, came = (rows[rows.fate == f].iloc[0] for f in ("gone", "appeared"))
    assert (gone.object_id_a, gone.object_id_b, came.object_id_a, came.object_id_b) == (14, 0, 0, 3)
    table = summary.set_index(["measure", "objects"])
    assert table.loc[("n_objects", "all"), ["n_a", "n_b", "n_matched"]].tolist() == [12, 12, 11]
    assert table.loc[("shift_x_nm", "all"), "change_mean"] == pytest.approx(30)
    assert table.loc[("volume_um3", "all"), "change_mean"] == 0
    assert table.loc[("volume_um3", "inside"), ["n_a", "n_b"]].tolist() == [12, 11]
    assert table.loc[("volume_fraction", "stack"), ["mean_a", "sd_b"]].tolist() == [0.1, 0.01]
    assert ("length_nm_mean", "stack") not in table.index


def packed(seed):
    """Sixty cells that fill the plane."""
    points = np.random.default_rng(seed).uniform(0, SHAPE[1:], (60, 2))
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE[1:]), indexing="ij"), -1)
    nearest = cKDTree(points).query(grid)[1] + 1
    return np.repeat(nearest[None], 6, axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_packed_objects_of_two_samples_match_by_chance_and_that_is_told(tmp_path, caplog, seed):
    def compared(name, other):
        for folder, labels in (("a", packed(seed)), ("b", other)):
            (tmp_path / name / folder).mkdir(parents=True)
            side(tmp_path / name / folder, labels)
        caplog.clear()
        objects, _ = run(tmp_path / name)
        return (objects.fate == "matched").sum(), "neighbours move unlike" in caplog.text

    matched, told = compared("another", packed(seed + 100))
    assert matched > 30
    assert told
    # all moved by 0.4 of a cell
    matched, told = compared("moved", np.roll(packed(seed), (3, 2), (1, 2)))
    assert matched > 30
    assert not told


def test_pairs_are_one_to_one_and_of_one_class(tmp_path):
    """One object broken into two: the larger piece is it. A cell is no fibril."""
    before, after = boxes(), boxes()
    after[4:7, 4:12, 4:12] = 999
    side(tmp_path / "a", before, kinds={14: "cell"})
    side(tmp_path / "b", after)
    rows, _ = run(tmp_path)
    by_id = rows.set_index("object_id_b")
    assert by_id.loc[7, ["fate", "object_id_a"]].tolist() == ["matched", 7]
    assert by_id.loc[999, "fate"] == "appeared"
    assert by_id.loc[14, "fate"] == "appeared"
    assert rows[rows.object_id_a > 0].object_id_a.is_unique


def test_other_shapes_and_voxels_compare_distributions_only(tmp_path):
    side(tmp_path / "a", boxes())
    side(tmp_path / "b", boxes()[:, :50], (40.0, 8.0, 8.0), factor=3.0)
    rows, summary = run(tmp_path)
    assert set(rows.fate) == {"not_compared"}
    table = summary.set_index(["measure", "objects"])
    assert table.loc[("length_nm", "all"), "cliffs_delta"] > 0.9
    assert (table.n_matched == 0).all()
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("empty", ["a", "b", "ab"])
def test_a_side_without_objects_has_the_same_columns(tmp_path, empty):
    for one in "ab":
        side(tmp_path / one, boxes() * np.uint32(one not in empty))
    rows, summary = run(tmp_path)
    assert {"volume_um3_a", "volume_um3_b", "length_nm_a", "length_nm_b"} <= set(rows)
    assert set(rows.fate) == {"a": {"appeared"}, "b": {"gone"}, "ab": set()}[empty]
    table = summary.set_index(["measure", "objects"])
    if empty != "ab":
        count = table.loc[("length_nm", "all"), ["n_a", "n_b"]].tolist()
        assert count == [12 * ("a" not in empty), 12 * ("b" not in empty)]


def test_one_shape_and_two_voxel_sizes_are_refused_unless_distributions_are_asked_for(tmp_path):
    side(tmp_path / "a", boxes())
    side(tmp_path / "b", boxes(), (40.0, 10.0, 10.0))
    with pytest.raises(InputError, match=r"compare\.c: .*50 × 10 × 10 nm.*40 × 10 × 10 nm.*mend"):
        run(tmp_path)
    assert set(run(tmp_path, match=False)[0].fate) == {"not_compared"}


def test_nothing_in_one_of_them(tmp_path):
    side(tmp_path / "a", boxes())
    side(tmp_path / "b", np.zeros(SHAPE, np.uint32))
    rows, summary = run(tmp_path)
    assert set(rows.fate) == {"gone"}
    assert summary.cliffs_delta.isna().all()
