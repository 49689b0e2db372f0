"""Learning classes from sparse labels: what is not reviewed takes no part in loss or score."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, one_hot

from blockface.augment import UNKNOWN, Augmentation, grey, move, sampling_grid
from blockface.train import Training
from blockface.unet import Hardware, UNet


def label_channels(labels: NDArray, values: list[int]) -> NDArray[np.uint8]:
    """Labels with channel numbers for class ``values``: 0 background, 1 the first class, …"""
    table = np.full(256, UNKNOWN, np.uint8)
    table[0] = 0
    for channel, value in enumerate(values, 1):
        table[value] = channel
    return table[labels]


def sampler(
    images: NDArray, labels: NDArray, training: Training, augmentation: Augmentation, hardware
):
    """Function that draws a batch of normalised ``images`` (n, c, y, x), ``labels`` (n, y, x)."""
    images, labels = torch.from_numpy(images), torch.from_numpy(labels)

    def sample(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.randint(len(images), (training.batch,), generator=rng)
        cells = sampling_grid(training.batch, images.shape[-1], training.crop, augmentation, rng)
        moved, truth = move(
            images[chosen].to(hardware.device),
            labels[chosen].to(hardware.device),
            cells.to(hardware.device),
        )
        return hardware.place(grey(moved, augmentation, rng, noisy=slice(None))), truth

    return sample


def loss(output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Soft Dice plus cross-entropy over known voxels (nnU-Net, doi:10.1038/s41592-020-01008-z).

    ``output`` (n, 1 + classes, y, x) before softmax, ``truth`` (n, y, x) with 255 for unknown.
    """
    known = truth != UNKNOWN
    entropy = cross_entropy(output, truth, ignore_index=UNKNOWN)
    if not known.any():
        return output.sum() * 0
    shares = output.softmax(1)[:, 1:] * known[:, None]
    target = one_hot(truth * known, output.shape[1]).movedim(-1, 1)[:, 1:] * known[:, None]
    overlap, size = (shares * target).sum((0, 2, 3)), (shares + target).sum((0, 2, 3))
    present = target.sum((0, 2, 3)) > 0
    dice = (2 * overlap + 1) / (size + 1)
    return entropy + ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def finish(output: torch.Tensor) -> torch.Tensor:
    """Probabilities of the classes, without the background, of a network's output."""
    return output.softmax(1)[:, 1:]


@torch.no_grad()
def training_dice(
    model: UNet, images: NDArray, labels: NDArray, hardware: Hardware
) -> dict[str, float]:
    """Loss and mean Dice over the classes on whole, unchanged patches the network trains on.

    Sparse annotations are too precious to set some aside; the held-out slices judge the result.
    """
    size = images.shape[-1] // model.network.multiple * model.network.multiple
    channels = model.network.outputs
    counts = np.zeros((channels, 3))
    for image, truth in zip(images[..., :size, :size], labels[..., :size, :size], strict=True):
        with hardware.autocast():
            output = model(hardware.place(torch.from_numpy(image[None])))
        guess = output.float().argmax(1)[0].cpu().numpy()
        known = truth != UNKNOWN
        for c in range(1, channels):
            a, b = (guess == c) & known, (truth == c) & known
            counts[c] += (a & b).sum(), a.sum(), b.sum()
    both, guessed, true = counts[1:][counts[1:, 2] > 0].T
    dice = float(np.mean(2 * both / np.maximum(guessed + true, 1)))
    return {"training_dice": dice}
