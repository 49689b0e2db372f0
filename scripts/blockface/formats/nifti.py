"""NIfTI (.nii, .nii.gz), mostly label volumes from elsewhere."""

from pathlib import Path

import nibabel
import numpy as np

from blockface.errors import InputError
from blockface.formats.found import UNKNOWN, Found, gzip_reader, nm, raw_reader, squeeze
from blockface.grids import Grid

UNITS = {"meter": "m", "mm": "mm", "micron": "um"}


def open_nifti(path: str | Path) -> Found:
    """Stack of the NIfTI at ``path``, whose fastest axis is x; rows in the order of the file."""
    path = Path(path)
    try:
        image = nibabel.load(path)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a whole NIfTI file ({error}); copy it again") from None
    header, proxy = image.header, image.dataobj
    if (proxy.slope, proxy.inter) != (1.0, 0.0):
        raise InputError(
            f"{path}: values are scaled ({proxy.slope:g} × value + {proxy.inter:g}); "
            "expected plain values; save it unscaled"
        )
    sizes = [int(n) for n in image.shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    shape, dtype = squeeze(tuple(sizes[::-1]), str(path)), proxy.dtype
    if path.suffix.lower() == ".gz":
        reader = gzip_reader(path, 0, dtype, shape, skip=proxy.offset)
    else:
        reader = raw_reader(path, proxy.offset, dtype, shape)
    unit = UNITS.get(header.get_xyzt_units()[0])
    zooms = [float(v) for v in header.get_zooms()[:3]]
    size = tuple(nm(v, unit) for v in zooms[::-1]) if unit and len(zooms) == 3 else UNKNOWN
    world = _world(image, sizes) if len(sizes) == 3 else None
    return Found(shape, np.dtype(dtype).newbyteorder("="), size, reader, [str(path)], world=world)


def _world(image, sizes: list[int]) -> Grid | None:
    """Where the voxels lie, in LPS, as programs that read it by ITK (Seg3D) take it."""
    if not int(image.header["sform_code"]) and not int(image.header["qform_code"]):
        return None
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    return Grid(tuple(sizes), affine[:3, :3], affine[:3, 3], "cell", "LPS")
