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

from blockface.graph import BOX
from blockface.motion import NEIGHBOURS, local_motion
from blockface.tracks import Cut, Parts, Tracks, matched, overlaps, pixels

LEAST_IOU = 0.2
INSIDE = 0.5  # share of an object in a cross-section, or the reverse, from which it lies in it
FULL = 0.7  # a cross-section this large, as a share of those expected in it, holds them all
CROWDED = 2.0  # one that many times as large is something else
SLIVER = 0.4  # what a cut leaves of an object, as a share of it, must be more than that
GROWN = 1.3  # an object with an added piece may be that much larger than before
NEAR = 1.5  # radii: what was not where expected is looked for so far around
GAIN = 0.5  # of what is new in velocity and shape
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
        self.first = None

    def step(self, z: int, plane: np.ndarray, sections: np.ndarray) -> Found:
        """Objects of slice ``z``: its labels ``plane`` (y, x), 1 … n, and their `SECTION`s."""
        self.first = z if self.first is None else self.first
        tracks, area = self.tracks, sections["area"].astype(float)
        places = np.stack([sections["y"], sections["x"]], axis=1)
        tissue = local_motion(tracks.place + tracks.velocity, tracks.area, places, area)
        tracks.place = tracks.place + tracks.velocity + tissue
        tracks.velocity = tracks.velocity + GAIN * tissue
        share = overlaps(tracks, plane, len(sections)).tocoo()
        common = share.data * tracks.area[share.row]
        iou = common / (tracks.area[share.row] + area[share.col] - common)
        large = area >= self.min_area
        iou *= large[share.col]
        owner = matched(share.row, share.col, iou, LEAST_IOU, share.shape)
        cuts, parts = self.divided(share, owner, plane, sections)
        free = np.ones(len(sections), bool)
        free[owner[owner >= 0]] = False
        free[[cut.section for cut in cuts]] = False
        pieces = self.pieces(share, common, owner, area, free)
        free &= large
        self.look_around(owner, cuts, places, area, free)

        pieces = self.pieces(share, common, owner, area, free)
        free &= large
        self.look_around(owner, cuts, places, area, free)
        has = np.flatnonzero(owner >= 0)
        parts += [Parts.of(sections, owner[has], has), Parts.of(sections, pieces[1], pieces[0])]
        whole = np.ones(len(tracks), bool)
        whole[[i for cut in cuts for i in cut.number]] = False
        events = self.seen(z, Parts.summed(parts), whole)
        number = np.full(len(sections), -1)
        number[owner[has]] = tracks.number[has]
        number[pieces[1]] = tracks.number[pieces[0]]
        for cut in cuts:
            cut.number = tracks.number[cut.number]
        new = np.flatnonzero(free)
        parent = np.full(len(sections), -1)
        within = common >= INSIDE * area[share.col]
        parent[share.col[within]] = tracks.number[share.row[within]]
        number[new] = self.count + np.arange(len(new))
        events += self.lost()
        events += self.begun(z, Parts.of(sections, new, new), parent[new])
        return Found(number, cuts, events)

    def divided(self, share, owner, plane, sections) -> tuple[list[Cut], list[Parts]]:
        """Cross-sections that hold several objects; their ``number`` is the index of the track.

        Takes the owners of these away; notes in ``tracks.inside`` where the others got lost.
        """
        tracks, cuts, parts = self.tracks, [], []
        lost = (share.data >= INSIDE) & (owner[share.row] < 0)
        of_section = np.full(len(sections), -1)
        of_section[owner[owner >= 0]] = np.flatnonzero(owner >= 0)
        tracks.inside[:] = -1
        for k in np.unique(share.col[lost]):
            here = lost & (share.col == k)
            others = share.row[here][np.argsort(-share.data[here], kind="stable")]
            own = of_section[k : k + 1]
            members = np.concatenate([own[own >= 0], others])
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
            got = self.shares(cut, plane)
            if got is not None:
                cuts.append(cut)
                parts.append(got)
                owner[cut.number] = -1
                tracks.inside[cut.number] = -1
        return cuts, parts

    def shares(self, cut: Cut, plane: np.ndarray) -> Parts | None:
        """Parts of a cut cross-section; who would get a sliver is left out. None if one is left."""
        y, x = pixels(plane, cut.box, cut.section + 1)
        while len(cut.number) > 1:
            got = Parts.of_pixels(y, x, cut.owners(y, x), len(cut.number))
            full = got.area / self.tracks.area[cut.number]
            if full.min() >= SLIVER and got.area.min() >= self.min_area:
                got.track = cut.number
                return got
            kept = np.arange(len(full)) != full.argmin()
            cut.number, cut.place, cut.moments = (
                a[kept] for a in (cut.number, cut.place, cut.moments)
            )
        return None

    def pieces(self, share, common, owner, area, free) -> tuple[np.ndarray, np.ndarray]:
        """Tracks and the free cross-sections that lie in them besides their own; no longer free."""
        tracks = self.tracks
        mine = (owner[share.row] >= 0) & free[share.col] & (common >= INSIDE * area[share.col])
        track, section = share.row[mine], share.col[mine]
        whole = area[owner[track]] + area[section] <= GROWN * tracks.area[track]
        track, section = track[whole], section[whole]
        section, first = np.unique(section, return_index=True)
        free[section] = False
        return track[first], section

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
                if z > self.first:
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

    def lost(self) -> list[tuple]:
        """Let go of tracks that are missing for too long; returns where they ended."""
        gone = self.tracks.missed > self.max_gap
        ended = self.tracks.taken(gone & (self.tracks.number >= 0))
        self.tracks = self.tracks.taken(~gone)
        return ends(ended)

    def begun(self, z: int, parts: Parts, parent: np.ndarray) -> list[tuple]:
        """Make tracks of new objects, as fast as their neighbours are; returns their events."""
        n = len(parts.area)
        new = Tracks.blank(n)
        new.number[:] = self.count + np.arange(n)
        self.count += n
        new.place, new.moments, new.area = parts.place, parts.moments, parts.area
        new.age[:], new.inside[:] = 1, -1
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
            for number, other, (y, x) in zip(new.number, parent, parts.place, strict=True)
        ]

    def finish(self) -> list[tuple]:
        """Events of the objects that were not found in the last slices."""
        return ends(self.tracks.taken((self.tracks.missed > 0) & (self.tracks.number >= 0)))

    def turned(self) -> Tracks:
        """The tracks, to be followed the other way from the last slice on, as new objects."""
        tracks = self.tracks.taken(self.tracks.missed == 0)
        tracks.velocity = -tracks.velocity
        tracks.place = tracks.place - tracks.velocity
        tracks.number[:] = -1
        return tracks


def ends(tracks: Tracks) -> list[tuple]:
    """Events of objects that end: in another one (merge) or for themselves."""
    return [
        ("end" if other < 0 else "merge", number, other, int(z), y, x, 0)
        for number, other, (z, y, x) in zip(tracks.number, tracks.inside, tracks.last, strict=True)
    ]
