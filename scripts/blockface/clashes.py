"""What two annotation files of one round say against each other."""

from pathlib import Path

import numpy as np

from blockface.errors import InputError

TWO_CLASSES = "two classes are painted at once"
WITH_BACKGROUND = "a class and background are painted at once"
TWO_FOLDERS = "two folders of one round disagree"
WAYS_OUT = {
    TWO_CLASSES: "name the class that such voxels belong to in class_priority, as outlines of "
    "neighbours often cross by a voxel, or take the paint out of one of them",
    WITH_BACKGROUND: "take the paint out of one of them",
    TWO_FOLDERS: "take the paint out of one of them, or put the later word into a later round",
}


class Clashes:
    """Contradictions between files, counted over the whole stack before they are told."""

    def __init__(self):
        """None so far."""
        self.found: dict[tuple, list] = {}

    def note(self, what: str, names: list[str], where: np.ndarray, z: int, y0: int, x0: int):
        """Add the voxels ``where`` of slice ``z``, whose corner is (``y0``, ``x0``)."""
        y, x = (np.flatnonzero(where.any(axis=a)) for a in (1, 0))
        low = (z, int(y[0]) + y0, int(x[0]) + x0)
        high = (z + 1, int(y[-1]) + 1 + y0, int(x[-1]) + 1 + x0)
        entry = self.found.setdefault((what, *names), [0, low, high])
        entry[0] += int(where.sum())
        entry[1] = tuple(map(min, entry[1], low))
        entry[2] = tuple(map(max, entry[2], high))

    def refuse(self, folder) -> None:
        """Raise InputError if there was any; the names of files are from ``folder``."""
        for (what, *names), (count, low, high) in self.found.items():
            box = ", ".join(f"{a} {p}:{q}" for a, p, q in zip("zyx", low, high, strict=True))
            files = ", ".join(str(Path(folder, name)) for name in names)
            raise InputError(
                f"{files}: {what} in {count} voxels, inside {box}; expected one class per voxel; "
                f"{WAYS_OUT[what]}"
            )
