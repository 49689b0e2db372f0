"""Any annotation file as layers: a name, voxels (z, y, x), and where they lie in the stack.

A plain mask or label map is one layer; a Seg3D project and a Slicer segmentation are several.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.formats.ngff import is_zarr
from blockface.frames import Frame, both_hands, in_voxels, place_first
from blockface.grids import Grid, Placement
from blockface.label_stacks import tiff_labels, zarr_labels
from blockface.nifti_labels import nifti_labels
from blockface.nrrd_data import release
from blockface.seg3d import read_mask
from blockface.seg3d_project import block_of, group_grid, is_project, plane, read_session
from blockface.slicer import slicer_segments
from blockface.tables import read_table

SESSIONS = "sessions.tsv"
ENDINGS = (".seg.nrrd", ".nrrd", ".nii.gz", ".nii", ".tif", ".tiff")


@dataclass(frozen=True)
class Reference:
    """The stack that annotations belong to; z, y, x; ``origin_nm`` of the first voxel's centre.

    Numbers of masks may be of two kinds: those of our exports, in nm from the first voxel, and
    those of the file that the stack was read from, ``world``.
    """

    shape: tuple[int, int, int]
    voxel_size_nm: tuple[float, float, float]
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scratch: str | None = None
    world: Grid | None = None  # where the stack's own file says its voxels lie
    background: int = 0  # its value in label maps


@dataclass(frozen=True)
class Layer:
    """Voxels of one mask or label map, and the frames in which the file may mean their place.

    ``pick``, if given, makes the mask out of stored values: a bit plane, or one label. No
    ``frames``: the file does not tell a place. ``cut_to_paint``: what lies beyond was not painted,
    on an image of ``painted_on`` voxels, if the file tells.
    """

    name: str
    stored: object
    frames: tuple[Frame, ...] = ()
    pick: Callable[[np.ndarray], np.ndarray] | None = None
    note: str = ""
    cut_to_paint: bool = False
    painted_on: tuple[int, int, int] | None = None

    def place(self, reference: Reference, path: Path) -> Placement | None:
        """Where in the stack the layer lies; None if only something beside the file can tell."""
        if self.painted_on and sorted(self.painted_on) == sorted(reference.shape):
            counted = [f for f in self.frames if np.allclose(f.grid.spacing, 1)]
            if counted and not np.allclose(reference.voxel_size_nm, 1):
                frames = [in_voxels(f, reference.voxel_size_nm) for f in counted]
                return place_first(frames, replace(reference, world=None), path)
        if self.frames:
            return place_first(list(self.frames), reference, path)
        if tuple(self.stored.shape) == tuple(reference.shape):
            return Placement((0, 0, 0), tuple(self.stored.shape), (0, 1, 2), (False,) * 3, "")
        return None

    def view(self, placement: Placement | None) -> "View":
        """The layer in the orientation of the stack, for reading slice by slice."""
        turn = isinstance(self.stored, np.ndarray) and placement is not None
        return View(placement.view(self.stored) if turn else self.stored, self.pick)


@dataclass
class View:
    """Slices ``view[z]`` and runs of slices ``view[a:b]`` of a layer, made when asked for."""

    stored: object
    pick: Callable | None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels in z, y, x."""
        return tuple(self.stored.shape)

    def __getitem__(self, index) -> np.ndarray:
        values = self.stored[index]
        return values if self.pick is None else self.pick(values)

    def release(self) -> None:
        """Give back the memory of mapped voxels; they can still be read."""
        release(self.stored)


class Source:
    """One annotation file or folder whose layers share what was read; opened when needed."""

    def __init__(self, path: Path, reference: Reference):
        self.path, self.reference, self._layers = path, reference, None

    @property
    def layers(self) -> list[Layer]:
        """The layers of the file."""
        if self._layers is None:
            self._layers = open_layers(self.path, self.reference)
        return self._layers

    @property
    def several(self) -> bool:
        """Whether the file holds named layers, so that its own name says no class."""
        return (self.path.is_dir() and not is_zarr(self.path)) or ending(self.path) == ".seg.nrrd"

    def close(self) -> None:
        """Let go of the voxels."""
        self._layers = None


def ending(path: Path) -> str:
    """Which of the known endings the name of ``path`` has, or its suffix."""
    name = path.name.lower()
    return next((e for e in ENDINGS if name.endswith(e)), path.suffix.lower())


def stem(path: Path) -> str:
    """Name of ``path`` without its ending."""
    return path.name[: -len(ending(path)) or None]


def is_annotation(path: Path) -> bool:
    """Whether ``path`` is a file or folder that ``open_layers`` reads."""
    if path.is_dir():
        return is_project(path) or is_zarr(path)
    return ending(path) in ENDINGS


def open_layers(path: Path, reference: Reference) -> list[Layer]:
    """Layers of the annotation at ``path``: file, zarr folder or project folder.

    Raises
    ------
    InputError
        Not whole, or not what its name promises.
    """
    scratch = reference.scratch
    if path.is_dir() and is_project(path):
        return _project(path, scratch)
    if path.is_dir():
        stack, grid = zarr_labels(path, reference.voxel_size_nm)
        frames = (Frame(grid),) if grid else ()
        return [Layer(path.name.removesuffix(".zarr"), stack, frames, note=stack.note)]
    kind = ending(path)
    if kind == ".seg.nrrd":
        segments, frames, below = slicer_segments(path, scratch)
        cut = {"cut_to_paint": True, "painted_on": below}
        return [
            Layer(s.name, s.layer, tuple(frames), partial(_equal, s.value), **cut) for s in segments
        ]
    if kind == ".nrrd":
        mask = read_mask(path, scratch)
        hand = mask.grid.hand  # that of Slicer; Seg3D tells none
        frames = both_hands(mask.grid, 1.0, hand) if hand else [Frame(mask.grid)]
        return [Layer(stem(path), mask.array, tuple(frames))]
    if kind in (".nii", ".nii.gz"):
        array, frames = nifti_labels(path, scratch)
        return [Layer(stem(path), array, tuple(frames))]
    stack = tiff_labels(path, reference.voxel_size_nm)
    return [Layer(stem(path), stack, note=stack.note)]


def _equal(value: int, voxels: np.ndarray) -> np.ndarray:
    return (voxels == value).astype(np.uint8)


def _project(path: Path, scratch) -> list[Layer]:
    """Masks of the project's newest session, or of the one named in sessions.tsv beside it."""
    session = read_session(path, _session_named(path))
    blocks: dict[Path, np.ndarray] = {}
    grids = {mask.group: None for mask in session.masks}
    layers = []
    for mask in session.masks:
        if not mask.file.is_file():
            layers.append(Layer(mask.name, Missing(mask, path)))
            continue
        if mask.file not in blocks:
            block = read_mask(mask.file, scratch).array
            if block.dtype != np.uint8:
                raise InputError(
                    f"{mask.file}: values of type {block.dtype} hold the mask {mask.name}; "
                    "expected unsigned char; copy the whole project folder again"
                )
            blocks[mask.file] = block
        grids[mask.group] = grids[mask.group] or group_grid(session, mask.group)
        bits = partial(plane, bit=mask.bit)
        frames = (Frame(grids[mask.group]),)
        layers.append(Layer(mask.name, blocks[mask.file], frames, bits, str(session)))
    return layers


class Missing:
    """Stands for the voxels of a mask whose block is not there: an error once they are asked."""

    def __init__(self, mask, folder: Path):
        self.mask, self.folder = mask, folder

    @property
    def shape(self):
        """Not known: says which file is missing."""
        block_of(self.mask, self.folder)


def _session_named(path: Path) -> int | None:
    table = path.parent / SESSIONS
    if not table.is_file():
        return None
    frame = read_table(table, ("project", "session"))
    rows = frame[frame["project"].astype(str).isin([path.name, "*"])]
    if len(rows) > 1:
        raise InputError(f"{table}: {len(rows)} lines for {path.name}; expected one")
    told = rows["session"].iloc[0] if len(rows) else None
    try:
        return None if told is None else int(told)
    except (TypeError, ValueError):
        raise InputError(f"{table}: session {told} for {path.name}; expected a number") from None
