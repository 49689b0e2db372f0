"""What `make demo` runs, in any folder and with any options: two iterations on the phantom."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from snakemake.utils import available_cpu_count

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Demo:
    """A working directory of the demo; of each step, ``seconds`` it took and what it printed."""

    folder: Path
    # two cores, or the one that this process may use: jobs on a cluster get no more either
    options: tuple[str, ...] = ("--cores", str(min(2, available_cpu_count())))
    settings: tuple[str, ...] = ()
    config: Path = REPOSITORY / "config/config.yaml"
    environment: dict[str, str] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)

    def make(self) -> "Demo":
        """Run it all, from the phantom to the report of iteration 01."""
        self.script("make_demo.py")
        self.snakemake("iteration 00", "iteration=0")
        self.script("annotate.py", "--iteration", "0")
        self.snakemake("iteration 01")
        return self

    def script(self, name: str, *arguments: str) -> None:
        """Run one of the demo's own scripts."""
        self._run(name, [sys.executable, str(REPOSITORY / "tests/demo" / name), *arguments])

    def snakemake(self, step: str, *settings: str) -> None:
        """Run the workflow on ``config``; ``settings`` as after --config."""
        settings = (*self.settings, *settings)
        self._run(
            step,
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")),
                *("--directory", str(self.folder)),
                *("--configfile", str(self.config)),
                *(("--config", *settings) if settings else ()),
                *self.options,
            ],
        )

    def _run(self, step: str, command: list[str]) -> None:
        environment = self.environment or dict(os.environ)
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=self.folder, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.seconds[step], self.printed[step] = time.monotonic() - started, done.stdout
        assert done.returncode == 0, f"{step}: {' '.join(command)}\n{done.stdout[-20000:]}"

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def iteration(self, number: int) -> Path:
        """Folder of the results of an iteration."""
        return self.folder / f"results/demo/iter_{number:02d}"

    def scores(self, number: int) -> pd.Series:
        """What is on the report against the phantom's truth, by (measure, class)."""
        table = pd.read_csv(self.iteration(number) / "tables/truth.csv")
        return table.set_index(["measure", "class"])["value"]

    def times(self) -> str:
        """One line to print."""
        steps = ", ".join(f"{step} {taken:.0f} s" for step, taken in self.seconds.items())
        return f"{steps}; together {sum(self.seconds.values()):.0f} s"
