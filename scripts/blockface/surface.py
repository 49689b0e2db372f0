"""Surface area of labelled objects: voxel faces, each weighted by the local surface normal.

The faces of a voxel object across axis i add up to the integral of abs(n_i) over the true surface,
so that faces times n_i, summed over the three axes, give the integral of n_i² = the area, whatever
the voxel size. An error of the normal by an angle d costs only 1 - cos d.
Sources: Windreich, Kiryati & Lohmann 2003, Pattern Recognition 36; Flin et al. 2005, IEEE
Transactions on Image Processing 14.
Crofton's formula over the 13 directions of the 26 neighbours does not serve: at 200:10:10 nm these
point along z or across it and nowhere between; weighted by solid angle, they lose 35 % of a plane
across z and 7 to 11 % of rods (at 50:10:10 23 % and 4 to 11 %).
"""

from functools import cache

import numpy as np

RADII = np.array([2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 64])
REACH = 2  # slices on each side that the normal of a surface voxel depends on
CHUNK = 16384


def widest(spacing: tuple[float, float, float]) -> int:
    """Widest in-plane radius in voxels that ``radii`` may give."""
    ratio = spacing[0] / np.sqrt(spacing[1] * spacing[2])
    return int(RADII[max(2, 2 * ratio) >= RADII][-1]) if ratio > 1.5 else 2


def radii(across: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """In-plane radius in voxels of the window for the normals, where objects are ``across`` wide.

    Two slice distances, so that a slope shows in it; but no more than half the object's width
    (given in voxels, as a radius), so that its ends stay sharp and it fills no more than its half.
    """
    fit = RADII[np.maximum(np.searchsorted(RADII, across, side="right") - 1, 0)]
    return np.minimum(fit, widest(spacing))


def narrowness(area: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Radius of plane figures less than that of a disc of their area, as a share of it, at most 1.

    ``area`` in pixels, ``faces`` the pixel edges along the border; of a disc of radius r these are
    8 r. A strip has about its width as radius.
    """
    disc = np.sqrt(area / np.pi)
    return np.minimum(1, 8 / np.pi * area / np.maximum(faces, 1) / np.maximum(disc, 1e-9))


@cache
def window(spacing: tuple[float, float, float], radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets (n, 3) in voxels and weights (3, n), whose sum over the object is its gradient."""
    steps = np.unique(np.rint(radius * np.linspace(-1, 1, 9)).astype(int))
    z, y, x = (
        g.ravel() for g in np.meshgrid(np.arange(-REACH, REACH + 1), steps, steps, indexing="ij")
    )
    if widest(spacing) == 2:
        keep = z**2 + y**2 + x**2 <= 6
    else:
        keep = (y**2 + x**2) / radius**2 + (z / (REACH + 0.5)) ** 2 <= 1.1
    offsets = np.stack([z, y, x], axis=1)[keep]
    physical = offsets * np.asarray(spacing)
    return offsets, (physical / (physical**2).sum(axis=0)).T.astype(np.float32)


def voxel_areas(
    flat: np.ndarray,
    steps: tuple[int, int, int],
    at: np.ndarray,
    radius: np.ndarray,
    spacing: tuple[float, float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Surface area, nm², that each of the voxels ``at`` adds to its object's surface.

    And the volume, nm³, that the object gains there if its surface moves outward by half a voxel:
    half of the voxel's size along the normal.

    ``flat`` is the padded label block as one line, ``steps`` its strides in voxels along z, y, x,
    ``at`` positions in it and ``radius`` the window of each (see ``radii``). Where the object is a
    single voxel thick there is no normal, and the faces count as they are.
    """
    labels = flat[at]
    faces = np.prod(spacing) / np.asarray(spacing)
    ahead = np.stack([flat[at + step] != labels for step in steps]).astype(np.int8)
    behind = np.stack([flat[at - step] != labels for step in steps]).astype(np.int8)
    area = faces @ (ahead + behind)
    shell = np.prod(spacing) / 2 * (ahead + behind).sum(axis=0)
    bulk = ~(ahead & behind).any(axis=0)
    signed = (ahead - behind) * faces[:, None]
    for size in np.unique(radius[bulk]):
        chosen = np.flatnonzero(bulk & (radius == size))
        offsets, weights = window(spacing, int(size))
        shifts = offsets @ np.asarray(steps)
        for first in range(0, len(chosen), CHUNK):
            part = chosen[first : first + CHUNK]
            same = flat[at[part] + shifts[:, None]] == labels[part]
            outward = -(weights @ same.astype(np.float32)).astype(float)
            norm = np.linalg.norm(outward, axis=0)
            flux = (signed[:, part] * outward).sum(axis=0)
            some, safe = norm > 0, np.where(norm > 0, norm, 1)
            area[part] = np.where(some, flux / safe, area[part])
            half = np.sqrt(np.square(spacing) @ outward**2) / safe / 2
            shell[part] = np.where(some, area[part] * half, shell[part])
    return area, shell
