"""Compare two datasets or iterations: objects matched by place, distributions beside each other."""

import logging

import pandas as pd

from blockface.comparison import (
    compare_measures,
    doubtful,
    match_objects,
    object_rows,
    same_field,
    stack_rows,
)
from blockface.comparison_figure import comparison
from blockface.tables import read_table, write_table
from blockface.truth import overlaps

log = logging.getLogger(__name__)
NEEDED = ("object_id", "class", "touches_border", "centroid_z_nm")
STACK = ("class", "measure", "all", "spread", "layers")


def main(
    *, objects_a, objects_b, table_a, table_b, summary_a, summary_b,
    objects_table, summary_table, figure, name, of, match, seed, threads,
):  # fmt: skip
    """Write the tables and the picture of comparison ``name`` of the two ``of``."""
    a, b = read_table(table_a, NEEDED), read_table(table_b, NEEDED)
    placed, note = same_field(objects_a, objects_b, bool(match), name)
    pairs = None
    if placed:
        pairs = match_objects(overlaps(objects_a, objects_b), a, b)
        note = doubtful(pairs, a, b)
    if note:
        log.warning("compare.%s: %s", name, note)
    rows = object_rows(a, b, pairs)
    stacks = [read_table(path, STACK) for path in (summary_a, summary_b)]
    told = [compare_measures(rows, int(seed)), stack_rows(*stacks)]
    summary = pd.concat([part for part in told if len(part)] or told[:1], ignore_index=True)
    comparison(rows, summary, figure, tuple(of), note)
    write_table(rows, objects_table)
    write_table(summary, summary_table)


if __name__ == "__main__":
    from blockface.job import run

    run(main, snakemake)
