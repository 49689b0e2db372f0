"""Which class each voxel belongs to, read from disk region by region."""

import os
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.scores import threshold_of
from blockface.volume import open_volume, voxel_size

EDGE = 127  # a voxel is a boundary from a probability of one half on, times 255


class Classes:
    """The class of every voxel: of a probability (class, z, y, x) or a label volume (z, y, x)."""

    def __init__(
        self,
        path: str,
        threshold: float | None = 0.5,
        only: list[str] | None = None,
        boundary: str | None = None,
    ):
        """Open the volume at ``path``; ``InputError`` if it does not say its classes.

        ``threshold``: as for `scores.threshold_of`. Classes whose names are not in ``only`` are
        read as background, if it is given. ``boundary``: a volume (z, y, x) uint8 of the edges
        between touching objects, 255 = certain; one of another grid is refused.
        """
        self.path = str(path)
        self.array = open_volume(path)
        self.level = threshold_of(self.array, threshold) * 255
        self.soft = list(self.array.attrs["axes"]) == ["class", "z", "y", "x"]
        names = self.array.attrs.get("classes", {})
        if self.soft:
            values = self.array.attrs.get("values") or range(1, len(names) + 1)
            self.names = dict(zip(map(int, values), names, strict=True))
            self.values = np.array([0, *self.names], np.uint8)
        else:
            self.names = {int(value): name for value, name in names.items()}
        if not self.names:
            raise InputError(f"{path}: the attribute classes is missing; make the file anew")
        self.kept = None
        if only is not None:
            self.names = {value: name for value, name in self.names.items() if name in only}
            self.kept = np.zeros(256, np.uint8)
            self.kept[list(self.names)] = list(self.names)
        self.shape = tuple(self.array.shape[-3:])
        self.voxel_size_nm = voxel_size(self.array)
        files = [self.path] if boundary is None else [self.path, str(boundary)]
        self.files = [[f, os.stat(Path(f, "zarr.json")).st_mtime_ns] for f in files]
        self.boundary = None if boundary is None else open_volume(boundary)
        if boundary is not None and self.boundary.shape != self.shape:
            raise InputError(
                f"{boundary}: shape {self.boundary.shape}, expected that of {path}, "
                f"{self.shape}; predict both from one stack"
            )

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        """Class values of a region, uint8; 0 is background."""
        found = self.likeliest(region) if self.soft else self.array[region]
        return found if self.kept is None else self.kept[found]

    def inside(self, found: np.ndarray, region: tuple[slice, ...]) -> np.ndarray:
        """``found`` of a region without the boundaries: what distances are taken in.

        A watershed gives voxels of a boundary to the objects beside it, so none gets smaller.
        """
        if self.boundary is None:
            return found
        return np.where(self.boundary[region] > EDGE, np.uint8(0), found)

    def likeliest(self, region: tuple[slice, ...]) -> np.ndarray:
        """Class values of a region of a probability, those of all classes."""
        best = self.array[(0, *region)]
        channel = (best > self.level).astype(np.uint8)
        for c in range(1, self.array.shape[0]):
            other = self.array[(c, *region)]
            channel[(other > best) & (other > self.level)] = c + 1
            np.maximum(best, other, out=best)
        return self.values[channel]
