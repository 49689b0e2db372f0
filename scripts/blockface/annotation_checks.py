"""What the files of one folder must not be: empty without a word, or two for one class."""

import logging
import re

import numpy as np

from blockface.errors import InputError
from blockface.layers import Reference
from blockface.predicted import FILE
from blockface.rounds import REGIONS, by, intersection

log = logging.getLogger(__name__)


def refuse_empty(files: list, first: bool) -> None:
    """Raise InputError where an empty mask (an `AnnotationFile`) leaves open what was reviewed."""
    for file in files:
        if file.painted.any() or file.listed:
            continue
        if file.by_slice:
            raise InputError(
                f"{file.told}: an empty mask over the whole stack says nothing; paint in it, "
                f"remove it, or say in {REGIONS} beside it where the class is absent"
            )
        if first and not file.predicted and not any(f.painted.any() for f in files):
            raise InputError(
                f"{file.path}: an empty mask, and nothing is painted in the other files of its "
                f"folder; if nothing is there, say so in {REGIONS} beside it"
            )


def note_unknown_image(layers: list) -> None:
    """Warn of a file's ``layers`` (`AnnotationFile`) cut to their paint, on an image not told."""
    note = (
        "does not tell on which image it was painted; taken as painted on the whole stack, so "
        f"slices with paint count as reviewed; if not so, say in {REGIONS} beside it what was"
    )
    if layers:
        log.warning("%s: %s", layers[0].path, note)
    for layer in layers:
        layer.notes.append(note)


def note_unpainted(file, reference: Reference) -> None:
    """Warn of a crop (an `AnnotationFile`) as deep as the stack, painted in some slices only.

    A crop counts as reviewed whole; a mask of another, narrower stack looks just the same.
    """
    bare = file.painted.size - int((file.painted > 0).sum())
    deep = file.placement.shape[0] == reference.shape[0] > 1
    if file.by_slice or file.background or not deep or not bare or file.listed or file.predicted:
        return
    note = (
        f"a crop through all {reference.shape[0]} slices of the stack; {bare} without paint count "
        f"as reviewed; if they are not, say in {REGIONS} beside it what is"
    )
    log.warning("%s: %s", file.path, note)
    file.notes.append(note)


def refuse_other_size(files: list, reference: Reference) -> None:
    """Raise InputError for masks (each an `AnnotationFile`) that look like another stack's.

    They begin where the stack does and have its depth or its plane, but not its size. As a crop
    they would count as reviewed whole, and their slices without paint as background.
    """
    stack = tuple(reference.shape)
    for file in files:
        size, corner = tuple(file.placement.shape), tuple(file.placement.offset)
        if file.by_slice or file.background or any(corner) or file.listed or file.predicted:
            continue
        beside = [f.painted for f in files if tuple(f.placement.shape) == size]
        bare = int((sum(beside) == 0).sum())
        if bare and (size[0] == stack[0] or size[1:] == stack[1:]):
            raise InputError(
                f"{file.path}: {by(size)} voxels (z y x) against {by(stack)} of the stack, from "
                f"its first voxel on, and {bare} slices without paint; exported from another "
                f"volume? If it is a part of this one, say in {REGIONS} beside it what was reviewed"
            )


def refuse_alone(files: list, reference: Reference) -> None:
    """Raise InputError for masks of a place handed out that came back without its prediction.

    Its slices of context would count as reviewed.
    """
    for file in files:
        names = file.path.name, file.layer
        named = next((m for n in names if (m := re.match(r"z(\d{4,})[_.]", n))), None)
        first, slices = file.extent[0], file.placement.shape[0]
        cut = file.by_slice and slices < reference.shape[0]  # to its paint, in whatever slices
        if file.listed or named is None or (slices in (1, reference.shape[0]) and not cut):
            continue
        if first <= int(named[1]) < first + slices:
            raise InputError(
                f"{file.told}: named like a place handed out for correction, with {slices} slices, "
                f"but without {FILE} beside it, which tells the slice meant from its context; copy "
                f"the whole folder of the place, or say in {REGIONS} beside it what was reviewed"
            )


def note_absent(files: list, classes: dict[int, str], slices, depth: int) -> None:
    """Tell of the masks (each an `AnnotationFile`) that are unpainted in some of ``slices``.

    ``depth`` is that of the stack. Of whole stacks any paint in the folder makes a slice reviewed
    for all of its classes. Where each of two masks lacks slices of the other, that may not be what
    was meant: a warning.
    """
    whole = [f for f in files if f.kind == "mask" and not f.listed]
    slices = np.asarray(slices, int)
    bare = {id(f): set(slices[f.painted_in(depth)[slices] == 0].tolist()) for f in whole}
    for file in whole:
        missing = bare[id(file)]
        if not missing:
            continue
        count, first = len(missing), ", ".join(map(str, sorted(missing)[:5]))
        note = (
            f"no {classes[file.classes[0]]} in {count} slice{'s' * (count > 1)} "
            f"({first}{', …' * (count > 5)}), where others of its folder are painted: taken as "
            "absent there; if it was not looked for, put its mask into a folder of its own"
        )
        file.notes.append(note)
        if any(bare[id(other)] - missing for other in whole):
            log.warning("%s: %s", file.path, note)


def refuse_elsewhere(file, predicted) -> None:
    """Raise InputError for a mask (an `AnnotationFile`) beside the prediction of another place.

    Of a mask of the whole stack, what nobody looked at would count as reviewed.
    """
    if file.listed:
        return

    def told(box) -> str:
        return ", ".join(
            f"{a} {box[i]} to {box[i + 1] - 1}" for a, i in zip("zyx", (0, 2, 4), strict=True)
        )

    raise InputError(
        f"{file.path}: lies at {told(file.extent)} of the stack; expected inside "
        f"{told(predicted.extent)}, which was handed out with the {FILE} of its folder; "
        f"put it into the folder of its own place, or say in {REGIONS} what was reviewed"
    )


def refuse_twice(files: list, classes: dict[int, str]) -> None:
    """Raise InputError where two masks (of `AnnotationFile`) say the same class of one place."""
    masks = [f for f in files if f.kind == "mask"]
    for i, one in enumerate(masks):
        for two in masks[i + 1 :]:
            if one.classes == two.classes and intersection(one.reach, two.reach):
                raise InputError(
                    f"{one.path}: a second mask for the class {classes[one.classes[0]]} of the "
                    f"same place: {one.name} and {two.name}; keep one of them, or put one into a "
                    "folder of its own if they are of different slices"
                )
