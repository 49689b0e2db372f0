"""Open any stack as slices that are read on demand, with its voxel size in nm."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.formats import dm, folder, hdf5, mrc, ngff, nifti, nrrd, png, tiff
from blockface.formats.found import LARGEST_NM, SMALLEST_NM, ColourError, Found
from blockface.grids import Grid

log = logging.getLogger(__name__)

OBLONG = 1.5  # pixels longer than that against their width are asked about

FILES: dict[str, Callable[[Path], Found]] = {
    ".tif": tiff.open_tiff, ".tiff": tiff.open_tiff, ".btf": tiff.open_tiff,
    ".mrc": mrc.open_mrc, ".rec": mrc.open_mrc, ".st": mrc.open_mrc, ".map": mrc.open_mrc,
    ".dm3": dm.open_dm, ".dm4": dm.open_dm, ".png": png.open_png,
    ".nrrd": nrrd.open_nrrd, ".nhdr": nrrd.open_nrrd,
    ".nii": nifti.open_nifti, ".nii.gz": nifti.open_nifti,
    **dict.fromkeys(hdf5.SUFFIXES, hdf5.open_hdf5),
}  # fmt: skip
SLICES: dict[str, Callable[[Path], Found]] = {
    ".tif": tiff.open_slice, ".tiff": tiff.open_slice,
    ".dm3": dm.open_dm, ".dm4": dm.open_dm, ".png": png.open_png,
}  # fmt: skip
GREY = ("uint8", "uint16", "int16", "float32")


@dataclass
class Stack:
    """A stack that lies on disk: what is known of it, and its slices on demand."""

    shape: tuple[int, int, int]  # z, y, x
    dtype: np.dtype
    voxel_size_nm: tuple[float, float, float]  # z, y, x
    source: str
    files: list[str] = field(repr=False)
    reader: Callable[[int, int], np.ndarray] = field(repr=False)
    world: Grid | None = None  # where the file says the voxels lie, in its own unit

    def read(self, z0: int, z1: int) -> np.ndarray:
        """Slices ``z0`` to ``z1`` (half-open) as (z, y, x); nothing else is read.

        May be called from several threads. A file that turns out broken raises InputError.
        """
        z0, z1 = max(0, z0), min(z1, self.shape[0])
        if z0 >= z1:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return self.reader(z0, z1)


def open_stack(
    path: str | Path, voxel_size_nm=None, dataset: str | None = None, *, labels: bool = False
) -> Stack:
    """Stack at ``path`` (file or folder), checked by its headers, no voxels read yet.

    Parameters
    ----------
    path
        TIFF, MRC, HDF5 (``file.h5:/dataset``), zarr, DM3/DM4, NRRD or NIfTI file, or a folder of
        TIFF, PNG or DM slices.
    voxel_size_nm
        Voxel size z, y, x of the configuration; it wins over the one in the file.
    dataset
        Name of the dataset, so that messages can name the configuration key.
    labels
        Whether the values are labels or ids: then any integer type is taken, else only grey.

    Raises
    ------
    InputError
        Nothing is there, it is not whole, the slices do not fit together, the voxel size is told
        neither by the file nor by the configuration, or the type of the values is of no use.
    """
    try:
        found = _open(str(path), dataset)
    except ColourError as error:
        raise _no_labels(error) if labels else error from None
    _check_type(found.dtype, path, labels)
    if labels and found.lossy:
        raise InputError(
            f"{path}: compressed by {found.lossy}, which changes values at every edge; expected "
            "labels or ids as they were; export them again as TIFF with LZW or no compression"
        )
    size = _voxel_size(found.voxel_size_nm, voxel_size_nm, path, dataset)
    reader = _label_reader(found.reader) if labels else found.reader
    return Stack(
        found.shape, np.dtype(found.dtype), size, str(path), found.files, reader, found.world
    )


def _no_labels(error: ColourError) -> InputError:
    """What a colour image is told that should be labels: its grey levels would be none either."""
    where = str(error).split(": a colour image")[0]
    return InputError(
        f"{where}: colours found, expected one whole number per voxel; a picture of the labels "
        "does not hold them: export the label image itself (8-, 16- or 32-bit integers)"
    )


def _label_reader(read: Callable[[int, int], np.ndarray]) -> Callable[[int, int], np.ndarray]:
    """``read`` whose message on colours speaks of labels."""

    def labels(z0: int, z1: int) -> np.ndarray:
        try:
            return read(z0, z1)
        except ColourError as error:
            raise _no_labels(error) from None

    return labels


def check_stack(path: str | Path, voxel_size_nm=None, dataset: str | None = None) -> Stack:
    """Stack at ``path`` as ``open_stack`` gives it, after its first and last slice were read."""
    stack = open_stack(path, voxel_size_nm, dataset)
    for z in {0, stack.shape[0] - 1}:
        stack.read(z, z + 1)
    return stack


def _open(path: str, dataset: str | None) -> Found:
    place = Path(hdf5.split(path)[0])
    if not place.exists():
        raise InputError(
            f"{path}: no such file or folder; check stack, labels or objects of "
            f"datasets.{dataset or '<name>'} (paths are relative to the folder snakemake runs in)"
        )
    if place.is_dir():
        return ngff.open_zarr(path) if ngff.is_zarr(place) else folder.open_folder(path, SLICES)
    name = place.name.lower()
    suffix = next((s for s in FILES if name.endswith(s)), None)
    if suffix is None:
        raise InputError(
            f"{path}: a format not known by its name; expected one of {', '.join(FILES)}, a zarr, "
            f"or a folder of {', '.join(SLICES)}; export the stack as TIFF"
        )
    if place.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; copy it again from its source")
    return FILES[suffix](path)


def _key(dataset: str | None, name: str) -> str:
    return f"datasets.{dataset or '<name>'}.{name}"


def _check_type(dtype: np.dtype, path, labels: bool) -> None:
    if labels and (dtype.kind in "iub"):
        return
    if labels or dtype.name not in GREY:
        if labels:
            raise InputError(
                f"{path}: values of type {dtype.name} found; expected whole numbers for labels or "
                "ids; save them as 8-, 16- or 32-bit integers (ImageJ: first switch off Edit > "
                "Options > Conversions > Scale when converting, which would change them; its "
                "32 bits are no integers: write more than 65535 ids as NRRD or zarr elsewhere)"
            )
        raise InputError(
            f"{path}: values of type {dtype.name} found; expected {', '.join(GREY)}; convert it, "
            "in ImageJ by Image > Type > 16-bit, keeping the grey levels"
        )


def _voxel_size(told, given, path, dataset: str | None) -> tuple[float, float, float]:
    """Voxel size z, y, x in nm: as configured, else as the file tells."""
    key = _key(dataset, "voxel_size_nm")
    if given is None:
        if None in told:
            parts = ", ".join(
                f"{a} {v:.4g} nm" if v else f"{a} unknown" for a, v in zip("zyx", told, strict=True)
            )
            raise InputError(
                f"{path}: voxel size unknown, the file does not tell it in a unit of length "
                f"({parts}); set {key}: [z, y, x]"
            )
        return tuple(float(v) for v in told)
    try:
        size = tuple(float(v) for v in given)
    except (TypeError, ValueError):
        size = ()
    if len(size) != 3 or not all(SMALLEST_NM <= v <= LARGEST_NM for v in size):
        raise InputError(
            f"{key}: {given} found; expected three sizes in nm, [z, y, x], each between "
            f"{SMALLEST_NM} and {LARGEST_NM:g}"
        )
    for axis, file, config in zip("zyx", told, size, strict=True):
        if file is not None and abs(file - config) > 0.01 * config:
            log.warning(
                "%s: the file tells a voxel of %.4g nm along %s; %s says %.4g nm and is taken",
                path, file, axis, key, config,
            )  # fmt: skip
    if max(size[1:]) > OBLONG * min(size[1:]):
        log.warning(
            "%s: pixels of %.4g x %.4g nm (y, x), by %s; if not so, mind its order: z, y, x",
            path, *size[1:], key,
        )  # fmt: skip
    return size
