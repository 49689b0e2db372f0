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
    so both hands are tried.
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
            hand,
        )
        said = [unit, f"coordinates taken as {hand}" if hand == "RAS" else ""]
        frames.append(Frame(moved, ", ".join(s for s in said if s)))
    return frames


def in_voxels(frame: Frame, voxel_size_nm: tuple[float, float, float]) -> Frame:
    """A ``frame`` whose numbers count voxels of the stack, as of an image without a voxel size."""
    step, grid = np.array(voxel_size_nm[::-1], float), frame.grid
    moved = Grid(
        grid.sizes, step[:, None] * grid.directions, step * grid.first_centre, grid.centering,
        grid.hand,
    )  # fmt: skip
    said = [frame.note, "the file carries no voxel size; its numbers are taken as voxels"]
    return Frame(moved, ", ".join(s for s in said if s))


def place_first(frames: list[Frame], reference, path) -> Placement:
    """Place of a file in the stack by that of its ``frames`` which fits.

    ``reference`` has shape, voxel_size_nm and origin_nm (z, y, x), and world, the grid of the file
    that the stack came from or None. A mask painted on that file lies in its coordinates, where
    axes may run backwards.

    Raises
    ------
    InputError
        None fits; what is said is why the first does not. Or it fits at two places: in either
        hand, or by our coordinates and by those of the stack's file.
    """
    ours, refused = _first(frames, reference, path)
    world = reference.world
    if world is None:
        if ours is None:
            raise refused
        return ours
    known = [f for f in frames if not world.hand or f.grid.hand in ("", world.hand)]
    moved = [Frame(_in_stack(f.grid, reference), f.note) for f in known]
    theirs, other = _first(moved, reference, path)
    if isinstance(other, EitherHandError):
        raise other
    found = ours or theirs
    if found is None:
        raise refused
    if ours and theirs and (ours.offset, ours.shape) == (theirs.offset, theirs.shape):
        if not _same(ours, theirs):
            raise InputError(
                f"{path}: the file of the stack says that an axis of it runs backwards, and Seg3D "
                "turns what it opens: whether this was painted on that file or on one exported "
                "from Blockface, and so which side is which, cannot be told; save the stack as "
                "TIFF, name that in the configuration, and paint on it"
            )
    elif ours and theirs:
        raise InputError(
            f"{path}: lies at voxel {ours.offset} (z y x) by nm from the stack's first voxel, and "
            f"at {theirs.offset} by the coordinates of the stack's file; expected one place; paint "
            "on the folder handed out and bring it back whole, or export the mask of the whole "
            "stack"
        )
    return found


class EitherHandError(InputError):
    """A file fits in both hands, at two places."""


def _first(frames: list[Frame], reference, path) -> tuple[Placement | None, InputError | None]:
    refused, fitting = None, []
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
        fitting.append(Placement(found.offset, found.shape, found.axes, found.flips, note))
    if any(not _same(fitting[0], other) for other in fitting[1:]):
        return None, EitherHandError(
            f"{path}: fits the stack in LPS and, mirrored, in RAS, since coordinates of the stack "
            "lie on both sides of 0 and its file does not say which of the two they are; expected "
            "one place; save the stack as TIFF, name that in the configuration and paint on it, or "
            "write into its NRRD header the 'space' that your program took"
        )
    return (fitting[0], None) if fitting else (None, refused)


def _in_stack(grid: Grid, reference) -> Grid:
    """``grid``, in coordinates of the stack's file, in nm along the stack's own axes."""
    world = reference.world
    step, origin = (
        np.array(v[::-1], float) for v in (reference.voxel_size_nm, reference.origin_nm)
    )
    to_voxels = np.linalg.inv(world.directions)
    return Grid(
        grid.sizes,
        step[:, None] * (to_voxels @ grid.directions),
        step * (to_voxels @ (grid.first_centre - world.first_centre)) + origin,
        grid.centering,
    )


def _same(a: Placement, b: Placement) -> bool:
    turned = [tuple(f and n > 1 for f, n in zip(p.flips, p.shape, strict=True)) for p in (a, b)]
    return (a.offset, a.shape, a.axes) == (b.offset, b.shape, b.axes) and turned[0] == turned[1]
