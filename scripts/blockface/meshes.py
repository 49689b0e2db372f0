"""Surfaces of objects as triangles, made piece by piece, and PLY files they are written to."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skimage.measure import marching_cubes

from blockface.crops import Crops
from blockface.pictures_objects import id_colours

PIECE_VOXELS = 2**22
VERTEX = np.dtype(
    [("at", "<f4", 3), ("colour", "u1", 3), ("object_id", "<u4")]
)  # 19 bytes; the header must say the same
FACE = np.dtype([("n", "u1"), ("of", "<i4", 3)])


def mesh(
    crops: Crops, object_id: int, lo, hi, spacing, voxels: int = PIECE_VOXELS
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pieces of the closed surface of an object with the box ``lo`` to ``hi`` (voxels, half-open).

    Each is (vertices (n, 3) float32 in nm, in the order x, y, z; faces (m, 3), whose numbers count
    the vertices of all pieces so far). Marching cubes (Lewiner et al. 2003, Journal of Graphics
    Tools 8) between the voxels' centres; a piece is a few slices, so an object need not fit into
    memory. Faces turn their front outward.
    """
    lo, hi, step = np.asarray(lo), np.asarray(hi), np.asarray(spacing, float)
    area = int(np.prod(hi[1:] - lo[1:] + 2))
    deep = max(1, voxels // area)
    seam, count = np.zeros((2, 0), np.int64), 0
    for first in range(int(lo[0]) - 1, int(hi[0]), deep):
        last = min(first + deep, int(hi[0]))  # planes of voxel centres, both in this piece
        mask = np.zeros((last - first + 1, *(hi[1:] - lo[1:] + 2)), np.uint8)
        corner = np.array([first, lo[1] - 1, lo[2] - 1])
        a, b = np.maximum(lo, [first, lo[1], lo[2]]), np.minimum(hi, [last + 1, hi[1], hi[2]])
        mask[tuple((crops.voxels(object_id, a, b) - corner).T)] = 1
        if mask.min() == mask.max():
            seam = seam[:, :0]
            continue
        found, faces, _, _ = marching_cubes(mask, 0.5, gradient_direction="ascent")
        doubled = np.rint(2 * found).astype(np.int64) + 2 * corner
        keys = np.ravel_multi_index((doubled - 2 * (lo - 1)).T, 2 * (hi - lo) + 3)
        known = np.isin(keys, seam[0])
        number = np.zeros(len(keys), np.int64)
        number[known] = seam[1][np.searchsorted(seam[0], keys[known])]
        number[~known] = count + np.arange((~known).sum())
        count += int((~known).sum())
        shared = np.flatnonzero(doubled[:, 0] == 2 * last)
        shared = shared[np.argsort(keys[shared])]
        seam = np.stack([keys[shared], number[shared]])
        at = ((doubled[~known] + 1) / 2 * step)[:, ::-1]
        yield at.astype(np.float32), number[faces][:, ::-1]


class PlyFile:
    """A binary PLY file that grows by pieces: x, y, z in nm, a colour and the object's id."""

    def __init__(self, path: str | Path):
        self.path, self.vertices, self.faces = Path(path), 0, 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.parts = [Path(f"{path}.vertices"), Path(f"{path}.faces")]
        self.files = [part.open("wb") for part in self.parts]

    def add(self, object_id: int, pieces: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        """Append the mesh of an object."""
        before, colour = self.vertices, np.rint(255 * id_colours(np.array([object_id]))[0])
        for at, faces in pieces:
            rows = np.zeros(len(at), VERTEX)
            rows["at"], rows["colour"], rows["object_id"] = at, colour, object_id
            self.files[0].write(rows.tobytes())
            triangles = np.zeros(len(faces), FACE)
            triangles["n"], triangles["of"] = 3, faces + before
            self.files[1].write(triangles.tobytes())
            self.vertices, self.faces = self.vertices + len(at), self.faces + len(faces)

    def close(self) -> None:
        """Put header and pieces together."""
        for file in self.files:
            file.close()
        header = (
            "ply\nformat binary_little_endian 1.0\ncomment Blockface: lengths in nm\n"
            f"element vertex {self.vertices}\n"
            "property float x\nproperty float y\nproperty float z\n"
            "property uchar red\nproperty uchar green\nproperty uchar blue\n"
            "property uint object_id\n"
            f"element face {self.faces}\nproperty list uchar int vertex_indices\nend_header\n"
        )
        with self.path.open("wb") as out:
            out.write(header.encode())
            for part in self.parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, out, 2**20)
                os.remove(part)
