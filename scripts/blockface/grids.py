"""Where the voxels of an exchanged file lie, and which voxels of our stack they are.

Vectors here are x, y, z, as in the headers; arrays and offsets are z, y, x, as everywhere else.
The position of a voxel is the position of its centre.
"""

from dataclasses import dataclass

import numpy as np

from blockface.errors import InputError

SPATIAL_KINDS = {"space", "domain", "???", "none"}
UNIT_RATIOS = {1e3: "a factor of 1000", 1e6: "a factor of 1 000 000"}
DIRECTION_TOLERANCE = 1e-3
OFFSET_TOLERANCE = 0.05  # voxels
HANDS = {
    "left-posterior-superior": "LPS", "lps": "LPS",
    "right-anterior-superior": "RAS", "ras": "RAS",
}  # fmt: skip


@dataclass(frozen=True)
class Grid:
    """Sizes and position of a file's voxels in the file's own unit of length.

    Column j of ``directions`` is the step from one voxel to the next along file axis j (x, y, z).
    ``hand`` is LPS or RAS, in which the numbers are, or empty if that is not told.
    """

    sizes: tuple[int, int, int]
    directions: np.ndarray
    first_centre: np.ndarray
    centering: str
    hand: str = ""

    @property
    def spacing(self) -> np.ndarray:
        """Distance of neighbouring voxel centres along each file axis."""
        return np.linalg.norm(self.directions, axis=0)

    def as_json(self) -> dict:
        """The grid as plain numbers, as a volume carries it among its attributes."""
        return {
            "sizes": list(self.sizes), "directions": self.directions.tolist(),
            "first_centre": self.first_centre.tolist(), "centering": self.centering,
            "hand": self.hand,
        }  # fmt: skip

    @classmethod
    def of_json(cls, told: dict) -> "Grid":
        """The grid that ``as_json`` wrote."""
        return cls(
            tuple(told["sizes"]), np.array(told["directions"]), np.array(told["first_centre"]),
            told["centering"], told.get("hand", ""),
        )  # fmt: skip

    @property
    def uncalibrated(self) -> bool:
        """Whether the numbers are those of a file that was never told a voxel size."""
        return bool(
            np.array_equal(self.directions, np.eye(3))
            and (np.all(self.first_centre == 0) or np.all(self.first_centre == 0.5))
        )


@dataclass(frozen=True)
class Placement:
    """A file's place in a reference volume; all in z, y, x.

    ``view`` first permutes the file's axes (``axes[r]`` is the file axis that becomes r), then
    flips those in ``flips``; its first voxel is ``offset`` voxels into the reference.
    """

    offset: tuple[int, int, int]
    shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    note: str = ""

    def view(self, array: np.ndarray) -> np.ndarray:
        """The file's array in the orientation of the reference; no voxel is copied."""
        turned = array.transpose(self.axes)
        return turned[tuple(slice(None, None, -1 if f else 1) for f in self.flips)]


def grid_of(header: dict, path) -> Grid:
    """Grid of a three-dimensional NRRD, from the fields of its ``header``.

    Both styles are understood: ``space directions`` with ``space origin`` (the centre of the first
    voxel whatever the centring), and ``spacings`` with ``axis mins`` (the centre if node-centred
    or not said, the lower edge of the first voxel if cell-centred).
    """
    sizes = tuple(int(n) for n in header["sizes"])
    centering, hand = _centerings(header), HANDS.get(str(header.get("space", "")).lower(), "")
    if header.get("space directions") is not None:
        rows = [np.full(3, np.nan) if r is None else r for r in header["space directions"]]
        directions = np.array(rows, float).T
        origin = np.array(header.get("space origin", [np.nan] * 3), float)
        if origin.shape != (3,) or not np.all(np.isfinite(origin)):
            raise InputError(
                f"{path}: the field 'space origin' is missing or not a number, so the position is "
                "unknown; expected three numbers; export the mask again from Seg3D"
            )
        if directions.shape != (3, 3) or not np.all(np.isfinite(directions)):
            raise InputError(
                f"{path}: the field 'space directions' holds something other than three vectors of "
                "three numbers; export one 3-D mask per file"
            )
        _refuse_zero(np.linalg.norm(directions, axis=0), "space directions", path)
        return Grid(sizes, directions, origin, centering[0], hand)
    spacing, first = _old_style(header, sizes, centering)
    _refuse_zero(spacing, "spacings", path)
    return Grid(sizes, np.diag(spacing), first, centering[0])


def _refuse_zero(spacing, field: str, path) -> None:
    if not np.all(spacing):
        raise InputError(
            f"{path}: the field '{field}' gives a spacing of 0; expected the voxel size in nm; "
            "correct it in Seg3D or in the header"
        )


def _centerings(header: dict) -> list[str]:
    found = header.get("centerings") or header.get("centers") or ["node"] * 3
    found = found.split() if isinstance(found, str) else list(found)
    return ["cell" if f == "cell" else "node" for f in found]


def _old_style(header: dict, sizes, centering) -> tuple[np.ndarray, np.ndarray]:
    spacing, first = np.ones(3), np.zeros(3)
    given = {
        key: np.array(header.get(key, [np.nan] * 3), float)
        for key in ("spacings", "axis mins", "axis maxs")
    }
    for axis in range(3):
        step, low, high = (given[key][axis] for key in ("spacings", "axis mins", "axis maxs"))
        cell = centering[axis] == "cell"
        if np.isnan(step) and not np.isnan(low) and not np.isnan(high):
            step = (high - low) / (sizes[axis] if cell else max(1, sizes[axis] - 1))
        spacing[axis] = 1.0 if np.isnan(step) else step
        first[axis] = (0.0 if np.isnan(low) else low) + (spacing[axis] / 2 if cell else 0.0)
    return spacing, first


def place(
    grid: Grid,
    reference_shape: tuple[int, int, int],
    voxel_size_nm: tuple[float, float, float],
    *,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    path="mask",
) -> Placement:
    """Where ``grid`` lies in a stack, found through world coordinates; may be a part of it.

    ``reference_shape``, ``voxel_size_nm`` and ``origin_nm`` (centre of the stack's first voxel)
    are z, y, x. ``path`` is the name for messages.

    Raises
    ------
    InputError
        Another voxel size, turned, between voxels, or not inside the stack.
    """
    size = np.array(reference_shape[::-1])
    step, origin = np.array(voxel_size_nm[::-1], float), np.array(origin_nm[::-1], float)
    if grid.uncalibrated and grid.sizes == tuple(size):
        calibrated = not np.allclose(step, 1)
        note = "the file carries no voxel size; taken as the whole stack in its own order"
        return Placement(
            (0, 0, 0), tuple(reference_shape), (0, 1, 2), (False,) * 3, note if calibrated else ""
        )
    turn = _signed_permutation(grid, step, path)
    target = np.abs(turn).argmax(axis=0)  # stack axis of each file axis
    sizes = np.zeros(3, int)
    sizes[target] = grid.sizes
    flipped = turn.sum(axis=1) < 0
    offset = (grid.first_centre - origin) / step - np.where(flipped, sizes - 1, 0)
    start = _whole(offset, grid, origin, path)
    if np.any(start < 0) or np.any(start + sizes > size):
        hint = "exported from another volume or another crop?"
        if np.array_equal(sizes, size) and np.all(np.abs(start) == (flipped & (start != 0))):
            hint = "a known Seg3D one-voxel shift with node-centred, flipped data"
        raise InputError(
            f"{path}: {_by(sizes)} voxels (x y z) from voxel {_by(start, ', ')} on do not lie "
            f"inside the stack of {_by(size)} voxels; {hint}"
        )
    source = np.argsort(target)  # file axis of each stack axis, x y z
    return Placement(
        tuple(int(o) for o in start[::-1]),
        tuple(int(n) for n in sizes[::-1]),
        tuple(int(2 - a) for a in source[::-1]),
        tuple(bool(f) for f in flipped[::-1]),
        _described(source, flipped),
    )


def _described(source, flipped) -> str:
    said = []
    if list(source) != [0, 1, 2]:
        said.append("file axes " + "".join("xyz"[a] for a in source) + " became xyz")
    if any(flipped):
        said.append("flipped along " + "".join("xyz"[a] for a in np.flatnonzero(flipped)))
    return ", ".join(said)


def _signed_permutation(grid: Grid, step: np.ndarray, path) -> np.ndarray:
    """The steps of the file in voxels of the stack: whole axes, each used once."""
    ratio = grid.directions / step[:, None]
    turn = np.rint(ratio)
    good = np.array_equal(np.abs(turn).sum(axis=0), [1, 1, 1])
    good = good and np.array_equal(np.abs(turn).sum(axis=1), [1, 1, 1])
    if good and np.abs(ratio - turn).max() <= DIRECTION_TOLERANCE:
        return turn
    unit = np.abs(grid.directions / grid.spacing)
    aligned = np.all(unit.max(axis=0) > 1 - DIRECTION_TOLERANCE)
    nearest = unit.argmax(axis=0)
    if not aligned or sorted(nearest) != [0, 1, 2]:
        raise InputError(
            f"{path}: the axes are turned against the stack (oblique); oblique data is not "
            "supported by Seg3D; export the mask on the grid of the image it was painted on"
        )
    spacing = np.zeros(3)
    spacing[nearest] = grid.spacing
    factor = spacing / step
    raise InputError(
        f"{path}: voxel size {_by(spacing)} against {_by(step)} nm of the stack (x y z; ratio "
        f"{_by(factor, ', ')}); {_spacing_hint(spacing, step, factor)}"
    )


def _spacing_hint(spacing, step, factor) -> str:
    for ratio, words in UNIT_RATIOS.items():
        for way in (ratio, 1 / ratio):
            if np.allclose(factor, way, rtol=0.01):
                return f"{words}: units mixed up (nm, um, mm)? Write coordinates in nm"
    if np.allclose(spacing, 1):
        return (
            "the file carries no voxel size and is not the whole stack, so it has no place; paint "
            "on the folder handed out, or tell your program the voxel size first (3D Slicer: "
            "Volumes > Volume Information) and paint again"
        )
    if np.allclose(spacing[::-1], step, rtol=1e-3):
        return "x and z changed places? voxel_size_nm is in z, y, x"
    return "correct voxel_size_nm, or export the mask on the grid of the image"


def _whole(offset: np.ndarray, grid: Grid, origin: np.ndarray, path) -> np.ndarray:
    start = np.rint(offset).astype(int)
    off = offset - start
    if np.abs(off).max() <= OFFSET_TOLERANCE:
        return start
    if np.all((np.abs(off) <= OFFSET_TOLERANCE) | (np.abs(off) >= 0.5 - OFFSET_TOLERANCE)):
        raise InputError(
            f"{path}: half a voxel off: node/cell centering differs (first voxel centre "
            f"{_by(grid.first_centre, ', ')} in the file, {_by(origin, ', ')} in the stack, x y z, "
            f"nm; offset {_by(offset, ', ')} voxels); write 'space origin' as the centre of the "
            "first voxel"
        )
    raise InputError(
        f"{path}: lies {_by(offset, ', ')} voxels (x y z) into the stack, expected whole numbers; "
        "resampled or moved with the Transform tool? Export it on the grid of the image"
    )


def _by(values, separator: str = " x ") -> str:
    return separator.join(f"{v:.6g}" for v in values)
