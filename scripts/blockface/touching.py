"""Where objects of one class touch, told from the masks of the classes; a network learns it.

In every slice the mask of a class comes apart into objects as by `separate: watershed`, at necks.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_erosion, maximum_filter

from blockface.graph import Merging
from blockface.heights import metric
from blockface.objects import prepared
from blockface.scores import UNKNOWN

REACH = 2  # pixels on either side that belong to a boundary


class Planes:
    """Slices (z, y, x) of class values, uint8, in memory, none of which touches the next one.

    Odd slices have values of their own, and objects never mix values (as in `slices.Apart`).
    """

    def __init__(self, labels: NDArray[np.uint8]):
        self.names = np.unique(labels[(labels != 0) & (labels != UNKNOWN)])
        table = np.zeros(256, np.uint8)
        table[self.names] = 1 + 2 * np.arange(len(self.names))
        self.labels = table[labels]
        odd = self.labels[1::2]
        odd += odd > 0
        self.shape = labels.shape

    def read(self, region: tuple[slice, ...]) -> NDArray[np.uint8]:
        """Values of a region."""
        return self.labels[region]

    def inside(self, found: NDArray, region: tuple[slice, ...]) -> NDArray[np.uint8]:
        """What distances are taken in: all of ``found``."""
        return found


def objects_of(labels: NDArray[np.uint8], merge_ratio: float) -> NDArray[np.uint32]:
    """Objects 1, 2, … of slices ``labels`` (z, y, x), each slice for itself; 0 nothing."""
    planes, radius = Planes(labels), 64
    units = metric((radius, 1, 1), radius, smooth_slices=False)
    core = tuple(slice(0, size) for size in labels.shape)
    block = prepared(planes, core, units, 1)
    if block is None:
        return np.zeros(labels.shape, np.uint32)
    return block.separate(Merging(merge_ratio, units.one_voxel))[0]


def boundaries(labels: NDArray[np.uint8], merge_ratio: float = 0.75) -> NDArray[np.uint8]:
    """1 within `REACH` pixels of two objects of one class, 0 elsewhere, 255 where not known.

    ``labels`` (z, y, x): class values, 0 background, 255 unknown; each slice is taken for itself.
    Near unknown voxels it is not known: what lies there may be another object.
    """
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1]
    disc = (y**2 + x**2 <= REACH**2)[None]
    unknown = maximum_filter(labels == UNKNOWN, footprint=disc)
    found = np.zeros(labels.shape, np.uint8)
    for z in range(0, len(labels), 64):  # bounded memory
        part = slice(z, z + 64)
        ids = objects_of(labels[part], merge_ratio).astype(np.int64)
        for value in np.unique(labels[part][ids > 0]):
            own = np.where(labels[part] == value, ids, 0)
            most = maximum_filter(own, footprint=disc)
            none = np.iinfo(np.int64).max
            least = grey_erosion(np.where(own > 0, own, none), footprint=disc)
            found[part] |= ((most > 0) & (least < most)).astype(np.uint8)
    found[unknown] = UNKNOWN
    return found
