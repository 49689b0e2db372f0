"""Make the page a user looks at: one HTML file of all that an iteration left behind."""

import logging
from pathlib import Path

from blockface.given import Given
from blockface.job import run
from blockface.report import make_report
from blockface.scores import threshold_of
from blockface.volume import open_volume

log = logging.getLogger(__name__)


def one(path):
    """The path, or None for what Snakemake hands over where an input is missing."""
    if not path:
        return None
    return str(path) if isinstance(path, (str, Path)) else str(path[0])


def several(paths):
    """Paths of what Snakemake hands over: nothing, one or more."""
    return [paths] if isinstance(paths, (str, Path)) else list(paths or [])


def main(
    *, report, figures, threads, dataset, iteration, held_out_slices, threshold, commands,
    raw=None, denoised=None, registration=None, registration_figure=None, noise=None,
    noise_figure=None, denoiser_history=None, denoiser_scores=None, annotations=None,
    import_report=None,
    patches_table=None, history=None, probability=None,
    evaluation=None, worklist=None, objects=None, objects_table=None, contacts_table=None,
    neighbours_table=None, summary_table=None, diameters_table=None, radial_table=None, truth=None,
    manifest=None, earlier=None,
):  # fmt: skip
    """``neighbours_table`` is not shown; it is an input so that the report comes after it.

    ``earlier`` are the manifests of the iterations before, which lie beside what is told of them.
    """
    optional = {
        "raw": raw, "denoised": denoised, "registration": registration,
        "registration_figure": registration_figure, "noise": noise, "noise_figure": noise_figure,
        "denoiser_history": denoiser_history, "denoiser_scores": denoiser_scores,
        "annotations": annotations, "import_report": import_report,
        "patches_table": patches_table, "history": history, "probability": probability,
        "worklist": worklist, "objects": objects, "objects_table": objects_table,
        "contacts_table": contacts_table, "summary_table": summary_table,
        "diameters_table": diameters_table, "radial_table": radial_table, "truth": truth,
        "manifest": manifest,
    }  # fmt: skip
    scores = several(evaluation)
    shown = one(probability)
    given = Given(
        dataset=dataset,
        iteration=int(iteration),
        figures=str(figures),
        held_out_slices=[int(z) for z in held_out_slices or []],
        threshold=threshold_of(open_volume(shown) if shown else None, threshold),
        earlier=[str(Path(path).parent) for path in several(earlier)],
        evaluation=[str(path) for path in scores] or None,
        **{name: one(path) for name, path in optional.items()},
    )
    commands = [commands] if isinstance(commands, str) else list(commands or [])
    path = make_report(given, report, commands)
    log.info("report: %s, %.1f MB", path, path.stat().st_size / 1e6)


if __name__ == "__main__":
    run(main, snakemake)
