"""Voxels that a person reviewed for some of the classes only: not these, else unknown.

In `annotations.zarr` they hold values of their own, *codes*; its attribute ``without`` lists the
classes that are not there, {code: classes}. Classes are values, or channels 1, 2, … of a network.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from blockface.errors import InputError
from blockface.scores import UNKNOWN

Without = Mapping[int, frozenset[int]]


class Codes:
    """The codes of a volume of labels, given out as combinations of classes are met."""

    def __init__(self, classes: Iterable[int]):
        """None so far; above all numbers of channels, and no value of ``classes``."""
        self.classes = frozenset(classes)
        self.without: dict[int, frozenset[int]] = {}
        self._free = [v for v in range(len(self.classes) + 1, UNKNOWN) if v not in self.classes]

    def exclude(self, labels: NDArray[np.uint8], absent: Mapping[int, NDArray[np.bool_]]) -> None:
        """Change ``labels`` where a class is told to be ``absent`` ({class: where}).

        A voxel of that class becomes unknown but for what is absent, one without any class left
        background; known voxels of other classes stay.
        """
        for value, where in absent.items():
            labels[where & (labels == value)] = UNKNOWN
        for value, where in absent.items():
            table = np.arange(256, dtype=np.uint8)
            for old in np.flatnonzero(np.bincount(labels[where], minlength=256)).tolist():
                if old == UNKNOWN or old in self.without:
                    table[old] = self._code(self.without.get(old, frozenset()) | {value})
            labels[where] = table[labels[where]]

    def contradicted(self, labels: NDArray[np.uint8], by: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Where known ``labels``, or codes, cannot be what they are said to be ``by`` another."""
        found = labels != by
        for code, absent in self.without.items():
            here = labels == code
            found[here] = np.isin(by[here], list(absent))
        return found

    def _code(self, absent: frozenset[int]) -> int:
        if absent == self.classes:
            return 0
        for code, classes in self.without.items():
            if classes == absent:
                return code
        if not self._free:
            raise InputError(
                f"{len(self.without)} different combinations of the {len(self.classes)} classes "
                "were reviewed in places; expected fewer, as no value is left; review all classes "
                "of a place together"
            )
        self.without[code := self._free.pop()] = absent
        return code

    def attribute(self) -> dict[str, list[int]]:
        """The codes as kept with the volume, to be read by `without_of`."""
        return {str(code): sorted(absent) for code, absent in self.without.items()}


def without_of(attributes: Mapping) -> dict[int, frozenset[int]]:
    """The codes {value: classes that are not there} that volume ``attributes`` tell; or none."""
    return {int(v): frozenset(absent) for v, absent in attributes.get("without", {}).items()}


def seen_for(labels: NDArray, value: int, without: Without) -> NDArray:
    """``labels`` as the class ``value`` sees them: codes are 0 where it is absent, else 255."""
    if not without:
        return labels
    table = np.arange(256, dtype=np.uint8)
    for code, absent in without.items():
        table[code] = 0 if value in absent else UNKNOWN
    return table[labels]


def fully_known(labels: NDArray, without: Without) -> NDArray:
    """``labels`` with all codes unknown."""
    return np.where(np.isin(labels, list(without)), UNKNOWN, labels) if without else labels


def in_channels(without: Without, values: list[int]) -> dict[int, frozenset[int]]:
    """The codes with channels (1 for the first of the class ``values``, …) in place of classes."""
    return {
        code: frozenset(values.index(value) + 1 for value in absent)
        for code, absent in without.items()
    }


def possible(without: Without, channels: int) -> NDArray[np.bool_]:
    """Which of the ``channels``, the background's first, each label may mean: (256, channels)."""
    table = np.zeros((256, channels), bool)
    table[np.arange(channels), np.arange(channels)] = True
    table[UNKNOWN] = True
    for code, absent in without.items():
        table[code] = [channel not in absent for channel in range(channels)]
    return table
