"""HDF5: one 3-D dataset, named (``file.h5:/volume/raw``) or the only one there."""

import re
from pathlib import Path

import h5py
import numpy as np

from blockface.errors import InputError
from blockface.formats.found import UNKNOWN, Found, nm, squeeze

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")


def split(path: str) -> tuple[str, str | None]:
    """File and dataset of ``file.h5:/volume/raw``; no dataset in a plain path."""
    match = re.fullmatch(r"(.+\.(?:h5|hdf5|hdf|he5)):(/?.+)", path, re.IGNORECASE)
    return (match[1], match[2]) if match else (path, None)


def open_hdf5(path: str | Path) -> Found:
    """Stack in the HDF5 file at ``path``; voxel size from the attribute element_size_um."""
    file, name = split(str(path))
    size = Path(file).stat().st_size
    try:
        with h5py.File(file, "r") as h5:
            name = name or _only_stack(h5, file)
            if name not in h5 or not isinstance(h5[name], h5py.Dataset):
                raise InputError(
                    f"{file}: no dataset {name} found; the file has {_names(h5)}; "
                    "write <file>:/<dataset>"
                )
            data = h5[name]
            shape, dtype = squeeze(data.shape, f"{file}:{name}"), data.dtype
            drop = len(data.shape) - 3
            voxel = _voxel_size(data)
    except OSError as error:
        raise InputError(
            f"{file}: not a whole HDF5 file, {size} bytes found ({_reason(error)}); copy it again"
        ) from None

    def read(z0: int, z1: int) -> np.ndarray:
        try:
            with h5py.File(file, "r") as h5:
                data = h5[name]
                at = (0,) * drop + (slice(z0, z1),)
                block = data[at] if drop >= 0 else data[...][None]
        except OSError as error:
            raise InputError(
                f"{file}:{name}: slices {z0} to {z1 - 1} cannot be read ({_reason(error)}); "
                "copy it again"
            ) from None
        return np.ascontiguousarray(block, dtype=dtype.newbyteorder("="))

    return Found(shape, dtype.newbyteorder("="), voxel, read, [file])


def _datasets(h5: h5py.File) -> dict[str, tuple[int, ...]]:
    found = {}
    h5.visititems(
        lambda name, item: found.update({f"/{name}": item.shape})
        if isinstance(item, h5py.Dataset) and item.shape else None
    )  # fmt: skip
    return found


def _names(h5: h5py.File) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in _datasets(h5).items()) or "no dataset"


def _only_stack(h5: h5py.File, file: str) -> str:
    names = [name for name, shape in _datasets(h5).items() if sum(n > 1 for n in shape) == 3]
    if len(names) != 1:
        raise InputError(
            f"{file}: {len(names)} 3-D datasets found where one was expected (it has {_names(h5)});"
            " name one as <file>:/<dataset>"
        )
    return names[0]


def _voxel_size(data: h5py.Dataset):
    size = np.ravel(data.attrs.get("element_size_um", ()))
    return tuple(nm(float(v), "um") for v in size) if len(size) == 3 else UNKNOWN


def _reason(error: OSError) -> str:
    """What HDF5 found and expected, without its list of callers."""
    inner = re.search(r"\((.*)\)", " ".join(str(error).split()))
    return inner[1] if inner else str(error)
