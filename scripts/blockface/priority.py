"""To which class a voxel belongs that masks of two classes hold, as outlines drawn apart do."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray


class Priority:
    """The order of classes by ``names``, first the one that goes before all others."""

    def __init__(self, names: Iterable[str], classes: Mapping[int, str]):
        """``classes`` are {value: name}; those not among ``names`` come last, all alike."""
        order = list(names)
        self.last = len(order)
        self.rank = np.full(256, self.last, np.uint8)
        for value, name in classes.items():
            if name in order:
                self.rank[value] = order.index(name)

    def merge(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Two arrays of classes, 0 being none, as one; ``one`` where neither goes before."""
        first = (other == 0) | ((one > 0) & (self.rank[one] <= self.rank[other]))
        return np.where(first, one, other)

    def named(self, one: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where an array of classes says one of those that go before others."""
        return self.rank[one] < self.last

    def undecided(self, one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where two arrays of classes say different ones, and neither goes before the other."""
        return shared(one, other) & (self.rank[one] == self.rank[other])


def shared(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where both arrays hold a class, and not the same."""
    return (one > 0) & (other > 0) & (one != other)
