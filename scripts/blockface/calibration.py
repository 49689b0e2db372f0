"""Probabilities that mean what they say, and the threshold, from annotations set aside for it.

A part of the annotated area is not trained on; there the network is as sure as it will be elsewhere
on these slices. Held-out slices are never looked at. The temperature (Guo et al. 2017,
arXiv:1706.04599) acts on the blended probabilities of all views and members.
"""

import logging
import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from blockface.predict import Tiling, predict_slice
from blockface.reviewed import Without, possible, seen_for
from blockface.scores import UNKNOWN

log = logging.getLogger(__name__)

BLOCK = 48  # edge in pixels of the areas that are set aside
FEWEST = 20  # blocks; of fewer none is set aside: each is worth more learnt from
LEAST = 200  # voxels below which the temperature stays 1
SURE = 2  # standard errors by which another threshold must be better than one half,
WORTH = 0.005  # and how much of Dice: it makes all objects thinner or thicker
NEVER = 1e-6  # smallest probability that is told from 0


def set_aside(labels: NDArray, places: NDArray, share: float, seed: int) -> tuple[NDArray, NDArray]:
    """``labels`` to learn from and labels to calibrate on, each unknown where the other is known.

    ``labels`` (n, s, y, x), s slices around the middle one; ``places`` (n, 3): z, y, x of the
    middle slice's first pixel in the stack. Of the blocks of the stack with a label ``share`` are
    set aside, none where there are fewer than FEWEST, drawn by ``seed``: overlapping patches agree
    on them.
    """
    if share == 0:
        return labels, np.full_like(labels, UNKNOWN)
    reviewed = set()
    for patch, place in zip(labels, np.asarray(places), strict=True):
        number = block_numbers(place, patch.shape, seed).astype(np.float32)
        reviewed.update(np.unique(number[patch != UNKNOWN]).tolist())
    if len(reviewed) < FEWEST:
        log.info("annotated are %d blocks of %d pixels: none is set aside", len(reviewed), BLOCK)
        return labels, np.full_like(labels, UNKNOWN)
    last = sorted(reviewed)[: math.ceil(share * len(reviewed))][-1]
    learnt, aside = labels.copy(), np.full_like(labels, UNKNOWN)
    for k, (patch, place) in enumerate(zip(labels, np.asarray(places), strict=True)):
        drawn = block_numbers(place, patch.shape, seed).astype(np.float32) <= last
        learnt[k][drawn], aside[k][drawn] = UNKNOWN, patch[drawn]
    return learnt, aside


def block_numbers(place, shape: tuple[int, int, int], seed: int) -> NDArray[np.float64]:
    """Random number of the block of each voxel of a patch of ``shape`` (s, y, x) at ``place``."""
    (z, y, x), (s, height, width) = place, shape
    zs = z + np.arange(s) - s // 2
    ys, xs = (np.arange(first, first + n) // BLOCK for first, n in ((y, height), (x, width)))
    return hashed(seed, zs[:, None, None], ys[:, None], xs)


def hashed(seed: int, *numbers: NDArray) -> NDArray[np.float64]:
    """Random numbers from 0 to 1 that belong to ``seed`` and ``numbers`` (splitmix64)."""
    state = np.uint64(seed)
    for number in numbers:
        state = state + np.asarray(number).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state / 2.0**64


def with_background(shares: NDArray) -> NDArray:
    """Probabilities (1 + classes, …), the background's first, of those of the classes."""
    return np.concatenate([1 - shares.sum(axis=0, keepdims=True), shares])


def calibrated(shares: NDArray, temperature: float | None) -> NDArray:
    """``shares`` (classes, …) with the logarithm of each divided by the ``temperature``.

    One for all, the background's too, so that what is likeliest stays so and no outline moves.
    None changes nothing.
    """
    if temperature is None:
        return shares
    weight = np.maximum(with_background(shares), np.float32(NEVER)) ** (1 / np.float32(temperature))
    return weight[1:] / weight.sum(axis=0)


def log_loss(shares: NDArray, truth: NDArray, without: Without | None = None) -> float:
    """Mean negative logarithm (nats) of the probability of what is true.

    ``shares`` (classes, n), ``truth`` (n) channel numbers, 0 background, or codes ``without``
    (blockface.reviewed): then of all that it may be.
    """
    whole = with_background(shares)
    said = (whole * possible(without or {}, len(whole))[truth].T).sum(axis=0)
    return float(-np.log(np.maximum(said, NEVER)).mean())


def fit_temperature(shares: NDArray, truth: NDArray, without: Without | None = None) -> float:
    """Temperature for `calibrated` that makes the log loss least, 0.1 to 10.

    Arguments as for `log_loss`. 1 where there are fewer than LEAST voxels.
    """
    if len(truth) < LEAST:
        return 1.0

    def cost(power):
        return log_loss(calibrated(shares, 1 / power), truth, without)

    return float(1 / minimize_scalar(cost, bounds=(0.1, 10), method="bounded").x)


def best_threshold(
    shares: NDArray, truth: NDArray, blocks: NDArray, without: Without | None = None
) -> float:
    """Threshold, in steps of 0.05, with the best mean Dice of the likeliest class that reaches it.

    One half, unless another is better by SURE standard errors (jackknife over the ``blocks``, (n),
    whatever numbers they have) and by WORTH: what is best by chance, or hardly better, would make
    all objects thinner or thicker.
    Other arguments as for `log_loss`.
    """
    steps = sorted(np.arange(1, 20) / 20, key=lambda t: abs(t - 0.5))
    _, block = np.unique(blocks, return_inverse=True)
    n = block.max() + 1
    found = _counts(shares, truth, block, steps, without or {})
    whole = _mean_dice(found.sum(axis=0))
    best = int(whole.argmax())
    left_out = _mean_dice(found.sum(axis=0) - found)
    gains = left_out[:, best] - left_out[:, 0]
    error = np.sqrt((n - 1) / n * ((gains - gains.mean()) ** 2).sum()) if n > 1 else np.inf
    return float(steps[best if whole[best] - whole[0] > max(SURE * error, WORTH) else 0])


def _counts(shares, truth, block, steps, without: Without) -> NDArray[np.float64]:
    """Voxels found and true, and both together, by block, threshold and class that is there."""
    likeliest, best = shares.argmax(axis=0) + 1, shares.max(axis=0)
    rows = []
    for c in (c for c in range(1, 1 + len(shares)) if (truth == c).any()):
        mine = (likeliest == c) & (seen_for(truth, c, without) != UNKNOWN)
        true = truth == c
        sizes = np.bincount(block, true, block.max() + 1)
        rows.append([
            (np.bincount(block, mine & (best >= t), len(sizes)) + sizes,
             np.bincount(block, mine & (best >= t) & true, len(sizes)))
            for t in steps
        ])  # fmt: skip
    return np.array(rows, float).transpose(3, 1, 0, 2)


def _mean_dice(counts: NDArray) -> NDArray[np.float64]:
    """Mean over the classes (last but one axis) of Dice, by counts of `_counts`; 1 if all is 0."""
    both, overlap = counts[..., 0], counts[..., 1]
    return np.divide(2 * overlap, both, out=np.ones_like(both), where=both > 0).mean(axis=-1)


def predictions(
    model,
    images: Iterable[NDArray],
    labels: NDArray,
    places,
    finish,
    tiling: Tiling,
    hardware,
    classes: int,
) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Shares (classes, n), truth (n) and block (n) of the known voxels of each patch that has any.

    ``images`` n of (slices, y, x), ``labels`` (n, 1 or slices, y, x) of channel numbers, ``places``
    as for `set_aside`.
    """
    for image, truth, place in zip(images, labels, places, strict=True):
        known = truth != UNKNOWN
        if not known.any():
            continue
        bands = [band for _, band in predict_slice(model, image, tiling, hardware, finish)]
        made = np.concatenate(bands, axis=-2)
        made = made if model.network.volumetric else made[:, None]
        members = len(getattr(model, "members", [model]))
        mean = made.reshape(members, -1, *made.shape[1:])[:, :classes].mean(axis=0)
        yield mean[:, known], truth[known].astype(int), block_numbers(place, truth.shape, 0)[known]


def calibrate(
    model,
    images,
    labels,
    places,
    finish,
    tiling: Tiling,
    hardware,
    classes: int,
    without: Without | None = None,
) -> dict:
    """Temperature, threshold, log loss before and after, and voxels; empty if no class is known.

    Arguments as for `predictions`, and the codes ``without`` among the labels.
    """
    parts = list(predictions(model, images, labels, places, finish, tiling, hardware, classes))
    if not parts:
        return {}
    shares, truth, blocks = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    if not ((truth > 0) & (truth <= classes)).any():
        log.warning("no class lies in what is set aside, so nothing is calibrated; paint more")
        return {}
    some = np.random.default_rng(0).permutation(len(truth))[:1_000_000]
    shares, truth, blocks = shares[:, some].astype(float), truth[some], blocks[some]
    temperature = fit_temperature(shares, truth, without)
    after = calibrated(shares, temperature)
    found = {
        "temperature": temperature,
        "threshold": best_threshold(after, truth, blocks, without),
        "log_loss": log_loss(shares, truth, without),
        "log_loss_calibrated": log_loss(after, truth, without),
        "voxels": len(truth),
    }
    log.info("calibration: %s", found)
    return found
