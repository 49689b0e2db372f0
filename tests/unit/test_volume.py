"""Volumes in rows: every slice once, in whatever slabs, and nothing lost by a kill."""

import json
import shutil

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.errors import InputError
from blockface.volume import (
    ROW_VOXELS,
    create_volume,
    grey_statistics,
    join_slabs,
    open_volume,
    resumable,
    row_depth,
    slab_rows,
    voxel_size,
)

VOXEL = (50.0, 10.0, 12.5)


@given(
    depth=st.integers(1, 3000), edge=st.integers(1, 40_000), channels=st.integers(0, 3),
    slabs=st.integers(1, 40),
)  # fmt: skip
@settings(deadline=None)
def test_slabs_part_the_slices_exactly(depth, edge, channels, slabs):
    shape = (channels, depth, edge, edge) if channels else (depth, edge, edge)
    rows = [row for slab in range(slabs) for row in slab_rows(shape, slab, slabs)]
    assert [z for row in rows for z in range(row.start, row.stop)] == list(range(depth))
    assert rows == slab_rows(shape)
    assert all(row.start % row_depth(shape) == 0 for row in rows)


@given(edge=st.integers(1, 60_000))
def test_a_row_is_small_enough_for_memory(edge):
    assert 1 <= row_depth((9999, edge, edge)) <= 16
    assert row_depth((9999, edge, edge)) * edge * edge <= max(ROW_VOXELS, edge * edge)


@pytest.mark.parametrize("shape", [(33, 20, 300), (2, 33, 20, 300)])
def test_what_is_written_is_read_with_its_attributes(tmp_path, shape):
    values = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    volume = create_volume(tmp_path / "v.zarr", shape, np.uint8, VOXEL, source="a.tif")
    for row in slab_rows(shape):
        volume[..., row, :, :] = values[..., row, :, :]
    again = open_volume(tmp_path / "v.zarr")
    assert np.array_equal(again[:], values)
    assert voxel_size(again) == VOXEL
    assert again.attrs["axes"] == ["class", "z", "y", "x"][-len(shape) :]
    assert again.attrs["source"] == "a.tif"
    shards = [f for f in (tmp_path / "v.zarr").rglob("*") if f.is_file()]
    assert len(shards) - 1 == 3 * (shape[0] if len(shape) == 4 else 1)  # a file per row, and one


def test_what_is_no_volume_is_refused(tmp_path):
    (tmp_path / "v.zarr").mkdir()
    with pytest.raises(InputError, match=r"v.zarr: not a zarr array"):
        open_volume(tmp_path / "v.zarr")
    zarr.create_array(str(tmp_path / "w.zarr"), shape=(2, 2, 2), dtype="u1")
    with pytest.raises(InputError, match="voxel_size_nm and axes are missing"):
        open_volume(tmp_path / "w.zarr")


class Work:
    """Rows 16 slices deep filled with their number, by runs that may die."""

    shape = (40, 8, 8)

    def __init__(self, path):
        self.path, self.made = path, []

    def run(self, key=None, die_after=99):
        def make(at):
            return create_volume(at, self.shape, np.uint8, VOXEL)

        with resumable(self.path, key or {"of": "a"}, make) as (volume, progress):
            for row in slab_rows(self.shape):
                if row in progress:
                    continue
                if len(self.made) >= die_after:
                    raise KeyboardInterrupt
                volume[row] = row.start + 1
                self.made.append(row.start)
                progress.add(row)


def test_a_killed_job_goes_on_with_the_rows_that_are_left(tmp_path):
    work = Work(tmp_path / "v.zarr")
    for die_after in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            work.run(die_after=die_after)
        assert not work.path.exists()
    work.run()
    assert work.made == [0, 16, 32]
    assert np.unique(open_volume(work.path)[:]).tolist() == [1, 17, 33]
    assert list(tmp_path.iterdir()) == [work.path]
    assert not list(work.path.rglob("progress*"))


def test_work_of_another_key_is_thrown_away(tmp_path):
    work = Work(tmp_path / "v.zarr")
    with pytest.raises(KeyboardInterrupt):
        work.run({"of": "a", "slab": (0, 1)}, die_after=2)
    work.made.clear()
    work.run({"of": "b", "slab": (0, 1)})
    assert work.made == [0, 16, 32]


def test_a_row_noted_too_early_would_be_lost_so_the_record_comes_last(tmp_path):
    work = Work(tmp_path / "v.zarr")
    with pytest.raises(KeyboardInterrupt):
        work.run(die_after=1)
    record = json.loads((tmp_path / "v.zarr.partial" / "progress.json").read_text())
    assert record["rows"] == [0]


def test_a_failed_run_leaves_the_finished_volume_before(tmp_path):
    work = Work(tmp_path / "v.zarr")
    work.run()
    with pytest.raises(KeyboardInterrupt):
        work.run({"of": "b"}, die_after=3)
    assert np.unique(open_volume(work.path)[:]).tolist() == [1, 17, 33]


@given(slabs=st.integers(1, 5))
@settings(max_examples=5, deadline=None)
@pytest.mark.parametrize("shape", [(40, 8, 8), (2, 40, 8, 8)])
def test_joined_slabs_are_the_whole(tmp_path_factory, slabs, shape):
    folder = tmp_path_factory.mktemp("join")
    values = np.random.default_rng(slabs).integers(1, 255, shape, dtype=np.uint8)
    parts = []
    for slab in range(slabs):
        parts.append(str(folder / f"{slab}.zarr"))
        part = create_volume(parts[-1], shape, np.uint8, VOXEL, classes=["a", "b"])
        for row in slab_rows(shape, slab, slabs):
            part[..., row, :, :] = values[..., row, :, :]
        (folder / f"{slab}.zarr" / ".snakemake_timestamp").touch()
    (folder / "whole.zarr").mkdir()
    (folder / "whole.zarr" / "stale").touch()
    join_slabs(parts, folder / "whole.zarr")
    whole = open_volume(folder / "whole.zarr")
    assert np.array_equal(whole[:], values)
    assert whole.attrs["classes"] == ["a", "b"]
    names = {f.name for f in (folder / "whole.zarr").iterdir()}
    assert names == {"zarr.json", "c"}


def test_a_joined_volume_lives_on_without_its_slabs(tmp_path):
    part = create_volume(tmp_path / "0.zarr", (4, 8, 8), np.uint8, VOXEL)
    part[:] = 7
    join_slabs([str(tmp_path / "0.zarr")], tmp_path / "whole.zarr")
    shutil.rmtree(tmp_path / "0.zarr")
    assert (open_volume(tmp_path / "whole.zarr")[:] == 7).all()


@given(values=st.lists(st.integers(0, 255), min_size=1, max_size=300))
def test_grey_statistics_of_a_histogram(values):
    found = grey_statistics(np.bincount(values, minlength=256), np.arange(256))
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["sd"] == pytest.approx(np.std(values), abs=1e-9)
    assert (found["min"], found["max"]) == (min(values), max(values))
    assert found["p50"] in (*np.percentile(values, 50, method="lower", keepdims=True),
                            *np.percentile(values, 50, method="higher", keepdims=True))  # fmt: skip
    assert found["p1"] <= found["p50"] <= found["p99"]
