"""Images of pairs, noisy and clean, as microscopes write them.

Images are 2-D; of files from FEI and Thermo Fisher microscopes the information bar and the frame
line are cut off.
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
import tifffile
from skimage.io import imread

from blockface.errors import InputError

TIFF = (".tif", ".tiff")
OTHER = (".png",)
NM_PER_UNIT = {2: 25.4e6, 3: 1e7}  # resolution unit of a TIFF: inch, centimetre
NM_PER_NAME = {"nm": 1, "um": 1e3, "µm": 1e3, "\\u00b5m": 1e3, "micron": 1e3, "mm": 1e6}
LARGEST_PIXEL_NM = 1e4  # coarser than this a resolution is that of a print, not of a specimen


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


def content(path: str | Path) -> str:
    """Digest of the pixels of an image, whatever its file is called."""
    image, _ = read_image(path)
    return sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


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
