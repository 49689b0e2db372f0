"""Random geometry and grey levels, drawn per image, computed for the whole batch on its device."""

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import conv2d, grid_sample, pad

from blockface.noise import Noise
from blockface.scores import UNKNOWN


@dataclass(frozen=True)
class Augmentation:
    """How much each kind may do.

    ``oblique``: share of images turned by any angle and scaled; the others only by quarter turns,
    which keep the noise as it is. ``scale``: largest factor of enlargement or reduction. ``noise``,
    ``contrast``, ``brightness``: in units of the grey range; ``blur``: SD in pixels. The others are
    faults of single slices (`slice_faults`).
    """

    oblique: float = 0.5
    mirror: bool = True
    scale: float = 1.25
    noise: float = 0.1
    blur: float = 1.0
    contrast: float = 0.15
    brightness: float = 0.1
    slice_grey: float = 0.0
    charging: float = 0.0
    blurred_slice: float = 0.0
    missing_slice: float = 0.0
    shifted_slice: int = 0


def sampling_grid(
    count: int, stored: int, size: int, settings: Augmentation, rng: torch.Generator
) -> torch.Tensor:
    """Grid (count, size, size, 2) for ``grid_sample`` that cuts ``size`` from ``stored`` pixels.

    Turned, mirrored, scaled and shifted at random, within the stored patch as far as it goes.
    """

    def uniform():
        return torch.rand(count, generator=rng)

    oblique = uniform() < settings.oblique
    angle = torch.where(oblique, uniform() * 2 * math.pi, (uniform() * 4).floor() * (math.pi / 2))
    scale = torch.where(oblique, settings.scale ** (2 * uniform() - 1), torch.ones(count))
    flip = torch.where(uniform() < 0.5, -1.0, 1.0) if settings.mirror else torch.ones(count)
    # whole-pixel shifts, so that a quarter turn meets the pixels exactly
    room = stored - size
    shift = torch.stack([(uniform() * (room + 1)).floor() - room / 2 for _ in range(2)], dim=1)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    matrix = torch.stack([torch.stack([cos * flip, -sin], 1), torch.stack([sin * flip, cos], 1)], 1)
    axis = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y], -1).reshape(1, -1, 2) @ matrix.transpose(1, 2) + shift[:, None]
    return (points * 2 / stored).reshape(count, size, size, 2)


def move(
    images: torch.Tensor, labels: torch.Tensor | None, grid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """``images`` (n, c, y, x) by cubic and ``labels`` by nearest sampling at ``grid``.

    ``labels`` are (n, y, x) or (n, planes, y, x). Outside the stored patch images are mirrored and
    labels unknown.
    """
    moved = grid_sample(images, grid, "bicubic", "reflection", align_corners=False)
    if labels is None:
        return moved, None
    planes = labels if labels.ndim == 4 else labels[:, None]
    shifted = planes.float() - UNKNOWN  # so that zero padding means unknown
    taken = grid_sample(shifted, grid, "nearest", "zeros", align_corners=False)
    taken = (taken + UNKNOWN).round().long()
    return moved, taken if labels.ndim == 4 else taken[:, 0]


def blur(images: torch.Tensor, sd: float) -> torch.Tensor:
    """``images`` (n, c, y, x) smoothed by a Gaussian of ``sd`` pixels."""
    if sd < 0.2:
        return images
    radius = math.ceil(3 * sd)
    x = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-((x / sd) ** 2) / 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, 1, -1)
    n, c, h, w = images.shape
    flat = images.reshape(n * c, 1, h, w)
    flat = conv2d(pad(flat, (radius, radius, 0, 0), "reflect"), kernel)
    flat = conv2d(pad(flat, (0, 0, radius, radius), "reflect"), kernel.transpose(2, 3))
    return flat.reshape(n, c, h, w)


def grey(
    images: torch.Tensor, settings: Augmentation, rng: torch.Generator, *, noisy: slice
) -> torch.Tensor:
    """``images`` (n, c, y, x) in other contrast, brightness and focus; noise on some channels.

    All channels of one image change alike (they show one field); noise is added to the channels
    ``noisy`` only, so that the target of a denoiser stays clean.
    """
    n = len(images)

    def uniform():
        return torch.rand(n, generator=rng)

    contrast = 1 + settings.contrast * (2 * uniform() - 1)
    brightness = 2 * settings.brightness * (2 * uniform() - 1)  # the grey range is -1 … 1
    contrast, brightness = (
        v.to(images.device)[:, None, None, None] for v in (contrast, brightness)
    )
    images = images * contrast + brightness
    for i, sd in enumerate((uniform() - 0.75).clamp(min=0) * 4 * settings.blur):
        images[i : i + 1] = blur(images[i : i + 1], float(sd))  # one image in four
    strength = ((uniform() - 0.5).clamp(min=0) * 4 * settings.noise).to(images.device)
    grain = torch.randn(images[:, noisy].shape, generator=rng).to(images.device)
    images[:, noisy] += strength[:, None, None, None] * grain  # one image in two
    return images


def more_noise(
    clean: torch.Tensor,
    noise: Noise,
    levels: tuple[float, float],
    strength: float,
    rng: torch.Generator,
) -> torch.Tensor:
    """Noise (n, 1, y, x) like ``noise``: every other image gets some, up to ``strength`` times.

    Strength counts in SD. See `noise_like` for the rest.
    """
    share = strength * (2 * torch.rand(len(clean), generator=rng) - 1).clamp(min=0)
    return share.to(clean.device)[:, None, None, None] * noise_like(clean, noise, levels, rng)


def noise_like(
    clean: torch.Tensor, noise: Noise, levels: tuple[float, float], rng: torch.Generator
) -> torch.Tensor:
    """Noise (n, 1, y, x) for images whose true grey levels are ``clean`` (n, 1, y, x).

    It follows ``noise``: its variance at each grey level, its correlation with neighbours, offsets
    of lines (rows). ``levels`` are the grey levels that became -1 and 1.
    """
    low, high = levels
    unit, (n, _, height, width) = (high - low) / 2, clean.shape
    along, across = (torch.from_numpy(k).float().to(clean.device) for k in noise.kernels())
    room = len(across) - 1, len(along) - 1
    grain = torch.randn((n, 1, height + room[0], width + room[1]), generator=rng)
    grain = conv2d(grain.to(clean.device), along.reshape(1, 1, 1, -1))
    grain = conv2d(grain, across.reshape(1, 1, -1, 1))
    lines = torch.randn((n, 1, height, 1), generator=rng).to(clean.device) * noise.line_sd
    sd = noise.variance((clean + 1) * unit + low).sqrt()
    return (sd * grain + lines) / unit
