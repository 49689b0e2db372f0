"""Open any stack as slices that are read on demand, with its voxel size in nm."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blockface.errors import InputError

log = logging.getLogger(__name__)


@dataclass
class Stack:
    """A stack that lies on disk: what is known of it, and its slices on demand."""

    shape: tuple[int, int, int]  # z, y, x
    dtype: np.dtype
    voxel_size_nm: tuple[float, float, float]  # z, y, x
    source: str
    files: list[str] = field(repr=False)
    reader: Callable[[int, int], np.ndarray] = field(repr=False)

    def read(self, z0: int, z1: int) -> np.ndarray:
        """Slices ``z0`` to ``z1`` (half-open) as (z, y, x); nothing else is read."""
        return self.reader(z0, z1)


def open_stack(path: str | Path, voxel_size_nm=None, dataset: str | None = None) -> Stack:
    """Stack at ``path`` (file or folder), checked by its headers, no voxels read yet.

    ``voxel_size_nm`` (z, y, x) of the configuration wins over the one in the file; ``dataset``
    names the configuration key in messages.
    """
    raise InputError(f"{path}: not readable yet")
