"""The two real configurations from data to scores: what make real runs.

Makes the input, runs config/real_denoising.yaml and both iterations of
config/real_mitochondria.yaml (between them an annotator corrects the two slices that the worklist
names first), compares the denoising with other methods, and prints scores and times.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

from blockface.configuration import complete, load_schema  # noqa: E402
from blockface.scores import threshold_of, to_labels  # noqa: E402
from blockface.volume import open_volume  # noqa: E402
from real.prepare import data_folder, prepare  # noqa: E402

CONFIGS = ("real_denoising", "real_mitochondria")
QUICK = {"real_denoising": 0.05, "real_mitochondria": 0.15}  # share of the training steps
QUICK_METHODS = ("noisy image", "median 5 × 5", "Gaussian", "Blockface")
METHODS = (*QUICK_METHODS, "non-local means", "BM3D")  # CARE takes ten minutes more for each kind
RESULTS = Path("results")
MITOCHONDRIA = RESULTS / "mitochondria"
CORRECTED = 2  # slices that are corrected for round 01


class StepError(Exception):
    """A step that did not end well, in one line."""


class Steps:
    """Programs run one after the other in the working directory, and how long each took."""

    def __init__(self, directory: Path, cores: str):
        self.directory, self.cores, self.times = directory, cores, {}

    def run(self, name: str, *command: str) -> None:
        """Run a Python program (a file or ``-m`` module) of the environment this one runs in."""
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        ended = subprocess.run(
            [sys.executable, *command], cwd=self.directory, env={**os.environ, "PATH": path}
        )
        self.times[name] = time.monotonic() - began
        if ended.returncode:
            raise StepError(f"{name}: ended with code {ended.returncode}, see above")

    def workflow(self, name: str, config: Path, *more: str) -> None:
        """Run the workflow with one configuration."""
        self.run(
            name, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", ".",
            "--configfile", str(config), "--cores", self.cores, *more,
        )  # fmt: skip


def shortened(config: Path, share: float, folder: Path) -> Path:
    """The configuration with only a ``share`` of its training steps, written into ``folder``."""
    if share == 1:
        return config
    settings = yaml.safe_load(config.read_text())
    complete(settings, load_schema(str(ROOT / "workflow/schemas/config.schema.yaml")))
    for part in (*settings["denoisers"].values(), *settings["datasets"].values()):
        part["training"]["steps"] = max(1, round(share * part["training"]["steps"]))
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / config.name
    made.write_text(
        f"# config/{config.name} with {share:g} of its training steps; made by tests/real/run.py\n"
        + yaml.safe_dump(settings, sort_keys=False)
    )
    return made


def annotate(steps: Steps) -> None:
    """Round 01: the real masks of the slices that the worklist of iteration 0 names first."""
    listed = pd.read_csv(steps.directory / MITOCHONDRIA / "iter_00/worklist.tsv", sep="\t")
    named = {f"z{z:04d}" for z in listed["z"].head(CORRECTED)}
    target = steps.directory / "annotations/mitochondria/01"
    there = {folder.name for folder in target.iterdir()} if target.is_dir() else named
    if there != named:
        raise StepError(
            f"{target}: corrects {', '.join(sorted(there))}, but the worklist now names "
            f"{', '.join(sorted(named))}, and annotations are never overwritten; remove the "
            "folder and run again"
        )
    steps.run(
        "annotate, round 01", str(ROOT / "tests/demo/annotate.py"), "--dataset", "mitochondria",
        "--truth", "real/truth", "--jitter", "0", "--places", str(CORRECTED),
    )  # fmt: skip


def dice_table(directory: Path, config: Path) -> str:
    """Markdown: Dice on the held-out slices per iteration, together and slice by slice."""
    settings = yaml.safe_load(config.read_text())["datasets"]["mitochondria"]
    held_out = sorted(settings["held_out_slices"])
    truth = open_volume(directory / "real/truth/objects.zarr")
    lines = [
        f"| iteration | annotated slices | Dice | {' | '.join(f'slice {z}' for z in held_out)} |",
        "|---" * (3 + len(held_out)) + "|",
    ]
    for folder in sorted((directory / MITOCHONDRIA).glob("iter_*")):
        number = int(folder.name.removeprefix("iter_"))
        scores = pd.read_csv(folder / "evaluation.csv")
        row = scores[(scores["iteration"] == number) & (scores["split"] == "held_out")]
        probability = open_volume(folder / "probability.zarr")
        level = threshold_of(probability, settings.get("threshold"))
        known = open_volume(folder / "annotations.zarr")
        learnt = [z for z in range(truth.shape[0]) if z not in held_out and (known[z] == 1).any()]
        single = []
        for z in held_out:
            made = to_labels(probability[:, z : z + 1], [1], level)[0] == 1
            real = truth[z] == 1
            single.append(f"{2 * (made & real).sum() / (made.sum() + real.sum()):.3f}")
        lines.append(
            f"| {number:02d} | {', '.join(map(str, learnt))} | {row['dice'].iloc[0]:.3f} | "
            f"{' | '.join(single)} |"
        )
    return "\n".join(lines)


def everything(options: argparse.Namespace, directory: Path, shares: dict[str, float]) -> str:
    """Run all steps and give the summary as Markdown."""
    data = data_folder(options.data)
    directory.mkdir(parents=True, exist_ok=True)
    prepare(data, directory)
    steps = Steps(directory, options.cores)
    pairs, stack = (
        shortened(ROOT / "config" / f"{name}.yaml", shares[name], directory / "real/config")
        for name in CONFIGS
    )
    steps.workflow("denoisers", pairs)
    steps.workflow("mitochondria, iteration 0", stack, "--config", "iteration=0")
    annotate(steps)
    steps.workflow("mitochondria, iteration 1", stack)
    out = RESULTS / "benchmarks"
    methods = ("--methods", *(QUICK_METHODS if options.quick else METHODS))
    threads = str(os.cpu_count()) if options.cores == "all" else options.cores
    steps.run(
        "benchmark of denoising", str(ROOT / "benchmarks/denoising.py"), "--config", str(pairs),
        "--threads", threads, "--out", str(out / "denoising"), *methods,
    )  # fmt: skip
    times = "\n".join(f"| {name} | {seconds:.0f} |" for name, seconds in steps.times.items())
    summary = (
        f"{(directory / out / 'denoising.md').read_text()}\n"
        f"Mitochondria, held-out slices:\n\n{dice_table(directory, stack)}\n\n"
        f"| step | s |\n|---|---|\n{times}\n| all | {sum(steps.times.values()):.0f} |\n"
    )
    (directory / out / "real.md").write_text(summary)
    return summary


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", default="all", help="for the workflow (default: %(default)s)")
    parser.add_argument("--data", help="folder of the real data (default: BLOCKFACE_DATA)")
    parser.add_argument(
        "--directory",
        help="working directory of the workflow (default: here; real/quick where shortened)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a part of the training steps and only the fast other methods",
    )
    parser.add_argument("--share", type=float, help="train only this share of the steps")
    options = parser.parse_args(argv)
    shares = dict.fromkeys(CONFIGS, options.share or 1)
    if options.quick and not options.share:
        shares = QUICK
    whole = min(shares.values()) == 1
    directory = Path(options.directory or ("." if whole else "real/quick")).resolve()
    try:
        summary = everything(options, directory, shares)
    except (FileNotFoundError, FileExistsError, StepError) as error:
        sys.exit(f"Error: {error}")
    print(f"\n== Real data\n\n{summary}\nAlso in {directory / RESULTS / 'benchmarks/real.md'}")


if __name__ == "__main__":
    main()
