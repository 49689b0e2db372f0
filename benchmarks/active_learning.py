"""Does the worklist save work? The loop of corrections, played with known truth: table and curve.

From one annotated place on, each round the true masks of --places more are handed in: those that
the worklist ranks first, or places of the same size drawn at random. The
workflow itself trains, predicts, scores and ranks, each training as long as --seconds, or for
--steps, which come out alike on any machine. Told are, for every round, the Dice on the held-out
slices against the area annotated, and how well the ranking knows the faults, as Spearman's rank
correlation: of slices, their score with their true error (1 - Dice); of places, all windows of
--edge pixels side by side, the share of wrong voxels expected with the true one. Slices that were
learnt from are left out of both.

Parts (--stacks, --seeds, --choices) can be run one at a time, and a part that was stopped goes on;
all results gather in <out>.csv, .parquet and .png.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from active_learning_figure import curves, markdown
from annotated_stacks import (
    STACKS,
    Stack,
    configuration,
    paint,
    place_correlation,
    rank_correlation,
)

from blockface.configuration import complete, load_schema
from blockface.tables import read_table, write_table

ROOT = Path(__file__).resolve().parents[1]
CHOICES = ("ranked", "random")
PACE_STEPS = 60  # the pace is measured with these
PART = ["stack", "seed", "choice", "training", "base", "edge", "places", "controls"]


class Project:
    """A folder in which the workflow runs on one stack with one annotator."""

    def __init__(self, folder: Path, stack: Stack, options: argparse.Namespace, seed: int):
        self.folder, self.stack, self.options, self.seed = folder, stack, options, seed

    def iteration(self, number: int) -> Path:
        """Folder of an iteration."""
        return self.folder / f"results/it/iter_{number:02d}"

    @property
    def threshold(self) -> float | None:
        """The dataset's threshold; None for that which calibration chose."""
        settings = yaml.safe_load((self.folder / "config.yaml").read_text())
        complete(settings, load_schema(ROOT / "workflow/schemas/config.schema.yaml"))
        return settings["datasets"]["it"]["threshold"]

    def make(self, steps: int, number: int, *files: str) -> None:
        """Let the workflow make ``files`` of iteration ``number`` with ``steps`` of training."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = configuration(self.stack, steps, self.options, self.seed)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(settings))
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml")),
            *("--cores", str(self.options.cores), "--quiet", "all"),
            *("--config", f"iteration={number}", "--"),
            *(f"results/it/iter_{number:02d}/{name}" for name in files),
        ]
        subprocess.run(command, check=True, cwd=self.folder)

    def start(self) -> None:
        """Round 00: a place drawn at random, and all of the held-out slices, which only score."""
        target = self.folder / "annotations/00"
        if target.is_dir():
            return
        z, part = self.drawn(0)[0]
        part_of = {**dict.fromkeys(self.stack.held_out, whole(self.stack.truth.shape)), z: part}
        for z, part in part_of.items():
            paint(self.stack, target, z, part)

    def drawn(self, number: int, learnt=()) -> list[tuple[int, tuple[slice, slice]]]:
        """Places drawn at random for round ``number``, on slices that nothing is learnt from."""
        rng = np.random.default_rng([self.seed, number])
        depth, *size = self.stack.truth.shape
        free = [z for z in range(depth) if z not in {*learnt, *self.stack.held_out}]
        edges = [min(self.options.edge, n) for n in size]
        found = []
        for z in rng.permutation(free)[: self.options.places if number else 1]:
            corner = [int(rng.integers(0, n - e + 1)) for n, e in zip(size, edges, strict=True)]
            part = tuple(slice(c, c + e) for c, e in zip(corner, edges, strict=True))
            found.append((int(z), part))
        return found

    def ranked(self, number: int) -> list[tuple[int, tuple[slice, slice]]]:
        """Places for round ``number`` that the iteration before ranked first."""
        listed = read_table(self.iteration(number - 1) / "worklist.tsv")
        corners = listed[["z", "y0", "y1", "x0", "x1"]].head(self.options.places)
        return [
            (z, (slice(y0, y1), slice(x0, x1))) for z, y0, y1, x0, x1 in corners.to_numpy().tolist()
        ]

    def annotate(self, choice: str, number: int) -> bool:
        """Hand in round ``number``; False if there is nothing left to annotate."""
        target = self.folder / f"annotations/{number:02d}"
        if target.is_dir():
            return True
        slices = read_table(self.iteration(number - 1) / "slices.tsv")
        learnt = slices.loc[slices["annotated"], "z"].tolist()
        places = self.ranked(number) if choice == "ranked" else self.drawn(number, learnt)
        for z, part in places:
            paint(self.stack, target, z, part)
        return bool(places)

    def row(self, number: int) -> dict:
        """What iteration ``number`` reached, and how well it knew its faults."""
        folder = self.iteration(number)
        scores = read_table(folder / "evaluation.csv")
        own = scores[(scores["iteration"] == number) & (scores["split"] == "held_out")]
        spearman, slices = rank_correlation(folder, self.stack.truth, self.threshold)
        places = place_correlation(folder, self.stack.truth, self.threshold, self.options.edge)
        return {
            "round": number,
            "annotated_percent": own["annotated_percent"].iloc[0],
            "dice": own["dice"].mean(),
            "spearman": spearman,
            "spearman_places": places,
            "slices": slices,
        }


def whole(shape) -> tuple[slice, slice]:
    """All of a slice."""
    return slice(0, shape[1]), slice(0, shape[2])


def pace(project: Project) -> float:
    """Steps of training in a second; measured once, then read from pace.json.

    Told by the log of a short training, between its first and last validation: starting a program
    takes too long on a busy machine to be left in.
    """
    record = project.folder.parent.parent / "pace.json"
    if not record.is_file():
        project.make(PACE_STEPS, 0, "segmenter/model.pt")
        text = (project.folder / "logs/it/iter_00/train_segmenter.log").read_text()
        told = re.findall(r"^(\S+ \S+) INFO step (\d+),", text, re.M)
        times = [datetime.strptime(time, "%Y-%m-%d %H:%M:%S,%f") for time, _ in told]
        steps = int(told[-1][1]) - int(told[0][1])
        record.write_text(json.dumps(steps / (times[-1] - times[0]).total_seconds()))
        shutil.rmtree(project.iteration(0))
    return json.loads(record.read_text())


def play(name: str, seed: int, options: argparse.Namespace):
    """Rows of all rounds of both choices, each as soon as it is known."""
    training = f"{options.steps} steps" if options.steps else f"{options.seconds:g} s"
    kind = f"{name}-{training}-{options.base}-{options.edge}px-{options.places}".replace(" ", "")
    kind += f"-{options.controls}" * (options.controls > 0)
    home = options.folder.absolute() / kind / f"seed{seed}"
    stack = STACKS[name](options.folder.absolute())
    first = Project(home / "start", stack, options, seed)
    first.start()
    steps = options.steps or max(1, round(options.seconds * pace(first)))
    files = ("evaluation.csv", "worklist.tsv", "slices.tsv")
    first.make(steps, 0, *files)
    for choice in options.choices:
        project = Project(home / choice, stack, options, seed)
        if not project.folder.is_dir():
            part = home / f"{choice}.part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(first.folder, part, symlinks=True)
            part.rename(project.folder)
        setting = training, options.base, options.edge, options.places, options.controls
        part = dict(zip(PART, (name, seed, choice, *setting), strict=True))
        yield part | {"steps": steps} | project.row(0)
        for number in range(1, options.rounds + 1):
            if not project.annotate(choice, number):
                break
            project.make(steps, number, *files)
            yield part | {"steps": steps} | project.row(number)


def gathered(out: str, row: dict) -> pd.DataFrame:
    """The table with ``row`` in the place of an older one of the same part and round."""
    keys, new = [*PART, "round"], pd.DataFrame([row])
    if Path(f"{out}.csv").is_file():
        old = read_table(f"{out}.csv", tuple(new.columns))
        new = pd.concat([old, new], ignore_index=True).drop_duplicates(keys, keep="last")
    new = new.sort_values(keys, ignore_index=True)
    write_table(new, f"{out}.csv")
    return new


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--stacks", nargs="+", choices=list(STACKS), default=list(STACKS))
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default 0 1 2")
    add("--choices", nargs="+", choices=CHOICES, default=CHOICES)
    add("--seconds", type=float, default=300, help="of each training, default %(default)s")
    add("--steps", type=int, help="of each training, instead of a time")
    add("--base", type=int, default=32, help="channels of the network, default %(default)s")
    add("--rounds", type=int, default=6, help="after the first, default %(default)s")
    add("--places", type=int, default=1, help="annotated in each round, default %(default)s")
    add("--controls", type=int, default=0,
        help="how many of the ranked places are drawn at random, default %(default)s")  # fmt: skip
    add("--edge", type=int, default=384, help="of a place in pixels, default %(default)s")
    add("--cores", type=int, default=2, help="default %(default)s")
    add("--folder", type=Path, default=Path("results/active_learning"), help="default %(default)s")
    add("--out", help="default: <folder>/active_learning")
    options = parser.parse_args(argv)
    out = options.out or str(options.folder / "active_learning")
    for name in options.stacks:
        for seed in options.seeds:
            for row in play(name, seed, options):
                table = gathered(out, row)
                print(json.dumps(row, default=float), file=sys.stderr, flush=True)
    print(markdown(table))
    curves(table, f"{out}.png")


if __name__ == "__main__":
    main()
