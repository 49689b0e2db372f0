"""Pairs of images of one field, noisy and clean, as microscopes write them.

The table of pairs is text with the columns ``noisy`` and ``clean``. Images are 2-D; of files from
FEI and Thermo Fisher microscopes the information bar and the frame line are cut off.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from skimage.io import imread

from blockface.errors import InputError
from blockface.tables import read_table

TIFF = (".tif", ".tiff")
OTHER = (".png",)
NM_PER_UNIT = {2: 25.4e6, 3: 1e7}  # resolution unit of a TIFF: inch, centimetre
NM_PER_NAME = {"nm": 1, "um": 1e3, "µm": 1e3, "\\u00b5m": 1e3, "micron": 1e3, "mm": 1e6}
LARGEST_PIXEL_NM = 1e4  # coarser than this a resolution is that of a print, not of a specimen


def read_pairs(pairs_tsv: str | Path) -> pd.DataFrame:
    """Table with the paths ``noisy`` and ``clean`` of every pair, one row each, in file order.

    Paths in the file are absolute or start from the file's own folder.

    Raises
    ------
    InputError
        The table, a column or an image is missing, there is no pair, a pair is listed twice or
        an image is named as its own partner.
    """
    folder = Path(pairs_tsv).parent
    listed = read_table(pairs_tsv, ("noisy", "clean"))[["noisy", "clean"]]
    if listed.empty:
        raise InputError(f"{pairs_tsv}: no pair is listed; write one per line, noisy and clean")
    rows = []
    for number, (noisy, clean) in enumerate(listed.itertuples(index=False), start=2):
        where, row = f"{pairs_tsv}, line {number}", {}
        for column, name in (("noisy", noisy), ("clean", clean)):
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"{where}: no file under {column}; expected a path")
            path = folder / name.strip()
            if not path.is_file():
                raise InputError(
                    f"{where}: {column} image {path} not found; expected a path that is "
                    "absolute or starts from the table's folder"
                )
            row[column] = str(path)
        same = [Path(path).resolve() for path in row.values()]
        if same[0] == same[1]:
            raise InputError(
                f"{where}: {row['noisy']} is named as noisy and as clean; a pair is two images "
                "of one field"
            )
        if same in [seen for _, seen in rows]:
            raise InputError(f"{where}: the pair of {row['noisy']} is listed twice; remove one")
        rows.append((row, same))
    return pd.DataFrame([row for row, _ in rows])


def read_image(path: str | Path) -> tuple[np.ndarray, float | None]:
    """Grey image (y, x), dtype of the file, and its pixel size in nm, None if not told.

    Raises
    ------
    InputError
        The file is missing or damaged, holds several images or true colours, or its pixels are
        not square.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: image not found; check the table of pairs")
    if path.suffix.lower() not in TIFF + OTHER:
        raise InputError(
            f"{path}: {path.suffix or 'no ending'} is not read; expected .tif, .tiff or .png"
        )
    try:
        if path.suffix.lower() in TIFF:
            image, pixel, size = read_tiff(path)
        else:
            image, pixel, size = imread(path), None, None
    except InputError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they stumble on
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{path}: cannot be read ({reason}); the file looks damaged or cut short, copy it again"
        ) from None
    if size is not None:
        image = without_bar(image, size)
    return grey(image, path), pixel


def read_tiff(path: Path) -> tuple[np.ndarray, float | None, tuple[int, int] | None]:
    """Pixels of a TIFF file, pixel size in nm, and size (y, x) of the scanned part if told."""
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if not page.is_reduced]
        if len(pages) != 1:
            raise InputError(
                f"{path}: {len(pages)} images in the file, expected one; save every image of a "
                "pair as a file of its own"
            )
        page, fei = pages[0], tiff.fei_metadata
        short = [
            offset + count > tiff.filehandle.size
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
        if any(short):
            raise ValueError(f"{sum(short)} of {len(short)} strips lie past the end of the file")
        image = page.asarray()
        if page.axes == "SYX":  # colours one after the other
            image = np.moveaxis(image, 0, -1)
        if fei:
            return image, *fei_sizes(fei, path)
        return image, tag_pixel_nm(tiff, page, path), None


def fei_sizes(fei: dict, path: Path) -> tuple[float | None, tuple[int, int] | None]:
    """Pixel size in nm and size (y, x) of the scanned part, from FEI metadata."""
    scan = fei.get("Scan", {})
    pixel = scan.get("PixelHeight"), scan.get("PixelWidth")
    part = fei.get("Image", {})
    size = part.get("ResolutionY"), part.get("ResolutionX")
    pixel_nm = None
    if all(isinstance(p, int | float) and p > 0 for p in pixel):
        pixel_nm = square(pixel[0] * 1e9, pixel[1] * 1e9, path)
    return pixel_nm, size if all(isinstance(s, int) and s > 0 for s in size) else None


def tag_pixel_nm(tiff: tifffile.TiffFile, page: tifffile.TiffPage, path: Path) -> float | None:
    """Pixel size in nm from ImageJ's unit or the resolution tags; None if they tell none."""
    if not {"XResolution", "YResolution"} <= {tag.name for tag in page.tags}:
        return None
    steps = [page.tags[name].value for name in ("YResolution", "XResolution")]
    if any(not numerator or not denominator for numerator, denominator in steps):
        return None
    unit = page.tags["ResolutionUnit"].value if "ResolutionUnit" in page.tags else 2
    nm = NM_PER_UNIT.get(int(unit))
    if tiff.is_imagej:
        nm = NM_PER_NAME.get(str((tiff.imagej_metadata or {}).get("unit", "")).strip().lower(), nm)
    if nm is None:
        return None
    y, x = (nm * denominator / numerator for numerator, denominator in steps)
    return square(y, x, path) if max(y, x) <= LARGEST_PIXEL_NM else None


def square(y: float, x: float, path: Path) -> float:
    """The pixel size, checked to be the same in y and x within a hundredth."""
    if abs(y - x) > 0.01 * max(y, x):
        raise InputError(
            f"{path}: pixels of {y:.4g} x {x:.4g} nm (y, x), expected square ones; resample it"
        )
    return y


def without_bar(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The scanned part, ``size`` (y, x), less a coloured line around it if there is one."""
    image = image[: size[0], : size[1]]
    if image.ndim == 3:
        coloured = np.ptp(image[..., :3], axis=-1) > 0
        rim = [coloured[0], coloured[-1], coloured[:, 0], coloured[:, -1]]
        if all(line.mean() > 0.9 for line in rim):
            image = image[1:-1, 1:-1]
    return image


def grey(image: np.ndarray, path: Path) -> np.ndarray:
    """One channel of an image whose colours are all grey, checked; a 2-D image as it is."""
    if image.ndim == 2:
        return image
    if image.ndim != 3 or image.shape[-1] > 4:
        raise InputError(f"{path}: {image.ndim}-D image {image.shape}, expected one 2-D image")
    colours = image[..., : 1 if image.shape[-1] < 3 else 3]
    if (colours != colours[..., :1]).any():
        raise InputError(
            f"{path}: a colour image, expected grey (equal channels); export it from the "
            "microscope without overlays"
        )
    return np.ascontiguousarray(colours[..., 0])
