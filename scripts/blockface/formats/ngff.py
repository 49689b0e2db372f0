"""Zarr arrays (version 2 and 3) and OME-Zarr groups, of which the finest level is taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr

from blockface.errors import InputError
from blockface.formats.found import UNKNOWN, Found, Size, nm, squeeze

MARKS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def is_zarr(path: Path) -> bool:
    """Whether the folder is a zarr array or group."""
    return any((path / mark).is_file() for mark in MARKS)


def open_zarr(path: str | Path) -> Found:
    """Stack of the zarr array, or of the OME-Zarr or plain group with one array, at ``path``.

    Voxel size: attribute voxel_size_nm (z, y, x) of an array, scale and units of an OME-Zarr.
    """
    try:
        node = zarr.open(str(path), mode="r")
    except (FileNotFoundError, ValueError, KeyError) as error:
        raise InputError(f"{path}: not a zarr array or group ({error}); copy it again") from None
    size = UNKNOWN
    if isinstance(node, zarr.Group):
        with described(path):
            node, size = _of_group(node, path)
    if "voxel_size_nm" in node.attrs:
        size = tuple(nm(v, "nm") for v in node.attrs["voxel_size_nm"])
    shape = squeeze(node.shape, str(path))
    drop = len(node.shape) - 3

    def read(z0: int, z1: int) -> np.ndarray:
        at = (0,) * drop + (slice(z0, z1),)
        block = node[at] if drop >= 0 else node[...][None]
        return np.ascontiguousarray(block, dtype=node.dtype.newbyteorder("="))

    return Found(shape, node.dtype.newbyteorder("="), size, read, [str(path)])


@contextmanager
def described(path) -> Iterator[None]:
    """Tell in one line what of the metadata of an OME-Zarr is not as it should be."""
    try:
        yield
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: the OME-Zarr metadata are not whole ({type(error).__name__}: {error}); "
            "expected multiscales with axes, datasets and a scale for each axis; write them again"
        ) from None


def _of_group(group: zarr.Group, path) -> tuple[zarr.Array, Size]:
    scales = group.attrs.get("multiscales") or group.attrs.get("ome", {}).get("multiscales")
    if scales:
        finest = scales[0]["datasets"][0]
        return _member(group, finest["path"], path), _ome_size(scales[0], finest)
    arrays = [name for name, item in group.arrays() if len(item.shape) >= 3]
    if len(arrays) != 1:
        raise InputError(
            f"{path}: a zarr group with {len(arrays)} 3-D arrays ({', '.join(arrays) or 'none'}) "
            "and no multiscales; name one, <folder>/<array>, or hand in each as a zarr by itself"
        )
    return group[arrays[0]], UNKNOWN


def _member(group: zarr.Group, name: str, path) -> zarr.Array:
    if name not in group:
        raise InputError(
            f"{path}: the OME-Zarr metadata name the level {name}, which is not there; "
            "copy it again"
        )
    return group[name]


def _ome_size(scales: dict, finest: dict) -> Size:
    """Voxel size (z, y, x) of a level: its scale, times the one of all levels, in the units."""
    axes = scales.get("axes", [])
    if not axes or not all(isinstance(axis, dict) for axis in axes):
        return UNKNOWN  # version 0.3 and before: axes without units
    steps = np.ones(len(axes))
    told = False
    for transform in (*finest.get("coordinateTransformations", ()),
                      *scales.get("coordinateTransformations", ())):  # fmt: skip
        if transform.get("type") == "scale":
            steps *= transform["scale"]
            told = True
    units = {a["name"]: (float(s), a.get("unit")) for a, s in zip(axes, steps, strict=True)}
    return tuple(nm(*units[a]) if told and a in units else None for a in "zyx")
