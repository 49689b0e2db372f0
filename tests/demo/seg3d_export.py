"""Masks as Seg3D exports them, written with pynrrd and not with Blockface's own writer."""

from pathlib import Path

import nrrd
import numpy as np

Triple = tuple[float, float, float]


def write_mask(path: Path, mask: np.ndarray, voxel_nm: Triple, start=(0, 0, 0)) -> None:
    """Single mask as Seg3D 2.4 and later exports it; ``start`` (z, y, x): first voxel's place."""
    spacing = np.array(voxel_nm[::-1], float)
    nrrd.write(
        str(path),
        mask,
        {
            "space": "3D-right-handed",
            "space directions": np.diag(spacing),
            "centerings": ["cell"] * 3,
            "kinds": ["space"] * 3,
            "encoding": "gzip",
            "space origin": spacing * start[::-1],
            "measurement frame": np.eye(3),
        },
        index_order="C",
        compression_level=2,
    )
    _as_seg3d(path, b"NRRD0005")


def write_old_mask(path: Path, mask: np.ndarray, voxel_nm: Triple) -> None:
    """Whole-stack single mask as Seg3D up to 2.3.2 exports it: cell-centred, by its lower edge."""
    spacing = np.array(voxel_nm[::-1], float)
    nrrd.write(
        str(path),
        mask,
        {
            "spacings": spacing,
            "axis mins": -spacing / 2,
            "centerings": ["cell"] * 3,
            "encoding": "gzip",
        },
        index_order="C",
        compression_level=2,
    )
    _as_seg3d(path, b"NRRD0001")


def _as_seg3d(path: Path, magic: bytes) -> None:
    """Give the header the words of Seg3D, and no date: the same mask is the same file."""
    header, data = path.read_bytes().split(b"\n\n", 1)
    lines = [line for line in header.split(b"\n") if not line.startswith((b"# This", b"# on"))]
    lines = [b"type: unsigned char" if line == b"type: uint8" else line for line in lines]
    path.write_bytes(b"\n".join([magic, *lines[1:]]) + b"\n\n" + data)
