"""Objects from slice to slice: the ones known so far are given the cross-sections of the next.

Every object is expected where it was, moved on by its velocity and by the motion of the tissue
around it (`motion`), in the shape it had (the ellipse of its moments). Of the cross-sections that
it overlaps there each object gets one (assignment one to one, largest sum of IoU). A cross-section
in which several are expected and which is as large as they together is cut between them; one that
lies in an object which already has its share is added to it. What was not found is expected again.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from blockface.cuts import BESIDE, Cut, divided
from blockface.motion import NEIGHBOURS, local_motion
from blockface.tracks import Parts, Tracks, matched, overlaps

LEAST_IOU = 0.2
COVERED = 0.7  # share of a cross-section in an object from which it may be a piece of that
GROWN = 1.15  # an object with an added piece may be that much larger than before
NEAR = 1.5  # radii: what was not where expected is looked for so far around
GAIN = 0.5  # of what is new in velocity and shape
LEAP = 1.0  # median radii; a motion of the tissue beyond is a displaced slice, and may go back
STEP = 1.5  # largest change of area that is believed from one slice to the next


@dataclass
class Found:
    """What a slice holds: the object of each cross-section (-1: none), cut ones, events.

    An event: kind, object, other object or -1, z, y, x (pixels), slices.
    """

    number: np.ndarray
    cuts: list[Cut]
    events: list[tuple]


class Linker:
    """Objects of one class while a stack is gone through, slice by slice."""

    def __init__(self, max_gap: int, min_area: float, tracks: Tracks | None = None):
        """Begin with ``tracks`` expected in the first slice, if there are any.

        ``max_gap``: slices in a row in which an object may be missing; ``min_area``: pixels below
        which a cross-section is at most a piece of one.
        """
        self.max_gap, self.min_area = max_gap, min_area
        self.tracks = Tracks.blank() if tracks is None else tracks
        self.count = 0
        self.first = self.before = None

    def step(self, z: int, plane: np.ndarray, sections: np.ndarray) -> Found:
        """Objects of slice ``z``: its labels ``plane`` (y, x), 1 … n, and their `SECTION`s."""
        self.first = z if self.first is None else self.first
        tracks, area = self.tracks, sections["area"].astype(float)
        places = np.stack([sections["y"], sections["x"]], axis=1)
        tissue = local_motion(tracks.place + tracks.velocity, tracks.area, places, area)
        tracks.place = tracks.place + tracks.velocity + tissue
        tracks.velocity = tracks.velocity + GAIN * going_on(tissue, tracks.area)
        share = overlaps(tracks, plane, len(sections)).tocoo()
        common = share.data * tracks.area[share.row]
        iou = common / (tracks.area[share.row] + area[share.col] - common)
        large = area >= self.min_area
        iou *= large[share.col]
        owner = matched(share.row, share.col, iou, LEAST_IOU, share.shape)
        cuts, parts = divided(tracks, share, owner, plane, sections, self.min_area)
        free = np.ones(len(sections), bool)
        free[owner[owner >= 0]] = False
        free[[cut.section for cut in cuts]] = False
        pieces = self.pieces(share, common, owner, area, free)
        free &= large
        self.look_around(owner, cuts, places, area, free)
        has = np.flatnonzero(owner >= 0)
        parts += [Parts.of(sections, owner[has], has), Parts.of(sections, pieces[1], pieces[0])]
        whole, edge = np.ones(len(tracks), bool), at_edge(sections, plane.shape)
        whole[[i for cut in cuts for i in cut.number]] = False
        # of a cut cross-section it is not known who of them reaches the border: an end is told
        tracks.edge[~whole] = False
        tracks.edge[has] = edge[owner[has]]
        events = self.seen(z, Parts.summed(parts), whole)
        number = np.full(len(sections), -1)
        number[owner[has]] = tracks.number[has]
        number[pieces[1]] = tracks.number[pieces[0]]
        for cut in cuts:
            cut.number = tracks.number[cut.number]
        new = np.flatnonzero(free)
        number[new] = self.count + np.arange(len(new))
        events += self.lost(plane.shape)
        events += self.begun(z, Parts.of(sections, new, new), edge[new])
        self.before = plane, number
        return Found(number, cuts, events)

    def pieces(self, share, common, owner, area, free) -> tuple[np.ndarray, np.ndarray]:
        """Tracks and the free cross-sections that lie in them besides their own; no longer free."""
        mine = (owner[share.row] >= 0) & free[share.col] & (common >= COVERED * area[share.col])
        mine &= area[owner[share.row]] + area[share.col] <= GROWN * self.tracks.area[share.row]
        section, first = np.unique(share.col[mine], return_index=True)
        free[section] = False
        return share.row[mine][first], section

    def look_around(self, owner, cuts, places, area, free) -> None:
        """Give tracks without any the free cross-sections that are near and as large, in place."""
        tracks = self.tracks
        lone = owner < 0
        for cut in cuts:
            lone[cut.number] = False
        track, section = np.flatnonzero(lone), np.flatnonzero(free)
        if not len(track) or not len(section):
            return
        radius = np.sqrt(tracks.area[track] / np.pi)
        pairs = cKDTree(tracks.place[track]).sparse_distance_matrix(
            cKDTree(places[section]), NEAR * radius.max(), output_type="ndarray"
        )
        i, j = pairs["i"], pairs["j"]
        like = np.abs(np.log(tracks.area[track[i]] / area[section[j]])) < np.log(2)
        value = np.where(like, 1 - pairs["v"] / (NEAR * radius[i]), 0)
        partner = matched(i, j, value, 0, (len(track), len(section)))
        hit = partner >= 0
        owner[track[hit]] = section[partner[hit]]
        free[section[partner[hit]]] = False

    def seen(self, z: int, got: Parts, whole: np.ndarray) -> list[tuple]:
        """Move tracks to what they were given; returns the events of this.

        Those not ``whole`` got a part of a cross-section, which does not tell their shape.
        """
        tracks, t = self.tracks, got.track
        events = []
        for i, (y, x) in zip(t, got.place, strict=True):
            if tracks.number[i] < 0:
                tracks.number[i] = self.count
                self.count += 1
                if z > self.first and not tracks.edge[i]:
                    events.append(("start", tracks.number[i], -1, z, y, x, 0))
            elif tracks.missed[i]:
                events.append(("gap", tracks.number[i], -1, z, y, x, tracks.missed[i]))
        tracks.age[t] += 1
        gain = np.where(tracks.age[t] == 2, 1, GAIN)[:, None]  # the first step is all there is
        aside = got.place - tracks.place[t]
        tracks.velocity[t] += gain * aside / (1 + tracks.missed[t, None])
        ratio = np.clip(got.area / tracks.area[t], 1 / STEP, STEP)
        scale = (ratio * tracks.area[t] / got.area)[:, None]
        shape = GAIN * whole[t]
        tracks.moments[t] += shape[:, None] * (scale * got.moments - tracks.moments[t])
        tracks.area[t] *= 1 + shape * (ratio - 1)
        tracks.place[t] = got.place
        tracks.last[t] = np.column_stack([np.full(len(t), z), got.place])
        tracks.missed += 1
        tracks.missed[t] = 0
        return events

    def lost(self, shape: tuple[int, int]) -> list[tuple]:
        """Let go of tracks that are missing for too long; returns where they ended."""
        gone = self.tracks.missed > self.max_gap
        ended = self.tracks.taken(gone & (self.tracks.number >= 0))
        self.tracks = self.tracks.taken(~gone)
        return ends(ended, shape)

    def begun(self, z: int, parts: Parts, edge: np.ndarray) -> list[tuple]:
        """Make tracks of new objects, as fast as their neighbours are; returns their events."""
        n = len(parts.area)
        new = Tracks.blank(n)
        new.number[:] = self.count + np.arange(n)
        self.count += n
        new.place, new.moments, new.area = parts.place, parts.moments, parts.area
        new.age[:], new.inside[:], new.edge[:] = 1, -1, edge
        new.last = np.column_stack([np.full(n, z), parts.place])
        known = self.tracks.taken(self.tracks.age > 1)
        if n and len(known):
            k = min(NEIGHBOURS, len(known))
            _, near = cKDTree(known.place).query(new.place, k)
            new.velocity = np.median(known.velocity[near.reshape(n, k)], axis=1)
        self.tracks = self.tracks.joined(new)
        if z == self.first:
            return []
        return [
            ("start" if other < 0 else "split", number, other, z, y, x, 0)
            for number, other, (y, x), cut in zip(
                new.number, self.parents(new), new.place, edge, strict=True
            )
            if not cut  # at the border who came in lies beside others just as who parts from them
        ]

    def parents(self, new: Tracks) -> np.ndarray:
        """Objects in whose cross-section new ones lay in the slice before; -1 for none."""
        plane, number = self.before
        back = new.taken(slice(None))
        back.place = new.place - new.velocity
        share = overlaps(back, plane, len(number)).tocoo()
        parent, inside = np.full(len(new), -1), share.data >= BESIDE
        parent[share.row[inside]] = number[share.col[inside]]
        return parent

    def finish(self) -> list[tuple]:
        """Events of the objects that were not found in the last slices."""
        if self.before is None:
            return []
        lost = (self.tracks.missed > 0) & (self.tracks.number >= 0)
        return ends(self.tracks.taken(lost), self.before[0].shape)

    def turned(self) -> Tracks:
        """The tracks, to be followed the other way from the last slice on, as new objects."""
        tracks = self.tracks.taken(self.tracks.missed == 0)
        tracks.velocity = -tracks.velocity
        tracks.place = tracks.place - tracks.velocity
        tracks.number[:] = -1
        return tracks


def ends(tracks: Tracks, shape: tuple[int, int]) -> list[tuple]:
    """Events of objects that end: in another one (merge) or for themselves, inside the image.

    ``shape`` (y, x): at the border of the image who goes out lies beside others just as who joins
    them, and part of a cut cross-section may do so unseen; no merge is told there.
    """
    events = []
    for i in np.flatnonzero(~tracks.edge):
        z, y, x = tracks.last[i]
        kind = "end" if tracks.inside[i] < 0 else "merge"
        rim = min(y, x, shape[0] - 1 - y, shape[1] - 1 - x)
        if kind == "end" or rim > np.sqrt(tracks.area[i] / np.pi):
            events.append((kind, tracks.number[i], tracks.inside[i], int(z), y, x, 0))
    return events


def going_on(motion: np.ndarray, area: np.ndarray) -> np.ndarray:
    """What of the ``motion`` (n, 2) of the tissue about objects of ``area`` (n,) may go on."""
    if not len(area):
        return motion
    most = LEAP * np.sqrt(np.median(area) / np.pi)
    length = np.linalg.norm(motion, axis=1, keepdims=True)
    return motion * np.minimum(1, most / np.maximum(length, 1e-9))


def at_edge(sections: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which `SECTION`s reach the border of an image of ``shape`` (y, x)."""
    low = (sections["y0"] == 0) | (sections["x0"] == 0)
    return low | (sections["y1"] == shape[0]) | (sections["x1"] == shape[1])
