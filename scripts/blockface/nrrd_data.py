"""The voxels behind an NRRD header: mapped if raw, unpacked piece by piece if gzip."""

import logging
import mmap
import os
import tempfile
import zlib

import nrrd
import numpy as np

from blockface.errors import InputError

log = logging.getLogger(__name__)

PIECE = 2**20
IN_MEMORY = 2**27  # bytes; what is larger is unpacked into a sparse file and mapped


def read_voxels(file, header, dtype, count: int, path, scratch) -> np.ndarray:
    """Flat array of the ``count`` voxels that begin where ``file`` stands.

    Raises
    ------
    InputError
        Fewer bytes than the header promises, or data that cannot be unpacked.
    """
    start, expected = file.tell(), count * dtype.itemsize
    plain = not header.get("line skip") and not header.get("byte skip")
    if header["encoding"] == "raw" and plain:
        found = os.fstat(file.fileno()).st_size - start
        _check_length(path, found, expected)
        return np.memmap(file, dtype, "r", start, (count,))
    if header["encoding"] in ("gzip", "gz") and plain:
        return unpacked(file, dtype, expected, path, scratch)
    try:
        return nrrd.read_data(header, file, str(path), index_order="C").ravel()
    except (nrrd.NRRDError, OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: truncated or corrupt ({reason}); export it again") from None


def _check_length(path, found: int, expected: int) -> None:
    if found < expected:
        raise InputError(
            f"{path}: truncated or corrupt: {found} bytes of voxels where the header promises "
            f"{expected}; export or copy it again"
        )
    if found > expected:
        log.warning("%s: %d bytes more than the header promises; ignored", path, found - expected)


def unpacked(file, dtype, expected: int, path, scratch) -> np.ndarray:
    """Voxels of gzip data, in memory, or mapped from a sparse nameless file if there are many."""
    sparse = expected > IN_MEMORY
    out = (
        tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115, it lives as long as its map
        if sparse
        else np.zeros(expected, np.uint8)
    )
    found = 0
    for piece in _pieces(file, path, expected):
        kept = piece[: max(0, expected - found)]
        if not sparse:
            out[found : found + len(kept)] = np.frombuffer(kept, np.uint8)
        elif kept.count(0) < len(kept):
            out.seek(found)
            out.write(kept)
        found += len(piece)
    _check_length(path, found, expected)
    if not sparse:
        return out.view(dtype)
    out.truncate(expected)
    out.flush()
    return np.memmap(out, dtype, "r", 0, (expected // dtype.itemsize,))


def _pieces(file, path, expected: int):
    packed, found = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32), 0
    while data := packed.unconsumed_tail or packed.unused_data or file.read(PIECE):
        if packed.eof:  # several gzip members, one after the other
            if not data.startswith(b"\x1f\x8b"):
                return
            packed = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        try:
            piece = packed.decompress(data, PIECE)
        except zlib.error as error:
            raise InputError(
                f"{path}: truncated or corrupt after {found} of {expected} bytes of voxels "
                f"({error}); export or copy it again"
            ) from None
        found += len(piece)
        yield piece
    if not packed.eof and found >= expected:
        raise InputError(
            f"{path}: truncated: the packed data have no end, though all {expected} bytes of "
            "voxels are there; export or copy it again"
        )


def release(array) -> None:
    """Give back the memory of a mapped ``array`` (or a view of one); it can still be read."""
    while isinstance(array, np.ndarray):
        mapped = getattr(array, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
            return
        array = array.base
