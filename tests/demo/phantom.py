"""A phantom of tendon: where every fibril and cell lies, known analytically.

The tissue is laid out in a plane (material coordinates v, u, in pixels) and carried along z by a
smooth shift that all neighbours share: tilt, a planar crimp wave, and slow local drift. What does
not overlap in the plane hardly overlaps anywhere. Fibrils are packed between clefts; the cells
(tenocytes) lie in the clefts, as in real tendon: thick at the nucleus, with thin wings.
"""

from dataclasses import dataclass

import numpy as np

from demo.packing import PIXEL_NM, pack

VOXEL_NM = (50.0, PIXEL_NM, PIXEL_NM)
SAMPLES = 4  # steps of a centreline per slice


@dataclass
class Shift:
    """How far the tissue is carried sideways at a depth: tilt + crimp + local drift, in pixels."""

    tilt: np.ndarray  # (2,) px per nm
    crimp: np.ndarray  # (2,) px, the plane of the wave
    wave_nm: float
    phase: float
    local: np.ndarray  # (waves, 6): amplitude y, x in px, kv, ku per px, kz per nm, phase
    middle_nm: float

    def __call__(self, z_nm, v, u) -> tuple[np.ndarray, np.ndarray]:
        """Shift in y and x (px) of what lies at ``v, u`` of the plane, at depth ``z_nm``."""
        bend = np.sin(2 * np.pi * z_nm / self.wave_nm + self.phase)
        dy = self.tilt[0] * (z_nm - self.middle_nm) + self.crimp[0] * bend + 0 * v
        dx = self.tilt[1] * (z_nm - self.middle_nm) + self.crimp[1] * bend + 0 * u
        for ay, ax, kv, ku, kz, phase in self.local:
            wave = np.sin(kv * v + ku * u + kz * z_nm + phase)
            dy, dx = dy + ay * wave, dx + ax * wave
        return dy, dx

    def reach(self, depth_nm: float) -> float:
        """Largest shift in pixels anywhere in a stack of ``depth_nm``."""
        tilt = np.abs(self.tilt).max() * depth_nm / 2
        return float(tilt + np.abs(self.crimp).max() + np.abs(self.local[:, :2]).sum(0).max())


@dataclass
class Cleft:
    """A wavy line through the plane between two bundles; ``along`` and ``across`` are its axes."""

    angle: float
    offset: float
    wave: float
    length: float
    phase: float

    def axes(self, v, u) -> tuple[np.ndarray, np.ndarray]:
        """Position along the cleft and (signed) across it, px."""
        along = u * np.cos(self.angle) + v * np.sin(self.angle)
        across = v * np.cos(self.angle) - u * np.sin(self.angle) - self.offset
        return along, across - self.wave * np.sin(2 * np.pi * along / self.length + self.phase)


@dataclass
class Cell:
    """A tenocyte in a cleft; half-thickness: a bell (the body) on a thin sheet (the wings)."""

    cleft: Cleft
    centre: float
    body: float
    bell: float
    wing: float
    reach: float
    phase: float
    nucleus_nm: tuple[float, float]  # middle and half-length along z
    mitochondria: np.ndarray  # (n, 6): along, across, z_nm, half-axes along, across (px), z (nm)

    def half_thickness(self, along, z_nm, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Half-thickness of the body and of the wing (px) at ``along``; may be negative."""
        swell = 1 + 0.12 * np.sin(z_nm / 700 + self.phase)
        a = along - self.centre - 6 * np.sin(z_nm / 900 + 2 * self.phase)
        return (
            factor * swell * self.body * np.exp(-((a / self.bell) ** 2)),
            self.wing * (1 - np.minimum(np.abs(a / self.reach), 2) ** 4),
        )

    def distance(self, v, u, z_nm) -> np.ndarray:
        """Signed distance to the membrane in px, negative inside (good near the membrane)."""
        along, across = self.cleft.axes(v, u)
        thick = sum(self.half_thickness(along, z_nm))
        across = across - 1.6 * np.sin(along / 14 + z_nm / 500 + self.phase)  # a ruffled outline
        slope = np.gradient(thick, axis=-1)
        return (np.abs(across) - thick) / np.sqrt(1 + slope**2)


@dataclass
class Phantom:
    """Everything in the tissue; lengths in px of the image plane unless a name says nm."""

    shape: tuple[int, int, int]
    seed: int
    shift: Shift
    clefts: list[Cleft]
    cells: list[Cell]
    z_nm: np.ndarray  # (samples,) depths of the centreline points, from face to face of the stack
    lines: np.ndarray  # (fibril, samples, 2) centreline y, x in px
    radii: np.ndarray  # (fibril, samples) px; 0 beyond an end
    lobes: np.ndarray  # (fibril, 2) how far the outline is from a circle, and its direction

    def at_slice(self, z: int) -> int:
        """Index into ``z_nm`` of the middle of slice ``z``."""
        return z * SAMPLES + SAMPLES // 2


def make_phantom(shape: tuple[int, int, int], seed: int, dense: bool = False) -> Phantom:
    """Tissue for a stack of ``shape`` (z, y, x) at ``VOXEL_NM``; the same for the same seed.

    ``dense``: fibrils touch one another.
    """
    rng = np.random.default_rng([seed, 1])
    depth_nm = shape[0] * VOXEL_NM[0]
    shift = _make_shift(depth_nm, rng)
    margin = int(np.ceil(shift.reach(depth_nm))) + 12
    clefts = _make_clefts(shape, rng)
    cells = [cell for cleft in clefts for cell in _make_cells(cleft, shape, depth_nm, rng)]
    centres, radii = pack(shape, margin, clefts, cells, rng, dense)
    z_nm = (np.arange(shape[0] * SAMPLES + 1) / SAMPLES - 0.5) * VOXEL_NM[0]
    lines = _centrelines(centres, z_nm, shift, rng)
    profile = _ends(len(radii), z_nm, depth_nm, rng)
    lobes = np.stack([rng.uniform(0, 0.08, len(radii)), rng.uniform(0, np.pi, len(radii))], 1)
    return Phantom(shape, seed, shift, clefts, cells, z_nm, lines, radii[:, None] * profile, lobes)


def _make_shift(depth_nm: float, rng) -> Shift:
    angle, waves = rng.uniform(0, 2 * np.pi), 5
    plane = np.array([np.sin(angle), np.cos(angle)])
    tilt_angle = rng.uniform(0, 2 * np.pi)
    lengths = rng.uniform(260, 500, waves)
    direction = rng.uniform(0, 2 * np.pi, waves)
    local = np.stack(
        [
            rng.normal(0, 1.8, waves),
            rng.normal(0, 1.8, waves),
            2 * np.pi * np.sin(direction) / lengths,
            2 * np.pi * np.cos(direction) / lengths,
            2 * np.pi / rng.uniform(2500, 5000, waves),
            rng.uniform(0, 2 * np.pi, waves),
        ],
        axis=1,
    )
    return Shift(
        tilt=0.10 * np.array([np.sin(tilt_angle), np.cos(tilt_angle)]) / VOXEL_NM[2],
        crimp=rng.uniform(10, 13) * plane,
        wave_nm=rng.uniform(2800, 3300),
        phase=rng.uniform(0, 2 * np.pi),
        local=local,
        middle_nm=depth_nm / 2,
    )


def _make_clefts(shape, rng) -> list[Cleft]:
    """Clefts about 235 px apart that run across the image."""
    return [
        Cleft(
            angle=rng.normal(0, 0.06),
            offset=middle + rng.normal(0, 8),
            wave=rng.uniform(5, 12),
            length=rng.uniform(220, 380),
            phase=rng.uniform(0, 2 * np.pi),
        )
        for middle in np.arange(95, shape[1] + 60, 235)
    ]


def _make_cells(cleft: Cleft, shape, depth_nm: float, rng) -> list[Cell]:
    cells, centre = [], rng.uniform(40, 160)
    while centre < shape[2]:
        cell = Cell(
            cleft,
            centre,
            body=rng.uniform(26, 38),
            bell=rng.uniform(38, 56),
            wing=rng.uniform(4.5, 6),
            reach=rng.uniform(85, 115),
            phase=rng.uniform(0, 6.3),
            nucleus_nm=(rng.uniform(0.3, 0.7) * depth_nm, rng.uniform(0.6, 1.1) * depth_nm),
            mitochondria=np.empty((0, 6)),
        )
        cell.mitochondria = _make_mitochondria(cell, depth_nm, rng)
        cells.append(cell)
        centre += rng.uniform(235, 290)
    return cells


def _make_mitochondria(cell: Cell, depth_nm: float, rng) -> np.ndarray:
    rows = []
    for _ in range(120):
        along = cell.centre + rng.choice([-1, 1]) * rng.uniform(0.8, 1.4) * cell.bell
        room = sum(cell.half_thickness(along, depth_nm / 2)) - 5
        thick = min(rng.uniform(4.5, 10), room * 0.8)
        if thick < 4:
            continue
        across = rng.uniform(-1, 1) * max(room - thick, 0)
        row = (
            along,
            across,
            rng.uniform(0, depth_nm),
            thick * rng.uniform(1, 1.7),
            thick,
            rng.uniform(250, 900),
        )
        clear = [
            np.hypot((row[0] - r[0]) / (row[3] + r[3]), (row[1] - r[1]) / (row[4] + r[4])) > 1.1
            or abs(row[2] - r[2]) > row[5] + r[5]
            for r in rows
        ]
        if all(clear):
            rows.append(row)
    return np.array(rows).reshape(-1, 6)


def _centrelines(centres: np.ndarray, z_nm: np.ndarray, shift: Shift, rng) -> np.ndarray:
    dy, dx = shift(z_nm[None], centres[:, :1], centres[:, 1:])
    lines = np.stack([centres[:, :1] + dy, centres[:, 1:] + dx], axis=-1)
    for _ in range(2):  # the wobble of every fibril for itself
        amplitude = rng.normal(0, 0.3, (len(centres), 1, 2))
        length = rng.uniform(900, 2500, (len(centres), 1, 1))
        phase = rng.uniform(0, 2 * np.pi, (len(centres), 1, 2))
        lines += amplitude * np.sin(2 * np.pi * z_nm[None, :, None] / length + phase)
    return lines


def _ends(n: int, z_nm: np.ndarray, depth_nm: float, rng) -> np.ndarray:
    """Radius along every fibril as a share of its full one: 1, or falling to 0 at an end inside."""
    profile = np.ones((n, len(z_nm)))
    for i in np.flatnonzero(rng.random(n) < 0.07):
        end = rng.uniform(0.2, 0.8) * depth_nm
        inside = (z_nm - end) * rng.choice([-1, 1])
        taper = np.clip(inside / rng.uniform(250, 600), 0, 1)
        profile[i] = np.sqrt(1 - (1 - taper) ** 2)
    return profile
