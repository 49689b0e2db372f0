"""What a format's module says of a file, and what all of them need: units, grey, byte counts."""

import gzip
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.grids import Grid

log = logging.getLogger(__name__)

Size = tuple[float | None, float | None, float | None]
UNKNOWN: Size = (None, None, None)
LARGEST_NM, SMALLEST_NM = 1e5, 0.01  # a voxel of electron microscopy lies between these
NM = {
    "nm": 1.0, "nanometer": 1.0, "nanometre": 1.0, "nanometers": 1.0, "nanometres": 1.0,
    "um": 1e3, "µm": 1e3, "μm": 1e3, "\\u00b5m": 1e3, "micron": 1e3, "microns": 1e3,
    "micrometer": 1e3, "micrometre": 1e3, "micrometers": 1e3, "micrometres": 1e3,
    "mm": 1e6, "millimeter": 1e6, "millimetre": 1e6, "m": 1e9, "meter": 1e9, "metre": 1e9,
    "å": 0.1, "angstrom": 0.1, "ångström": 0.1, "pm": 1e-3,
}  # fmt: skip


@dataclass
class Found:
    """A file as its format describes it: z, y, x, with ``None`` where a size is not told."""

    shape: tuple[int, int, int]
    dtype: np.dtype
    voxel_size_nm: Size
    reader: Callable[[int, int], np.ndarray]
    files: list[str] = field(default_factory=list)
    lossy: str = ""  # name of a compression that changes values: labels do not survive it
    world: Grid | None = None  # where the file says the voxels lie, in its own unit


class ColourError(InputError):
    """The pixels are colours where one value each was expected."""


def nm(value, unit: str | None) -> float | None:
    """``value`` in nm, or ``None`` if the unit is no length or the size no voxel's of an EM."""
    factor = NM.get(str(unit or "").strip().lower())
    if factor is None or value is None or not np.isfinite(value):
        return None
    size = abs(float(value)) * factor
    if SMALLEST_NM <= size <= LARGEST_NM:
        return size
    return None


def to_grey(image: np.ndarray, where: str) -> np.ndarray:
    """Grey image (..., y, x) of a colour image (..., y, x, channel) whose channels are equal.

    A second or fourth channel (alpha) is left out.
    """
    colours = image[..., : 1 if image.shape[-1] == 2 else 3]
    differ = (colours != colours[..., :1]).any(axis=-1)
    if differ.any():
        raise ColourError(
            f"{where}: a colour image whose channels differ in {int(differ.sum())} pixels; "
            "expected grey; convert it (ImageJ: Image > Type > 8-bit) or crop a colour data bar off"
        )
    return np.ascontiguousarray(image[..., 0])


def squeeze(shape: tuple[int, ...], where: str) -> tuple[int, int, int]:
    """(z, y, x) of an array of any dimension: axes of length 1 in front are dropped."""
    shape = tuple(int(n) for n in shape)
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) == 2:
        shape = (1, *shape)
    if len(shape) != 3 or 0 in shape:
        raise InputError(
            f"{where}: found an array of shape {shape}; expected z, y, x (one channel, one time); "
            "export that one channel"
        )
    return shape


def raw_reader(path: Path, offset: int, dtype: np.dtype, shape: tuple[int, int, int]) -> Callable:
    """Reader of slices that lie uncompressed in ``path`` from byte ``offset`` on."""
    need = offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    expect_bytes(path, need)

    def read(z0: int, z1: int) -> np.ndarray:
        slices = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape)[z0:z1]
        return np.array(slices, dtype=dtype.newbyteorder("="))

    return read


def gzip_reader(path: Path, offset: int, dtype: np.dtype, shape, skip: int = 0) -> Callable:
    """Reader of slices in a gzip stream that begins at byte ``offset``; quickest in order.

    ``skip`` bytes of the unpacked stream come before the first slice. Nothing but the slices
    asked for is held; going back begins the stream anew.
    """
    lock, state = threading.Lock(), {"file": None, "stream": None, "at": 0}
    plane = dtype.itemsize * shape[1] * shape[2]

    def rewind() -> None:
        if state["file"] is not None:
            state["file"].close()
        state["file"] = open(path, "rb")  # noqa: SIM115  (stays open between slices)
        state["file"].seek(offset)
        state.update(stream=gzip.GzipFile(fileobj=state["file"]), at=0)

    def take(count: int) -> bytes:
        part = state["stream"].read(count)
        state["at"] += len(part)
        return part

    def read(z0: int, z1: int) -> np.ndarray:
        start, count = skip + z0 * plane, (z1 - z0) * plane
        with lock:
            if state["stream"] is None or state["at"] > start:
                rewind()
            try:
                while state["at"] < start and take(min(start - state["at"], 2**22)):
                    pass
                data = take(count)
            except (EOFError, OSError) as error:
                state["stream"] = None
                raise InputError(
                    f"{path}: truncated, the compressed data end early ({error}); copy it again"
                ) from None
            if len(data) != count:
                raise InputError(
                    f"{path}: truncated, {state['at']} bytes of data found where "
                    f"{skip + shape[0] * plane} were expected; copy it again"
                )
        slices = np.frombuffer(data, dtype=dtype).reshape(z1 - z0, *shape[1:])
        return slices.astype(dtype.newbyteorder("="))

    return read


def expect_bytes(path: Path, need: int) -> None:
    """Raise InputError if the file is shorter than ``need`` bytes."""
    size = Path(path).stat().st_size
    if size < need:
        raise InputError(
            f"{path}: truncated, {size} bytes found where at least {need} were expected; "
            "copy the file again from its source"
        )
