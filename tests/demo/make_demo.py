"""Make the demo from a seed: a noisy stack of tendon, dwell pairs, truth, and the first painting.

demo/stack/slice_0000.tif ...       the stack, short dwell, 8 bit
demo/pairs/pairs.tsv                noisy and clean images of twelve other fields
demo/pairs/truth_shift.csv          the drift between the two images of every pair
demo/truth/                         objects.zarr, classes.zarr, objects.csv
annotations/demo/00/                fibril.nrrd and cell.nrrd, as Seg3D exports them
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import tifffile

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]

from blockface.tables import write_table  # noqa: E402
from blockface.volume import create_volume, slab_rows  # noqa: E402
from demo.hand import paint  # noqa: E402
from demo.imaging import Setting, photograph, probe, take_pair  # noqa: E402
from demo.phantom import VOXEL_NM, make_phantom  # noqa: E402
from demo.scene import Scene, truth_table  # noqa: E402
from demo.seg3d_export import write_mask, write_old_mask  # noqa: E402

CLASSES = {1: "fibril", 2: "cell"}
PAINTED = (1 / 6, 1 / 4, 5 / 8, 3 / 4)  # depths of the painted slices; 1/4 and 3/4 are held out
FIELDS, FIELD_PX, MARGIN = (3, 4), 320, 8
LONG_DWELL = 30.0


def main(argv: list[str] | None = None) -> None:
    """Write the demo; what is there from the same settings is left as it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default="demo", help="folder of the demo (default: %(default)s)")
    parser.add_argument("--annotations", default="annotations", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--shape", type=int, nargs=3, default=(48, 384, 384), metavar=("Z", "Y", "X")
    )
    options = parser.parse_args(argv)
    out, painting = Path(options.out), Path(options.annotations) / "demo" / "00"
    made, settings = out / "made.json", {"seed": options.seed, "shape": list(options.shape)}
    if made.is_file() and json.loads(made.read_text()) == settings and painting.is_dir():
        return
    if painting.is_dir():
        sys.exit(
            f"Error: {painting}: annotations of another demo are there, and annotations are "
            f"never overwritten; remove {painting.parent} (and results/demo) and run again"
        )
    make_stack(out, painting, tuple(options.shape), options.seed)
    make_pairs(out / "pairs", options.seed)
    made.write_text(json.dumps(settings))


def make_stack(
    out: Path, painting: Path, shape: tuple[int, int, int], seed: int, settings=None
) -> None:
    """Write the stack, its truth and the first manual annotation.

    ``settings`` of the microscope, one per slice; unset, they hardly change.
    """
    (out / "stack").mkdir(parents=True, exist_ok=True)
    scene = Scene(make_phantom(shape, seed))
    rng = np.random.default_rng([seed, 3])
    fibrils, total = len(scene.phantom.radii), len(scene.phantom.radii) + len(scene.phantom.cells)
    class_of = np.repeat(np.array([0, 1, 2], np.uint8), [1, fibrils, total - fibrils])
    objects = create_volume(out / "truth/objects.zarr", shape, "uint32", VOXEL_NM)
    classes = create_volume(out / "truth/classes.zarr", shape, "uint8", VOXEL_NM, classes=CLASSES)
    masks = {name: np.zeros(shape, np.uint8) for name in CLASSES.values()}
    by_hand = {min(round(share * shape[0]), shape[0] - 1) for share in PAINTED}
    voxels = np.zeros(total + 1, np.int64)
    for row in slab_rows(shape):
        ids = np.empty((row.stop - row.start, *shape[1:]), np.uint32)
        for z in range(row.start, row.stop):
            bright, ids[z - row.start] = scene(z)
            usual = Setting(gain=195 * rng.normal(1, 0.02), offset=rng.normal(18, 2))
            setting = settings[z] if settings else usual
            image = photograph(probe(bright, setting), setting, rng)
            tifffile.imwrite(
                out / f"stack/slice_{z:04d}.tif",
                image,
                metadata=None,
                resolution=(1e7 / VOXEL_NM[1], 1e7 / VOXEL_NM[2]),
                resolutionunit="CENTIMETER",
            )
            for value, name in CLASSES.items() if z in by_hand else ():
                masks[name][z] = paint(ids[z - row.start], np.flatnonzero(class_of == value), rng)
        objects[row], classes[row] = ids, class_of[ids]
        voxels += np.bincount(ids.ravel(), minlength=total + 1)
    write_table(truth_table(scene.phantom, voxels), out / "truth/objects.csv")
    painting.mkdir(parents=True)
    write_mask(painting / "fibril.nrrd", masks["fibril"], VOXEL_NM)
    write_old_mask(painting / "cell.nrrd", masks["cell"], VOXEL_NM)


def make_pairs(out: Path, seed: int) -> None:
    """Write pairs of a short and a long scan of fields of another specimen, and the true drift."""
    out.mkdir(parents=True, exist_ok=True)
    rng, step = np.random.default_rng([seed, 4]), FIELD_PX + 2 * MARGIN
    scene = Scene(make_phantom((1, FIELDS[0] * step, FIELDS[1] * step), seed + 1000))
    blurred = probe(scene(0)[0])
    pairs, shifts = [("noisy", "clean")], []
    for n, (i, j) in enumerate(np.ndindex(FIELDS)):
        field = blurred[i * step : (i + 1) * step, j * step : (j + 1) * step]
        clean = Setting(LONG_DWELL, gain=rng.uniform(160, 185), offset=rng.uniform(20, 40))
        *images, dy, dx = take_pair(field, MARGIN, Setting(), clean, rng)
        names = [f"field_{n:02d}_short.tif", f"field_{n:02d}_long.tif"]
        for name, image in zip(names, images, strict=True):
            tifffile.imwrite(out / name, image, metadata=None)
        pairs.append(names)
        thirds = [(len(dy) * k) // 6 for k in (1, 3, 5)]
        shifts.append([names[0], dy.mean(), dx.mean(), *dy[thirds], *dx[thirds]])
    with open(out / "pairs.tsv", "w", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(pairs)
    with open(out / "truth_shift.csv", "w", newline="") as file:
        thirds = ("top", "middle", "bottom")
        parts = [f"{axis}_{part}_px" for axis in ("dy", "dx") for part in thirds]
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["noisy", "shift_y_px", "shift_x_px", *parts])
        table.writerows([row[0], *(f"{value:.4f}" for value in row[1:])] for row in shifts)


if __name__ == "__main__":
    main()
