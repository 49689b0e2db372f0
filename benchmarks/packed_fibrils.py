"""Packed fibrils found one by one from what the network predicts, at 5:1 and at 20:1 voxels.

A phantom of tendon whose fibrils nearly all touch is imaged as the demo's is, at a short dwell
time, in slices of 50 nm and in every fourth of them (--slices). Three slices are painted by a hand
that errs. The workflow, with the demo's settings but for --steps, trains, predicts, and separates
fibrils by slices; of objects those of 100 voxels or more count. Told is what became of the true
fibrils of 200 voxels or more - found as one object, merged, split, missed - and how many ends are
false, per millimetre of fibril; beside it the same from the true mask. Results gather in
<folder>/packed_fibrils.csv.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from blockface import slices
from blockface.foreground import Classes
from blockface.slice_objects import Linked
from blockface.stitch import join_objects
from blockface.tables import read_table, write_table
from blockface.volume import create_volume, open_volume
from demo.fates import LEAST, false_ends, fates, in_runs, millimetres
from demo.hand import paint
from demo.imaging import Setting, photograph, probe
from demo.make_demo import CLASSES, make_pairs
from demo.phantom import VOXEL_NM, make_phantom
from demo.scene import Scene
from demo.seg3d_export import write_mask

ROOT = Path(__file__).resolve().parents[1]
DEPTH, EDGE = 44, 384
PAINTED, HELD_OUT = (7, 22, 37), (14, 30)


def least_um3(voxel_nm) -> float:
    """Volume from which on an object counts as found: half of what is looked for."""
    return LEAST / 2 * float(np.prod(voxel_nm)) / 1e9


def make_project(folder: Path, slice_nm: int, options: argparse.Namespace) -> None:
    """Stack, pairs, truth, first painting and configuration, in ``folder``."""
    every, pixel = slice_nm // int(VOXEL_NM[0]), VOXEL_NM[1:]
    voxel_nm = (float(slice_nm), *pixel)
    scene = Scene(make_phantom((DEPTH * every, EDGE, EDGE), options.seed, dense=True))
    rng, count = np.random.default_rng([options.seed, 3]), len(scene.phantom.radii)
    ids = np.zeros((DEPTH, EDGE, EDGE), np.uint32)
    (folder / "stack").mkdir(parents=True)
    for z in range(DEPTH):
        bright, ids[z] = scene(z * every)
        setting = Setting(gain=195 * rng.normal(1, 0.02), offset=rng.normal(18, 2))
        tifffile.imwrite(folder / f"stack/{z:04d}.tif", photograph(probe(bright), setting, rng))
    kinds = {1: np.arange(1, count + 1), 2: np.arange(count + 1, int(ids.max()) + 1)}
    (folder / "annotations/00").mkdir(parents=True)
    taken = np.zeros(ids.shape, np.uint8)  # by the class painted first
    for value, name in CLASSES.items():
        masks = np.zeros(ids.shape, np.uint8)
        for z in (*PAINTED, *HELD_OUT):
            masks[z] = paint(ids[z], kinds[value], rng) * (1 - taken[z])
        taken |= masks
        write_mask(folder / f"annotations/00/{name}.nrrd", masks, voxel_nm)
    ids[ids > count] = 0
    create_volume(folder / "truth.zarr", ids.shape, np.uint32, voxel_nm)[:] = in_runs(ids)
    make_pairs(folder / "pairs", options.seed)
    settings = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    settings["denoisers"]["demo"]["pairs"] = "pairs/pairs.tsv"
    demo = settings["datasets"].pop("demo")
    del demo["truth"]
    settings["datasets"]["packed"] = demo | {
        "stack": "stack", "voxel_size_nm": list(voxel_nm), "annotations": "annotations",
        "held_out_slices": list(HELD_OUT), "training": {"steps": options.steps},
        "min_volume_um3": least_um3(voxel_nm),
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))


def predicted(folder: Path, cores: int) -> tuple[np.ndarray, float]:
    """Ids of the fibrils that the workflow finds, and their Dice on the held-out slices."""
    made = folder / "results/packed/iter_00"
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "config.yaml")),
        *("--cores", str(cores), "--quiet", "all", "--"),
        *(f"results/packed/iter_00/{name}" for name in ("objects.zarr", "evaluation.csv")),
    ]
    subprocess.run(command, check=True)
    scores = read_table(made / "evaluation.csv")
    own = scores[(scores["split"] == "held_out") & (scores["class"] == "fibril")]
    index = read_table(made / "objects_index.csv")
    ids = open_volume(made / "objects.zarr")[:]
    ids[~np.isin(ids, index.loc[index["class"] == "fibril", "object_id"])] = 0
    return ids, float(own["dice"].iloc[0])


def from_true_mask(folder: Path, truth: np.ndarray, voxel_nm) -> np.ndarray:
    """Ids of the fibrils found in the true mask."""
    source, local = folder / "mask.zarr", str(folder / "mask_slab")
    volume = create_volume(source, truth.shape, np.uint8, voxel_nm, classes={"1": "fibril"})
    volume[:] = truth > 0
    how = slices.Settings()
    slices.separate_slab(Classes(str(source)), local, slice(0, len(truth)), how)
    made = str(folder / "from_mask.zarr")
    join_objects(Linked.of_all([local], how, folder), made, least_um3(voxel_nm))
    return open_volume(made)[:]


def row_of(found: np.ndarray, truth: np.ndarray, slice_nm: float) -> dict:
    """Shares (percent) of the true fibrils by what became of them, and false ends."""
    fate = fates(found, truth)
    shares = {f"{name}_percent": 100 * n / fate.sum() for name, n in fate.items()}
    length = millimetres(truth, slice_nm)
    ends = false_ends(found, truth)
    return {"fibrils": fate.sum(), **shares, "mm": length, "false_ends_per_mm": ends / length}


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--slices", type=int, nargs="+", default=[50, 200], choices=[50, 100, 200], metavar="NM",
        help="distance of the slices: 50 (5:1), 100, 200 (20:1); default 50 200")  # fmt: skip
    add("--steps", type=int, default=1200, help="of the segmenter, default %(default)s")
    add("--seed", type=int, default=3)
    add("--cores", type=int, default=2, help="default %(default)s")
    add("--folder", type=Path, default=Path("results/packed_fibrils"), help="default %(default)s")
    options = parser.parse_args(argv)
    out = options.folder / "packed_fibrils.csv"
    for slice_nm in options.slices:
        began = time.monotonic()
        folder = options.folder.absolute() / f"{slice_nm}nm-seed{options.seed}-{options.steps}"
        if not (folder / "config.yaml").is_file():
            make_project(folder, slice_nm, options)
        volume = open_volume(folder / "truth.zarr")
        truth = volume[:]
        ids, dice = predicted(folder, options.cores)
        mask = from_true_mask(folder, truth, (float(slice_nm), *VOXEL_NM[1:]))
        part = {"slice_nm": slice_nm, "seed": options.seed, "steps": options.steps}
        rows = [
            {**part, "mask": "predicted", "dice": dice, **row_of(ids, truth, slice_nm)},
            {**part, "mask": "true", "dice": 1.0, **row_of(mask, truth, slice_nm)},
        ]
        table = pd.DataFrame(rows)
        if out.is_file():
            table = pd.concat([read_table(out, tuple(table.columns)), table])
        table = table.drop_duplicates([*part, "mask"], keep="last", ignore_index=True)
        write_table(table, out)
        print(f"{slice_nm} nm: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()
