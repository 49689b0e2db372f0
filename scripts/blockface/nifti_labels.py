"""Label images as NIfTI, as ITK-SNAP and 3D Slicer save them: voxels, and where they may lie.

Format: Cox et al. 2004, nifti.nimh.nih.gov/nifti-1. World coordinates are RAS there; Seg3D and ITK
count in LPS, where x and y have the other sign.
"""

import zlib
from pathlib import Path

import nibabel
import numpy as np

from blockface.errors import InputError
from blockface.frames import Frame, both_hands
from blockface.grids import Grid
from blockface.nrrd_data import unpacked

BROKEN = (  # what a file that is cut or changed makes nibabel raise
    nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError, zlib.error,
    OSError, EOFError, ValueError, KeyError, IndexError, OverflowError,
)  # fmt: skip
NM = {"meter": 1e9, "mm": 1e6, "micron": 1e3}


def nifti_labels(path: Path, scratch: str | Path | None = None) -> tuple[np.ndarray, list[Frame]]:
    """Voxels (z, y, x in file order) and the frames in which the file's numbers may be meant.

    EM data is often stored as if its nm were mm, so the numbers are first taken as nm, then in
    the unit that the file tells.

    Raises
    ------
    InputError
        Not a NIfTI, truncated, scaled, not of whole numbers, or not of three axes.
    """
    try:
        image = nibabel.load(path)
        proxy, unit = image.dataobj, NM.get(image.header.get_xyzt_units()[0])
        sizes, dtype = [int(n) for n in image.shape], np.dtype(proxy.dtype)
        place = _position(image)
        if min(sizes, default=0) < 1:
            raise ValueError(f"sizes {sizes}")
    except BROKEN as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: not a whole NIfTI file ({reason}); save it again") from None
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) != 3 or (proxy.slope, proxy.inter) != (1.0, 0.0) or dtype.kind not in "iu":
        raise InputError(
            f"{path}: an image of {' x '.join(map(str, sizes))} voxels of type {dtype}, scaled by "
            f"{proxy.slope:g}; expected a 3-D segmentation of whole numbers, unscaled; save the "
            "segmentation, not the image"
        )
    count = int(np.prod(sizes, dtype=np.int64))
    array = _voxels(path, dtype, proxy.offset, count, scratch).reshape(sizes[::-1])
    array.flags.writeable = False
    grid = Grid(tuple(sizes), *place, "cell")
    return array, [
        frame for factor in (1.0, unit) if factor for frame in both_hands(grid, factor, "RAS")
    ]


def _position(image) -> tuple[np.ndarray, np.ndarray]:
    """Steps along the file's axes (columns) and the first voxel's centre, as the file says."""
    header = image.header
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        return np.diag([-1.0, -1.0, 1.0] * np.array(header.get_zooms()[:3], float)), np.zeros(3)
    return np.array(image.affine[:3, :3], float), np.array(image.affine[:3, 3], float)


def _voxels(path: Path, dtype: np.dtype, offset: int, count: int, scratch) -> np.ndarray:
    expected = offset + count * dtype.itemsize
    if path.suffix.lower() == ".gz":
        with path.open("rb") as file:
            data = unpacked(file, np.dtype(np.uint8), expected, path, scratch)
        return data[offset:].view(dtype)
    found = path.stat().st_size
    if found < expected:
        raise InputError(
            f"{path}: truncated: {found} bytes where the header promises {expected}; copy it again"
        )
    return np.memmap(path, dtype, "r", offset, (count,))
