"""What a U-Net is made of, and what of it follows from the size of the voxels."""

from dataclasses import dataclass

CONTEXTS = ("2d", "2.5d", "3d")
MOST_Z = 8  # z is pooled so often in all: more would take more slices than memory has room for


@dataclass(frozen=True)
class Level:
    """One level of a U-Net: its kernels, and the pooling that leads to it, both (z, y, x)."""

    kernel: tuple[int, int, int]
    pooling: tuple[int, int, int]


@dataclass(frozen=True)
class Network:
    """Description of a U-Net; two networks are the same if their descriptions are.

    ``context`` neighbouring slices on either side enter: as channels, or, if ``volumetric``, as
    the depth of a volume (0: plain 2-D). ``stride`` 2
    folds 2 × 2 pixels into channels at the entry and unfolds them at the exit: nothing is lost,
    it sees twice as far and is about four times as fast. ``residual``:
    the output is added to the middle slice, for denoising; such a network has no batch
    normalisation, which would disturb grey levels. ``voxel_size_nm`` (z, y, x) decides how a
    volumetric network pools (see `levels`).
    """

    outputs: int
    base: int = 32
    depth: int = 4
    context: int = 0
    stride: int = 1
    residual: bool = False
    volumetric: bool = False
    voxel_size_nm: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def inputs(self) -> int:
        """Number of slices that enter to make the middle one; of input channels in 2-D."""
        return 2 * self.context + 1

    @property
    def levels(self) -> list[Level]:
        """Kernels and poolings from the finest level down.

        In 2-D 3 × 3 and 2 × 2 everywhere. A volumetric network leaves z alone, kernels and
        pooling, while a voxel is at least twice as deep as it is wide (the rule of nnU-Net,
        doi:10.1038/s41592-020-01008-z); pooling in plane then makes the voxels even. z is pooled
        MOST_Z times at most.
        """
        z, width = self.voxel_size_nm[0], min(self.voxel_size_nm[1:]) * self.stride
        found, pooling, pooled = [], (1, 1, 1), 1
        for _ in range(self.depth):
            even = self.volumetric and z < 2 * width
            found.append(Level((3 if even else 1, 3, 3), pooling))
            pooling = (2 if even and pooled < MOST_Z else 1, 2, 2)
            z, width, pooled = z * pooling[0], width * 2, pooled * pooling[0]
        return found

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this."""
        return self.stride * 2 ** (self.depth - 1)

    @property
    def multiple_z(self) -> int:
        """The depth of a volumetric input must be a multiple of this."""
        made = 1
        for level in self.levels:
            made *= level.pooling[0]
        return made


def neighbours(
    context: str | None, asked: int | None, size: dict, voxel_size_nm: tuple[float, float, float]
) -> int:
    """Slices on either side that a network of ``context`` (2d, 2.5d, 3d) sees.

    ``asked``, if not None; else none in 2-D, in 2.5-D two where a voxel is less than twice as deep
    as it is wide and one elsewhere, and in 3-D at least 4 and enough for a crop to be pooled.
    Without a ``context`` it is 2.5-D for such voxels, 2-D elsewhere (measured:
    docs/benchmarks.md). ``size``: depth and stride of the network.
    """
    if asked is not None:
        return asked
    even = voxel_size_nm[0] < 2 * min(voxel_size_nm[1:])
    if context != "3d":
        return {"2d": 0, "2.5d": 2 if even else 1, None: 2 if even else 0}[context]
    plan = Network(1, volumetric=True, voxel_size_nm=voxel_size_nm, **size)
    return max(4, plan.multiple_z)
