"""A cross-section in which several objects are expected: whose it is, and where it is cut.

Nothing but the numbers of a `Cut` is kept; the pixels are divided again where they are written.
"""

from dataclasses import dataclass

import numpy as np

from blockface.graph import BOX
from blockface.tracks import Parts, Tracks

INSIDE = 0.5  # share of an object in a cross-section, or the reverse, from which it lies in it
BESIDE = 1 / 3  # share of an object in one of another, from which it ends or begins there
FULL = 0.8  # a cross-section this large, as a share of those expected in it, holds them all
CROWDED = 2.0  # one that many times as large is something else
SLIVER = 0.5  # what a cut leaves of an object, as a share of it, must be more than that
LEAP = 6.0  # times as large is what a cross-section may be that an object alone is expected in


@dataclass
class Cut:
    """A cross-section (its index in the slice) divided among several objects, by their ellipses.

    ``box``: y0, y1, x0, x1 of it.
    """

    section: int
    box: tuple[int, int, int, int]
    number: np.ndarray
    place: np.ndarray
    moments: np.ndarray

    def owners(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Which of them (index) each pixel belongs to: the one in whose ellipse it lies deepest."""
        yy, yx, xx = self.moments.T[:, :, None]
        dy, dx = y - self.place[:, :1], x - self.place[:, 1:]
        square = (dy * dy * xx - 2 * dy * dx * yx + dx * dx * yy) / (yy * xx - yx * yx)
        return square.argmin(axis=0)


def pixels(plane: np.ndarray, box: tuple[int, int, int, int], label: int) -> tuple:
    """Places y, x of the pixels with a ``label`` in a ``box`` (y0, y1, x0, x1) of ``plane``."""
    y0, y1, x0, x1 = box
    y, x = np.nonzero(plane[y0:y1, x0:x1] == label)
    return y + y0, x + x0


def divided(tracks: Tracks, share, owner, plane, sections, least: float):
    """Cuts of the cross-sections that hold several tracks, and the `Parts` that these get.

    ``share`` as from `tracks.overlaps` (coo); ``owner``: section of each track or -1, changed in
    place: tracks that share one have none of their own, and one that is alone in a section that
    nobody has gets it. ``plane``: labels, ``sections``: `slices.SECTION`s; no part is smaller than
    ``least`` pixels. The ``number`` of a cut is the index of the track; ``tracks.inside`` notes
    where others got lost.
    """
    cuts, parts = [], []
    lost = (share.data >= INSIDE) & (owner[share.row] < 0)
    of_section = np.full(len(sections), -1)
    of_section[owner[owner >= 0]] = np.flatnonzero(owner >= 0)
    tracks.inside[tracks.missed == 0] = -1
    beside = (share.data >= BESIDE) & (owner[share.row] < 0) & (of_section[share.col] >= 0)
    tracks.inside[share.row[beside]] = tracks.number[of_section[share.col[beside]]]
    row, column, data = share.row[lost], share.col[lost], share.data[lost]
    for k in np.unique(column):
        here = np.flatnonzero(column == k)
        others = row[here[np.argsort(-data[here], kind="stable")]]
        own = of_section[k : k + 1]
        members = np.concatenate([own[own >= 0], others])
        if len(members) == 1 and sections["area"][k] <= LEAP * tracks.area[members[0]]:
            owner[members] = k  # it grew
        if len(own[own >= 0]):
            tracks.inside[others] = tracks.number[own[0]]
        total = np.cumsum(tracks.area[members])
        enough = np.flatnonzero(sections["area"][k] >= FULL * total)
        members = members[: enough[-1] + 1] if len(enough) else members[:0]
        total = tracks.area[members].sum()
        if len(members) < 2 or sections["area"][k] > CROWDED * total:
            continue
        middle = tracks.area[members] @ tracks.place[members] / total
        aside = np.array([sections["y"][k], sections["x"][k]]) - middle
        most = np.sqrt(tracks.area[members].min() / np.pi) / 2
        aside *= min(1, most / max(np.hypot(*aside), 1e-9))
        box = tuple(int(sections[name][k]) for name in BOX[2:])
        cut = Cut(int(k), box, members, tracks.place[members] + aside, tracks.moments[members])
        got = shares(tracks, cut, plane, least)
        if got is not None:
            cuts.append(cut)
            parts.append(got)
            sliver = own[(own >= 0) & ~np.isin(own, cut.number)]  # all of it is others' now
            owner[sliver], tracks.inside[sliver] = -1, tracks.number[cut.number[0]]
            owner[cut.number] = -1
            tracks.inside[cut.number] = -1
    return cuts, parts


def shares(tracks: Tracks, cut: Cut, plane: np.ndarray, least: float) -> Parts | None:
    """Parts of a cut cross-section; who would get a sliver is left out. None if one is left."""
    y, x = pixels(plane, cut.box, cut.section + 1)
    while len(cut.number) > 1:
        got = Parts.of_pixels(y, x, cut.owners(y, x), len(cut.number))
        full = got.area / tracks.area[cut.number]
        if full.min() >= SLIVER and got.area.min() >= least:
            got.track = cut.number
            return got
        kept = np.arange(len(full)) != full.argmin()
        cut.number, cut.place, cut.moments = (a[kept] for a in (cut.number, cut.place, cut.moments))
    return None
