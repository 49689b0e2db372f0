"""Cells of voxels: each of a few voxels, in order, and the same from both sides."""

import numpy as np
import pytest

from blockface.nodes import cells_of


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
