"""Masks and label maps as Seg3D and its kin exchange them: NRRD files, read and written.

Source of the facts: Seg3D 2.5.1 (github.com/SCIInstitute/Seg3D) and the NRRD format definition
(teem.sourceforge.net/nrrd/format.html).
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np

from blockface.errors import InputError
from blockface.grids import SPATIAL_KINDS, Grid, grid_of
from blockface.nrrd_data import PIECE, read_voxels

LEVEL = 2  # of compression; what Seg3D uses itself
WRITTEN = {"u1": "uint8", "u2": "uint16", "i2": "int16", "f4": "float"}
NUMBER_LISTS = ("sizes", "spacings", "axis mins", "axismins", "axis maxs", "axismaxs")
DTYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}


@dataclass(frozen=True)
class Mask:
    """Voxels of a file in its own order (z, y, x), read-only, and where they lie."""

    array: np.ndarray
    grid: Grid


def read_mask(path: str | Path, scratch: str | Path | None = None) -> Mask:
    """Voxels and grid of an NRRD mask or label map, of whole-number type.

    One copy of the voxels is held at most: raw files are mapped, packed ones beyond 128 MiB are
    unpacked into a nameless sparse file in ``scratch`` (default: the system's folder for
    temporary files), where empty space takes no room.

    Raises
    ------
    InputError
        Not an NRRD, broken, not a 3-D volume, or not of a type a mask can have.
    """
    path = Path(path)
    header, start = read_header(path)
    sizes, dtype = _layout(header, path)
    count = int(np.prod(sizes, dtype=np.int64))
    flat = voxels_of(path, header, start, dtype, count, scratch)
    if dtype.kind == "f":
        raise InputError(
            f"{path}: voxels are of type {header['type']} with values {flat.min():g} to "
            f"{flat.max():g}; expected unsigned char; export a mask, not an image"
        )
    if dtype.kind == "i" and any(flat[i : i + PIECE].min() < 0 for i in range(0, count, PIECE)):
        raise InputError(
            f"{path}: negative values (type {header['type']}); expected a mask of unsigned char "
            "with 0 as background"
        )
    array = flat.reshape(header["sizes"][::-1])
    array.flags.writeable = False
    return Mask(array, grid_of(header, path))


def voxels_of(path: Path, header: dict, start: int, dtype, count: int, scratch) -> np.ndarray:
    """Flat array of the ``count`` voxels of an NRRD whose data begin at byte ``start``."""
    with path.open("rb") as file:
        file.seek(start)
        return read_voxels(file, header, dtype, count, path, scratch)


def _multi(path, found: str) -> str:
    return (
        f"{path}: {found}: this is a multi-component or Slicer file; export one 3-D mask per "
        "class, or name a segmentation that Slicer saved <name>.seg.nrrd"
    )


def read_header(path: Path) -> tuple[dict, int]:
    """Fields of an NRRD header, and the byte at which its data begin."""
    lines = []
    with path.open("rb") as file:
        if (first := file.read(4)) != b"NRRD":
            raise InputError(
                f"{path}: not an NRRD file: begins with {first!r}, expected NRRD; export it again"
            )
        file.seek(0)
        for line in file:
            line = line.rstrip(b"\r\n")
            if not line:
                break
            lines.append(_without_commas(line.decode("utf-8", "replace")))
        start = file.tell()
    try:
        return dict(nrrd.read_header(lines)), start
    except (nrrd.NRRDError, ValueError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: the NRRD header cannot be read ({reason}); export the mask again"
        ) from None


def _without_commas(line: str) -> str:
    field, separator, value = line.partition(":")
    if field in NUMBER_LISTS and not value.startswith("="):
        return field + separator + value.replace(",", " ")
    return line


def check_header(header: dict, path: Path) -> None:
    """Raise InputError where the fields are not those of voxels that can be read from the file."""
    for needed in ("type", "dimension", "sizes", "encoding"):
        if needed not in header:
            raise InputError(f"{path}: the NRRD header has no field '{needed}'; export it again")
    if "data file" in header or "datafile" in header:
        raise InputError(f"{path}: the voxels are in another file; save header and data as one")
    if header["encoding"] not in ("gzip", "gz", "raw", "bzip2", "bz2", "ascii", "text", "txt"):
        raise InputError(f"{path}: encoding {header['encoding']} is not read; expected gzip or raw")
    sizes = [int(n) for n in header["sizes"]]
    if min(sizes) < 1 or len(sizes) != header["dimension"]:
        raise InputError(f"{path}: sizes {sizes} are not those of a volume; export it again")


def voxel_type(header: dict, path: Path) -> np.dtype:
    """Type of the voxels, from every spelling that NRRD knows."""
    code = next((c for c, names in DTYPES.items() if header["type"] in names), None)
    if code is None:
        raise InputError(f"{path}: type {header['type']} is not read; expected unsigned char")
    return np.dtype((">" if header.get("endian") == "big" else "<") + code)


def _layout(header: dict, path: Path) -> tuple[list[int], np.dtype]:
    """Sizes (x, y, z) and type of the voxels; the header is reduced to three axes."""
    check_header(header, path)
    if any(str(key).startswith("Segment0_") for key in header):
        raise InputError(_multi(path, "key Segment0_"))
    _squeeze(header)
    sizes = [int(n) for n in header["sizes"]]
    kinds = [str(k) for k in header.get("kinds", [])]
    if len(sizes) > 3 or any(kind not in SPATIAL_KINDS for kind in kinds):
        raise InputError(_multi(path, f"{len(sizes)} axes of kind {', '.join(kinds) or 'unsaid'}"))
    if len(sizes) < 3:
        raise InputError(
            f"{path}: {len(sizes)} axes of {sizes} voxels; expected a stack with x, y and z"
        )
    return sizes, voxel_type(header, path)


def _squeeze(header: dict) -> None:
    """Drop surplus axes of size 1 from the header, those that are not of space first."""
    while len(header["sizes"]) > 3:
        n = len(header["sizes"])
        kinds = header.get("kinds", [None] * n)
        single = [a for a in range(n) if header["sizes"][a] == 1]
        if not single:
            return
        axis = next((a for a in single if kinds[a] not in ("space", "domain", None)), single[-1])
        for key in (
            "sizes",
            "kinds",
            "space directions",
            "spacings",
            "axis mins",
            "axis maxs",
            "centerings",
        ):
            if key in header and len(header[key]) == n:
                header[key] = [v for a, v in enumerate(header[key]) if a != axis]


def write_nrrd(
    path: str | Path,
    array: np.ndarray,
    voxel_size_nm: tuple[float, float, float],
    offset_voxels: tuple[int, int, int] = (0, 0, 0),
    *,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> None:
    """Write ``array`` (z, y, x) as Seg3D reads it: NRRD0005, cell-centred, coordinates in nm.

    ``offset_voxels`` is where the array begins in the whole stack (z, y, x), ``origin_nm`` the
    centre of the stack's first voxel. Masks are 0/1 of uint8; images keep uint8, uint16, int16
    or become float32.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype.str[1:] not in WRITTEN:
        array = array.astype(np.float32)
    step = np.array(voxel_size_nm, float)
    first = np.array(origin_nm, float) + np.array(offset_voxels) * step
    (z, y, x), sizes = step.tolist(), " ".join(map(str, array.shape[::-1]))
    origin = ",".join(f"{v:.17g}" for v in first[::-1])
    fields = [
        "NRRD0005",
        f"type: {WRITTEN[array.dtype.str[1:]]}",
        "dimension: 3",
        "space: 3D-right-handed",
        f"sizes: {sizes}",
        f"space directions: ({x:.17g},0,0) (0,{y:.17g},0) (0,0,{z:.17g})",
        "kinds: space space space",
        *(["endian: little"] if array.dtype.itemsize > 1 else []),
        "encoding: gzip",
        "centerings: cell cell cell",
        f"space origin: ({origin})",
    ]
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    part = Path(f"{path}.part")
    with part.open("wb") as file:
        file.write(("\n".join(fields) + "\n\n").encode())
        for slice_ in array:
            file.write(
                packer.compress(
                    np.ascontiguousarray(slice_).astype(array.dtype.newbyteorder("<"), copy=False)
                )
            )
        file.write(packer.flush())
    os.replace(part, path)
