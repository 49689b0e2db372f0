"""Where the layers of an annotation file lie in the stack, and what of it they speak for."""

from dataclasses import replace

from blockface.errors import InputError
from blockface.grids import Placement
from blockface.layers import Layer, Reference
from blockface.rounds import BOX, REGIONS, Box, by


def place(layer: Layer, path, reference: Reference, predicted) -> Placement | None:
    """Where the layer lies; an empty one that was cut down to nothing, where it was handed out."""
    if layer.cut_to_paint and tuple(layer.stored.shape) == (1, 1, 1):
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
    if layer.cut_to_paint and file.listed:
        return tuple(v for n in reference.shape for v in (0, n))
    return file.extent


def placed_by_hand(path, layer: Layer, reference, regions, rows, predicted):
    """Place of a file that tells none: as handed out, or what regions.tsv says; and its regions."""
    shape = tuple(layer.stored.shape)
    own = [box for name, box in regions if name == path.name] or rows
    fitting = [b for b in own if (b[1] - b[0], b[3] - b[2], b[5] - b[4]) == shape]
    if len(fitting) == 1:
        return Placement(fitting[0][::2], shape, (0, 1, 2), (False,) * 3), fitting
    if predicted and not own and shape == predicted.labels.shape:
        return Placement(predicted.offset, shape, (0, 1, 2), (False,) * 3), []
    raise InputError(
        f"{path}: {by(shape)} voxels (z y x) against {by(reference.shape)} of the "
        f"stack; exported from another volume? If it is a part of it, say in {REGIONS} "
        f"beside it where it lies ({', '.join(('file', *BOX))})"
    )
