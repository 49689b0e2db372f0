"""Write the manifest of an iteration: settings, versions, digests, git state and times."""

import logging

from blockface.job import run
from blockface.provenance import records_of, write_manifest

log = logging.getLogger(__name__)


def several(paths) -> list[str]:
    """List of paths of what Snakemake hands over: nothing, one or several."""
    if not paths:
        return []
    return [str(paths)] if isinstance(paths, str) else [str(p) for p in paths]


def main(
    *, manifest, settings, dataset, iteration, seed, threads, inputs=None, results=None,
    benchmarks=None, logs=None,
):  # fmt: skip
    """``logs`` are folders with logs and benchmark files, ``benchmarks`` single files."""
    in_folders = [p for folder in several(logs) for p in records_of(folder, int(iteration))]
    record = write_manifest(
        manifest,
        settings=settings,
        dataset=dataset,
        iteration=iteration,
        seed=seed,
        inputs=several(inputs),
        results=several(results),
        records=[*several(benchmarks), *in_folders],
        threads=threads,
    )
    for kind in ("inputs", "results"):
        size = sum(r["bytes"] for r in record[kind]) / 1e6
        log.info("%s: %d digested, %.1f MB", kind, len(record[kind]), size)


if __name__ == "__main__":
    run(main, snakemake)
