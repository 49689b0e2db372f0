"""Label stacks as TIFF (Fiji, napari) and zarr (napari, OME-Zarr): slices read when asked for."""

import zlib
from pathlib import Path

import numpy as np
import zarr

from blockface.errors import InputError
from blockface.formats.found import NM, Found
from blockface.formats.ngff import described, open_zarr
from blockface.formats.tiff import open_tiff
from blockface.grids import Grid


class LabelStack:
    """Slices of a label stack, read when asked for: ``stack[z]``, ``stack[a:b]``."""

    def __init__(self, found: Found, path: Path, voxel_size_nm: tuple[float, float, float]):
        """Look at what was ``found``; a voxel size it tells is held against the stack's."""
        if found.dtype.kind not in "iub":
            raise InputError(
                f"{path}: values of type {found.dtype}; expected whole numbers, one per class; "
                "save the labels as 8-bit or 16-bit integers (ImageJ: first switch off Edit > "
                "Options > Conversions > Scale when converting, which would change them)"
            )
        if found.lossy:
            raise InputError(
                f"{path}: compressed by {found.lossy}, which changes values at every edge; "
                "expected labels as they were painted; save them uncompressed or with zlib"
            )
        self.shape, self.note, self._path, self._reader = found.shape, "", path, found.reader
        told = [(a, b) for a, b in zip(found.voxel_size_nm, voxel_size_nm, strict=True) if a]
        if any(abs(a - b) > 0.01 * b for a, b in told):
            self.note = f"the file tells a voxel size of {found.voxel_size_nm} nm (z y x); ignored"

    def __getitem__(self, index):
        """Slice number ``index``, or a run of slices."""
        if isinstance(index, slice):
            start, stop, _ = index.indices(self.shape[0])
            return self._read(start, stop)
        return self._read(index, index + 1)[0]

    def _read(self, start: int, stop: int) -> np.ndarray:
        try:
            return self._reader(start, stop)
        except InputError:
            raise
        except (RuntimeError, ValueError, OSError, zlib.error) as error:  # as the codec has it
            raise InputError(
                f"{self._path}: slices {start} to {stop - 1} cannot be read "
                f"({' '.join(str(error).split())}); copy it again"
            ) from None


def tiff_labels(path: Path, voxel_size_nm: tuple[float, float, float]) -> LabelStack:
    """Labels of a TIFF stack; such a file does not tell its place."""
    return LabelStack(open_tiff(path, planes_are_slices=True), path, voxel_size_nm)


def zarr_labels(path: Path, voxel_size_nm) -> tuple[LabelStack, Grid | None]:
    """Labels of a zarr array, or of the finest level of an OME-Zarr, and the place it tells.

    Raises
    ------
    InputError
        Not as fine as the stack: labels painted on a coarser level of the image.
    """
    found = open_zarr(path)
    with described(path):
        told, first = _place(path)
    if told and any(a > 1.5 * b for a, b in zip(told, voxel_size_nm, strict=True)):
        raise InputError(
            f"{path}: the finest level has voxels of {_sizes(told)} nm (z y x) against "
            f"{_sizes(voxel_size_nm)} nm of the stack; expected labels painted on the finest level "
            "of the image; paint on that, or write all levels"
        )
    stack = LabelStack(found, path, voxel_size_nm)
    if not first:
        return stack, None
    return stack, Grid(found.shape[::-1], np.diag(told[::-1]), np.array(first[::-1]), "cell")


def _sizes(values) -> str:
    return " x ".join(f"{v:.6g}" for v in values)


def _place(path: Path) -> tuple[list[float] | None, list[float] | None]:
    """Voxel size and centre of the first voxel (z, y, x, nm) as far as an OME-Zarr tells them."""
    node = zarr.open(str(path), mode="r")
    scales = node.attrs.get("multiscales") or node.attrs.get("ome", {}).get("multiscales")
    axes = scales[0].get("axes", []) if scales else []
    if not axes or not all(isinstance(axis, dict) for axis in axes):
        return None, None  # no OME-Zarr, or of a version whose axes have no units
    step, shift, moved = np.ones(len(axes)), np.zeros(len(axes)), False
    for transform in (
        *scales[0]["datasets"][0].get("coordinateTransformations", ()),
        *scales[0].get("coordinateTransformations", ()),
    ):
        if transform.get("type") == "scale":
            step, shift = step * transform["scale"], shift * transform["scale"]
        if transform.get("type") == "translation":
            shift, moved = shift + transform["translation"], True
    at = {axis["name"]: n for n, axis in enumerate(axes)}
    units = [NM.get(str(axes[at[n]].get("unit")).lower()) for n in "zyx" if n in at]
    if len(units) < 3 or None in units:
        return None, None
    told, first = (
        [float(v[at[n]]) * unit for n, unit in zip("zyx", units, strict=True)]
        for v in (step, shift)
    )
    return told, first if moved else None
