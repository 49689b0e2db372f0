"""Learning classes from sparse labels: what is not reviewed takes no part in loss or score.

Labels of a patch are (kinds, slices, y, x): the classes and, where it is learnt, the boundary
between objects that touch; of the middle slice alone, or of all slices for a volumetric network.
Where only some classes were reviewed (blockface.reviewed), "none of these" is what is learnt.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from blockface.augment import Augmentation, grey, move, sampling_grid
from blockface.network import Network
from blockface.reviewed import Without, possible, seen_for
from blockface.scores import UNKNOWN
from blockface.slice_faults import sides_lost, slice_faults
from blockface.train import Training
from blockface.unet import Hardware, UNet

BOUNDARY_WEIGHT = (
    0.25  # at 1 a small network learns no class but the easiest in a few hundred steps
)

SELDOM = 1e-6  # beside the share of a patch that is reviewed


def label_channels(
    labels: NDArray, values: list[int], without: Without | None = None
) -> NDArray[np.uint8]:
    """Labels with channel numbers for class ``values``: 0 background, 1 the first class, …

    The codes of ``without`` stay.
    """
    table = np.full(256, UNKNOWN, np.uint8)
    for kept in (0, *(without or ())):
        table[kept] = kept
    for channel, value in enumerate(values, 1):
        table[value] = channel
    return table[labels]


def sampler(
    images: NDArray,
    labels: NDArray,
    training: Training,
    augmentation: Augmentation,
    hardware: Hardware,
    network: Network,
    normalise: Callable[[NDArray], NDArray] = np.float32,
):
    """Function that draws a batch of ``images``, normalised by ``normalise``, and of their labels.

    ``images`` (n, slices, y, x), ``labels`` (n, kinds, 1 or slices, y, x). A batch is images
    (n, slices, y, x) and truth (n, kinds, y, x), or (n, kinds, slices, y, x) for a volumetric
    ``network``, of as many slices as it can pool; the slices upside down or not. Patches are drawn
    the more often the more of them is reviewed: at the edge of a small annotation little is.
    """
    labels = torch.from_numpy(labels)
    often = (labels[:, 0] != UNKNOWN).flatten(1).double().mean(1) + SELDOM
    depth = images.shape[1]
    deep = depth // network.multiple_z * network.multiple_z if network.volumetric else depth

    def sample(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.multinomial(often, training.batch, replacement=True, generator=rng)
        cells = sampling_grid(training.batch, images.shape[-1], training.crop, augmentation, rng)
        some, truth = torch.from_numpy(normalise(images[chosen.numpy()])), labels[chosen]
        if network.volumetric:
            first = int(torch.randint(depth - deep + 1, (1,), generator=rng))
            turned = augmentation.mirror and bool(torch.rand(1, generator=rng) < 0.5)
            some, truth = some[:, first : first + deep], truth[:, :, first : first + deep]
            some, truth = (some.flip(1), truth.flip(2)) if turned else (some, truth)
        elif network.context:
            turned = torch.rand(len(some), generator=rng) < 0.5 * augmentation.mirror
            some[turned] = some[turned].flip(1)
            some = sides_lost(some, rng)
        moved, planes = move(
            some.to(hardware.device),
            truth.flatten(1, 2).to(hardware.device),
            cells.to(hardware.device),
        )
        truth = planes.unflatten(1, truth.shape[1:3])
        moved, truth = slice_faults(moved, truth, augmentation, rng)
        moved = grey(moved, augmentation, rng, noisy=slice(None))
        return hardware.place(moved), truth if network.volumetric else truth[:, :, 0]

    return sample


def objective(
    output: torch.Tensor, truth: torch.Tensor, without: Without | None = None
) -> torch.Tensor:
    """Loss of the classes, ``truth[:, 0]``, and of the boundary, ``truth[:, 1]``, if it is there.

    The boundary's logit is the last channel of ``output``. ``without`` as in `loss`.
    """
    if truth.shape[1] == 1:
        return loss(output, truth[:, 0], without)
    edges = boundary_loss(output[:, -1], truth[:, 1])
    return loss(output[:, :-1], truth[:, 0], without) + BOUNDARY_WEIGHT * edges


def loss(output: torch.Tensor, truth: torch.Tensor, without: Without | None = None) -> torch.Tensor:
    """Soft Dice plus cross-entropy over known voxels (nnU-Net, doi:10.1038/s41592-020-01008-z).

    ``output`` (n, 1 + classes, …) before softmax, ``truth`` (n, …) with 255 for unknown, … being
    y, x or z, y, x. Of the codes ``without`` {code: channels that are not there} the cross-entropy
    is that of all other channels together, and the Dice of a channel that is not there sees them
    (marginal and exclusive losses, Shi et al. 2021, doi:10.1016/j.media.2021.101979).
    """
    known = truth != UNKNOWN
    if not known.any():
        return output.sum() * 0
    if without:
        entropy = marginal_entropy(output, truth, without)
        full = truth < output.shape[1]
        absent = ~torch.from_numpy(possible(without, output.shape[1])).to(truth.device)
        told = full[:, None] | absent[truth].movedim(-1, 1)[:, 1:]
    else:
        entropy = cross_entropy(output, truth, ignore_index=UNKNOWN)
        full, told = known, known[:, None]
    shares = output.softmax(1)[:, 1:] * told
    target = one_hot(truth * full, output.shape[1]).movedim(-1, 1)[:, 1:] * full[:, None]
    axes = [0, *range(2, output.ndim)]
    overlap, size = (shares * target).sum(axes), (shares + target).sum(axes)
    present = target.sum(axes) > 0
    dice = (2 * overlap + 1) / (size + 1)
    return entropy + ((1 - dice) * present).sum() / present.sum().clamp(min=1)


def marginal_entropy(output: torch.Tensor, truth: torch.Tensor, without: Without) -> torch.Tensor:
    """Mean of - log of what all channels that a label may mean have together; as in `loss`."""
    may = torch.from_numpy(possible(without, output.shape[1])).to(truth.device)
    known = truth != UNKNOWN
    logs = output.movedim(1, -1)[known].log_softmax(-1)
    return -logs.masked_fill(~may[truth[known]], -torch.inf).logsumexp(-1).mean()


def boundary_loss(logit: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """The same for one yes-or-no channel: ``logit`` and ``truth`` (0, 1, 255 unknown), one shape.

    Boundaries are thin, so they weigh as much as all else in the cross-entropy, up to 20 times.
    """
    known = truth != UNKNOWN
    if not known.any():
        return logit.sum() * 0
    logit, target = logit[known], truth[known].float()
    count = target.sum()
    rare = ((len(target) - count) / count.clamp(min=1)).clamp(1, 20)
    entropy = binary_cross_entropy_with_logits(logit, target, pos_weight=rare)
    share = logit.sigmoid()
    dice = (2 * (share * target).sum() + 1) / (share.sum() + count + 1)
    return entropy + (1 - dice) * (count > 0)


def finisher(boundary: bool) -> Callable:
    """Function that makes probabilities of a network's output: classes without background.

    With ``boundary`` that of a boundary is the last.
    """

    def finish(output: torch.Tensor) -> torch.Tensor:
        if not boundary:
            return output.softmax(1)[:, 1:]
        return torch.cat([output[:, :-1].softmax(1)[:, 1:], output[:, -1:].sigmoid()], dim=1)

    return finish


@torch.no_grad()
def training_dice(
    model: UNet,
    images: NDArray,
    labels: NDArray,
    classes: int,
    hardware: Hardware,
    without: Without | None = None,
) -> dict[str, float]:
    """Mean Dice over the ``classes`` on whole, unchanged patches the network trains on.

    ``labels`` (n, 1 or slices, y, x) of channel numbers, and codes ``without``. Sparse annotations
    are too precious to set some aside; the held-out slices judge the result.
    """
    network, depth = model.network, images.shape[1]
    size = images.shape[-1] // network.multiple * network.multiple
    deep = depth // network.multiple_z * network.multiple_z if network.volumetric else depth
    counts = np.zeros((1 + classes, 3))
    images, labels = images[:, :deep, :size, :size], labels[:, :deep, :size, :size]
    for image, truth in zip(images, labels, strict=True):
        with hardware.autocast():
            output = model(hardware.place(torch.from_numpy(np.ascontiguousarray(image[None]))))
        guess = output[0, : 1 + classes].float().argmax(0).cpu().numpy()
        truth = truth if network.volumetric else truth[0]
        for c in range(1, 1 + classes):
            seen = seen_for(truth, c, without or {})
            a, b = (guess == c) & (seen != UNKNOWN), seen == c
            counts[c] += (a & b).sum(), a.sum(), b.sum()
    both, guessed, true = counts[counts[:, 2] > 0].T
    dice = float(np.mean(2 * both / np.maximum(guessed + true, 1))) if len(both) else float("nan")
    return {"training_dice": dice}
