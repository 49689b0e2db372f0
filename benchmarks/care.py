"""CARE rebuilt, as a peer: the network, loss and schedule that CSBDeep has by default.

Content-aware image restoration (Weigert et al. 2018, doi:10.1038/s41592-018-0216-7); CSBDeep's
``Config``: residual U-Net of depth 2, 32 channels at first, 5 x 5 kernels, two convolutions a
level, no normalisation layers; mean absolute error, Adam at 4e-4, batches of 16 crops of 128
pixels, the rate halved after 10 epochs without gain, weights of the best validation loss kept, no
augmentation; grey levels normalised by percentiles 3 and 99.8. Its 100 epochs are kept, their
steps are as many as the time allows. The package itself needs TensorFlow, or, as CAREamics,
torchvision.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from blockface.unet import Hardware

BASE, DEPTH, KERNEL, CROP, BATCH, EPOCHS = 32, 2, 5, 128, 16, 100


def convolutions(*widths: int) -> nn.Sequential:
    """5 x 5 convolutions from each of ``widths`` to the next, with rectifiers."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, KERNEL, padding="same"), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Care(nn.Module):
    """CSBDeep's ``common_unet`` with its defaults for 2-D images."""

    def __init__(self):
        super().__init__()
        wide = [BASE * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(
            convolutions(wide[level - 1] if level else 1, wide[level], wide[level])
            for level in range(DEPTH)
        )
        self.middle = convolutions(wide[DEPTH - 1], wide[DEPTH], wide[DEPTH - 1])
        self.up = nn.ModuleList(
            convolutions(2 * wide[level], wide[level], wide[max(0, level - 1)])
            for level in reversed(range(DEPTH))
        )
        self.last = nn.Conv2d(BASE, 1, 1)

    def forward(self, x):
        """Restored images (n, 1, y, x); y and x multiples of 4."""
        kept, features = [], x
        for block in self.down:
            features = block(features)
            kept.append(features)
            features = max_pool2d(features, 2)
        features = self.middle(features)
        for block, skip in zip(self.up, reversed(kept), strict=True):
            features = block(torch.cat([interpolate(features, scale_factor=2), skip], 1))
        return x + self.last(features)


def normaliser(pairs: list[np.ndarray]) -> tuple[float, float]:
    """Percentiles 3 and 99.8 of all noisy images, which become 0 and 1."""
    low, high = np.percentile(np.concatenate([pair[0].ravel() for pair in pairs]), (3, 99.8))
    return float(low), float(high)


def crops(pairs: list[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """Random crops (count, 2, CROP, CROP) of pairs (2, y, x)."""
    made = []
    for number in rng.integers(len(pairs), size=count):
        pair = pairs[number]
        y, x = (rng.integers(n - CROP + 1) for n in pair.shape[1:])
        made.append(pair[:, y : y + CROP, x : x + CROP])
    return np.stack(made)


def train(
    learn: list[np.ndarray], validate: list[np.ndarray], seconds: float, threads: int, seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """Function that denoises an image, learnt from registered pairs (2, y, x) in ``seconds``."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    hardware = Hardware.best(threads)
    low, high = normaliser([*learn, *validate])
    scaled = [[(pair - low) / (high - low) for pair in part] for part in (learn, validate)]
    model = hardware.place(Care())
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=10, threshold=0
    )
    fixed = crops(scaled[1], 32, np.random.default_rng(seed + 1)).astype(np.float32)

    def error(batch: np.ndarray) -> torch.Tensor:
        images = hardware.place(torch.from_numpy(batch.astype(np.float32)))
        with hardware.autocast():
            made = model(images[:, :1])
        return (made.float() - images[:, 1:]).abs().mean()

    best, kept, began = np.inf, None, time.monotonic()
    for epoch in range(EPOCHS):
        end = began + seconds * (epoch + 1) / EPOCHS
        model.train()
        while time.monotonic() < end:
            optimizer.zero_grad(set_to_none=True)
            error(crops(scaled[0], BATCH, rng)).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            loss = float(np.mean([error(part).item() for part in np.split(fixed, 4)]))
        schedule.step(loss)
        if loss < best:
            best = loss
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        if time.monotonic() > began + seconds:
            break
    model.load_state_dict(kept)

    @torch.no_grad()
    def denoise(image: np.ndarray) -> np.ndarray:
        height, width = image.shape
        padded = np.pad(image, ((0, -height % 4), (0, -width % 4)), mode="symmetric")
        scaled = torch.from_numpy(((padded - low) / (high - low)).astype(np.float32))
        with hardware.autocast():
            made = model(hardware.place(scaled[None, None]))
        return made[0, 0, :height, :width].float().cpu().numpy() * (high - low) + low

    return denoise
