"""Segmentations of 3D Slicer (.seg.nrrd): segments by name, in one or several layers.

Source: slicer.readthedocs.io, "Segmentation file format"; NRRD: teem.sourceforge.net/nrrd.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.frames import Frame, both_hands
from blockface.grids import grid_of
from blockface.seg3d import check_header, read_header, voxel_type, voxels_of


@dataclass(frozen=True)
class Segment:
    """One segment: where ``layer`` (z, y, x, file order) holds ``value``."""

    name: str
    layer: np.ndarray
    value: int


def slicer_segments(path: Path, scratch=None) -> tuple[list[Segment], list[Frame], tuple | None]:
    """Segments of a .seg.nrrd, the frames in which its numbers may be meant, and `painted_on`.

    The array is often cut to what is painted; its own origin places it. Where nothing is painted,
    one voxel is left, without a place: no frames.

    Raises
    ------
    InputError
        Broken, or no segment in it.
    """
    header, start = read_header(path)
    check_header(header, path)
    sizes, dtype = [int(n) for n in header["sizes"]], voxel_type(header, path)
    if dtype.kind not in "iu" or len(sizes) not in (3, 4):
        raise InputError(
            f"{path}: {len(sizes)} axes of type {header['type']}; expected a Slicer segmentation "
            "of whole numbers with x, y, z; save the segmentation node as .seg.nrrd"
        )
    named = {
        int(found[1]): str(value)
        for key, value in header.items()
        if (found := re.fullmatch(r"Segment(\d+)_Name", str(key)))
    }
    for key, value in header.items():
        if found := re.fullmatch(r"Segment(\d+)_ID", str(key)):
            named.setdefault(int(found[1]), str(value))
    if not named:
        raise InputError(
            f"{path}: no segment named in the header (Segment0_Name); expected a Slicer "
            "segmentation; rename it .nrrd if it is a plain label map"
        )
    count = int(np.prod(sizes, dtype=np.int64))
    flat = voxels_of(path, header, start, dtype, count, scratch)
    flat.flags.writeable = False
    array = flat.reshape(sizes[::-1])  # (z, y, x) or (z, y, x, layer)
    layers = [array] if len(sizes) == 3 else [array[..., i] for i in range(sizes[0])]
    segments = [_segment(number, named, header, layers, path) for number in sorted(named)]
    if array.shape[:3] == (1, 1, 1) and not flat.any():
        return segments, [], painted_on(header)
    grid = grid_of(_spatial(header), path)
    return segments, both_hands(grid, 1.0, grid.hand or "LPS"), painted_on(header)


def painted_on(header: dict) -> tuple[int, int, int] | None:
    """Voxels (z, y, x of the file) of the image that Slicer showed below; None if it does not tell.

    Its "Reference image geometry" is a matrix of 16 numbers and first and last voxel of x, y, z.
    """
    told = str(header.get("Segmentation_ConversionParameters", ""))
    found = re.search(r"Reference image geometry\|([-+.\deE;]+)\|", told)
    try:
        numbers = [float(n) for n in found[1].strip(";").split(";")] if found else []
    except ValueError:
        return None
    if len(numbers) != 22:
        return None
    ends = [int(n) for n in numbers[16:]]
    return tuple(ends[i + 1] - ends[i] + 1 for i in (4, 2, 0))


def _segment(number: int, named: dict, header: dict, layers: list, path) -> Segment:
    """Segment ``number``; files before Slicer 4.11 have a layer per segment and the value 1."""
    old = f"Segment{number}_LabelValue" not in header
    try:
        layer = number if old and len(layers) > 1 else int(header.get(f"Segment{number}_Layer", 0))
        value = 1 if old else int(header[f"Segment{number}_LabelValue"])
    except ValueError as error:
        raise InputError(
            f"{path}: segment {named[number]}: LabelValue and Layer in the header are no whole "
            f"numbers ({error}); save the segmentation again in Slicer"
        ) from None
    if not 0 <= layer < len(layers):
        raise InputError(
            f"{path}: segment {named[number]} is said to lie in layer {layer}, found "
            f"{len(layers)}; save the segmentation again in Slicer"
        )
    return Segment(named[number], layers[layer], value)


def _spatial(header: dict) -> dict:
    """The header with the axis of layers, which comes first, left out."""
    if len(header["sizes"]) == 3:
        return header
    short = dict(header)
    for key in ("sizes", "kinds", "space directions", "centerings"):
        if key in header and len(header[key]) == 4:
            short[key] = list(header[key])[1:]
    return short
