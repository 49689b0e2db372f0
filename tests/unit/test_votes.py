"""What members say: every Dice between two of them, exactly, from the bits."""

from itertools import combinations

import numpy as np
import pytest
import zarr

from blockface.volume import create_volume
from blockface.votes import disagreement, member_dice, votes_of


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


@pytest.mark.parametrize("members", [2, 3, 4])
def test_disagreement_is_the_share_of_pairs_that_differ(members):
    table = disagreement(members)
    for votes in range(2**members):
        said = [(votes >> m) & 1 for m in range(members)]
        pairs = list(combinations(said, 2))
        assert table[votes] == pytest.approx(sum(a != b for a, b in pairs) / len(pairs))
