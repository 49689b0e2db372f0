"""What the values of an annotation file mean: told by its name and by the values themselves."""

import logging
from pathlib import Path

from blockface.errors import InputError
from blockface.rounds import class_of_name

log = logging.getLogger(__name__)

GREY_VALUES = 64  # more distinct values than that are an image, not a segmentation
Meaning = tuple[str, dict[int, int], tuple[int, ...], list[str]]  # kind, classes, spoken for, notes


def layer_meaning(name: str, classes: dict[int, str], path: Path) -> Meaning | None:
    """Meaning of the mask ``name`` of a project or Slicer segmentation; None if of no class."""
    own = class_of_name(name, classes, path)
    return ("mask", {1: own}, (own,), []) if own is not None else None


def meaning_of(
    path: Path, name: str, counts: dict[int, int], classes: dict[int, str], background: int = 0
) -> Meaning:
    """Kind of the file ``name``, class of each of its values, classes it speaks for, and notes.

    ``counts`` are the voxels of each value; ``background`` is its value in label maps. Where that
    is not 0, voxels of value 0 were not looked at.

    Raises
    ------
    InputError
        An image, a mask of no class, values of no class, or no background.
    """
    values, own = sorted(counts), class_of_name(name, classes, path)
    if "label" in name.lower() and own and "label" not in classes[own].lower():
        own = None
    if len(values) > GREY_VALUES:
        raise InputError(
            f"{path}: looks like an image ({len(values)} different values, {values[0]} to "
            f"{values[-1]}); expected a mask or a label map; remove it from the round"
        )
    if values[0] < 0:
        raise InputError(
            f"{path}: negative values (down to {values[0]}); expected a mask or label map with 0 "
            "as background; save it again"
        )
    listing = ", ".join(f"{v} ({counts[v]} voxels)" for v in values)
    painted = [v for v in values if v]
    binary = painted in ([], [1], [255]) or (own is not None and painted == [own])
    if own is not None:
        if not binary:
            raise InputError(
                f"{path}: named after the class {classes[own]} but holds the values {listing}; "
                "expected 0 and 1; if these number single objects, make them all 1 (in Fiji: "
                "Threshold from 1, Convert to Mask); if it is a label map of classes, put 'labels' "
                "into its name instead"
            )
        notes = [f"values 0 and {v} taken as 0 and 1" for v in painted if v != 1]
        if 0 not in values:
            notes.append("every voxel is painted; inverted?")
            log.warning("%s: every voxel is painted; is the mask inverted?", path)
        return "mask", {v: own for v in values if v}, (own,), notes
    if binary and "label" not in name.lower():
        raise InputError(
            f"{path}: a mask whose name is none of the classes {', '.join(classes.values())}; "
            "rename it <class>.nrrd or <anything>_<class>.nrrd, or, if it is a label map, put "
            "'labels' into its name"
        )
    return map_meaning(path, counts, listing, classes, background)


def map_meaning(
    path: Path, counts: dict[int, int], listing: str, classes: dict[int, str], background: int
) -> Meaning:
    """What the values of a label map mean, as `meaning_of`; messages name them by ``listing``."""
    values = sorted(counts)
    if unknown := [v for v in values if v not in (0, background, *classes)]:
        raise InputError(
            f"{path}: values {listing}; without a class: {', '.join(map(str, unknown))}; name "
            "them in datasets.<name>.classes or correct the file"
        )
    if not background and 0 not in values:
        raise InputError(
            f"{path}: values {listing}; 0 for the background is absent; which one is background? "
            "Name it in datasets.<name>.classes, as in {1: background, 2: fibril}, or export again "
            "with background 0, or one mask per class"
        )
    if background and background not in values and 0 in values:
        log.warning(
            "%s: values %s; that of the background, %d, is not among them, so the file shows none; "
            "if 0 is meant, take background out of datasets.<name>.classes",
            *(path, listing, background),
        )
    notes = (
        [f"{counts[0]} voxels of value 0 taken as not looked at"]
        if background and 0 in values
        else []
    )
    return "labels", {v: v for v in values if v in classes}, tuple(classes), notes
