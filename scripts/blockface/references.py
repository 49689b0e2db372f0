"""Iterations that the configuration names as <dataset>/iter_NN: there, or such as can be made."""

from pathlib import Path

from blockface.errors import InputError


def check_segmenters(config: dict, newest: dict[str, int], source: str) -> None:
    """Refuse networks of iterations that are not there and have no round to be trained from."""
    for name, dataset in config["datasets"].items():
        other, _, iteration = (dataset["segmenter"] or "").partition("/iter_")
        last = newest.get(other, -1)
        if other in config["datasets"] and int(iteration) > last:
            model = Path("results", dataset["segmenter"], "segmenter", "model.pt")
            known = f"newest round is {last:02d}" if last >= 0 else "it has no annotations"
            if not model.is_file():
                raise InputError(
                    f"{source}: datasets.{name}.segmenter: {model} not found, and {other} cannot "
                    f"train it ({known}); name an iteration that is there"
                )


def comparisons(config: dict, newest: dict[str, int], source: str) -> dict[str, dict]:
    """Pairs of iterations to compare, by name: ``of``, two ``<dataset>/iter_NN``, and ``match``.

    ``newest`` is the newest annotation round of each dataset that has rounds. What is neither there
    nor can be made is refused.
    """
    found = {}
    for name, entry in config["compare"].items():
        entry = entry if isinstance(entry, dict) else {"of": entry, "match": True}
        for reference in entry["of"]:
            dataset, iteration = reference.split("/iter_")
            if Path("results", reference, "tables", "objects.csv").is_file():
                continue
            last = newest.get(dataset, 0)
            if dataset not in config["datasets"] or int(iteration) > last:
                known = (
                    f"its newest iteration is {last:02d}"
                    if dataset in config["datasets"]
                    else f"datasets are {', '.join(config['datasets']) or 'none'}"
                )
                raise InputError(
                    f"{source}: compare.{name}: results/{reference}/tables/objects.csv not "
                    f"found, and it cannot be made ({known}); expected two of <dataset>/iter_NN"
                )
        found[name] = entry
    return found
