"""nnU-Net rebuilt, as a peer: its network, loss, schedule, augmentation and prediction.

Isensee et al. 2021, doi:10.1038/s41592-020-01008-z, with the defaults of its package, version 2.
Rebuilt because that package needs torchvision (through dynamic-network-architectures and timm),
which this project leaves out, and trains by epochs, not for a given time. As published: plain
convolutional U-Net (two convolutions of 3 pixels a level, instance normalisation, leaky rectifiers,
strided convolutions down, transposed ones up, 32 channels at first, at most 512 in 2-D and 320 in
3-D, pooled until 4 pixels are left), deep supervision, Dice plus cross-entropy, SGD at 0.01 with
Nesterov momentum 0.99 and a polynomial schedule, grey levels of mean 0 and SD 1, the augmentation
(nnunet_augment.py), a third of the patches (of two, one) around foreground, mirrored views, and
tiles half overlapping with Gaussian weights. Changed to fit the time: its 250 000 steps are as many
as the time allows, the schedule runs over them, and patches have 256 pixels (2-D) or 64 voxels
(3-D) in batches of 2; its planner, given a GPU of 8 GB, would take larger ones. One network, no
ensemble of five.
"""

import itertools
import time
from collections.abc import Callable

import numpy as np
import torch
from nnunet_augment import augmented
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from blockface.predict import corners
from blockface.scores import UNKNOWN
from blockface.unet import Hardware

EDGE, WIDEST = {2: 256, 3: 64}, {2: 512, 3: 320}
BASE, BATCH, SMALLEST = 32, 2, 4
RATE, MOMENTUM, DECAY, POWER, CLIP = 0.01, 0.99, 3e-5, 0.9, 12.0


def plan(shape: tuple[int, ...], dims: int) -> tuple[int, int]:
    """Edge of the patches, and how often they are pooled, for a stack of ``shape``."""
    room = min(EDGE[dims], *shape[-dims:])
    pools = int(np.log2(room / SMALLEST))
    return room // 2**pools * 2**pools, pools


class PlainUNet(nn.Module):
    """nnU-Net's plain convolutional U-Net for 2 or 3 dimensions, one class beside background."""

    def __init__(self, dims: int, pools: int):
        super().__init__()
        wide = [min(BASE * 2**level, WIDEST[dims]) for level in range(pools + 1)]
        convolution, transposed = (
            (nn.Conv2d, nn.ConvTranspose2d) if dims == 2 else (nn.Conv3d, nn.ConvTranspose3d)
        )
        norm = nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm3d

        def level(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
            layers = []
            for i, step in ((inputs, stride), (outputs, 1)):
                layers += [
                    convolution(i, outputs, 3, step, padding=1),
                    norm(outputs, affine=True),
                    nn.LeakyReLU(0.01, inplace=True),
                ]
            return nn.Sequential(*layers)

        self.down = nn.ModuleList(
            [level(1, wide[0]), *(level(i, o, 2) for i, o in itertools.pairwise(wide))]
        )
        steps = list(itertools.pairwise(wide[::-1]))
        self.enlarge = nn.ModuleList(transposed(i, o, 2, 2) for i, o in steps)
        self.up = nn.ModuleList(level(2 * o, o) for _, o in steps)
        self.heads = nn.ModuleList(convolution(o, 2, 1) for _, o in steps)
        for module in self.modules():
            if isinstance(module, convolution | transposed):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x) -> list[torch.Tensor]:
        """Outputs (n, 2, …) before softmax, the finest first; in use only that."""
        kept = []
        for block in self.down:
            x = block(x)
            kept.append(x)
        made = []
        for enlarge, block, head, skip in zip(
            self.enlarge, self.up, self.heads, kept[-2::-1], strict=True
        ):
            x = block(torch.cat([enlarge(x), skip], 1))
            made.append(head(x) if self.training or head is self.heads[-1] else None)
        return made[::-1] if self.training else made[-1:]


def loss_at(output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Soft Dice (negative) plus cross-entropy over the known pixels; zero if there are none."""
    known = truth != UNKNOWN
    if not known.any():
        return output.sum() * 0
    share, target = output.softmax(1)[:, 1] * known, (truth == 1) & known
    # in 2-D nnU-Net takes the Dice of the whole batch, in 3-D that of each patch
    axes = tuple(range(0 if truth.ndim == 3 else 1, truth.ndim))
    overlap, size = (share * target).sum(axes), share.sum(axes) + target.sum(axes)
    dice = (2 * overlap + 1e-5) / (size + 1e-5).clamp(min=1e-8)
    return cross_entropy(output, truth, ignore_index=UNKNOWN) - dice.mean()


def loss(outputs: list[torch.Tensor], truth: torch.Tensor) -> torch.Tensor:
    """Deep supervision: each coarser output counts half, the coarsest not at all."""
    weights = [2.0**-level for level in range(max(1, len(outputs) - 1))]
    total = 0.0
    for level, (weight, output) in enumerate(zip(weights, outputs, strict=False)):
        thin = (slice(None), *[slice(None, None, 2**level)] * (truth.ndim - 1))
        total = total + weight / sum(weights) * loss_at(output.float(), truth[thin])
    return total


def sampler(image: NDArray, labels: NDArray, dims: int, edge: int, rng: np.random.Generator):
    """Function that draws a batch (images, truth); of two patches one lies around foreground."""
    painted = np.flatnonzero((labels != UNKNOWN).any((1, 2)))
    foreground = {z: np.argwhere(labels[z] == 1) for z in painted}
    full = np.array(image.shape[-dims:]) - edge

    def draw(around: bool) -> tuple[NDArray, NDArray]:
        z = rng.choice(painted)
        corner = rng.integers(0, full + 1)
        if dims == 3:
            corner[0] = z - rng.integers(edge)
        if around and len(foreground[z]):
            centre = rng.choice(foreground[z])
            corner[-2:] = centre - edge // 2
            if dims == 3:
                corner[0] = z - edge // 2
        corner = np.clip(corner, 0, full)
        if dims == 2:
            return augmented(image[z], labels[z], corner, edge, rng)
        return augmented(image, labels, corner, edge, rng)

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        images, truths = zip(*(draw(n >= round(BATCH * 0.67)) for n in range(BATCH)), strict=True)
        return (
            torch.from_numpy(np.stack(images)[:, None]),
            torch.from_numpy(np.stack(truths)).long(),
        )

    return batch


def within(seconds: float) -> Callable[[int], float]:
    """Function of the steps taken that gives the share of ``seconds`` gone since now."""
    began = time.monotonic()
    return lambda steps: (time.monotonic() - began) / seconds


def train(
    image: NDArray, labels: NDArray, *, dims: int, gone: Callable[[int], float], seed: int,
    threads: int,
) -> tuple[Callable[[list[int]], dict[int, NDArray[np.uint8]]], str]:  # fmt: skip
    """Function that gives the masks (y, x) of slices by number, and the steps taken, in words.

    ``image`` and ``labels`` are (z, y, x); of the labels 1 is the class and 255 unknown. ``dims``:
    2 learns from single slices, 3 from blocks in which only some slices are known. ``gone`` tells
    the share of the training that is over (`within`).
    """
    torch.manual_seed(seed)
    hardware = Hardware.best(threads)
    scaled = ((image - image.mean(dtype=float)) / image.std(dtype=float)).astype(np.float32)
    edge, pools = plan(image.shape, dims)
    layout = torch.channels_last if dims == 2 else torch.channels_last_3d
    model = PlainUNet(dims, pools).to(hardware.device, memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
    )
    batch, steps = sampler(scaled, labels, dims, edge, np.random.default_rng(seed)), 0
    while (share := gone(steps)) < 1 or steps == 0:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - min(share, 0.999)) ** POWER
        images, truth = batch()
        optimizer.zero_grad(set_to_none=True)
        with hardware.autocast():
            outputs = model(images.to(hardware.device, memory_format=layout))
        loss(outputs, truth.to(hardware.device)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        steps += 1
    model.eval()
    return lambda wanted: predict(model, scaled, wanted, dims, edge, hardware), f"{steps} steps"


@torch.no_grad()
def probability(model: PlainUNet, tile: torch.Tensor, hardware: Hardware) -> NDArray[np.float32]:
    """Probability of the class in a tile, the mean over all its mirrored views."""
    axes, total = range(tile.ndim), 0.0
    views = [v for n in range(tile.ndim + 1) for v in itertools.combinations(axes, n)]
    for view in views:
        with hardware.autocast():
            output = model(tile.flip(view)[None, None].to(hardware.device))[0]
        total = total + output.float().softmax(1)[0, 1].flip(view)
    return (total / len(views)).cpu().numpy()


def predict(
    model: PlainUNet, image: NDArray, wanted: list[int], dims: int, edge: int, hardware: Hardware
) -> dict[int, NDArray[np.uint8]]:
    """Masks of the slices ``wanted``: tiles half overlapping, weighted by a Gaussian."""
    bell = np.exp(-((np.arange(edge) - (edge - 1) / 2) ** 2) / 2 / (edge / 8) ** 2)
    weight = np.ones(())
    for _ in range(dims):
        weight = np.multiply.outer(weight, bell)
    depth = edge if dims == 3 else 1
    starts = corners(image.shape[0], edge, edge // 2) if dims == 3 else wanted
    total = np.zeros((2, len(wanted), *image.shape[1:]))
    for z in starts:
        inside = [n for n, at in enumerate(wanted) if z <= at < z + depth]
        if not inside:
            continue
        layers = [wanted[n] - z for n in inside]
        for y, x in itertools.product(*(corners(n, edge, edge // 2) for n in image.shape[1:])):
            window = slice(y, y + edge), slice(x, x + edge)
            cut = image[z : z + depth, *window]
            share = probability(model, torch.from_numpy(cut if dims == 3 else cut[0]), hardware)
            pair = np.stack([share * weight, weight])
            total[:, inside, *window] += pair[:, layers] if dims == 3 else pair[:, None]
    return {z: (a > b / 2).astype(np.uint8) for z, a, b in zip(wanted, *total, strict=True)}
