"""The stacks on which segmentation is compared, and which slices are learnt from and scored.

Three are real; the fourth is the phantom, of which the truth is known to the voxel.

Whole slices are held out: some between annotated ones, some in another part of the stack. All were
fixed before any score was seen. Two slices on either side of every annotated one are not scored, so
that methods may see neighbouring slices.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import annotated_stacks
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.segmentation import find_boundaries

from blockface.errors import InputError
from blockface.scores import UNKNOWN


@dataclass(frozen=True)
class Case:
    """A stack (z, y, x), the true mask (uint8, 0 and 1), and the numbers of its slices.

    ``context`` is what Blockface is told where there is no voxel size to choose it by.
    """

    name: str
    kind: str
    voxel_nm: tuple[float, float, float]
    image: NDArray
    truth: NDArray[np.uint8]
    annotated: tuple[int, ...]
    between: tuple[int, ...]
    apart: tuple[int, ...]
    context: str | None = None

    @property
    def held_out(self) -> list[int]:
        """Slices that are scored."""
        return sorted([*self.between, *self.apart])

    @property
    def isotropic(self) -> bool:
        """Whether z may be treated as y and x are, which takes a stack of many thin slices."""
        return len(self.image) >= 64 and max(self.voxel_nm) == min(self.voxel_nm)

    def labels(self, slices: tuple[int, ...]) -> NDArray[np.uint8]:
        """The truth on ``slices``, 255 (unknown) elsewhere."""
        known = np.full_like(self.truth, UNKNOWN)
        known[list(slices)] = self.truth[list(slices)]
        return known


def membranes(bodies: NDArray) -> NDArray[np.uint8]:
    """Mask of the membranes between ``bodies`` (z, y, x), in 3-D: their borders, 4 voxels thick."""
    return binary_dilation(find_boundaries(bodies, 1, "thick") | (bodies == 0)).astype(np.uint8)


def mitochondria(data: Path) -> Case:
    """SBF-SEM of brain tissue, CDeep3M's sample; its voxel size is not told, 1 nm stands in."""
    image, truth = read(data, "cdeep3m_sbem_mito", "raw_z010-029.tif", "mito_z010-029.tif")
    return Case(
        "mitochondria", "mitochondrion", (1, 1, 1), image, (truth > 0).astype(np.uint8),
        annotated=(2, 8, 14), between=(5, 11), apart=(17, 18, 19), context="2d",
    )  # fmt: skip


def isbi(data: Path) -> Case:
    """Membranes in 50 nm sections; the slices apart come of a part of the stack with more noise."""
    image, truth = read(data, "isbi2012_sstem", "raw_z00-19.tif", "membrane_z00-19.tif")
    return Case(
        "ISBI 2012", "membrane", (50, 4, 4), image, (truth > 0).astype(np.uint8),
        annotated=(2, 8, 14), between=(5, 11), apart=(17, 18, 19),
    )  # fmt: skip


def fibsem(data: Path) -> Case:
    """Membranes in an isotropic stack, from the borders of the neurons that were painted."""
    image, bodies = read(data, "flyem_fibsem_medulla", "raw_z000-159.tif", "neurons_z000-159.tif")
    return Case(
        "FIB-SEM", "membrane", (10, 10, 10), image, membranes(bodies),
        annotated=(10, 30, 50, 70, 90), between=(20, 40, 60, 80), apart=(120, 130, 140, 150),
    )  # fmt: skip


def phantom(data: Path) -> Case:
    """Fibrils of the demo's phantom, noisy as it is imaged; made in results/benchmarks."""
    made = annotated_stacks.phantom(Path("results/benchmarks"))
    image = np.stack([tifffile.imread(file) for file in sorted(made.path.iterdir())])
    return Case(
        "phantom", "fibril", made.voxel_nm, image, (made.truth == 1).astype(np.uint8),
        annotated=(4, 16, 28), between=(10, 22), apart=(36, 40, 44),
    )  # fmt: skip


CASES = {"mitochondria": mitochondria, "isbi": isbi, "fibsem": fibsem, "phantom": phantom}


def read(data: Path, folder: str, *files: str) -> list[NDArray]:
    """The TIFF ``files`` of one folder of the real data."""
    for name in files:
        if not (data / folder / name).is_file():
            raise InputError(
                f"{data / folder / name}: not found; expected the real data; set BLOCKFACE_DATA to "
                "the folder that holds it"
            )
    return [tifffile.imread(data / folder / name) for name in files]


def data_folder() -> Path:
    """Folder of the real data: BLOCKFACE_DATA, or shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("BLOCKFACE_DATA", beside))
