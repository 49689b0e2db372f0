"""What goes wrong with single slices in an electron microscope, as augmentation.

Each slice is its own image: its grey levels jump, the beam charges it, it is out of focus, lost, or
lies askew. A network that looks at several slices must not take that for a change of the specimen.
"""

import math

import torch
from torch.nn.functional import pad

from blockface.augment import Augmentation, blur
from blockface.scores import UNKNOWN


def slice_faults(
    images: torch.Tensor, labels: torch.Tensor, settings: Augmentation, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """``images`` (n, slices, y, x), changed slice by slice, and ``labels`` that fit them.

    ``labels`` are (n, kinds, s, y, x); s is 1, that of the middle slice, or the number of slices.
    ``slice_grey``: largest change of contrast and brightness, of every slice for itself.
    ``charging``: largest rise of brightness across the crop, in one slice of four. Both in units
    of the grey range. ``blurred_slice``, ``missing_slice``: chance of each slice.
    ``shifted_slice``: largest shift in pixels, of one slice of four. Where s is 1 the middle
    slice is neither lost nor shifted. Labels move with their slice; what comes in is unknown.
    """
    n, slices = images.shape[:2]
    alone = labels.shape[2] == 1
    neighbour = torch.ones(slices, dtype=torch.bool)
    neighbour[slices // 2] = not alone

    def uniform():
        return torch.rand((n, slices), generator=rng)

    if settings.slice_grey:
        factor, offset = (settings.slice_grey * (2 * uniform() - 1) for _ in range(2))
        images = images * placed(1 + factor, images) + placed(2 * offset, images)
    if settings.charging:
        strength = 2 * settings.charging * (2 * uniform() - 1) * (uniform() < 0.25)
        images = images + placed(strength, images) * ramps(uniform(), images)
    if settings.blurred_slice or settings.shifted_slice:
        images, labels = images.clone(), labels.clone()
    if settings.blurred_slice:
        for i, k in torch.nonzero(uniform() < settings.blurred_slice).tolist():
            sd = 1 + 2 * float(torch.rand(1, generator=rng))
            images[i : i + 1, k : k + 1] = blur(images[i : i + 1, k : k + 1], sd)
    if settings.shifted_slice:
        reach = min(settings.shifted_slice, *(size - 1 for size in images.shape[-2:]))
        for i, k in torch.nonzero((uniform() < 0.25) & neighbour).tolist():
            by = torch.randint(-reach, reach + 1, (2,), generator=rng).tolist()
            images[i, k] = shifted(images[i, k], by, reach)
            if not alone:
                labels[i, :, k] = shifted(labels[i, :, k], by, reach, UNKNOWN)
    if settings.missing_slice:
        gone = (uniform() < settings.missing_slice) & neighbour
        grey = placed(2 * uniform() - 1, images).expand_as(images)
        images = torch.where(placed(gone, images), grey, images)
    return images, labels


def sides_lost(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """``images`` (n, slices, y, x), in which some outer slices are repeats of those inside them.

    So the network meets them at the ends of the stack. On either side, one time in four, from a
    random distance on.
    """
    n, slices = images.shape[:2]
    reach = slices // 2
    order = torch.arange(slices).repeat(n, 1)
    for step in (-1, 1):
        kept = torch.randint(reach, (n, 1), generator=rng)
        kept = torch.where(torch.rand((n, 1), generator=rng) < 0.25, kept, reach)
        side = step * (order - reach) > kept
        order = torch.where(side, reach + step * kept, order)
    return images[torch.arange(n)[:, None], order]


def placed(values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """A value per slice (n, slices) as a factor of ``images``, on their device."""
    return values.to(images.device)[:, :, None, None]


def ramps(direction: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Planes that rise from 0 to 1 across ``images``; ``direction`` (n, slices) in turns."""
    angle = placed(direction * 2 * math.pi, images)
    y, x = (torch.linspace(-1, 1, size, device=images.device) for size in images.shape[-2:])
    along = torch.sin(angle) * y[:, None] + torch.cos(angle) * x
    return (along / math.sqrt(2) + 1) / 2


def shifted(plane: torch.Tensor, by: list[int], reach: int, fill: int | None = None):
    """``plane`` (…, y, x) moved by whole pixels (y, x), mirrored at the border or ``fill``."""
    size = (reach,) * 4
    if fill is None:
        wide = pad(plane[None, None], size, "reflect")[0, 0]
    else:
        wide = pad(plane, size, value=fill)
    y, x = (reach - step for step in by)
    return wide[..., y : y + plane.shape[-2], x : x + plane.shape[-1]]
