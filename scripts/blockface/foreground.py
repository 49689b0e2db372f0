"""Which class each voxel belongs to, read from disk region by region."""

import numpy as np

from blockface.errors import InputError
from blockface.volume import open_volume, voxel_size


class Classes:
    """The class of every voxel: of a probability (class, z, y, x) or a label volume (z, y, x)."""

    def __init__(self, path: str, threshold: float = 0.5, only: list[str] | None = None):
        """Open the volume at ``path``; ``InputError`` if it does not say its classes.

        Classes whose names are not in ``only`` are read as background, if it is given.
        """
        self.path = str(path)
        self.array = open_volume(path)
        self.level = threshold * 255
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

    def read(self, region: tuple[slice, ...]) -> np.ndarray:
        """Class values of a region, uint8; 0 is background."""
        found = self.likeliest(region) if self.soft else self.array[region]
        return found if self.kept is None else self.kept[found]

    def likeliest(self, region: tuple[slice, ...]) -> np.ndarray:
        """Class values of a region of a probability, those of all classes."""
        best = self.array[(0, *region)]
        channel = (best > self.level).astype(np.uint8)
        for c in range(1, self.array.shape[0]):
            other = self.array[(c, *region)]
            channel[(other > best) & (other > self.level)] = c + 1
            np.maximum(best, other, out=best)
        return self.values[channel]
