"""Large stacks made cheaply: one tile of tubes along z, repeated in y, x and z, and noise."""

import numpy as np
import tifffile

from blockface.volume import create_volume, slab_rows

TILE = 512
PERIOD = 64  # slices after which the tile repeats
TUBES = 20  # per tile; the first two run through the whole stack, the others end once a period
VOXEL_NM = (50.0, 10.0, 10.0)


def tile(z: int) -> np.ndarray:
    """Mask (y, x) of the tubes of one tile in slice ``z``; 4 % of it, some tubes touch."""
    rng = np.random.default_rng(0)
    mask = np.zeros((TILE, TILE), bool)
    turn = 2 * np.pi * z / PERIOD
    for number in range(TUBES):
        y, x = np.divmod(number, 5)
        phase, gap = rng.uniform(0, 2 * np.pi), rng.integers(PERIOD)
        y0 = 64 + 128 * y + rng.uniform(-20, 20) + 16 * np.sin(turn + phase)
        x0 = 51 + 102 * x + rng.uniform(-12, 12) + 16 * np.cos(turn + phase)
        radius = rng.uniform(10, 15)
        if number > 1 and (z - gap) % PERIOD < 2:
            continue
        near = tuple(slice(max(0, int(c - 16)), int(c + 17)) for c in (y0, x0))
        gy, gx = np.ogrid[near]
        mask[near] |= (gy - y0) ** 2 + (gx - x0) ** 2 < radius**2
    return mask


class Scene:
    """Grey and probability of a stack of ``shape``, slice by slice."""

    def __init__(self, shape: tuple[int, int, int]):
        """Nothing of the stack's size is held."""
        self.shape = shape
        self.masks = [tile(z) for z in range(PERIOD)]
        self.noise = np.random.default_rng(1).normal(0, 15, (TILE, TILE))

    def spread(self, plane: np.ndarray) -> np.ndarray:
        """A tile repeated over a slice."""
        _, height, width = self.shape
        return np.tile(plane, (-(-height // TILE), -(-width // TILE)))[:height, :width]

    def grey(self, z: int) -> np.ndarray:
        """Slice (y, x) uint8."""
        noise = np.roll(self.noise, (37 * z, 91 * z), (0, 1))
        return self.spread((110 + 60 * self.masks[z % PERIOD] + noise).clip(0, 255).astype("u1"))

    def write_tiff(self, path) -> None:
        """Multi-page TIFF of the grey levels."""
        slices = (self.grey(z) for z in range(self.shape[0]))
        tifffile.imwrite(
            path, slices, shape=self.shape, dtype="uint8", photometric="minisblack", bigtiff=True
        )

    def write_probability(self, path) -> None:
        """Volume (class, z, y, x) as ``predict`` leaves it."""
        array = create_volume(
            path, (1, *self.shape), np.uint8, VOXEL_NM, classes=["fibril"], values=[1]
        )
        for row in slab_rows(self.shape):
            masks = [self.masks[z % PERIOD] for z in range(row.start, row.stop)]
            array[0, row] = np.stack([self.spread(mask * np.uint8(230)) for mask in masks])
