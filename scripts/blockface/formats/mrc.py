"""MRC (IMOD, FEI): slices uncompressed behind a header, voxel size in Å."""

import logging
import warnings
from pathlib import Path

import mrcfile
import numpy as np
from mrcfile import utils

from blockface.errors import InputError
from blockface.formats.found import Found, nm, raw_reader, squeeze

log = logging.getLogger(__name__)

IMOD_STAMP, IMOD_SIGNED = 1146047817, 1


def open_mrc(path: str | Path) -> Found:
    """Stack of the MRC file at ``path``; rows in the order of the file.

    Mode 0 means signed bytes (MRC 2014), unless IMOD's flags say unsigned. Signed bytes are
    shifted by 128 to uint8, which keeps their order.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, header_only=True, permissive=True) as mrc:
                header = mrc.header.copy()
                voxel = [float(mrc.voxel_size[axis]) for axis in "zyx"]
        dtype = utils.data_dtype_from_header(header)
        shape = utils.data_shape_from_header(header)
    except (ValueError, OSError) as error:
        raise InputError(
            f"{path}: not a whole MRC file, {path.stat().st_size} bytes found ({error}); "
            "copy it again"
        ) from None
    shape = squeeze(shape, str(path))
    reader = raw_reader(path, 1024 + int(header.nsymbt), dtype, shape)
    if dtype == np.int8:
        reader = _bytes(reader, header, path)
        dtype = np.dtype(np.uint8)
    size = tuple(nm(v, "Å") if v > 0 else None for v in voxel)
    return Found(shape, dtype.newbyteorder("="), size, reader, [str(path)])


def _bytes(reader, header, path: Path):
    """Reader of uint8 from mode 0."""
    # words 39 and 40, in the part that the standard leaves free
    stamp, flags = np.frombuffer(header.tobytes()[152:160], dtype=header.mode.dtype)
    if int(stamp) == IMOD_STAMP and not int(flags) & IMOD_SIGNED:
        return lambda z0, z1: reader(z0, z1).view(np.uint8)
    log.info("%s: signed bytes (mode 0), shifted by 128 to 0-255", path)
    return lambda z0, z1: (reader(z0, z1).astype(np.int16) + 128).astype(np.uint8)
