"""Cells of voxels: each of a few voxels, in order, and the same from both sides."""

import numpy as np
import pytest

from blockface.nodes import cells_of, gather


@pytest.mark.parametrize("cell", range(1, 9))
def test_cells_are_the_same_from_both_sides(cell):
    for extent in range(1, 40):
        places = np.arange(extent)
        wide = np.full(extent, cell)
        cells = cells_of(places, np.full(extent, extent), wide)
        assert cells[0] == 0
        assert set(np.diff(cells)) <= {0, 1}
        assert (cells[::-1] == cells[-1] - cells).all()
        assert np.bincount(cells).max() <= cell
        assert len(np.bincount(cells)) <= -(-extent // cell) + 1


def test_two_specks_in_opposite_corners_of_a_large_volume(monkeypatch):
    """The cells of such a box are more than 32 bits can number."""
    n, places = 2048, np.array([[0, 2047, 5], [0, 2047, 5], [0, 2047, 7]], np.int32)

    class Crops:
        def whole(self, ids, lo, hi):
            return places.copy(), np.array([2, 1])

    lo, hi = np.array([[0, 0, 0], [5, 5, 7]]), np.array([[n, n, n], [6, 6, 8]])
    nodes, exact = gather(Crops(), np.array([1, 2]), lo, hi, np.array([2, 1]), (10.0, 10.0, 10.0))
    assert nodes.runs.counts.tolist() == [2, 1]
    assert nodes.at.T.tolist() == [[5.0] * 3, [20475.0] * 3, [5.0] * 3]
    assert nodes.grid(0).T.tolist() == [[0] * 3, [2047] * 3]
    assert np.array_equal(exact.at, nodes.at)
