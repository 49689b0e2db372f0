"""What one annotation file says: its place, its classes, and what in it a person has reviewed."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blockface.annotation_checks import (
    note_absent,
    note_unknown_image,
    note_unpainted,
    refuse_alone,
    refuse_elsewhere,
    refuse_empty,
    refuse_other_size,
    refuse_twice,
)
from blockface.annotation_places import by_slice, place, placed_by_hand, reach
from blockface.errors import InputError
from blockface.grids import Placement
from blockface.label_meaning import layer_meaning, meaning_of
from blockface.layers import Reference, Source, View
from blockface.predicted import Prediction, prediction_beside
from blockface.rounds import REGIONS, Box, intersection, of_a_bundle, read_regions, runs

log = logging.getLogger(__name__)

PIECE_VOXELS = 2**24


@dataclass
class AnnotationFile:
    """One mask or label map: what its values mean and which boxes of the stack it speaks for."""

    path: Path
    name: str
    layer: str  # "", unless the file holds several
    kind: str  # mask or labels
    meaning: dict[int, int]  # value in the file -> class
    classes: tuple[int, ...]  # those it speaks for
    placement: Placement
    painted: np.ndarray  # voxels of any value but 0 in each slice of the file
    of_classes: int  # voxels of its classes in all
    source: Source
    index: int  # of the layer in its file
    background: int = 0  # its value; if not 0, voxels of value 0 were not looked at
    boxes: list[Box] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    listed: bool = False  # in regions.tsv
    predicted: Prediction | None = None  # what was handed out, if the file lies inside that
    reach: Box = (0,) * 6  # what it speaks for: its extent, or more where it was cut to the paint
    by_slice: bool = False  # of the whole stack: slices with paint count as reviewed
    reviewed_voxels: int = 0
    painted_voxels: int = 0
    shared_voxels: int = 0  # painted that another mask of the folder holds as another class
    _view: View | None = None

    @property
    def told(self) -> str:
        """How messages name it."""
        return f"{self.path}: {self.layer}" if self.layer else str(self.path)

    @property
    def extent(self) -> Box:
        """What of the stack the file covers."""
        ends = zip(self.placement.offset, self.placement.shape, strict=True)
        return tuple(v for o, n in ends for v in (o, o + n))

    def painted_in(self, depth: int) -> np.ndarray:
        """Painted voxels in each slice of a stack of ``depth``."""
        first = self.placement.offset[0]
        return np.pad(self.painted, (first, depth - first - len(self.painted)))

    def is_context(self, z: int) -> bool:
        """Whether slice ``z`` was handed out as context, where only changed voxels count."""
        return self.predicted is not None and not self.listed and z != self.predicted.z

    def labels(self, z: int, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Classes (uint8, 0 nothing) in slice ``z``, over ``shape`` (y, x) voxels from ``corner``.

        Voxels that the file does not reach are 0.
        """
        return self._read(z, corner, shape, self.meaning)

    def looked_at(self, z: int, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Where in slice ``z``, as in ``labels``, the values say anything."""
        if not self.background:
            return np.ones(shape, bool)
        told = dict.fromkeys((*self.meaning, self.background), 1)
        return self._read(z, corner, shape, told) > 0

    def _read(self, z: int, corner, shape, meaning: dict[int, int]) -> np.ndarray:
        """What the values in slice ``z`` mean, uint8; 0 where they mean nothing."""
        if self._view is None:
            self._view = self.source.layers[self.index].view(self.placement)
        out, inside = np.zeros(shape, np.uint8), z - self.placement.offset[0]
        if not 0 <= inside < self.placement.shape[0]:
            return out
        values = self._view[inside]
        y, x = (o - c for o, c in zip(self.placement.offset[1:], corner, strict=True))
        rows, columns = (
            slice(max(0, start), max(0, min(n, start + size)))
            for start, n, size in zip((y, x), shape, values.shape, strict=True)
        )
        here = values[rows.start - y : rows.stop - y, columns.start - x : columns.stop - x]
        for value, meant in meaning.items():
            out[rows, columns][here == value] = meant
        self._view.release()
        return out

    def speaks_for(self, z: int, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """Where in slice ``z``, over ``shape`` (y, x) voxels from ``corner``, the file reaches."""
        out = np.zeros(shape, bool)
        z0, z1, y0, y1, x0, x1 = self.reach
        if z0 <= z < z1:
            y, x = corner
            out[max(0, y0 - y) : max(0, y1 - y), max(0, x0 - x) : max(0, x1 - x)] = True
        return out & self.looked_at(z, corner, shape)

    def handed_out(self, z: int, corner: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """What was predicted there of the classes that the file speaks for."""
        labels = self.predicted.over(z, corner, shape)
        labels[~np.isin(labels, self.classes)] = 0
        return labels

    def close(self) -> None:
        """Let go of the voxels."""
        self._view = None
        self.source.close()


@dataclass
class Bundle:
    """The annotation files of one folder of a round, and what was handed out for it, if known."""

    number: int
    folder: Path
    name: str
    files: list[AnnotationFile]
    predicted: Prediction | None = None

    def is_context(self, z: int) -> bool:
        """Whether slice ``z`` was handed out as context."""
        return any(file.is_context(z) for file in self.files)

    def close(self) -> None:
        """Let go of the voxels."""
        for file in self.files:
            file.close()


def read_bundle(
    paths: list[Path], name_from: Path, classes: dict[int, str], reference: Reference, number: int
) -> Bundle:
    """The files of one folder of round ``number``, with what they speak for.

    Names are told relative to ``name_from``. In round 00 a class cannot be absent everywhere.
    """
    folder = paths[0].parent
    regions = read_regions(paths, reference.shape)
    predicted = prediction_beside(folder, classes, reference.shape)
    files = [
        file
        for p in paths
        for file in _read_file(p, name_from, classes, reference, regions, predicted)
    ]
    free = [f for f in files if not f.listed]
    depth, height, width = reference.shape
    whole = [f for f in free if f.by_slice and not f.background]
    painted = np.flatnonzero(sum(f.painted_in(depth) for f in whole)) if whole else []
    for file in free:
        file.boxes = [file.reach]
        if file.by_slice:  # one whose 0 was not looked at says nothing of the slices of others
            slices = np.flatnonzero(file.painted_in(depth)) if file.background else painted
            file.boxes = [(*ends, 0, height, 0, width) for ends in runs(slices)]
    note_absent(whole, classes, painted, depth)
    if predicted is None and (number or of_a_bundle(folder)):
        refuse_alone(files, reference)
    refuse_empty(files, number == 0)
    refuse_other_size(files, reference)
    refuse_twice(files, classes)
    missing = [n for c, n in classes.items() if not any(c in f.classes for f in files)]
    if missing:
        note = f"no file for {', '.join(missing)}: whether it is in unpainted voxels stays unknown"
        log.warning("%s: %s", folder, note)
        for file in files:
            file.notes.append(note)
    return Bundle(number, folder, folder.relative_to(name_from).as_posix(), files, predicted)


def _read_file(path, name_from, classes, reference, regions, predicted) -> list[AnnotationFile]:
    """The layers of a file that hold a class; the others of a project are told as left out."""
    source = Source(path, reference)
    found, left_out, untold = [], [], []
    for index, layer in enumerate(source.layers):
        meaning = layer_meaning(layer.name, classes, path) if source.several else None
        if source.several and meaning is None:
            left_out.append(layer.name)
            continue
        rows = [box for name, box in regions if name in ("*", path.name)]
        placement = place(layer, path, reference, predicted)
        if placement is None:
            placement, rows = placed_by_hand(path, layer, reference, regions, rows, predicted)
        view = layer.view(placement)
        counts, painted = _census(view)
        kind, values, spoken, notes = meaning or meaning_of(
            path, layer.name, counts, classes, reference.background
        )
        name = path.relative_to(name_from).as_posix()
        file = AnnotationFile(
            path,
            f"{name}:{layer.name}" if source.several else name,
            layer.name if source.several else "",
            kind,
            values,
            spoken,
            placement,
            painted,
            sum(counts[value] for value in values if value in counts),
            source,
            index,
            background=reference.background if kind == "labels" else 0,
            notes=notes + [n for n in (layer.note, placement.note) if n],
            listed=bool(rows),
        )
        if placement.note:
            log.warning("%s: %s", path, placement.note)
        if predicted and predicted.holds(placement):
            file.predicted = predicted
        elif predicted:
            refuse_elsewhere(file, predicted)
        file.reach, file.by_slice = reach(file, layer, reference), by_slice(file, layer, reference)
        file.boxes = [cut for box in rows if (cut := intersection(box, file.reach))]
        if rows and not file.boxes:
            raise InputError(f"{path}: none of its regions in {REGIONS} lies inside the file")
        note_unpainted(file, reference)
        found.append(file)
        if file.by_slice and layer.cut_to_paint and not layer.painted_on:
            untold.append(file)
    note_unknown_image(untold)
    _tell_left_out(path, found, left_out, classes)
    source.close()
    return found


def _tell_left_out(path, found, left_out: list[str], classes: dict[int, str]) -> None:
    if not left_out:
        return
    if not found:
        raise InputError(
            f"{path}: layers {', '.join(left_out)}; none is named after one of the classes "
            f"{', '.join(classes.values())}; rename them and save again"
        )
    note = f"layers of no class left out: {', '.join(left_out)}"
    log.warning("%s: %s", path, note)
    found[0].notes.append(note)


def _census(view: View) -> tuple[dict[int, int], np.ndarray]:
    """Voxels of each value, and painted (non-zero) voxels of each slice."""
    counts: dict[int, int] = {}
    depth = max(1, PIECE_VOXELS // (view.shape[1] * view.shape[2]))
    painted = np.zeros(view.shape[0], np.int64)
    for z in range(0, view.shape[0], depth):
        block = view[z : z + depth]
        painted[z : z + depth] = np.count_nonzero(block, axis=(1, 2))
        if block.dtype in (np.uint8, bool):
            n = np.bincount(block.view(np.uint8).ravel(), minlength=256)
            values, n = np.flatnonzero(n), n[n > 0]
        else:
            values, n = np.unique(block, return_counts=True)
        for value, count in zip(values, n, strict=True):
            counts[int(value)] = counts.get(int(value), 0) + int(count)
        view.release()
        if len(counts) > 2**16:
            break
    return counts, painted
