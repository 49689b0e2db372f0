"""The simulated annotator: corrects what the worklist of an iteration shows, for the next round.

Reads worklist.tsv and the bundles in corrections/ of an iteration, puts the truth (painted by an
imperfect hand) in place of the predicted masks in the slice asked about, leaves the slices of
context as they are, and saves them as Seg3D does, to <annotations>/<dataset>/<NN+1>/<bundle>/. The
truth is a folder with objects.zarr (ids) and objects.csv (object_id, class); it may hold a phantom,
or what a person painted (--jitter 0).
"""

import argparse
import shutil
import sys
from pathlib import Path

import nrrd
import numpy as np
import pandas as pd
import zarr

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "scripts")]

from demo.hand import JITTER_PX, paint  # noqa: E402
from demo.seg3d_export import write_mask  # noqa: E402


def main(argv: list[str] | None = None) -> None:
    """Write the next round of annotations; one that exists is left as it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--iteration", type=int, default=0, help="whose prediction is corrected")
    parser.add_argument("--dataset", default="demo")
    parser.add_argument("--results", default="results")
    parser.add_argument("--annotations", default="annotations")
    parser.add_argument("--truth", default="demo/truth", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--places", type=int, help="correct only so many, from the worst")
    parser.add_argument(
        "--jitter", type=float, default=JITTER_PX, help="SD of the hand in px, %(default)s"
    )
    options = parser.parse_args(argv)
    results = Path(options.results) / options.dataset / f"iter_{options.iteration:02d}"
    target = Path(options.annotations) / options.dataset / f"{options.iteration + 1:02d}"
    if target.is_dir():
        print(f"{target}: this round is there already")
        return
    worklist = results / "worklist.tsv"
    if not worklist.is_file():
        sys.exit(
            f"Error: {worklist}: no worklist; expected that of iteration {options.iteration}; "
            f"make it with: snakemake --cores all --config iteration={options.iteration}"
        )
    places = pd.read_csv(worklist, sep="\t")
    truth, class_of = open_truth(Path(options.truth))
    done = []
    for place in places.head(options.places or len(places)).itertuples():
        rng = np.random.default_rng([options.seed, options.iteration, place.z])
        done += correct(find_bundle(results, place), place.z, truth, class_of, rng, options.jitter)
    if not done:
        sys.exit(
            f"Error: {results / 'corrections'}: no mask found for a place of {worklist}; "
            "expected z0123/z0123_<class>.nrrd; run the iteration again"
        )
    for bundle, name, mask, voxel_nm, start in done:
        (target / bundle).mkdir(parents=True, exist_ok=True)
        write_mask(target / bundle / name, mask, voxel_nm, start)
    for bundle in {row[0] for row in done}:
        handed_out = results / "corrections" / bundle / "corrected" / "predicted.npz"
        shutil.copy(handed_out, target / bundle)
    print(f"{target}: {len(done)} masks at {len({row[0] for row in done})} places")


def open_truth(folder: Path) -> tuple[zarr.Array, dict[str, np.ndarray]]:
    """True ids (z, y, x), and the ids of each class by its name."""
    table = folder / "objects.csv"
    if not table.is_file():
        sys.exit(f"Error: {table}: no truth; the demo's comes from tests/demo/make_demo.py")
    ids = pd.read_csv(table).groupby("class")["object_id"]
    return zarr.open_array(str(folder / "objects.zarr"), mode="r"), dict(ids.agg(np.array))


def find_bundle(results: Path, place) -> Path:
    """Folder of a row of the worklist: what it says, from the root or from the iteration."""
    named = Path(str(getattr(place, "folder", "")))
    for folder in (named, results / named, results / "corrections" / named.name):
        if named.name and folder.is_dir():
            return folder
    return results / "corrections" / f"z{place.z:04d}"


def correct(
    bundle: Path, z: int, truth, class_of: dict[str, np.ndarray], rng, jitter: float = JITTER_PX
) -> list[tuple]:
    """(bundle, file name, mask, voxel size, first voxel) per mask, right in slice ``z``.

    No voxel is painted twice, as by a person who sees the other masks: where two classes touch, it
    goes to the one painted first.
    """
    done, taken = [], np.uint8(0)
    for file in sorted(bundle.glob("*.nrrd")):
        name = file.stem.removeprefix(f"{bundle.name}_")
        if name not in class_of:
            continue
        mask, header = nrrd.read(str(file), index_order="C")
        spacing = np.diag(header["space directions"])
        start = np.rint(np.array(header["space origin"]) / spacing).astype(int)[::-1]
        stop = start + np.array(header["sizes"])[::-1]
        ids = truth[(z, *(slice(a, b) for a, b in zip(start[1:], stop[1:], strict=True)))]
        mask[z - start[0]] = paint(ids, class_of[name], rng, jitter) * (1 - taken)
        taken = taken | mask[z - start[0]]
        place = tuple(map(float, spacing[::-1])), tuple(map(int, start))
        done.append((bundle.name, file.name, mask, *place))
    return done


if __name__ == "__main__":
    main()
