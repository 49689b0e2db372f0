"""What one annotation file says: its place, its classes, and what in it a person has reviewed."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.grids import Placement, place
from blockface.nrrd_data import release
from blockface.rounds import (
    BOX,
    REGIONS,
    Box,
    by,
    class_of_name,
    intersection,
    read_regions,
    runs,
)
from blockface.seg3d import read_mask
from blockface.tiff_labels import TiffStack

log = logging.getLogger(__name__)

GREY_VALUES = 64  # more distinct values than that are an image, not a segmentation
PIECE_VOXELS = 2**24


@dataclass(frozen=True)
class Reference:
    """The stack that annotations belong to; z, y, x; ``origin_nm`` of the first voxel's centre."""

    shape: tuple[int, int, int]
    voxel_size_nm: tuple[float, float, float]
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scratch: str | None = None


@dataclass
class AnnotationFile:
    """One mask or label map: what its values mean and which boxes of the stack it speaks for."""

    path: Path
    name: str
    kind: str  # mask or labels
    meaning: dict[int, int]  # value in the file -> class
    classes: tuple[int, ...]  # those it speaks for
    placement: Placement
    painted: np.ndarray  # voxels of any class in each slice of the file
    boxes: list[Box] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    listed: bool = False  # in regions.tsv
    reviewed_voxels: int = 0
    painted_voxels: int = 0
    _view: object = None

    @property
    def extent(self) -> Box:
        """What of the stack the file covers."""
        ends = zip(self.placement.offset, self.placement.shape, strict=True)
        return tuple(v for o, n in ends for v in (o, o + n))

    def labels(self, z: int, reference: Reference) -> np.ndarray:
        """Classes (uint8, 0 nothing) of slice ``z`` of the stack, over the file's y and x."""
        if self._view is None:
            self._view = _open(self.path, reference, self.placement)[0]
        values = self._view[z - self.placement.offset[0]]
        out = np.zeros(values.shape, np.uint8)
        for value, meant in self.meaning.items():
            out[values == value] = meant
        release(self._view)
        return out

    def close(self) -> None:
        """Let go of the voxels."""
        self._view = None


def _open(path: Path, reference: Reference, placement: Placement | None = None):
    """The file's voxels in the stack's orientation, and where they lie; None for a TIFF crop."""
    if path.suffix.lower() == ".nrrd":
        mask = read_mask(path, reference.scratch)
        if placement is None:
            placement = place(
                mask.grid,
                reference.shape,
                reference.voxel_size_nm,
                origin_nm=reference.origin_nm,
                path=path,
            )
        return placement.view(mask.array), placement
    stack = TiffStack(path, reference.voxel_size_nm)
    if placement is None and stack.shape == tuple(reference.shape):
        placement = Placement((0, 0, 0), stack.shape, (0, 1, 2), (False,) * 3, stack.note)
    return stack, placement


def read_bundle(
    paths: list[Path], name_from: Path, classes: dict[int, str], reference: Reference, first: bool
) -> list[AnnotationFile]:
    """The files of one folder, with what they speak for.

    Names are told relative to ``name_from``. ``first`` says that this is round 00, where a class
    cannot be absent everywhere.
    """
    regions = read_regions(paths, reference.shape)
    files = [_read_file(p, name_from, classes, reference, regions) for p in paths]
    whole = np.zeros(reference.shape[0], np.int64)
    for file in files:
        if file.placement.shape == tuple(reference.shape) and not file.listed:
            whole += file.painted
    for file in files:
        if file.placement.shape == tuple(reference.shape) and not file.listed:
            file.boxes = [
                (a, b, 0, reference.shape[1], 0, reference.shape[2])
                for a, b in runs(np.flatnonzero(whole))
            ]
        elif not file.listed:
            file.boxes = [file.extent]
    _refuse_empty(files, reference, first)
    _refuse_twice(files, classes)
    missing = [n for c, n in classes.items() if not any(c in f.classes for f in files)]
    if missing:
        note = f"no file for {', '.join(missing)}: unpainted voxels stay unknown"
        log.warning("%s: %s", paths[0].parent, note)
        for file in files:
            file.notes.append(note)
    return files


def _read_file(path, name_from, classes, reference, regions) -> AnnotationFile:
    view, placement = _open(path, reference)
    rows = [box for name, box in regions if name in ("*", path.name)]
    if placement is None:
        own = [box for name, box in regions if name == path.name] or rows
        fitting = [b for b in own if (b[1] - b[0], b[3] - b[2], b[5] - b[4]) == view.shape]
        if len(fitting) != 1:
            raise InputError(
                f"{path}: {by(view.shape)} voxels (z y x) against {by(reference.shape)} of the "
                f"stack; exported from another volume? If it is a part of it, say in {REGIONS} "
                f"beside it where it lies ({', '.join(('file', *BOX))})"
            )
        placement = Placement(fitting[0][::2], view.shape, (0, 1, 2), (False,) * 3)
        rows = fitting
    counts, painted = _census(view)
    kind, meaning, spoken, notes = _meaning(path, counts, classes)
    file = AnnotationFile(
        path,
        path.relative_to(name_from).as_posix(),
        kind,
        meaning,
        spoken,
        placement,
        painted,
        notes=notes + ([placement.note] if placement.note else []),
        listed=bool(rows),
    )
    if placement.note:
        log.warning("%s: %s", path, placement.note)
    file.boxes = [cut for box in rows if (cut := intersection(box, file.extent))]
    if rows and not file.boxes:
        raise InputError(f"{path}: none of its regions in {REGIONS} lies inside the file")
    return file


def _census(view) -> tuple[dict[int, int], np.ndarray]:
    """Voxels of each value, and painted (non-zero) voxels of each slice."""
    counts: dict[int, int] = {}
    depth = max(1, PIECE_VOXELS // (view.shape[1] * view.shape[2]))
    painted = np.zeros(view.shape[0], np.int64)
    for z in range(0, view.shape[0], depth):
        block = view[z : z + depth]
        painted[z : z + depth] = np.count_nonzero(block, axis=(1, 2))
        if block.dtype.itemsize == 1 and painted[z : z + depth].sum() == 0:
            values, n = [0], [block.size]
        else:
            values, n = np.unique(block, return_counts=True)
        for value, count in zip(values, n, strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
        release(view)
        if len(counts) > 2**16:
            break
    return counts, painted


def _meaning(path: Path, counts: dict[int, int], classes: dict[int, str]):
    """Kind of a file, class of each of its values, the classes it speaks for, and notes."""
    values, own = sorted(counts), class_of_name(path.stem, classes, path)
    if "label" in path.stem.lower() and own and "label" not in classes[own].lower():
        own = None
    if len(values) > GREY_VALUES:
        raise InputError(
            f"{path}: looks like an image ({len(values)} different values, {values[0]} to "
            f"{values[-1]}); expected a mask or a label map; remove it from the round"
        )
    listing = ", ".join(f"{v} ({counts[v]} voxels)" for v in values)
    binary = [v for v in values if v] in ([], [1], [255])
    if own is not None:
        if not binary:
            raise InputError(
                f"{path}: named after the class {classes[own]} but holds the values {listing}; "
                "expected 0 and 1; if it is a label map put 'labels' into its name instead"
            )
        notes = ["values 0 and 255 taken as 0 and 1"] if 255 in values else []
        if 0 not in values:
            notes.append("every voxel is painted; inverted?")
            log.warning("%s: every voxel is painted; is the mask inverted?", path)
        return "mask", {v: own for v in values if v}, (own,), notes
    if binary and "label" not in path.stem.lower():
        raise InputError(
            f"{path}: a mask whose name is none of the classes {', '.join(classes.values())}; "
            "rename it <class>.nrrd or <anything>_<class>.nrrd, or, if it is a label map, put "
            "'labels' into its name"
        )
    if unknown := [v for v in values if v and v not in classes]:
        raise InputError(
            f"{path}: values {listing}; without a class: {', '.join(map(str, unknown))}; name "
            "them in datasets.<name>.classes or correct the file"
        )
    if 0 not in values:
        raise InputError(
            f"{path}: values {listing}; 0 for the background is absent; which one is background? "
            "Export again with background 0, or one mask per class"
        )
    return "labels", {v: v for v in values if v}, tuple(classes), []


def _refuse_empty(files: list[AnnotationFile], reference: Reference, first: bool) -> None:
    for file in files:
        if file.painted.any() or file.listed:
            continue
        if file.placement.shape == tuple(reference.shape):
            raise InputError(
                f"{file.path}: an empty mask over the whole stack says nothing; paint in it, "
                f"remove it, or say in {REGIONS} beside it where the class is absent"
            )
        if first and not any(other.painted.any() for other in files):
            raise InputError(
                f"{file.path}: an empty mask, and nothing is painted in the other files of its "
                f"folder; if nothing is there, say so in {REGIONS} beside it"
            )


def _refuse_twice(files: list[AnnotationFile], classes: dict[int, str]) -> None:
    masks = [f for f in files if f.kind == "mask"]
    for i, one in enumerate(masks):
        for two in masks[i + 1 :]:
            if one.classes == two.classes and intersection(one.extent, two.extent):
                raise InputError(
                    f"{one.path}: a second file for the class {classes[one.classes[0]]} of the "
                    f"same place: {two.path.name}; keep one of them"
                )
