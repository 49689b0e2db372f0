"""Where in a slice a place for correction lies: in the part with most doubt that nobody knows yet.

Slices are often wider than what is handed out. A part whose neighbour in the next slice has been
reviewed shows the same structures again, so it is not asked about a second time.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from blockface.reviewed import fully_known, without_of
from blockface.scores import UNKNOWN

BLOCK = 16  # pixels; the part with most doubt is sought on a grid of such blocks
TRIES = 20  # parts drawn for a control
SAME = 3  # slices on either side of a reviewed one that show the same there


def doubts(probability: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Doubt (…) of (class, …): 0 where all classes are sure, up to 127 at one half, times 255."""
    return np.minimum(probability, 255 - probability).max(axis=0)


def in_blocks(plane: NDArray) -> NDArray[np.int64]:
    """Sums of ``plane`` (y, x) over blocks of `BLOCK` pixels, those at the far edges smaller."""
    edges = [np.arange(0, n, BLOCK) for n in plane.shape]
    return np.add.reduceat(np.add.reduceat(plane.astype(np.int64), edges[0], axis=0), edges[1], 1)


def inner(part: slice) -> slice:
    """The blocks in which a ``part`` (pixels) lies."""
    return slice(part.start // BLOCK, -(-part.stop // BLOCK))


def window(blocks: NDArray, shape: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Where in a slice of ``shape`` the window of ``size`` pixels with the largest sum lies.

    ``blocks`` are sums as `in_blocks` gives them.
    """
    if max(shape) <= size:
        return slice(0, shape[0]), slice(0, shape[1])
    total = np.pad(blocks, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    side = [max(1, min(size, n) // BLOCK) for n in shape]
    a, b = (min(s, n) for s, n in zip(side, blocks.shape, strict=True))
    sums = total[a:, b:] - total[:-a, b:] - total[a:, :-b] + total[:-a, :-b]
    corner = np.unravel_index(sums.argmax(), sums.shape)
    starts = [int(min(c * BLOCK, max(0, n - size))) for c, n in zip(corner, shape, strict=True)]
    return tuple(slice(s, min(s + size, n)) for s, n in zip(starts, shape, strict=True))


class Places:
    """The place of every slice: its window of at most ``size`` pixels, and how wrong that may be.

    ``annotations`` is the volume of labels, of which the slices ``learnt`` are known. What was
    reviewed for some of the classes only may be handed out again, unless slices are places.
    """

    def __init__(self, annotations, learnt: Iterable[int], size: int):
        self.shape, self.size = tuple(annotations.shape[-2:]), size
        self.whole = max(self.shape) <= size  # then each slice is a place
        learnt = [int(z) for z in learnt]
        kept = [] if self.whole else learnt
        codes = without_of(annotations.attrs)
        self.known = {z: in_blocks(fully_known(annotations[z], codes) != UNKNOWN) > 0 for z in kept}
        self.done = set(learnt) if self.whole else {z for z, k in self.known.items() if k.all()}
        self.found: list[tuple] = []

    @property
    def reviewed(self) -> int:
        """How many blocks are known, where slices are not handed out whole."""
        return sum(int(known.sum()) for known in self.known.values())

    def look(self, z: int, doubt: NDArray[np.uint8]) -> None:
        """Find the place of slice ``z``, whose `doubts` are ``doubt``."""
        own = in_blocks(doubt)
        own[self.known.get(z, False)] = 0
        blocks = own.copy()
        for near in range(z - SAME, z + SAME + 1):
            if near in self.known:
                blocks[self.known[near]] = 0
        rows, columns = window(blocks if blocks.any() else own, self.shape, self.size)
        first, side = (s.start // BLOCK for s in (rows, columns)), max(1, self.size // BLOCK)
        inside = blocks[tuple(slice(f, f + side) for f in first)]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        corners = rows.start, rows.stop, columns.start, columns.stop
        self.found.append((inside.sum() / 255 / area, *corners))

    def somewhere(self, chosen: pd.DataFrame, seed: int) -> pd.DataFrame:
        """``chosen`` with the place of every control anywhere in its slice, drawn by ``seed``.

        Its worst part would say nothing of where nobody looked for faults, nor would what is known
        already: of several parts drawn that with the least of it is taken. What is known of that
        part, place_error and place_score, becomes NaN.
        """
        if self.whole:
            return chosen
        chosen, rng = chosen.copy(), np.random.default_rng([seed, len(self.found), self.reviewed])
        for row in chosen.index[chosen["control"]]:
            drawn = [self._part(rng) for _ in range(TRIES)]
            known = self.known.get(int(chosen.loc[row, "z"]))
            if known is None:
                known = np.zeros((1, 1), bool)
            y, x = min(drawn, key=lambda part: int(known[tuple(map(inner, part))].sum()))
            for axis, part in zip("yx", (y, x), strict=True):
                chosen.loc[row, [f"{axis}0", f"{axis}1"]] = part.start, part.stop
            chosen.loc[row, ["place_error", "place_score"]] = np.nan
        return chosen

    def _part(self, rng) -> tuple[slice, slice]:
        """Any part of a slice."""
        firsts = [int(rng.integers(0, max(0, n - self.size) + 1)) for n in self.shape]
        return tuple(
            slice(f, min(f + self.size, n)) for f, n in zip(firsts, self.shape, strict=True)
        )

    def table(self) -> pd.DataFrame:
        """A row per slice looked at: y0, y1, x0, x1, and the share of voxels expected to be wrong.

        That is place_error; without it where slices are handed out whole.
        """
        table = pd.DataFrame(self.found, columns=["place_error", "y0", "y1", "x0", "x1"])
        return table.drop(columns="place_error") if self.whole else table
