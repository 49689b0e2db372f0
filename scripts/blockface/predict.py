"""A network over whole slices: overlapping tiles, blended, band by band in bounded memory.

A volumetric network sees a row of slices and its context on either side at once; what it says of
the context is thrown away, so no seam is left between rows.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import zarr

from blockface.heap import give_back
from blockface.unet import Ensemble, Hardware, UNet
from blockface.volume import open_volume, resumable, slab_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tiling:
    """Edge and overlap of the tiles in pixels, and over how many mirrored views to average."""

    tile: int = 512
    overlap: int = 64
    views: int = 4

    def of_depth(self, depth: int) -> "Tiling":
        """Smaller tiles if they are ``depth`` slices deep: as many voxels as four flat ones."""
        if depth <= 4:
            return self
        tile = max(64, int(self.tile * (4 / depth) ** 0.5) // 64 * 64)  # any network pools that
        return replace(self, tile=tile, overlap=min(self.overlap, tile // 3))


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
    model: UNet | Ensemble, tiles: np.ndarray, finish: Callable, hardware: Hardware, count: int
) -> np.ndarray:
    """Mean of ``finish(output)`` over mirrored views, for ``tiles`` (n, inputs, y, x).

    The members of an ensemble share the views, each view is seen by one of them (by as many as
    there are, if those are more), so four members cost what one costs. Their means follow each
    other along axis 1: (n, members * outputs, …).
    """
    images = hardware.place(torch.from_numpy(np.ascontiguousarray(tiles)))
    members, mirrored = getattr(model, "members", [model]), views(count)
    totals, passes = [None] * len(members), max(count, len(members))
    for number in range(passes):
        axes, member = mirrored[number % count], number % len(members)
        with hardware.autocast():
            output = members[member](images.flip(axes) if axes else images)
        output = finish(output.float())
        output = output.flip(axes) if axes else output
        total = totals[member]
        totals[member] = output if total is None else total + output
    seen = [len(range(member, passes, len(members))) for member in range(len(members))]
    means = [total / times for total, times in zip(totals, seen, strict=True)]
    return torch.cat(means, dim=1).cpu().numpy()


def predict_slice(
    model: UNet,
    image: np.ndarray,
    tiling: Tiling,
    hardware: Hardware,
    finish: Callable = lambda output: output,
) -> Iterator[tuple[int, np.ndarray]]:
    """Bands (first y, values (outputs, y, x) float32) of one slice, from its top to its bottom.

    ``image`` is (inputs, y, x) float32, normalised; ``finish`` turns the network's output into
    what is blended (probabilities, say). Of a volumetric network bands are (outputs, z, y, x) and
    ``image`` (z, y, x), any number of slices. The members of an `Ensemble` follow each other
    along the first axis.
    """
    deep, slices = model.network.volumetric, len(image)
    if deep:
        tiling = tiling.of_depth(slices)
        image = np.pad(
            image, ((0, -slices % model.network.multiple_z), (0, 0), (0, 0)), "symmetric"
        )
    multiple, (_, height, width) = model.network.multiple, image.shape
    edge = [min(tiling.tile, -(-n // multiple) * multiple) for n in (height, width)]
    short = [max(0, e - n) for e, n in zip(edge, (height, width), strict=True)]
    image = np.pad(image, ((0, 0), (0, short[0]), (0, short[1])), mode="symmetric")
    overlap = min(tiling.overlap, min(edge) // 2)
    weight = ramp(edge[0], overlap)[:, None] * ramp(edge[1], overlap)
    xs, ys = (corners(image.shape[a], edge[a - 1], overlap, multiple) for a in (2, 1))
    total = norm = None
    for y, following in zip(ys, [*ys[1:], image.shape[1]], strict=True):
        tiles = [image[:, y : y + edge[0], x : x + edge[1]] for x in xs]
        batches = [[tile] for tile in tiles] if deep else [tiles]  # deep ones are large enough
        for first, batch in zip(xs if deep else xs[:1], batches, strict=True):
            outputs = run_tiles(model, np.stack(batch), finish, hardware, tiling.views)
            if total is None:
                total = np.zeros((*outputs.shape[1:-2], edge[0], image.shape[2]), np.float32)
                norm = np.zeros(total.shape[-2:], np.float32)
            for x, output in zip([first] if deep else xs, outputs, strict=True):
                total[..., x : x + edge[1]] += output * weight
                norm[:, x : x + edge[1]] += weight
        ready = following - y  # no later tile reaches above the next one's first pixel
        band = (total[..., :ready, :] / norm[:ready])[..., : max(0, height - y), :width]
        band = band[:, :slices] if deep else band
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
    model: UNet | Ensemble,
    weights: str | Path,
    source: str | Path,
    targets: dict[str, Callable],
    *,
    slab: int,
    slabs: int,
    settings: object = None,
    **steps,
) -> None:
    """Write slab ``slab`` of the volumes ``targets``, or go on with it where it was left.

    What was begun is kept as long as the file of ``weights``, the volume at ``source``, the slab
    and further ``settings`` (JSON) are the same. ``targets``: path, and what creates the volume
    there; ``steps`` are those of `predict_rows`.
    """
    volume = open_volume(source)
    key = {
        "model": hashlib.sha256(Path(weights).read_bytes()).hexdigest(),
        "grey": volume.attrs["grey"],
        "shape": list(volume.shape),
        # grey levels alone do not tell stacks apart
        "source": [str(source), Path(source, "zarr.json").stat().st_mtime_ns],
        "slab": [slab, slabs],
        "settings": settings,
    }
    with ExitStack() as stack:
        made = [stack.enter_context(resumable(p, key, make)) for p, make in targets.items()]
        predict_rows(model, volume, made, slab=slab, slabs=slabs, **steps)


def predict_rows(
    model: UNet | Ensemble,
    source: zarr.Array,
    targets: list[tuple],
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
    """Fill the rows of ``targets`` that belong to ``slab``, leaving out those done before.

    ``targets`` are pairs of a volume, (z, y, x) or (class, z, y, x), and its progress
    (`resumable`). ``normalise`` makes float32 network input of grey values; ``encode`` makes of the
    blended ones (outputs, y, x) what is stored in each target: (y, x) or (class, y, x). With
    ``keep_mean`` every slice keeps its mean grey value, so that none flickers.
    """
    rows = slab_rows(source.shape, slab, slabs)
    todo = [row for row in rows if not all(row in progress for _, progress in targets)]
    began = time.monotonic()
    for number, row in enumerate(todo, 1):
        made = [
            np.empty((*t.shape[:-3], row.stop - row.start, *t.shape[-2:]), t.dtype)
            for t, _ in targets
        ]
        for z, image, bands in row_bands(model, source, row, normalise, tiling, hardware, finish):
            for y, band in levelled(bands, image) if keep_mean else bands:
                for target, values in zip(made, encode(band), strict=True):
                    target[..., z, y : y + values.shape[-2], :] = values
        for (target, progress), values in zip(targets, made, strict=True):
            target[..., row, :, :] = values
            progress.add(row)
        give_back()
        left = (time.monotonic() - began) / number * (len(todo) - number)
        log.info("slices %d to %d done; about %.0f s left", row.start, row.stop - 1, left)


def row_bands(model, source: zarr.Array, row: slice, normalise, tiling, hardware, finish):
    """What is to be entered of ``row``: slice or slices in it, middle image, bands of them.

    A volumetric network makes all slices of the row at once, from its context before and after;
    it begins at a multiple of its pooling, so that rows pool alike.
    """
    network, depth = model.network, source.shape[0]
    context = network.context
    if network.volumetric:
        first = max(0, row.start - context) // network.multiple_z * network.multiple_z
        last = min(depth, row.stop + context)
        bands = predict_slice(model, normalise(source[first:last]), tiling, hardware, finish)
        inner = slice(row.start - first, row.stop - first)
        yield slice(None), None, ((y, band[:, inner]) for y, band in bands)
        return
    first, last = max(0, row.start - context), min(depth, row.stop + context)
    grey = source[first:last]
    for z in range(row.start, row.stop):
        near = np.clip(np.arange(z - context, z + context + 1), 0, depth - 1) - first
        image = normalise(grey[near])  # slice by slice: floats take four times the room
        yield z - row.start, image[context], predict_slice(model, image, tiling, hardware, finish)
