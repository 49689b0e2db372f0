"""What members say: every Dice between two of them, exactly, from the bits."""

from itertools import combinations

import numpy as np
import pytest
import zarr

from blockface.volume import create_volume
from blockface.votes import member_dice, slice_disagreement, votes_of


def shares_of(members=3, classes=2, shape=(20, 12, 14), seed=0):
    rng = np.random.default_rng(seed)
    made = rng.random((members, 1 + classes, *shape)) + 2 * rng.random((1, 1 + classes, *shape))
    return (made / made.sum(axis=1, keepdims=True))[:, 1:]


def test_votes_tell_the_dice_of_every_two_members(tmp_path):
    shares = shares_of()
    shares[:, 1, 4] = 0  # nobody finds the second class in slice 4
    votes = create_volume(
        tmp_path / "v.zarr", (2, 20, 12, 14), np.uint8, (50, 10, 10), classes=["a", "b"], members=3
    )
    votes[:] = votes_of(shares)
    table = member_dice(zarr.open_array(str(tmp_path / "v.zarr"), mode="r"))
    assert len(table) == 20 * 2 * 3
    full = np.concatenate([1 - shares.sum(axis=1, keepdims=True), shares], axis=1)
    labels = full.argmax(axis=1)
    rows = table.set_index(["z", "class", "a", "b"])
    for z in range(20):
        for c, name in enumerate("ab", 1):
            for a, b in combinations(range(3), 2):
                one, other = labels[a, z] == c, labels[b, z] == c
                expected = 2 * (one & other).sum() / max(1, one.sum() + other.sum())
                row = rows.loc[(z, name, a, b)]
                assert row["voxels"] == one.sum() + other.sum()
                if row["voxels"]:
                    assert row["dice"] == pytest.approx(expected)
                else:
                    assert np.isnan(row["dice"])
                    assert (z, name) == (4, "b")


def test_disagreement_of_slices(tmp_path):
    votes = create_volume(tmp_path / "v.zarr", (1, 4, 2, 4), np.uint8, (50, 10, 10),
                          classes=["a"], members=2)  # fmt: skip
    votes[0, 0] = 3  # both say yes
    votes[0, 1, :, :2], votes[0, 1, :, 2:] = 1, 2  # never the same voxel
    votes[0, 2, 0], votes[0, 2, 1] = 3, 1  # Dice of 8 and 4 voxels with 4 in common
    assert slice_disagreement(votes).tolist() == pytest.approx([0, 1, 1 - 8 / 12, 0])
