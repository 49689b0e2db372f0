"""The systems of coordinates in which one file's numbers may be meant, and which one fits."""

from dataclasses import dataclass

import numpy as np

from blockface.errors import InputError
from blockface.grids import Grid, Placement, place

MIRROR = np.array([-1.0, -1.0, 1.0])  # from RAS to LPS and back


@dataclass(frozen=True)
class Frame:
    """A reading of a file's numbers: the grid in nm that they then give, and what to say of it."""

    grid: Grid
    note: str = ""


def both_hands(grid: Grid, factor: float, told: str) -> list[Frame]:
    """``grid`` times ``factor`` in LPS, then with x and y of the other sign.

    ``told`` is what the file says it is in: RAS or LPS. Programs that know no anatomy keep the
    numbers of an image that says neither, some as LPS (Seg3D, ITK-SNAP), some as RAS (3D Slicer),
    so the other hand is tried where the first does not fit.
    """
    unit = f"coordinates taken times {factor:g}, as nm" if factor != 1 else ""
    frames = []
    for hand in ("LPS", "RAS"):
        sign = np.ones(3) if hand == told else MIRROR
        moved = Grid(
            grid.sizes,
            sign[:, None] * grid.directions * factor,
            sign * grid.first_centre * factor,
            grid.centering,
        )
        said = [unit, f"coordinates taken as {hand}" if hand == "RAS" else ""]
        frames.append(Frame(moved, ", ".join(s for s in said if s)))
    return frames


def place_first(frames: list[Frame], reference, path) -> Placement:
    """Place of a file in the stack by the first of its ``frames`` that fits.

    ``reference`` has shape, voxel_size_nm and origin_nm (z, y, x).

    Raises
    ------
    InputError
        None fits; what is said is why the first does not.
    """
    refused = None
    for frame in frames:
        try:
            found = place(
                frame.grid,
                reference.shape,
                reference.voxel_size_nm,
                origin_nm=reference.origin_nm,
                path=path,
            )
        except InputError as error:
            refused = refused or error
            continue
        note = ", ".join(s for s in (found.note, frame.note) if s)
        return Placement(found.offset, found.shape, found.axes, found.flips, note)
    raise refused
