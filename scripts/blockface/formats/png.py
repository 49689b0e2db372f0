"""PNG: one slice."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np

from blockface.errors import InputError
from blockface.formats.found import UNKNOWN, Found, to_grey


def open_png(path: str | Path) -> Found:
    """The slice of the PNG at ``path``; PNG tells no voxel size to believe."""
    path = Path(path)
    head = path.open("rb").read(26)
    if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        raise InputError(
            f"{path}: not a whole PNG file, {path.stat().st_size} bytes found; copy it again"
        )
    with path.open("rb") as file:
        file.seek(-12, 2)
        if b"IEND" not in file.read():
            raise InputError(
                f"{path}: truncated, {path.stat().st_size} bytes found and no end mark; "
                "copy it again"
            )
    width, height, bits, _colour = struct.unpack(">IIBB", head[16:26])
    dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)

    def read(z0: int, z1: int) -> np.ndarray:
        try:
            image = imagecodecs.png_decode(path.read_bytes())
        except imagecodecs.PngError as error:
            raise InputError(f"{path}: cannot be unpacked ({error}); copy it again") from None
        image = to_grey(image, str(path)) if image.ndim == 3 else image
        return image.astype(dtype)[None]

    return Found((1, height, width), dtype, UNKNOWN, read, [str(path)])
