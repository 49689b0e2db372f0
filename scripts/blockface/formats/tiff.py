"""TIFF: ImageJ hyperstacks, OME-TIFF, BigTIFF, plain pages; and a TIFF that is one slice."""

import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from blockface.errors import InputError
from blockface.formats.found import UNKNOWN, Found, Size, nm, raw_reader, squeeze, to_grey

log = logging.getLogger(__name__)


def open_tiff(path: str | Path, planes_are_slices: bool = False) -> Found:
    """Stack of all pages of the TIFF at ``path``; pages are read when asked for.

    With ``planes_are_slices`` the colour planes of a single page are slices: so tifffile, and with
    it napari, writes stacks of three or four slices, if not told otherwise.
    """
    path = Path(path)
    tif = _open(path)
    series = _one_series(tif, path)
    _check_whole(tif, series, path)
    _check_compression(series.keyframe, path)
    shape, samples = _shape(series, path)
    if planes_are_slices and series.keyframe.axes == "SYX" and len(series.pages) == 1:
        shape, samples = series.keyframe.shape, 1
    size = voxel_size(tif)
    _note_photometric(series.keyframe, path)
    if samples == 1 and series.dataoffset is not None:
        dtype = series.dtype.newbyteorder(tif.byteorder)
        reader = raw_reader(path, series.dataoffset, dtype, shape)
        tif.close()
    else:
        reader = _page_reader(tif, series, shape, samples, path)
    if samples > 1:
        reader(0, 1)  # refuse a colour stack at once
    dtype, lossy = np.dtype(series.dtype).newbyteorder("="), _name_if_lossy(series.keyframe)
    return Found(shape, dtype, size, reader, [str(path)], lossy=lossy)


def open_slice(path: str | Path) -> Found:
    """The one slice of the TIFF at ``path``, which must not hold more."""
    found = open_tiff(path)
    if found.shape[0] != 1:
        raise InputError(
            f"{path}: {found.shape[0]} pages found in a folder of slices; expected one slice per "
            "file; name the file itself as the stack, or write its pages to single files"
        )

    def read(z0: int, z1: int) -> np.ndarray:
        return open_tiff(path).reader(0, 1)

    return Found(found.shape, found.dtype, found.voxel_size_nm, read, found.files)


def voxel_size(tif: tifffile.TiffFile) -> Size:
    """Voxel size in nm (z, y, x) that the metadata tell in a unit of length.

    Plain resolution tags (dpi) are never believed: most programs write 72 or 96 whatever it is.
    """
    if tif.is_ome:
        return _ome_size(tif)
    page = tif.pages[0]
    if tif.is_imagej:
        meta = tif.imagej_metadata or {}
        unit = meta.get("unit")
        y, x = (_pixel(page, f"{axis}Resolution") for axis in "YX")
        return nm(meta.get("spacing"), unit), nm(y, unit), nm(x, unit)
    if tif.is_fei:
        meta = tif.fei_metadata or {}
        for part in ("Scan", "EScan", "Image"):
            there = meta.get(part) or {}
            if "PixelWidth" in there and "PixelHeight" in there:
                return None, nm(there["PixelHeight"], "m"), nm(there["PixelWidth"], "m")
    if tif.is_sem:  # Zeiss SmartSEM
        meta = tif.sem_metadata or {}
        entry = meta.get("ap_image_pixel_size") or meta.get("ap_pixel_size")
        if entry and len(entry) == 3:
            pixel = nm(entry[1], entry[2])
            return None, pixel, pixel
    return UNKNOWN


def _ome_size(tif: tifffile.TiffFile) -> Size:
    pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]
    pixels = (pixels[0] if isinstance(pixels, list) else pixels)["Pixels"]
    return tuple(
        nm(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
    )


def _pixel(page, tag: str) -> float | None:
    """Pixels per unit of an ImageJ resolution tag, turned into units per pixel."""
    if tag not in page.tags:
        return None
    value = page.tags[tag].value
    count, unit = value if isinstance(value, tuple) else (value, 1)
    return unit / count if count else None


def _open(path: Path) -> tifffile.TiffFile:
    try:
        tif = tifffile.TiffFile(path)
        if not len(tif.pages):
            raise tifffile.TiffFileError("no page found")
        tif.filehandle.set_lock(True)
    except (tifffile.TiffFileError, struct.error, IndexError, ValueError) as error:
        raise InputError(
            f"{path}: not a whole TIFF file, {path.stat().st_size} bytes found ({error}); "
            "copy the file again from its source"
        ) from None
    return tif


def _one_series(tif: tifffile.TiffFile, path: Path):
    """The image series of the file; pages of several sizes or types are an error."""
    try:
        full = [s for s in tif.series if not s.keyframe.is_reduced] or tif.series[:1]
    except Exception as error:  # metadata that contradict the pages: any type of error
        raise InputError(
            f"{path}: the TIFF's metadata do not fit its pages ({error}); it may be truncated; "
            "copy it again or save it anew from ImageJ"
        ) from None
    first = full[0]
    for other in full[1:]:
        if other.keyframe.shape != first.keyframe.shape or other.dtype != first.dtype:
            a, b = first.keyframe, other.keyframe
            raise InputError(
                f"{path}: page {b.index + 1} is {_words(b)} and page {a.index + 1} is {_words(a)}; "
                "expected pages of one size and type; take the odd one out"
            )
    if len(full) > 1:
        raise InputError(
            f"{path}: {len(full)} separate image series found; expected one stack; "
            "export the one you want"
        )
    return first


def _words(page) -> str:
    return f"{page.imagelength} × {page.imagewidth} {page.dtype}"


def _check_whole(tif: tifffile.TiffFile, series, path: Path) -> None:
    """Raise InputError if the chain of pages breaks off or a page's data lie beyond the end."""
    size = path.stat().st_size
    try:
        further = _link(tif, tif.pages[len(tif.pages) - 1])
    except (tifffile.TiffFileError, struct.error, IndexError, ValueError):
        further = size  # cut within a page's tags
    if further:
        raise InputError(
            f"{path}: truncated, the file of {size} bytes ends after page {len(tif.pages)} "
            "although more pages were expected; copy the file again from its source"
        )
    for number, page in enumerate(_pages(series, path), start=1):
        if page is None:
            raise InputError(
                f"{path}: page {number} of {len(series.pages)} is missing though its metadata "
                "promise it; copy all files of the stack again"
            )
        ends = (o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        need = max(ends, default=0)
        if page.parent is tif and need > size:
            raise InputError(
                f"{path}: truncated at page {number} of {len(series.pages)}, {size} bytes found "
                f"where at least {need} were expected; copy the file again from its source"
            )


def _pages(series, path: Path) -> Iterator:
    """The pages of a series, in order."""
    try:
        yield from series.pages
    except (tifffile.TiffFileError, struct.error, IndexError) as error:
        raise InputError(
            f"{path}: truncated, a page cannot be read ({' '.join(str(error).split())}) where "
            f"{len(series.pages)} were expected; copy the file again from its source"
        ) from None


def _link(tif: tifffile.TiffFile, page) -> int:
    """Where the page after ``page`` begins; 0 after the last."""
    tiff, handle = tif.tiff, tif.filehandle
    handle.seek(page.offset)
    (count,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
    handle.seek(page.offset + tiff.tagnosize + count * tiff.tagsize)
    return struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))[0]


def _check_compression(page, path: Path) -> None:
    """Raise InputError if there is no decoder for the compression of the pages."""
    try:
        tifffile.TIFF.DECOMPRESSORS[page.compression]
    except KeyError:
        name = getattr(page.compression, "name", f"number {page.compression}")
        raise InputError(
            f"{path}: compressed by {name}, which is not read; expected no compression, LZW, "
            "Deflate (ZIP), PackBits or Zstd; save it again with one of these"
        ) from None


def _name_if_lossy(page) -> str:
    """Name of the compression if it changes values."""
    name = getattr(page.compression, "name", "")
    return name if "JPEG" in name else ""  # 2000 and XL have a lossless way, but do not say so here


def _shape(series, path: Path) -> tuple[tuple[int, int, int], int]:
    """(z, y, x) of the series, and how many samples a pixel has."""
    page, told = series.keyframe, list(zip(series.axes, series.shape, strict=True))
    samples = next((n for axis, n in told if axis == "S"), 1)
    slices = tuple(n for axis, n in told if axis not in "YXS" and n > 1) or (1,)
    shape = (*slices, page.imagelength, page.imagewidth)
    return squeeze(shape, f"{path} (axes {series.axes})"), samples


def _page_reader(tif: tifffile.TiffFile, series, shape, samples: int, path: Path):
    if samples == 1 and series.keyframe.axes == "SYX" and len(series.pages) == 1:
        return lambda z0, z1: series.pages[0].asarray()[z0:z1]
    if len(series.pages) != shape[0]:  # volumes within pages, samples on pages of their own
        raise InputError(
            f"{path}: {len(series.pages)} pages found for {shape[0]} slices; expected one page per "
            "slice; save it from ImageJ as TIFF"
        )

    def read(z0: int, z1: int) -> np.ndarray:
        return np.stack([one(z) for z in range(z0, z1)])

    def one(z: int) -> np.ndarray:
        try:
            image = series.pages[z].asarray()
        except Exception as error:  # every codec has errors of its own
            raise InputError(
                f"{path}: page {z + 1} cannot be unpacked ({' '.join(str(error).split())}); "
                "copy the file again from its source"
            ) from None
        if samples > 1:
            if series.pages[z].keyframe.axes.startswith("S"):
                image = np.moveaxis(image, 0, -1)
            return to_grey(image, f"{path}, page {z + 1}")
        return image.reshape(shape[1:])

    return read


def _note_photometric(page, path: Path) -> None:
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        log.warning("%s: says that 0 is white; the values are taken as they are", path)
    elif page.photometric == tifffile.PHOTOMETRIC.PALETTE:
        log.info("%s: has a colour table; the values are taken, not the colours", path)
