"""Where the layers of an annotation file lie in the stack, and what of it they speak for."""

from dataclasses import replace

from blockface.errors import InputError
from blockface.grids import Placement
from blockface.layers import Layer, Reference
from blockface.rounds import BOX, REGIONS, Box, by


def place(layer: Layer, path, reference: Reference, predicted) -> Placement | None:
    """Where the layer lies; an empty one that was cut down to nothing, where it was handed out."""
    if layer.cut_to_paint and not layer.frames:
        if predicted is None:
            raise InputError(
                f"{path}: nothing is painted in it; if that is so, say in {REGIONS} beside an "
                "empty mask (.nrrd) where the classes are absent"
            )
        return Placement(predicted.offset, (1, 1, 1), (0, 1, 2), (False,) * 3)
    if predicted:  # painted on what was handed out, so in our coordinates
        reference = replace(reference, world=None)
    return layer.place(reference, path)


def reach(file, layer: Layer, reference: Reference) -> Box:
    """What a ``file`` (`AnnotationFile`) speaks for.

    Slicer cuts to what is painted, so what is beyond was unpainted.
    """
    if layer.cut_to_paint and file.predicted:
        return file.predicted.extent
    if layer.cut_to_paint:
        return tuple(v for n in reference.shape for v in (0, n))
    return file.extent


def by_slice(file, layer: Layer, reference: Reference) -> bool:
    """Whether of a ``file`` (`AnnotationFile`) the slices with paint are what was reviewed.

    Raises
    ------
    InputError
        Slicer cut it to the paint, and it was painted on a part of the stack.
    """
    if file.listed or file.predicted:
        return False
    below = layer.painted_on
    if layer.cut_to_paint and below and sorted(below) != sorted(reference.shape):
        raise InputError(
            f"{file.path}: painted in 3D Slicer on an image of {by(below)} voxels (z y x) against "
            f"{by(reference.shape)} of the stack; say in {REGIONS} beside it what was reviewed"
        )
    return layer.cut_to_paint or file.placement.shape == tuple(reference.shape)


def placed_by_hand(path, layer: Layer, reference, regions, rows, predicted):
    """Place of a file that tells none: as handed out, or what regions.tsv says; and its regions."""
    shape = tuple(layer.stored.shape)
    own = [box for name, box in regions if name == path.name] or rows
    fitting = [b for b in own if (b[1] - b[0], b[3] - b[2], b[5] - b[4]) == shape]
    if len(fitting) == 1:
        return Placement(fitting[0][::2], shape, (0, 1, 2), (False,) * 3), fitting
    if predicted and shape == predicted.labels.shape:
        return Placement(predicted.offset, shape, (0, 1, 2), (False,) * 3), rows
    if predicted and shape[1:] == predicted.labels.shape[1:]:
        raise InputError(
            f"{path}: {by(shape)} voxels (z y x) of a place that was handed out in "
            f"{by(predicted.labels.shape)}; save all {len(predicted.labels)} slices"
        )
    if own:
        raise InputError(
            f"{path}: {by(shape)} voxels (z y x), and {len(fitting)} of the {len(own)} boxes in "
            f"{REGIONS} are of this size; expected one, which then tells where it lies"
        )
    if shape == (1, *reference.shape[1:]):
        raise InputError(
            f"{path}: one slice, but the stack has {reference.shape[0]}; if it is one of a series, "
            "save that as one file (Fiji: File > Import > Image Sequence, then save as TIFF) or "
            f"export NRRD from Seg3D; if there is no more, say in {REGIONS} beside it where it "
            f"lies ({', '.join(('file', *BOX))})"
        )
    raise InputError(
        f"{path}: {by(shape)} voxels (z y x) against {by(reference.shape)} of the "
        f"stack; exported from another volume? If it is a part of it, say in {REGIONS} "
        f"beside it where it lies ({', '.join(('file', *BOX))})"
    )
