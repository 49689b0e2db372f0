"""The landscape of a watershed: how far inside its object a voxel lies, in whole numbers.

The height of a voxel is the sum of the distances to the background, clipped at a radius, over the
3 x 3 x 3 voxels around it, or 1 x 3 x 3 (a rough edge makes false peaks and false passes in the
plain distance). It depends on a voxel's surroundings alone and is exact to the last bit, so that
a block with enough halo gives what the whole volume would give.
"""

import logging
import math
from dataclasses import dataclass
from fractions import Fraction

import edt
import numpy as np

from blockface.errors import InputError

log = logging.getLogger(__name__)

HIGHEST = 65502  # 27 times 2426: sums fit 16 bits
CLIPPED = 16  # voxels, unless told otherwise
MOST = 1000  # voxels: neighbours farther inside would be of one height


@dataclass(frozen=True)
class Metric:
    """Voxel size in whole units, so that squared distances are exact in single precision.

    ``size``: voxel in units, z, y, x (the smallest side is ``per_voxel`` units); ``radius``: the
    distance, in units, beyond which the transform is clipped; ``summed``: axes along which
    heights are summed.
    """

    size: tuple[int, int, int]
    per_voxel: int
    radius: int
    summed: tuple[int, ...] = (0, 1, 2)

    @property
    def one_voxel(self) -> float:
        """Steps of height in one voxel (its smallest side) of distance."""
        return 3 ** len(self.summed) * self.steps * self.per_voxel

    @property
    def highest(self) -> int:
        """Height of a voxel so deep within its object that its distances are clipped."""
        return 3 ** len(self.summed) * round(self.steps * self.radius)

    @property
    def halo(self) -> tuple[int, int, int]:
        """Voxels around a block that bear on the heights in it."""
        return tuple(-(-self.radius // side) + 1 for side in self.size)

    @property
    def steps(self) -> float:
        """Steps of height per unit of distance, before the sum: 27 at the radius fill 16 bits."""
        return HIGHEST / 27 / self.radius


def metric(voxel_size_nm, max_radius_nm: float, smooth_slices: bool = True) -> Metric:
    """Units of a voxel size: its ratios as fractions, exact for 50:10:10, within 1 % for any."""
    summed = (0, 1, 2) if smooth_slices else (1, 2)
    smallest = min(voxel_size_nm)
    voxels = max_radius_nm / smallest
    largest = max(1, min(8, int(4000 // max(voxels, max(voxel_size_nm) / smallest))))
    ratio = [Fraction(v / smallest).limit_denominator(largest) for v in voxel_size_nm]
    unit = math.lcm(*(r.denominator for r in ratio))
    if unit > largest:  # two odd ratios at once
        unit = largest
    size = tuple(max(1, round(r * unit)) for r in ratio)
    return Metric(size, unit, max(1, math.ceil(voxels * unit)), summed)


def clipped_at(max_radius_nm: float | None, sides) -> float:
    """Distance in nm at which heights are clipped, for voxels with ``sides`` (nm).

    Raises
    ------
    InputError
        So many voxels that heights of neighbours would be the same.
    """
    smallest = min(sides)
    if max_radius_nm is None:
        return CLIPPED * smallest
    if max_radius_nm > MOST * smallest:
        raise InputError(
            f"separate: max_radius_nm is {max_radius_nm:g}, {max_radius_nm / smallest:.0f} times "
            f"the voxel's smallest side; expected at most {MOST} times; take half of how "
            "thick the thickest parts are that shall come apart"
        )
    return max(max_radius_nm, smallest)


def tell_thick(places: int, units: Metric, z: slice, smallest: float, merge_ratio: float) -> None:
    """Warn of ``places`` so thick that heights are clipped there, in the slices ``z``."""
    if places:
        radius = units.radius * smallest / units.per_voxel
        log.warning(
            "slices %d-%d: objects are thicker than twice max_radius_nm (%.0f nm; places: %d): "
            "parts of them that meet in a neck of some %.0f nm or more stay one; if they shall "
            "come apart, raise datasets.<name>.max_radius_nm",
            z.start, z.stop - 1, radius, places, 2 * merge_ratio * radius,
        )  # fmt: skip


def squared_distances(classes: np.ndarray, units: Metric, threads: int = 1) -> np.ndarray:
    """Squared distance, in units, from each voxel to the nearest of another class; float32.

    The border of the array is not an edge. Clipped at the radius; exact where the halo is there.
    """
    found = edt.edtsq(classes, anisotropy=units.size, black_border=False, parallel=threads)
    return np.minimum(found, np.float32(units.radius**2), out=found)


def heights(classes: np.ndarray, squared: np.ndarray, units: Metric) -> np.ndarray:
    """Height of each voxel: rounded distances of its own class, summed around it; uint16.

    Beyond the border of the array its outermost voxels are repeated.
    """
    distance = np.sqrt(squared)
    distance *= np.float32(units.steps)
    distance = np.rint(distance, out=distance).astype(np.uint16)
    present = classes_in(classes)
    if len(present) < 2:
        return boxed(distance, units.summed) * (classes > 0)
    height = np.zeros(classes.shape, np.uint16)
    for value in present:
        own = classes == value
        np.copyto(height, boxed(np.where(own, distance, np.uint16(0)), units.summed), where=own)
    return height


def classes_in(classes: np.ndarray) -> list[int]:
    """Class values that occur, without background."""
    counts = np.zeros(256, int)
    for plane in classes:  # one at a time: bincount makes int64 of it
        counts += np.bincount(plane.ravel(), minlength=256)
    return [int(value) for value in np.flatnonzero(counts) if value]


def boxed(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Sum over each voxel and its two neighbours along each of ``axes``."""
    for axis in axes:
        line = np.moveaxis(values, axis, 0)
        total = np.empty_like(values)
        out = np.moveaxis(total, axis, 0)
        out[:] = line
        out[1:] += line[:-1]
        out[0] += line[0]
        out[:-1] += line[1:]
        out[-1] += line[-1]
        values = total
    return values
