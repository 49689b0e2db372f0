"""Segmentation from a few annotated slices: Blockface beside its peers, one table.

Every method learns from the same whole slices, for --minutes at most, and is scored on slices that
none has seen (segmentation_data.py says which): Dice, IoU, precision and recall of the class. Runs
(data, method, seed) are done one after the other; each leaves a table in <out>/ with a row per
held-out slice, and <out>.csv and <out>.md gather all tables there are, so runs can be done one at a
time. "ours" is the workflow as a user runs it; nnU-Net is its recipe rebuilt (nnunet.py), in 3-D
on the isotropic stack alone; the forest has ilastik's features (forest.py); Otsu's threshold is
that of the annotated slices, and the side of it that fits them better is taken.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from skimage.filters import threshold_otsu

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import forest
import nnunet
import segmentation_ours
from segmentation_data import CASES, Case, data_folder

from blockface.errors import InputError
from blockface.scores import Scores, confusion
from blockface.tables import read_table, write_table

COUNTS = ("true_positive", "false_positive", "false_negative", "voxels")
NAMES = {
    "ours": "Blockface", "nnunet2d": "nnU-Net's recipe, 2-D", "nnunet3d": "nnU-Net's recipe, 3-D",
    "forest": "random forest, ilastik's features", "otsu": "Otsu",
}  # fmt: skip


def ours(case: Case, seed: int, options: argparse.Namespace) -> tuple[dict, dict]:
    """Blockface's workflow, in --work or a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        name = f"{case.name.replace(' ', '_')}_seed{seed}"
        folder = Path(options.work, name) if options.work else Path(temporary)
        return segmentation_ours.segmented(
            case, folder, seconds=60 * options.minutes, seed=seed, threads=options.threads,
            more=options.settings,
        )  # fmt: skip


def network(dims: int):
    """nnU-Net's recipe in 2-D or 3-D."""

    def run(case: Case, seed: int, options: argparse.Namespace) -> tuple[dict, dict]:
        began, gone = time.monotonic(), nnunet.within(60 * options.minutes)
        predict, detail = nnunet.train(
            case.image, case.labels(case.annotated), dims=dims, gone=gone, seed=seed,
            threads=options.threads,
        )  # fmt: skip
        trained = time.monotonic()
        masks = predict(case.held_out)
        spent = {"train_s": trained - began, "predict_s": time.monotonic() - trained}
        return masks, {**spent, "detail": detail}

    return run


def trees(case: Case, seed: int, options: argparse.Namespace) -> tuple[dict, dict]:
    """The random forest; its features are in 3-D where the stack is isotropic."""
    began = time.monotonic()
    mask, detail = forest.train(
        case.image, case.labels(case.annotated), isotropic=case.isotropic,
        seconds=60 * options.minutes, seed=seed, threads=options.threads, wanted=case.held_out,
    )  # fmt: skip
    trained = time.monotonic()
    masks = {z: mask(z) for z in case.held_out}
    spent = {"train_s": trained - began, "predict_s": time.monotonic() - trained}
    return masks, {**spent, "detail": detail}


def otsu(case: Case, seed: int, options: argparse.Namespace) -> tuple[dict, dict]:
    """Otsu's threshold (1979, doi:10.1109/TSMC.1979.4310076) of the annotated slices."""
    began, known = time.monotonic(), list(case.annotated)
    level = threshold_otsu(case.image[known])
    bright = (case.image[known] > level).astype(np.uint8)
    sides = [confusion(side, case.truth[known], 1).dice for side in (1 - bright, bright)]
    side = int(np.argmax(sides))
    masks = {z: ((case.image[z] > level) == side).astype(np.uint8) for z in case.held_out}
    detail = f"{('at most', 'above')[side]} {level:.0f}"
    return masks, {"train_s": time.monotonic() - began, "predict_s": 0.0, "detail": detail}


METHODS = {
    "ours": ours, "nnunet2d": network(2), "nnunet3d": network(3), "forest": trees, "otsu": otsu,
}  # fmt: skip


def one(data: str, method: str, seed: int, options: argparse.Namespace) -> pd.DataFrame:
    """Row per held-out slice of one run: counts, and what the run took."""
    case = CASES[data](options.data_folder)
    masks, spent = METHODS[method](case, seed, options)
    rows = []
    for z, mask in masks.items():
        found = confusion(mask, case.truth[z], 1)
        rows.append(
            {"data": data, "method": method, "seed": seed, "minutes": options.minutes, "z": z}
            | {"place": "between" if z in case.between else "apart"}
            | {name: getattr(found, name) for name in COUNTS}
            | {"dice": found.dice, **spent}
        )
    return pd.DataFrame(rows)


def runs(options: argparse.Namespace) -> Iterator[tuple[str, str, int]]:
    """What is to be done; what there is nothing to vary or gain in is left out."""
    for data in options.data:
        for method in options.methods:
            if method == "nnunet3d" and data != "fibsem":
                continue  # few sections of another thickness are no 3-D stack to nnU-Net
            for seed in options.seeds[:1] if method == "otsu" else options.seeds:
                yield data, method, seed


def scored(rows: pd.DataFrame) -> Scores:
    """Scores of the slices in ``rows`` together."""
    return Scores(*(int(rows[name].sum()) for name in COUNTS))


def spread(values: list[float]) -> str:
    """Mean of ``values`` over the seeds, and their SD where there are several."""
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def summary(table: pd.DataFrame) -> str:
    """The table as Markdown: a row per data, method and minutes; mean and SD over the seeds."""
    lines = [
        "| data | method | minutes | seeds | Dice | between | apart | IoU | precision | recall | "
        "training s | prediction s | setting |",
        "|---" * 13 + "|",
    ]
    rank = {"data": list(CASES), "method": list(METHODS)}
    table = table.sort_values(
        ["data", "method", "minutes", "seed"],
        key=lambda column: (
            column.map(rank.get(column.name, []).index) if column.name in rank else column
        ),
    )
    for (data, method, minutes), rows in table.groupby(["data", "method", "minutes"], sort=False):
        by_seed = [part for _, part in rows.groupby("seed")]
        whole = [scored(part) for part in by_seed]
        cells = [spread([score.dice for score in whole])]
        for place in ("between", "apart"):
            parts = [scored(part[part["place"] == place]) for part in by_seed]
            cells.append(spread([score.dice for score in parts]))
        cells += [
            spread([getattr(s, name) for s in whole]) for name in ("iou", "precision", "recall")
        ]
        cells += [f"{rows[name].mean():.0f}" for name in ("train_s", "predict_s")]
        cells.append(", ".join(dict.fromkeys(rows["detail"])))
        told = "–" if method == "otsu" else f"{minutes:g}"
        lines.append(
            f"| {data} | {NAMES[method]} | {told} | {len(by_seed)} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def gather(out: Path) -> str:
    """Write <out>.csv and <out>.md from all tables in <out>/; the latter's text."""
    table = pd.concat([read_table(file) for file in sorted(out.glob("*.csv"))], ignore_index=True)
    write_table(table, f"{out}.csv")
    Path(f"{out}.md").write_text(summary(table) + "\n")
    return summary(table)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", nargs="+", choices=CASES, default=list(CASES), help="default: all")
    add("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    add("--seeds", nargs="+", type=int, default=[0], help="default: 0")
    add("--minutes", type=float, default=10, help="of training; default: %(default)s")
    add("--threads", type=int, default=os.cpu_count(), help="default: %(default)s")
    add("--out", default="results/benchmarks/segmentation", type=Path, help="default: %(default)s")
    add("--settings", type=json.loads, default={},
        help='of the dataset for ours, as JSON, such as {"patches": {"context": 1}}')  # fmt: skip
    add("--work", help="keep the workflow's folders of ours here")
    add("--missing", action="store_true", help="leave out runs whose table is there already")
    options = parser.parse_args(argv)
    options.data_folder = data_folder()
    return options


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    options = arguments(argv)
    for data, method, seed in runs(options):
        file = options.out / f"{data}_{method}_seed{seed}_{options.minutes:g}min.csv"
        if options.missing and file.is_file():
            continue
        try:
            table = one(data, method, seed, options)
        except InputError as error:
            sys.exit(f"Error: {error}")
        write_table(table, file)
        gather(options.out)
        print(f"{data} {method} seed {seed}: Dice {scored(table).dice:.3f}", file=sys.stderr)
    print(gather(options.out))


if __name__ == "__main__":
    main()
