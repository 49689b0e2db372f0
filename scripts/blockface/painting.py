"""Bundles of annotations painted, one over the other, into a volume of labels."""

import numpy as np

from blockface.annotation_files import AnnotationFile, Bundle
from blockface.clashes import TWO_CLASSES, TWO_FOLDERS, WITH_BACKGROUND, Clashes
from blockface.priority import Priority, shared
from blockface.reviewed import Codes
from blockface.scores import UNKNOWN
from blockface.volume import row_depth

NO_ROUND = 255
CONTEXT = 128  # added to the round of what was changed in a slice of context


def paint(
    bundles: list[Bundle],
    classes: dict[int, str],
    shape,
    stores,
    held_out,
    folder,
    priority: Priority,
) -> tuple[list[int], list[int], Codes]:
    """Write the labels of all bundles, row by row; gives the slices of which a part was reviewed.

    Then those of which anything is known: in some only voxels of a context were changed. And the
    codes of voxels that were reviewed for some classes only (blockface.reviewed).
    ``folder`` is where the bundles lie; ``stores`` are the volumes of labels and of rounds, the
    latter may be None, has `CONTEXT` added where voxels of a context were changed; ``shape`` is
    theirs. In the set ``held_out`` of slices such changes are left out. What two masks of one
    bundle hold goes by ``priority``.

    Raises
    ------
    InputError
        Files of one bundle, or bundles of one round, contradict each other.
    """
    depth, (n, *plane) = row_depth(shape), shape
    clashes, known, seen, codes = Clashes(), [], [], Codes(classes)
    for start in range(0, n, depth):
        row = slice(start, min(start + depth, n))
        touched = [
            (b, [f for f in b.files if any(_meets(box, row) for box in f.boxes)]) for b in bundles
        ]
        if not any(files for _, files in touched):
            continue
        labels = np.full((row.stop - row.start, *plane), UNKNOWN, np.uint8)
        origin = np.full_like(labels, NO_ROUND)
        for z in range(row.start, row.stop):
            here = Slice(z, labels[z - start], origin[z - start], z in held_out)
            for bundle, files in sorted(
                touched, key=lambda t: (t[0].number, not t[0].is_context(z))
            ):
                _paint_slice(files, bundle.number, here, codes, clashes, priority)
            said = here.labels != UNKNOWN
            if said.any():
                seen.append(z)
            if (said & ~here.context).any():
                known.append(z)
            here.rounds[here.context] += CONTEXT
        for _, files in touched:
            for file in files:
                if not any(box[1] > row.stop for box in file.boxes):
                    file.close()
        for store, values in zip(stores, (labels, origin), strict=True):
            if store is not None:
                store[row] = values
    clashes.refuse(folder)
    return known, seen, codes


def _meets(box, row: slice) -> bool:
    return box[0] < row.stop and row.start < box[1]


class Slice:
    """One slice while it is painted: ``labels``, which of ``rounds`` said so, what is context."""

    def __init__(self, z: int, labels: np.ndarray, rounds: np.ndarray, held_out: bool):
        self.z, self.labels, self.rounds, self.held_out = z, labels, rounds, held_out
        self.context = np.zeros(labels.shape, bool)  # said by changes in a slice of context


def _paint_slice(
    files, number: int, here: Slice, codes: Codes, clashes: Clashes, priority: Priority
) -> None:
    """Let the files of one bundle speak for a slice; ``here`` is changed."""
    z = here.z
    in_context = any(f.is_context(z) for f in files)
    active = [(f, [b for b in f.boxes if b[0] <= z < b[1]]) for f in files]
    boxes = [b for _, found in active for b in found]
    if not boxes or (in_context and here.held_out):
        return
    y0, x0 = min(b[2] for b in boxes), min(b[4] for b in boxes)
    y1, x1 = max(b[3] for b in boxes), max(b[5] for b in boxes)
    painted = np.zeros((y1 - y0, x1 - x0), np.uint8)
    both, nothing = np.zeros(painted.shape, bool), np.zeros(painted.shape, bool)
    covered = {c: np.zeros(painted.shape, bool) for c in sorted(codes.classes)}
    for file, region, paint in _reviewed(active, z, (y0, x0), painted.shape, priority):
        both |= priority.undecided(painted, paint)
        file.shared_voxels += int(np.count_nonzero(shared(painted, paint)))
        painted = priority.merge(painted, paint)
        if file.background:  # then painted as such
            nothing |= region & (paint == 0)
        for c in file.classes:
            covered[c] |= region
        file.reviewed_voxels += int(region.sum())
        file.painted_voxels += int(np.count_nonzero(paint))
    both &= ~priority.named(painted)  # a third one may go before the two
    if both.any():
        clashes.note(TWO_CLASSES, [f.name for f in files], both, z, y0, x0)
    if (nothing & (painted > 0)).any():
        clashes.note(WITH_BACKGROUND, [f.name for f in files], nothing & (painted > 0), z, y0, x0)
    labels, rounds, context = (a[y0:y1, x0:x1] for a in (here.labels, here.rounds, here.context))
    whole = np.logical_and.reduce(list(covered.values()))
    says = whole | (painted > 0)
    absent = {c: where & ~says for c, where in covered.items()}
    before = labels.copy()
    codes.exclude(labels, absent)
    both = says & codes.contradicted(before, painted)
    both |= np.logical_or.reduce([where & (before == c) for c, where in absent.items()])
    both &= rounds == number
    if not in_context:
        both &= ~context  # who was asked about the slice has the last word
    if both.any():
        clashes.note(TWO_FOLDERS, [f.name for f in files], both, z, y0, x0)
    labels[says] = painted[says]
    said = says | (labels != before)
    rounds[said], context[said] = number, in_context


def _reviewed(
    active, z: int, corner, shape, priority: Priority
) -> list[tuple[AnnotationFile, np.ndarray, np.ndarray]]:
    """Each file with what of slice ``z`` it speaks for, and its labels there.

    In a slice that was handed out as context that is where the files, together and by ``priority``,
    differ from what was predicted.
    """
    said = []
    for file, boxes in active:
        if boxes:
            region = np.zeros(shape, bool)
            for b in boxes:
                region[b[2] - corner[0] : b[3] - corner[0], b[4] - corner[1] : b[5] - corner[1]] = 1
            region &= file.looked_at(z, corner, shape)
            said.append((file, region, np.where(region, file.labels(z, corner, shape), 0)))
    context = [entry for entry in said if entry[0].is_context(z)]
    before, after = np.zeros((2, *shape), np.uint8)
    for file, region, paint in context:
        before = np.maximum(before, np.where(region, file.handed_out(z, corner, shape), 0))
        after = priority.merge(after, paint)
    changed = before != after
    for _, region, paint in context:
        region &= changed
        paint[~region] = 0
    return said
