"""Objects measured together: their numbers are those that each has alone, to the last bit."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface import object_rows
from blockface.crops import batches
from blockface.runs import Runs
from blockface.volume import slab_rows
from object_shapes import index_of, mask_of, measured, rod, scattered, store, torus

SPACING = (50.0, 10.0, 10.0)


def tables(path, labels, spacing, slabs=1):
    """Lines, points and tangents of all objects, by object, measured in ``slabs`` slabs."""
    array, index = store(path, labels, spacing), index_of(labels)
    each = [measured(array, index, slab_rows(labels.shape, s, slabs)) for s in range(slabs)]
    return [
        pd.concat(f).sort_values(list({"object_id", "point", "slice"} & set(f[0])))
        .reset_index(drop=True) for f in zip(*each, strict=True)
    ]  # fmt: skip


def mixed():
    """Lumps of all sizes, a ring, a fork, a long rod, a wavy line and single voxels."""
    labels = np.zeros((64, 150, 150), np.uint32)
    labels[:40, :60, :70] = scattered(3, n=25)
    ring = mask_of(torus((1, 0, 0), 250, 60), [130, 640, 640], SPACING)
    fork = mask_of(rod((1, 0.1, 0.05), 2400, 60), [2500, 1000, 250], SPACING)
    fork[26:29, 55:100, 12:22] = True
    u = np.arange(140)
    wavy = np.abs(np.arange(60)[:, None] - 30 - 8 * np.sin(u / 7)) < 3
    for number, mask, corner in ((1001, ring, (0, 76, 78)), (1002, fork, (4, 55, 40))):
        at = np.argwhere(mask)
        labels[tuple((at - at.min(axis=0) + corner).T)] = number
    labels[57:60, 10:70, 4:144][:, wavy] = 1003
    labels[60, 5, 5], labels[62, 5, 5:7], labels[63, 80:83, 140] = 1004, 1005, 1006
    return labels


@pytest.mark.parametrize(("batch", "slabs"), [(1, 1), (700, 1), (3000, 4), (10**6, 2)])
def test_neither_batches_nor_slabs_change_a_bit(tmp_path, monkeypatch, batch, slabs):
    labels = mixed()
    whole = tables(tmp_path / "a.zarr", labels, SPACING)
    assert whole[0].loops.max() == 1
    assert whole[0].branch_points.max() > 0
    monkeypatch.setattr(object_rows, "BATCH", batch)
    for one, other in zip(whole, tables(tmp_path / "b.zarr", labels, SPACING, slabs), strict=True):
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@given(st.lists(st.integers(1, 70_000), max_size=30))
@settings(deadline=None)
def test_batches_hold_all_in_order_and_no_more_than_they_may(voxels):
    voxels = np.array(voxels, int)
    found = list(batches(voxels, 30_000))
    assert [k for some in found for k in range(some.start, some.stop)] == [*range(len(voxels))]
    sums = [voxels[some].sum() for some in found]
    assert all(n <= 30_000 or some.stop - some.start == 1
               for n, some in zip(sums, found, strict=True))  # fmt: skip
    for total, after in zip(sums, found[1:], strict=False):
        assert total + voxels[after.start] > 30_000


@given(st.lists(st.integers(0, 6), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_runs_do_what_a_loop_over_objects_does(counts, seed):
    rng = np.random.default_rng(seed)
    runs, values = Runs(counts), rng.normal(size=sum(counts))
    parts = [values[rows] for rows in runs.slices]
    assert runs.owner.tolist() == [k for k, n in enumerate(counts) for _ in range(n)]
    assert runs.within.tolist() == [i for n in counts for i in range(n)]
    assert runs.sums(values) == pytest.approx([p.sum() for p in parts])
    assert runs.most(values).tolist() == [p.max(initial=-np.inf) for p in parts]
    assert runs.least(values).tolist() == [p.min(initial=np.inf) for p in parts]
    assert runs.cumulated(values) == pytest.approx(np.concatenate([np.cumsum(p) for p in parts]))
    chosen = rng.random(len(values)) < 0.5
    assert runs.chosen(chosen).counts.tolist() == [chosen[rows].sum() for rows in runs.slices]


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_between_knots_as_numpy_interpolates(counts, seed):
    rng = np.random.default_rng(seed)
    runs, wanted = Runs(counts), Runs(rng.integers(0, 5, len(counts)))
    knots = np.concatenate([np.sort(rng.normal(size=n)) for n in counts])
    values, at = rng.normal(size=(2, len(knots))), rng.normal(size=wanted.starts[-1])
    found = runs.between(knots, values, wanted, at)
    for mine, rows in zip(runs.slices, wanted.slices, strict=True):
        for one, other in zip(found, values, strict=True):
            assert one[rows] == pytest.approx(np.interp(at[rows], knots[mine], other[mine]))
