"""NRRD, attached or detached header, raw or gzip."""

from pathlib import Path

import nrrd
import numpy as np

from blockface.errors import InputError
from blockface.formats.found import UNKNOWN, Found, Size, gzip_reader, nm, raw_reader, squeeze
from blockface.grids import Grid, grid_of


def open_nrrd(path: str | Path) -> Found:
    """Stack of the NRRD at ``path``, whose fastest axis is x; voxel size only if in a unit."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            header = nrrd.read_header(file)
            offset = file.tell()
    except (nrrd.NRRDError, ValueError, KeyError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: the NRRD header cannot be read ({error}); save it again"
        ) from None
    shape = squeeze(tuple(header["sizes"])[::-1], str(path))
    dtype = np.dtype(nrrd.reader._determine_datatype(header))
    data, name = path, header.get("data file", header.get("datafile"))
    if name is not None:
        data, offset = path.parent / str(name), 0
        if not data.is_file():
            raise InputError(f"{path}: its data file {name} was not found beside it; copy it there")
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    lines = int(header.get("line skip", header.get("lineskip", 0)))
    encoding = header["encoding"]
    if lines or encoding not in ("raw", "gzip", "gz") or (skip < 0 and encoding != "raw"):
        raise InputError(
            f"{path}: encoding {encoding} with line skip {lines} is not read; "
            "expected raw or gzip; save it again"
        )
    if encoding == "raw":
        voxels = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        start = data.stat().st_size - voxels if skip < 0 else offset + skip
        reader = raw_reader(data, start, dtype, shape)
    else:
        reader = gzip_reader(data, offset, dtype, shape, skip)
    files = [str(path)] + ([str(data)] if name is not None else [])
    size, world = _voxel_size(header), _world(header, path)
    return Found(shape, dtype.newbyteorder("="), size, reader, files, world=world)


def _world(header: dict, path: Path) -> Grid | None:
    """Where the voxels lie, if they are of three axes and the header says it without fault."""
    if len(header["sizes"]) != 3:
        return None
    try:
        return grid_of(header, path)
    except InputError:
        return None  # the stack can be read; only masks from elsewhere do not find their place


def _voxel_size(header: dict) -> Size:
    """Steps along z, y, x in nm, from space directions or spacings, if units are told."""
    if "space directions" in header:
        rows = np.atleast_2d(header["space directions"])[-3:]
        steps, units = np.linalg.norm(rows, axis=1), header.get("space units")
    elif "spacings" in header:
        steps, units = np.asarray(header["spacings"])[-3:], header.get("units")
    else:
        return UNKNOWN
    if units is None or len(steps) != 3:
        return UNKNOWN
    return tuple(nm(s, u) for s, u in zip(steps[::-1], list(units)[-3:][::-1], strict=True))
