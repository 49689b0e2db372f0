"""What was handed out for correction: kept in the bundle, to see later what a person changed."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from blockface.errors import InputError
from blockface.grids import Placement

FILE = "predicted.npz"


@dataclass(frozen=True)
class Prediction:
    """Labels (z, y, x; class values) as handed out from voxel ``offset`` on; ``z`` the slice meant.

    The other slices are context: what a person changes there counts, the rest stays unknown.
    ``control``: the place was drawn at random.
    """

    labels: np.ndarray
    offset: tuple[int, int, int]
    z: int
    control: bool = False

    @property
    def extent(self) -> tuple[int, int, int, int, int, int]:
        """What of the stack was handed out: z0, z1, y0, y1, x0, x1."""
        return tuple(
            v for o, n in zip(self.offset, self.labels.shape, strict=True) for v in (o, o + n)
        )

    def holds(self, placement: Placement) -> bool:
        """Whether ``placement`` lies inside what was handed out."""
        return all(
            low <= o and o + n <= high
            for o, n, low, high in zip(
                placement.offset, placement.shape, self.extent[::2], self.extent[1::2], strict=True
            )
        )

    def over(self, z: int, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Labels of slice ``z`` over ``shape`` (y, x) voxels from ``corner``; 0 beyond."""
        y, x = (o - c for o, c in zip(self.offset[1:], corner, strict=True))
        plane = self.labels[z - self.offset[0]]
        rows, columns = (
            slice(max(0, start), max(0, min(n, start + size)))
            for start, n, size in zip((y, x), shape, plane.shape, strict=True)
        )
        out = np.zeros(shape, np.uint8)
        out[rows, columns] = plane[
            rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
        ]
        return out

    def write(self, folder: Path, classes: dict[int, str]) -> None:
        """Keep it in ``folder``, with the names of the ``classes``."""
        np.savez_compressed(
            folder / FILE,
            labels=self.labels,
            offset=np.array(self.offset),
            z=np.array(self.z),
            control=np.array(self.control),
            values=np.array(list(classes)),
            names=np.array(list(classes.values())),
        )


def prediction_beside(
    folder: Path, classes: dict[int, str], shape: tuple[int, int, int]
) -> Prediction | None:
    """The prediction kept in ``folder`` or in its folder corrected, in values of ``classes``.

    None if there is none, as beside a first painting. ``shape`` (z, y, x) is that of the stack.

    Raises
    ------
    InputError
        It cannot be read, or is not of this stack.
    """
    path = next((p for p in (folder / FILE, folder / "corrected" / FILE) if p.is_file()), None)
    if path is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as kept:
            labels, offset = kept["labels"], tuple(int(v) for v in kept["offset"])
            z, names = int(kept["z"]), dict(zip(kept["values"], kept["names"], strict=True))
            control = "control" in kept and bool(kept["control"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: cannot be read ({reason}); copy the folder of the bundle again, or remove "
            "this file to have the whole extent of the masks counted as reviewed"
        ) from None
    ends = [o + n for o, n in zip(offset, labels.shape, strict=True)]
    if min(offset) < 0 or any(a > b for a, b in zip(ends, shape, strict=True)):
        raise InputError(
            f"{path}: handed out of voxels {offset} to {tuple(ends)} (z y x), and the stack has "
            f"{tuple(shape)}; was it cropped since? Hand in places of this stack, or remove this "
            "file and say in regions.tsv beside the masks where they lie and what was reviewed"
        )
    known = {str(name): int(value) for value, name in names.items()}
    now = {name: value for value, name in classes.items()}
    # a class that was renamed since keeps its value
    renamed = {value: value for value, name in classes.items() if name not in known}
    table = np.zeros(256, np.uint8)
    for name, value in known.items():
        table[value] = now.get(name, renamed.get(value, 0))
    return Prediction(table[labels], offset, z, control)
