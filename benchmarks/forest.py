"""A random forest on ilastik's features, as a peer: pixel classification as ilastik does it.

Berg et al. 2019, doi:10.1038/s41592-019-0582-9. All features at all scales that its dialogue
offers (Gaussian smoothing alone at 0.3 pixels, the others from 0.7 on), in 2-D or 3-D, and 100
trees, of which each draws the square root of the number of features at every split. A person gives
ilastik strokes, here it has the whole annotated slices. Each tree learns from as many pixels, drawn
at random, as the time allows.
"""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.feature import hessian_matrix_eigvals

from blockface.errors import InputError
from blockface.scores import UNKNOWN

SMOOTHING_ONLY = 0.3
SIGMAS = (0.7, 1.0, 1.6, 3.5, 5.0, 10.0)
REACH = 3.5  # filters end at so many SD, as ilastik's do
TREES = 100
TRIAL_ROWS, FEWEST = 20_000, 1000
SHARE = 0.8  # of the time left that the forest may take, by what a trial tree took


def smoothed(image: NDArray, sigma: float, order=0) -> NDArray[np.float32]:
    """``image`` smoothed by a Gaussian, or its derivatives of ``order`` along each axis."""
    return gaussian_filter(image, sigma, order, mode="mirror", truncate=REACH)


def at_scale(image: NDArray, sigma: float, keep=...) -> list[NDArray[np.float32]]:
    """The six features at one scale: images of the shape of ``image[keep]``.

    Smoothing, Laplacian, size of the gradient, difference of Gaussians, then the eigenvalues of
    structure tensor and Hessian, the largest first.
    """
    dims = image.ndim
    once, pairs = (
        np.eye(dims, dtype=int),
        list(itertools.combinations_with_replacement(range(dims), 2)),
    )
    soft = smoothed(image, sigma)
    gradient = [smoothed(image, sigma, tuple(axis)) for axis in once]
    bends = [smoothed(image, sigma, tuple(once[a] + once[b]))[keep] for a, b in pairs]
    tensor = [smoothed(gradient[a] * gradient[b], sigma / 2)[keep] for a, b in pairs]
    return [
        soft[keep],
        sum(bend for bend, (a, b) in zip(bends, pairs, strict=True) if a == b),
        np.sqrt(sum(part[keep] ** 2 for part in gradient)),
        (soft - smoothed(image, 0.66 * sigma))[keep],
        *hessian_matrix_eigvals(tensor),
        *hessian_matrix_eigvals(bends),
    ]


def features(image: NDArray, threads: int, keep=...) -> NDArray[np.float32]:
    """All features (…, feature) of ``image``, (y, x) or (z, y, x), at the slices ``keep``."""
    image = image.astype(np.float32)
    with ThreadPoolExecutor(threads) as pool:
        scales = list(pool.map(lambda sigma: at_scale(image, sigma, keep), SIGMAS))
    found = [smoothed(image, SMOOTHING_ONLY)[keep], *itertools.chain(*scales)]
    return np.stack([part.astype(np.float32) for part in found], axis=-1)


def forest(rows: int | None, seed: int, threads: int, trees: int = TREES):
    """An untrained forest whose trees draw ``rows`` pixels each."""
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ModuleNotFoundError:
        raise InputError(
            'scikit-learn: not installed; expected it for the forest; pip install ".[benchmarks]"'
        ) from None
    return RandomForestClassifier(
        trees, max_features="sqrt", max_samples=rows, n_jobs=threads, random_state=seed
    )


def affordable(known: NDArray, values: NDArray, seconds: float, threads: int, seed: int) -> int:
    """Pixels for each tree so that all are grown in ``seconds``, by the time of one small tree."""
    trial = min(TRIAL_ROWS, len(values))
    began = time.monotonic()
    forest(trial, seed, 1, trees=1).fit(known, values)
    pace = (time.monotonic() - began) / (trial * np.log2(trial))  # growing takes n log n
    rows, room = trial, SHARE * seconds * threads / TREES
    while rows < len(values) and 2 * rows * np.log2(2 * rows) * pace < room:
        rows *= 2
    while rows > FEWEST and rows * np.log2(rows) * pace > room:
        rows //= 2
    return min(max(rows, FEWEST), len(values))


def train(
    image: NDArray, labels: NDArray, *, isotropic: bool, seconds: float, seed: int, threads: int,
    wanted: list[int],
) -> tuple[Callable[[int], NDArray[np.uint8]], str]:  # fmt: skip
    """Function that gives the mask (y, x) of a slice, and what was learnt from, in words.

    ``image`` and ``labels`` are (z, y, x), 255 is unknown. ``isotropic``: features in 3-D, made for
    the slices ``wanted`` at once, as filtering needs the whole stack.
    """
    began = time.monotonic()
    painted = [z for z in range(len(labels)) if (labels[z] != UNKNOWN).any()]
    if isotropic:
        slices = [*painted, *wanted]
        whole = dict(zip(slices, features(image, threads, slices), strict=True))

    def of(z: int) -> NDArray[np.float32]:
        return whole[z] if isotropic else features(image[z], threads)

    known = np.concatenate([of(z)[labels[z] != UNKNOWN] for z in painted])
    values = np.concatenate([labels[z][labels[z] != UNKNOWN] for z in painted])
    left = seconds - (time.monotonic() - began)
    rows = affordable(known, values, left, threads, seed)
    grown = forest(rows, seed, threads).fit(known, values)

    def mask(z: int) -> NDArray[np.uint8]:
        found = of(z)
        return grown.predict(found.reshape(-1, found.shape[-1])).reshape(found.shape[:-1])

    return mask, f"{TREES} trees of {rows} pixels"
