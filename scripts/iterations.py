"""Rule iterations: the audit table of all iterations of a dataset, and its plot."""

import logging
import sys
from pathlib import Path

from blockface.figures_iterations import iterations_figure
from blockface.iterations import (
    falls,
    gather,
    measured_otherwise,
    number_of,
    stopping_hint,
)
from blockface.job import run
from blockface.tables import write_table

log = logging.getLogger(__name__)


def main(*, manifests, table, figure, threads=1):
    """``manifests``, one per iteration, lie beside what is read; the first is of that made now.

    What is wrong with that one is told on the terminal as well.
    """
    manifests = [manifests] if isinstance(manifests, str) else list(manifests)
    folders = [Path(path).parent for path in manifests]
    now, found = number_of(folders[0]), gather(folders)
    write_table(found, table)
    iterations_figure(found, figure)
    for row in found.to_dict("records"):
        log.info(
            "iteration %(iteration)02d, %(class)s: %(annotated_percent).3g %% annotated, held-out "
            "Dice %(dice).3f, %(n_objects).0f objects: %(verdict)s",
            row,
        )
    until = found[found["iteration"] <= now]
    hints = [hint for hint in (stopping_hint(until), measured_otherwise(found)) if hint]
    for line in [*falls(until, now), *hints]:
        log.warning(line)
        print(f"{Path(table).parent.name}, iteration {now:02d}: {line}", file=sys.stderr)


if __name__ == "__main__":
    run(main, snakemake)
