"""Masks that came back flipped, shifted, inverted or from elsewhere, told by their outlines.

Whoever corrects a place leaves many outlines as they were, to the voxel. Where hardly any is left,
but a flip or a shift of the masks, or the prediction of another place or class, restores them, the
masks are not what was handed out. A place redrawn from scratch fits nothing, and nothing is said.
"""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft2, rfft2
from scipy.ndimage import generate_binary_structure, label

LEFT = 0.5  # share of the outlines that lie as handed out, from which on nothing else is tried
CERTAIN = 0.6, 3.0  # share that lies so after a move, and how much more that is than before it
LIKELY = 0.4, 2.0
LEAST = 50  # voxels of outlines below which they tell nothing
SEVERAL = 5  # objects below which a shift is no mistake of the file: they may have been moved
NONE_LEFT = 0.02  # share of outlines, beyond chance, below which the masks may be anybody's
IN_PLANE = generate_binary_structure(3, 1) & np.array([False, True, False])[:, None, None]


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of ``mask`` (z, y, x) beside one in the same slice that is not; not at the border."""
    inner = mask.copy()
    for ahead, behind in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        inner[ahead] &= mask[behind]
        inner[behind] &= mask[ahead]
    return mask & ~inner


def shared(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Voxels of both by the geometric mean of those of each; 0 if one is empty."""
    sizes = float(np.count_nonzero(a)) * np.count_nonzero(b)
    return np.count_nonzero(a & b) / sizes**0.5 if sizes else 0.0


def found_elsewhere(
    before: NDArray[np.bool_], after: NDArray[np.bool_], others: dict[str, NDArray[np.bool_]]
) -> tuple[str, bool] | None:
    """What the mask ``after`` seems to be, and whether that is certain; None if nothing is amiss.

    ``before`` is what was handed out of the class, ``others`` what was of other classes and in
    other places; all (z, y, x) and of one shape.
    """
    was, now = outline(before), outline(after)
    left = shared(was, now)
    if left >= LEFT or min(np.count_nonzero(was), np.count_nonzero(now)) < LEAST:
        return None
    tried = chain(
        ((name, other, after) for name, other in others.items()),
        [("inverted", before, ~after)],
        ((name, before, moved) for name, moved in moves(before, after)),
    )
    fits = [(shared(outline(a), outline(b)), 1 - shared(a, b), name) for name, a, b in tried]
    off = 1 - shared(before, after)
    for sure, (least, times) in ((True, CERTAIN), (False, LIKELY)):
        good = [f for f in fits if f[0] >= max(least, times * left) and f[1] < off]
        if good:
            share, _, name = max(good)
            return (
                f"{share:.0%} of the outlines lie as handed out if the mask is taken as {name}, "
                f"{left:.0%} as it is"
            ), sure
    chance = (was.mean() * now.mean()) ** 0.5
    if left < NONE_LEFT + 1.5 * chance and not _overlap(before, after):
        return f"{left:.0%} of the outlines handed out are left; of another place or stack?", False
    return None


def moves(
    before: NDArray[np.bool_], after: NDArray[np.bool_]
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """``after`` flipped along any axes and shifted in plane to where it fits best, and its name."""
    spectrum = _spectrum(before)
    several = label(before, IN_PLANE)[1] >= SEVERAL * len(before)
    square = before.shape[1] == before.shape[2]
    for turned in (False, True) if square else (False,):
        seen = after.swapaxes(1, 2) if turned else after
        for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)):
            flipped = np.flip(seen, axes)
            names = ["with x and y exchanged"] if turned else []
            names += ["flipped along " + " and ".join("zyx"[a] for a in axes)] if axes else []
            if names:
                yield ", ".join(names), flipped
            match = irfft2((spectrum * _spectrum(flipped).conj()).sum(0), before.shape[1:])
            by = np.unravel_index(match.argmax(), match.shape)
            by = [int((s + n // 2) % n - n // 2) for s, n in zip(by, match.shape, strict=True)]
            if several and any(by):
                names.append(f"shifted by {by[0]} and {by[1]} voxels in y and x")
                yield ", ".join(names), np.roll(flipped, by, (1, 2))


def _spectrum(mask: NDArray[np.bool_]) -> NDArray[np.complex64]:
    return rfft2(outline(mask).astype(np.float32))


def _overlap(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> bool:
    """Whether the two overlap by more than chance: a tenth of what they could."""
    one, two = (np.count_nonzero(mask) / mask.size for mask in (before, after))
    both = np.count_nonzero(before & after) / before.size
    return both - one * two > 0.1 * (min(one, two) - one * two)
