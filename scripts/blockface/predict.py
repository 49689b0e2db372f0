"""A network over whole slices: overlapping tiles, blended, band by band in bounded memory."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zarr

from blockface.heap import give_back
from blockface.unet import Hardware, UNet
from blockface.volume import open_volume, resumable, slab_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tiling:
    """Edge and overlap of the tiles in pixels, and over how many mirrored views to average."""

    tile: int = 512
    overlap: int = 64
    views: int = 4


def normalised(grey: np.ndarray, low: float, high: float) -> np.ndarray:
    """Network input, float32, of grey levels: ``low`` becomes -1 and ``high`` 1."""
    scale = np.float32(2 / (high - low) if high > low else 1)
    return ((grey - np.float32(low)) * scale - 1).astype(np.float32)


def ramp(size: int, overlap: int) -> np.ndarray:
    """Weights along one edge of a tile: rising over the overlap, 1 in the middle, never 0."""
    rise = (np.arange(size) + 1) / (overlap + 1)
    return np.minimum(1, np.minimum(rise, rise[::-1])).astype(np.float32)


def corners(length: int, tile: int, overlap: int, multiple: int = 1) -> list[int]:
    """First pixels of the tiles that cover ``length``, evenly spread; the last ends at its end.

    All but the last are multiples of ``multiple``, so that the tiles pool the same pixels. Spread
    evenly, no tile ends close to the border of the image, where the next one has little weight.
    """
    if length <= tile:
        return [0]
    step = max(multiple, (tile - overlap) // multiple * multiple)
    room, gaps = length - tile, -(-(length - tile) // step)
    return sorted({*(-(-i * room // (gaps * multiple)) * multiple for i in range(gaps)), room})


def views(count: int) -> list[tuple[int, ...]]:
    """Axes to mirror for each of ``count`` (1, 2 or 4) views of a tile."""
    return [(), (-1,), (-2,), (-2, -1)][:count]


@torch.no_grad()
def run_tiles(
    model: UNet, tiles: np.ndarray, finish: Callable, hardware: Hardware, count: int
) -> np.ndarray:
    """Mean of ``finish(output)`` over mirrored views, for ``tiles`` (n, inputs, y, x)."""
    images = hardware.place(torch.from_numpy(np.ascontiguousarray(tiles)))
    total = None
    for axes in views(count):
        with hardware.autocast():
            output = model(images.flip(axes) if axes else images)
        output = finish(output.float())
        output = output.flip(axes) if axes else output
        total = output if total is None else total + output
    return (total / count).cpu().numpy()


def predict_slice(
    model: UNet,
    image: np.ndarray,
    tiling: Tiling,
    hardware: Hardware,
    finish: Callable = lambda output: output,
) -> Iterator[tuple[int, np.ndarray]]:
    """Bands (first y, values (outputs, y, x) float32) of one slice, from its top to its bottom.

    ``image`` is (inputs, y, x) float32, normalised; ``finish`` turns the network's output into
    what is blended (probabilities, say).
    """
    multiple, (_, height, width) = model.network.multiple, image.shape
    edge = [min(tiling.tile, -(-n // multiple) * multiple) for n in (height, width)]
    short = [max(0, e - n) for e, n in zip(edge, (height, width), strict=True)]
    image = np.pad(image, ((0, 0), (0, short[0]), (0, short[1])), mode="symmetric")
    overlap = min(tiling.overlap, min(edge) // 2)
    weight = ramp(edge[0], overlap)[:, None] * ramp(edge[1], overlap)
    xs, ys = (corners(image.shape[a], edge[a - 1], overlap, multiple) for a in (2, 1))
    total = norm = None
    for y, following in zip(ys, [*ys[1:], image.shape[1]], strict=True):
        tiles = np.stack([image[:, y : y + edge[0], x : x + edge[1]] for x in xs])
        outputs = run_tiles(model, tiles, finish, hardware, tiling.views)
        if total is None:
            total = np.zeros((outputs.shape[1], edge[0], image.shape[2]), np.float32)
            norm = np.zeros(total.shape[1:], np.float32)
        for x, output in zip(xs, outputs, strict=True):
            total[:, :, x : x + edge[1]] += output * weight
            norm[:, x : x + edge[1]] += weight
        ready = following - y  # no later tile reaches above the next one's first pixel
        band = (total[:, :ready] / norm[:ready])[:, : max(0, height - y), :width]
        yield y, band
        for buffer in (total, norm):
            buffer[..., : edge[0] - ready, :] = buffer[..., ready:, :].copy()
            buffer[..., edge[0] - ready :, :] = 0


def levelled(
    bands: Iterator[tuple[int, np.ndarray]], image: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """The ``bands`` of one slice as one, shifted to the mean of ``image`` (y, x)."""
    whole = np.concatenate([band for _, band in bands], axis=1)
    yield 0, whole + (image.mean(dtype=float) - whole.mean(dtype=float)).astype(np.float32)


def predict_slab(
    model: UNet,
    weights: str | Path,
    source: str | Path,
    target: str | Path,
    make: Callable,
    *,
    slab: int,
    slabs: int,
    **steps,
) -> None:
    """Write slab ``slab`` of the volume at ``target``, or go on with it where it was left.

    What was begun is kept as long as the file of ``weights``, the volume at ``source`` and the
    slab are the same. ``make`` creates the volume; ``steps`` are those of `predict_rows`.
    """
    volume = open_volume(source)
    key = {
        "model": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        "grey": volume.attrs["grey"],
        "shape": list(volume.shape),
        # grey levels alone do not tell stacks apart
        "source": [str(source), Path(source, "zarr.json").stat().st_mtime_ns],
        "slab": [slab, slabs],
    }
    with resumable(target, key, make) as (made, progress):
        predict_rows(model, volume, made, progress, slab=slab, slabs=slabs, **steps)


def predict_rows(
    model: UNet,
    source: zarr.Array,
    target: zarr.Array,
    progress,
    *,
    normalise: Callable,
    encode: Callable,
    finish: Callable,
    tiling: Tiling,
    hardware: Hardware,
    slab: int = 0,
    slabs: int = 1,
    keep_mean: bool = False,
) -> None:
    """Fill the rows of ``target`` that belong to ``slab``, leaving out those done before.

    ``normalise`` makes float32 network input of grey values, ``encode`` stored values of the
    blended ones. ``target`` is (z, y, x), or (class, z, y, x) with one channel per output.
    With ``keep_mean`` every slice keeps its mean grey value, so that none flickers.
    """
    context, depth = model.network.context, source.shape[0]
    rows = slab_rows(source.shape, slab, slabs)
    todo, began = [row for row in rows if row not in progress], time.monotonic()
    for number, row in enumerate(todo, 1):
        first, last = max(0, row.start - context), min(depth, row.stop + context)
        grey = source[first:last]
        made = np.empty(
            (*target.shape[:-3], row.stop - row.start, *target.shape[-2:]), target.dtype
        )
        for z in range(row.start, row.stop):
            near = np.clip(np.arange(z - context, z + context + 1), 0, depth - 1) - first
            image = normalise(grey[near])  # slice by slice: floats take four times the room
            bands = predict_slice(model, image, tiling, hardware, finish)
            for y, band in levelled(bands, image[context]) if keep_mean else bands:
                made[..., z - row.start, y : y + band.shape[1], :] = encode(
                    band if made.ndim == 4 else band[0]
                )
        target[..., row, :, :] = made
        progress.add(row)
        give_back()
        left = (time.monotonic() - began) / number * (len(todo) - number)
        log.info("slices %d to %d done; about %.0f s left", row.start, row.stop - 1, left)
