"""A tiny project on which the whole workflow runs in a minute: discs on noise, known truth."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nrrd
import numpy as np
import tifffile
import yaml
from scipy.ndimage import gaussian_filter, shift

REPOSITORY = Path(__file__).resolve().parents[2]
VOXEL_NM = (50.0, 10.0, 10.0)
SHAPE = (40, 96, 96)  # three rows of at most 16 slices
CENTRES = [(20, 20), (20, 60), (60, 30), (70, 75)]  # of rods along z, 8 pixels in radius
CELL = (slice(40, 52), slice(80, 94))
NETWORK = {"base": 4, "depth": 2}
# more threads than that only wait for one another in networks this small
ONE_THREAD = ("train_denoiser", "denoise_slab", "train_segmenter", "predict_slab")


def truth() -> np.ndarray:
    """Class values of the tiny stack: rods 1, one block 2."""
    y, x = np.mgrid[: SHAPE[1], : SHAPE[2]]
    plane = np.zeros(SHAPE[1:], np.uint8)
    for cy, cx in CENTRES:
        plane[(y - cy) ** 2 + (x - cx) ** 2 < 64] = 1
    plane[CELL] = 2
    return np.repeat(plane[None], SHAPE[0], axis=0)


def make_stack(folder: Path, seed: int = 0) -> None:
    """Write the tiny stack as a folder of slices."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    grey = np.choose(truth(), (60.0, 150.0, 210.0)) + rng.normal(0, 15, SHAPE)
    for z, image in enumerate(np.clip(grey, 0, 255).astype(np.uint8)):
        tifffile.imwrite(folder / f"slice_{z:03d}.tif", image, metadata=None)


def make_pairs(folder: Path, count: int = 4, seed: int = 1) -> None:
    """Write pairs of 112 × 112 pixels, the noisy one displaced by (2.5, -1.25) pixels."""
    folder.mkdir(parents=True)
    rng, lines = np.random.default_rng(seed), ["noisy\tclean"]
    for n in range(count):
        field = 110 + 400 * gaussian_filter(rng.normal(0, 1, (128, 128)), 3)
        for kind, moved, sd in (("short", (2.5, -1.25), 12), ("long", (0, 0), 2)):
            image = shift(field, moved, mode="nearest")[8:-8, 8:-8]
            image = np.clip(image + rng.normal(0, sd, image.shape), 0, 255)
            tifffile.imwrite(folder / f"{n}_{kind}.tif", image.astype(np.uint8), metadata=None)
        lines.append(f"{n}_short.tif\t{n}_long.tif")
    (folder / "pairs.tsv").write_text("\n".join(lines) + "\n")


def write_mask(
    path: Path, mask: np.ndarray, start: tuple = (0, 0, 0), voxel_nm: tuple = VOXEL_NM
) -> None:
    """Single mask as Seg3D exports it; ``start`` (z, y, x): place of its first voxel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spacing = np.array(voxel_nm[::-1])
    header = {
        "space": "3D-right-handed",
        "space directions": np.diag(spacing),
        "space origin": spacing * start[::-1],
        "centerings": ["cell"] * 3,
        "kinds": ["space"] * 3,
        "encoding": "gzip",
    }
    nrrd.write(str(path), mask, header, index_order="C", compression_level=2)


def paint(folder: Path, slices: tuple[int, ...]) -> None:
    """Write whole-stack masks of both classes, painted on ``slices``, as Seg3D exports them."""
    folder.mkdir(parents=True)
    for value, name in ((1, "fibril"), (2, "cell")):
        mask = np.zeros(SHAPE, np.uint8)
        for z in slices:
            mask[z] = truth()[z] == value
        write_mask(folder / f"{name}.nrrd", mask)


def paint_crop(folder: Path, z: int, y: slice = slice(0, 80), x: slice = slice(0, 80)) -> None:
    """Write masks of a part of slice ``z``, placed by their origin."""
    folder.mkdir(parents=True)
    for value, name in ((1, "fibril"), (2, "cell")):
        mask = (truth()[z : z + 1, y, x] == value).astype(np.uint8)
        write_mask(folder / f"{name}.nrrd", mask, (z, y.start, x.start))


def configuration() -> dict:
    """Settings of the tiny project: one denoiser, one dataset, the smallest networks."""
    return {
        "seed": 3,
        "denoisers": {
            "d": {
                "pairs": "pairs/pairs.tsv",
                "patch_size": 48,
                "views": 1,
                "network": {**NETWORK},
                "training": {"steps": 10, "batch": 2, "crop": 32},
            }
        },
        "datasets": {
            "demo": {
                "stack": "stack",
                "voxel_size_nm": list(VOXEL_NM),
                "denoiser": "d",
                "annotations": "annotations/demo",
                "classes": {1: "fibril", 2: "cell"},
                "held_out_slices": [20],
                "patches": {"size": 48, "min_foreground": 0.01},
                "corrections": {"count": 2},
                "separate": "watershed",
                "min_volume_um3": 0.001,
                "views": 2,
                "network": {**NETWORK},
                "training": {"steps": 150, "batch": 4, "crop": 32, "learning_rate": 0.02},
            }
        },
    }


@dataclass
class Project:
    """A folder with a configuration, and what a user does with it."""

    folder: Path
    code: Path = REPOSITORY

    @classmethod
    def new(cls, folder: Path) -> "Project":
        """Project with stack, pairs and the first round, and nothing made yet."""
        make_stack(folder / "stack")
        make_pairs(folder / "pairs")
        paint(folder / "annotations/demo/00", (8, 20, 30))
        project = cls(folder)
        project.write(configuration())
        return project

    def copy(self, folder: Path) -> "Project":
        """The same project elsewhere, with dates and links kept."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Project(folder)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def write(self, config: dict) -> None:
        """Make ``config`` the configuration."""
        (self.folder / "config").mkdir(exist_ok=True)
        (self / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def read(self) -> dict:
        """The configuration as it is."""
        return yaml.safe_load((self / "config/config.yaml").read_text())

    def change(self, *keys: str, value) -> None:
        """Set one value of the configuration, ``keys`` being the way to it."""
        config = part = self.read()
        for key in keys[:-1]:
            part = part.setdefault(key, {})
        part[keys[-1]] = value
        self.write(config)

    def command(self, *arguments: str) -> list[str]:
        """What a user types, with the interpreter of the tests."""
        return [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.code / "Snakefile")),
            *("--directory", str(self.folder)),
            *("--set-threads", *(f"{rule}=1" for rule in ONE_THREAD)),
            *("--cores", "2", *arguments),
        ]

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run to the end; standard error and output come back together as ``stdout``."""
        return subprocess.run(
            self.command(*arguments), text=True, timeout=600, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder,
        )  # fmt: skip

    def make(self, *arguments: str) -> str:
        """Run and expect success; what the terminal showed."""
        done = self.snakemake(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def planned(self, *arguments: str) -> list[tuple[str, str]]:
        """Rule and outputs of every job that a run would start (without ``all``)."""
        shown = self.make("--dry-run", "--quiet", "progress", *arguments)
        found = re.findall(r"^(?:local)?rule (\w+):\n(?:    .*\n)*?    output: (.*)$", shown, re.M)
        assert len(found) == len(re.findall(r"^(?:local)?rule (?!all:)", shown, re.M)), shown
        return found

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Rules that a run would start, and how many jobs of each (without ``all``)."""
        rules = [rule for rule, _ in self.planned(*arguments)]
        return {rule: rules.count(rule) for rule in sorted(set(rules))}

    def kill_when(self, ready, *arguments: str, alone: bool = False, limit_s: float = 120) -> None:
        """Start a run and SIGKILL all its processes, or Snakemake ``alone``, on ``ready()``."""
        run = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        end = time.monotonic() + limit_s
        while not ready():
            assert run.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() < end, "nothing to kill at in time"
            time.sleep(0.002)
        (os.kill if alone else os.killpg)(run.pid, signal.SIGKILL)
        run.wait()

    def remove(self, *names: str) -> None:
        """Delete results, as a user would to have them made again."""
        for name in names:
            path = self / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def log(self, name: str) -> str:
        """Text of a log file."""
        return (self / "logs" / f"{name}.log").read_text()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder``."""
    return {
        str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest()
        for f in sorted(folder.rglob("*"))
        if f.is_file()
    }


def kept(folder: Path) -> dict[str, str]:
    """Hashes of all results and annotations; begun work and time stamps do not count."""
    found = {k: v for part in ("results", "annotations") for k, v in hashes(folder / part).items()}
    return {k: v for k, v in found.items() if ".partial" not in k and ".snakemake_" not in k}
