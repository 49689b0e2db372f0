"""Whether two images are a pair to learn from, and if not, why."""

from dataclasses import dataclass

import numpy as np

LEAST_SIDE = 64  # pixels
MIN_TILES = 4
PILED_UP = 1e-3  # share of pixels at one end of the grey scale from which on it counts as clipped
MUCH_CLIPPED = 0.05  # share of saturated pixels that is told
NOISY_PARTNER = 0.7  # SD of a partner's noise over the noisy image's from which on it is noisy too


@dataclass(frozen=True)
class Limits:
    """What a pair must keep to.

    ``max_shift_fraction``: largest shift along an axis, as a share of the frame's side.
    ``min_correlation``: least median correlation over tiles, of both images band-passed, after
    registration. ``max_residual_px``: largest shift that may be left in 95 % of the tiles.
    ``max_blur_px``: largest SD of the blur of one image against the other. ``max_clipped``:
    largest share of saturated pixels in either image.
    """

    max_shift_fraction: float = 0.25
    min_correlation: float = 0.4
    max_residual_px: float = 1.0
    max_blur_px: float = 1.5
    max_clipped: float = 0.25


def unfit(noisy: np.ndarray, clean: np.ndarray, limits: Limits) -> str:
    """Why the two images cannot be registered at all, or nothing."""
    if noisy.shape != clean.shape:
        sizes = [" x ".join(map(str, image.shape)) for image in (noisy, clean)]
        return f"sizes differ: noisy {sizes[0]}, clean {sizes[1]} pixels (y, x)"
    if min(noisy.shape) < LEAST_SIDE:
        return f"smaller than {LEAST_SIDE} pixels"
    for name, image in (("noisy", noisy), ("clean", clean)):
        if not np.isfinite(image).all():
            return f"the {name} image has values that are not numbers"
        low, high = np.percentile(image, (0.5, 99.5))
        if not high > low:
            return f"the {name} image is blank"
        if clipped(image) > limits.max_clipped:
            return (
                f"{clipped(image):.0%} of the {name} image is saturated (grey levels "
                f"{image.min():g} to {image.max():g}, piled up at an end), more than "
                f"{limits.max_clipped:.0%}: record it with less contrast or another brightness"
            )
    if np.array_equal(noisy, clean):
        return "noisy and clean are the same image (equal pixels)"
    return ""


def verdict(result, shape: tuple[int, int], limits: Limits) -> str:
    """Why a registered pair (`Registration`) of frames of ``shape`` is refused, or nothing."""
    furthest = [limits.max_shift_fraction * n for n in shape]
    if result.tiles.shape[0] < MIN_TILES or np.isnan(result.blur):
        return "too little structure in common: blank, out of focus, or another field"
    if not result.correlation >= limits.min_correlation:
        return (
            f"correlation {result.correlation:.2f} is under {limits.min_correlation:g}: another "
            f"field, or shifted by more than {furthest[0]:.0f}, {furthest[1]:.0f} px (y, x)"
        )
    if result.partner_noise > 1 / NOISY_PARTNER:
        return (
            f"the image under clean has {result.partner_noise:.1f} times the noise of the one "
            "under noisy: exchange the two"
        )
    if abs(result.blur) > limits.max_blur_px:
        which, other = ("noisy", "clean") if result.blur > 0 else ("clean", "noisy")
        return (
            f"the {which} image is out of focus: blurred by {abs(result.blur):.1f} px (SD) against "
            f"the {other} one, more than {limits.max_blur_px:g} px"
        )
    if any(abs(s) > limit for s, limit in zip(result.shift, furthest, strict=True)):
        return f"shift of {result.shift[0]:.0f}, {result.shift[1]:.0f} px (y, x) is too large"
    if result.residual_p95 > limits.max_residual_px:
        return (
            f"a shift of {result.residual_p95:.2f} px is left, more than "
            f"{limits.max_residual_px:g} px"
        )
    return ""


def clipped(image: np.ndarray) -> float:
    """Share of pixels at the two ends of the grey scale, where values pile up there."""
    ends = [float((image == end).mean()) for end in (image.min(), image.max())]
    return sum(share for share in ends if share > PILED_UP)


def remarks(noisy: np.ndarray, clean: np.ndarray) -> str:
    """What is to be minded with images that are not refused for it: much saturation."""
    shares = {name: clipped(image) for name, image in (("noisy", noisy), ("clean", clean))}
    return "; ".join(
        f"{share:.0%} of the {name} image is saturated"
        for name, share in shares.items()
        if share > MUCH_CLIPPED
    )


def partner(noise: float) -> str:
    """What the second image is, from its noise as a share of the first one's: clean or noisy."""
    return "noisy" if noise > NOISY_PARTNER else "clean"
