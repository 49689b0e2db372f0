"""Random patches changed as nnU-Net does it while training, in 2-D and 3-D.

Kinds, shares and ranges of nnU-Net's default trainer (Isensee et al. 2021,
doi:10.1038/s41592-020-01008-z, supplementary note 4, and its package, version 2). Where it gives a
share per image and one half per channel, their product stands here: there is one channel.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom
from scipy.spatial.transform import Rotation

from blockface.scores import UNKNOWN

ROTATION, SCALING = 0.2, 0.2
NOISE, BLUR, BRIGHTNESS, CONTRAST, LOW_RESOLUTION = 0.1, 0.1, 0.15, 0.15, 0.125
INVERTED_GAMMA, GAMMA, MIRROR = 0.1, 0.3, 0.5


def around_one(low: float, high: float, rng: np.random.Generator) -> float:
    """A factor: half of them from ``low`` to 1, half from 1 to ``high``."""
    return rng.uniform(low, 1) if rng.random() < 0.5 else rng.uniform(1, high)


def turned(dims: int, rng: np.random.Generator) -> NDArray:
    """Random rotation: any angle in 2-D, up to 30 degrees about each axis in 3-D."""
    if dims == 2:
        angle = rng.uniform(-np.pi, np.pi)
        return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Rotation.from_euler("xyz", rng.uniform(-30, 30, 3), degrees=True).as_matrix()


def patch(
    image: NDArray, labels: NDArray, corner: NDArray, edge: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Image and labels of a patch of ``edge`` at ``corner``, at times turned and scaled.

    ``image`` and ``labels`` have two or three axes. What lies outside is mirrored, and unknown.
    """
    dims, matrix = image.ndim, None
    if rng.random() < ROTATION:
        matrix = turned(dims, rng)
    if rng.random() < SCALING:
        matrix = (np.eye(dims) if matrix is None else matrix) * around_one(0.7, 1.4, rng)
    if matrix is None:
        window = tuple(slice(c, c + edge) for c in corner)
        return image[window].copy(), labels[window].copy()
    half = (edge - 1) / 2
    steps = np.stack(np.meshgrid(*[np.arange(edge) - half] * dims, indexing="ij"))
    at = np.tensordot(matrix, steps, 1) + (corner + half).reshape(-1, *[1] * dims)
    ends = at.reshape(dims, -1)
    low = np.clip(np.floor(ends.min(1)).astype(int) - 8, 0, None)  # room for the splines
    window = tuple(
        slice(a, max(a + 1, b))
        for a, b in zip(low, np.ceil(ends.max(1)).astype(int) + 9, strict=True)
    )
    at -= low.reshape(-1, *[1] * dims)
    made = map_coordinates(image[window], at, order=3, mode="mirror")
    return made, map_coordinates(labels[window], at, order=0, mode="constant", cval=UNKNOWN)


def gamma(image: NDArray, rng: np.random.Generator) -> NDArray:
    """``image`` with its grey levels bent by a power, mean and SD kept."""
    low, span, mean, sd = image.min(), np.ptp(image) + 1e-7, image.mean(), image.std()
    bent = ((image - low) / span) ** around_one(0.7, 1.5, rng) * span + low
    return (bent - bent.mean()) / (bent.std() + 1e-8) * sd + mean


def low_resolution(image: NDArray, rng: np.random.Generator) -> NDArray:
    """``image`` as if taken with larger pixels."""
    small = zoom(image, rng.uniform(0.5, 1), order=0)
    return zoom(small, np.divide(image.shape, small.shape), order=3)


def contrast(image: NDArray, rng: np.random.Generator) -> NDArray:
    """``image`` with more or less contrast, in the range it had."""
    mean = image.mean()
    return np.clip((image - mean) * around_one(0.75, 1.25, rng) + mean, image.min(), image.max())


def grey(image: NDArray, rng: np.random.Generator) -> NDArray[np.float32]:
    """``image`` (mean 0, SD 1 over the stack) with its grey levels changed at random."""
    if rng.random() < NOISE:
        image = image + rng.normal(0, np.sqrt(rng.uniform(0, 0.1)), image.shape)
    if rng.random() < BLUR:
        image = gaussian_filter(image, rng.uniform(0.5, 1))
    if rng.random() < BRIGHTNESS:
        image = image * rng.uniform(0.75, 1.25)
    if rng.random() < CONTRAST:
        image = contrast(image, rng)
    if rng.random() < LOW_RESOLUTION:
        image = low_resolution(image, rng)
    if rng.random() < INVERTED_GAMMA:
        image = -gamma(-image, rng)
    if rng.random() < GAMMA:
        image = gamma(image, rng)
    return image.astype(np.float32)


def augmented(
    image: NDArray, labels: NDArray, corner: NDArray, edge: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A patch with everything that nnU-Net changes."""
    made, truth = patch(image, labels, corner, edge, rng)
    made = grey(made, rng)
    axes = tuple(np.flatnonzero(rng.random(image.ndim) < MIRROR))
    return np.flip(made, axes), np.flip(truth, axes)
