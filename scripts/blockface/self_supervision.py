"""Learning to denoise from the noisy stack alone: each scan line from the lines beside it.

Neighbor2Neighbor (Huang et al. 2021, doi:10.1109/CVPR46437.2021.01454) draws two images of half
the size from one, so that neighbouring pixels lie in different ones; to predict the one from the
other a network can only learn what both share, the specimen. Along a scan line the noise of one
pixel reaches into the next, so here the two images differ by lines, never by columns.
"""

import numpy as np
import torch
import zarr
from numpy.typing import NDArray

from blockface.augment import Augmentation, grey
from blockface.patches import check_size
from blockface.train import Training
from blockface.unet import Hardware


def draw_patches(stack: zarr.Array, count: int, size: int, seed: int, name: str) -> NDArray:
    """``count`` patches (n, size, size) from random places of a stack (z, y, x), its dtype.

    Raises
    ------
    InputError
        A patch is larger than a slice.
    """
    check_size(size, stack.shape[1:], name, "datasets.<name>.self_supervised.patch_size")
    rng = np.random.default_rng([seed, 5])
    # spread over the depth, so that no part of the stack is unseen
    depths = (np.arange(count) + rng.random(count)) * stack.shape[0] / count
    made = np.empty((count, size, size), stack.dtype)
    for number, z in enumerate(depths.astype(int)):
        y, x = (rng.integers(n - size + 1) for n in stack.shape[1:])
        made[number] = stack[z, y : y + size, x : x + size]
    return made


def halves(images: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each two lines of ``images`` (n, 1, y, x) one at random, and the other ones.

    Two tensors (n, 1, y / 2, x).
    """
    first, second = images[:, :, 0::2], images[:, :, 1::2]
    chosen = torch.rand(first.shape[:3], generator=rng).to(images.device)[..., None] < 0.5
    return torch.where(chosen, first, second), torch.where(chosen, second, first)


def sampler(patches: NDArray, training: Training, augmentation: Augmentation, hardware: Hardware):
    """Function that draws a batch of two half images from normalised ``patches`` (n, y, x).

    Crops are of twice as many lines as columns, so that their halves are square. They are
    mirrored but not turned: noise along lines and across is not the same.
    """
    store = torch.from_numpy(patches)
    height, width = 2 * training.crop, training.crop

    def crop(rng: torch.Generator) -> torch.Tensor:
        def whole(limit):
            return int(torch.randint(limit, (1,), generator=rng))

        patch = store[whole(len(store))]
        y, x = whole(patch.shape[0] - height + 1), whole(patch.shape[1] - width + 1)
        axes = [axis for axis in (0, 1) if whole(2)]
        return patch[y : y + height, x : x + width].flip(axes)

    def sample(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.stack([crop(rng) for _ in range(training.batch)])[:, None]
        images = grey(images.to(hardware.device), augmentation, rng, noisy=slice(0, 0))
        noisy, other = halves(images, rng)
        return hardware.place(noisy), other

    return sample


def loss(output: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Mean square: its minimum is the mean of what the other lines may be, so no grey is lost."""
    return ((output - other) ** 2).mean()
