"""Gatan DigitalMicrograph DM3 and DM4, as 3View writes them: a stack, or one slice per file.

The tags are read by the parser of nionswift-io; its reader of arrays is replaced while it runs,
so that arrays (pixels, tables) are not read but noted where they lie.
"""

import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.formats.found import (
    UNKNOWN,
    Found,
    Size,
    expect_bytes,
    nm,
    raw_reader,
    squeeze,
    to_grey,
)

ARRAY = 20  # the tag type of arrays
PIXELS = {
    1: np.int16, 2: np.float32, 6: np.uint8, 7: np.int32, 9: np.int8, 10: np.uint16,
    11: np.uint32, 12: np.float64, 14: np.uint8, 23: np.uint32,
}  # fmt: skip
COLOUR = 23
_parser = threading.Lock()  # the parser keeps the file's version in a global


@dataclass
class Lying:
    """An array in the file that has not been read."""

    offset: int
    nbytes: int


def open_dm(path: str | Path) -> Found:
    """Stack (or single slice) of the DM3 or DM4 file at ``path``, with its calibration."""
    path = Path(path)
    image = _image(_tags(path), path)
    kind, data = int(image["DataType"]), image["Data"]
    if kind not in PIXELS:
        raise InputError(
            f"{path}: pixels of type {kind} (complex?); expected grey levels; export it"
        )
    dtype = np.dtype(PIXELS[kind]).newbyteorder("<")
    sizes = image["Dimensions"]
    sizes = list(sizes.values()) if isinstance(sizes, dict) else list(sizes)
    shape = squeeze(tuple(int(n) for n in sizes[::-1]), str(path))
    need = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if not isinstance(data, Lying) or data.nbytes != need:
        raise InputError(
            f"{path}: {getattr(data, 'nbytes', 0)} bytes of pixels found where {need} were "
            f"expected for {shape}; copy it again"
        )
    reader = raw_reader(path, data.offset, dtype, shape)
    if kind == COLOUR:
        reader, dtype = _grey(reader, path), np.dtype(np.uint8)
        reader(0, 1)
    return Found(shape, dtype.newbyteorder("="), _voxel_size(image, path), reader, [str(path)])


def _grey(reader, path: Path):
    def read(z0: int, z1: int) -> np.ndarray:
        pixels = reader(z0, z1)
        return to_grey(pixels.view(np.uint8).reshape(*pixels.shape, 4), str(path))

    return read


def _image(tags: dict, path: Path) -> dict:
    """The last image of the file that has pixels: the first one is the thumbnail."""
    images = tags.get("ImageList") or []
    images = list(images.values()) if isinstance(images, dict) else images
    images = [entry["ImageData"] for entry in images if "Data" in entry.get("ImageData", {})]
    if not images:
        raise InputError(f"{path}: no image found in the file; export it again")
    return images[-1]


def _voxel_size(image: dict, path: Path) -> Size:
    dimensions = image.get("Calibrations", {}).get("Dimension") or []
    size = [nm(d.get("Scale"), _text(d.get("Units"), path)) for d in dimensions][::-1][-3:]
    return tuple([None] * (3 - len(size)) + size) if size else UNKNOWN


def _text(value, path: Path) -> str:
    if not isinstance(value, Lying):
        return str(value or "")
    with path.open("rb") as file:
        file.seek(value.offset)
        return file.read(value.nbytes).decode("utf-16-le")


def _tags(path: Path) -> dict:
    """The tree of tags, pixels left where they lie."""
    with path.open("rb") as file, _noting(path) as parser:
        try:
            return parser.dm_read_header(file)
        except InputError:
            raise
        except Exception as error:  # the parser asserts, and meets what is not there
            raise InputError(
                f"{path}: not a whole DM3 or DM4 file, {path.stat().st_size} bytes found "
                f"({error or 'it ends within its tags'}); copy it again"
            ) from None


@contextmanager
def _noting(path: Path):
    """The parser of nionswift-io with an array reader that notes where arrays lie."""
    from nionswift_plugin.DM_IO import parse_dm3  # takes a second, few need it

    plain = parse_dm3.dm_read_types[ARRAY]

    def read(file):
        start = file.tell()
        kind, count = parse_dm3.get_from_file(
            file, f"> {parse_dm3.size_type} {parse_dm3.size_type}"
        )
        code = parse_dm3.get_structchar_for_dmtype(kind)
        if not code:  # structs
            file.seek(start)
            return plain(file)
        lying = Lying(file.tell(), count * struct.calcsize("<" + code))
        expect_bytes(path, lying.offset + lying.nbytes)
        file.seek(lying.nbytes, 1)
        return lying, 2

    with _parser:
        parse_dm3.dm_read_types[ARRAY] = read
        try:
            yield parse_dm3
        finally:
            parse_dm3.dm_read_types[ARRAY] = plain
