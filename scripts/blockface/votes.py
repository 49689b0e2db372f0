"""What the members of an ensemble say one by one, and how far they agree.

Votes are (class, z, y, x) uint8: bit m is set where member m takes the voxel for the class. They
tell the Dice of every two members exactly, slice by slice, and the share of them that disagree.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import zarr
from numpy.typing import NDArray

from blockface.volume import slab_rows

MOST = 8  # members that fit the bits


def votes_of(shares: NDArray) -> NDArray[np.uint8]:
    """Votes (classes, …) of ``shares`` (members, classes, …): for what is likeliest of all.

    The background counts, too: its share is what is left to 1.
    """
    made = np.zeros(shares.shape[1:], np.uint8)
    for number, own in enumerate(shares):
        best = np.maximum(own.max(axis=0), 1 - own.sum(axis=0))
        for channel, share in enumerate(own):
            made[channel] |= (share == best).astype(np.uint8) << number
    return made


def member_dice(votes: zarr.Array) -> pd.DataFrame:
    """Dice of every two members in every slice, per class: z, class, a, b, dice, voxels.

    ``voxels`` are those that either has, twice where both do; dice is NaN where that is 0.
    ``votes`` carries ``members`` and ``classes``; it is read a row and class at a time.
    """
    names, members = votes.attrs["classes"], int(votes.attrs["members"])
    bits = (np.arange(256)[:, None] >> np.arange(members)) & 1
    rows = []
    for row in slab_rows(votes.shape):
        for channel, name in enumerate(names):
            for z, plane in enumerate(votes[channel, row], row.start):
                counts = np.bincount(plane.ravel(), minlength=256)
                own = counts @ bits
                for a, b in combinations(range(members), 2):
                    both, either = counts @ (bits[:, a] * bits[:, b]), own[a] + own[b]
                    dice = 2 * both / either if either else float("nan")
                    rows.append((z, name, a, b, dice, int(either)))
    frame = pd.DataFrame(rows, columns=["z", "class", "a", "b", "dice", "voxels"])
    return frame.sort_values(["z", "class", "a", "b"], kind="stable", ignore_index=True)


def slice_disagreement(votes: zarr.Array) -> NDArray[np.float64]:
    """1 - mean pairwise Dice of the members (z,), classes weighted by their voxels."""
    table = member_dice(votes).dropna(subset="dice")
    table["apart"] = (1 - table["dice"]) * table["voxels"]
    sums = table.groupby("z")[["apart", "voxels"]].sum().reindex(range(votes.shape[1]))
    return (sums["apart"] / sums["voxels"]).fillna(0).to_numpy()
