"""What the files of one folder must not be: empty without a word, or two for one class."""

from blockface.errors import InputError
from blockface.layers import Reference
from blockface.rounds import REGIONS, intersection


def refuse_empty(files: list, reference: Reference, first: bool) -> None:
    """Raise InputError where an empty mask (an `AnnotationFile`) leaves open what was reviewed."""
    for file in files:
        if file.painted.any() or file.listed:
            continue
        if file.placement.shape == tuple(reference.shape):
            raise InputError(
                f"{file.path}: an empty mask over the whole stack says nothing; paint in it, "
                f"remove it, or say in {REGIONS} beside it where the class is absent"
            )
        if first and not file.predicted and not any(f.painted.any() for f in files):
            raise InputError(
                f"{file.path}: an empty mask, and nothing is painted in the other files of its "
                f"folder; if nothing is there, say so in {REGIONS} beside it"
            )


def refuse_twice(files: list, classes: dict[int, str]) -> None:
    """Raise InputError where two masks (of `AnnotationFile`) say the same class of one place."""
    masks = [f for f in files if f.kind == "mask"]
    for i, one in enumerate(masks):
        for two in masks[i + 1 :]:
            if one.classes == two.classes and intersection(one.reach, two.reach):
                raise InputError(
                    f"{one.path}: a second file for the class {classes[one.classes[0]]} of the "
                    f"same place: {two.path.name}; keep one of them"
                )
