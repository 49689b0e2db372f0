"""The configuration: checked against its schema, defaults filled in, names looked up."""

import difflib
from functools import cache
from pathlib import Path

import jsonschema
import yaml

from blockface.classes import object_classes
from blockface.errors import InputError
from blockface.methods import ways


@cache
def load_schema(path: str | Path) -> dict:
    """JSON schema of the configuration."""
    return yaml.safe_load(Path(path).read_text())


def complete(config: dict, schema: dict, name: str = "configuration") -> None:
    """Check ``config`` against ``schema`` and fill in the defaults, in place.

    ``name`` is what an error calls it: the file it is from.

    Raises
    ------
    InputError
        A key is unknown (with the nearest known one), missing, or of a wrong type or value.
    """
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda e: (len(e.path), str(e.path)))
    if errors:
        raise InputError(f"{name}: {describe(errors[0])}")
    fill(config, schema)


def describe(error: jsonschema.ValidationError) -> str:
    """One line for ``error``: where, what was found, what was expected, what to do."""
    where = ".".join(str(part) for part in error.absolute_path) or "top level"
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = next(key for key in error.instance if key not in known)
        near = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        return f"{where}: unknown key {unknown!r}; {hint}"
    if error.validator == "required":
        return f"{where}: {error.message}; add it (docs/configuration.md)"
    if error.validator == "oneOf":
        found = [key for key in ("stack", "labels", "objects") if key in error.instance]
        return (
            f"{where}: found {' and '.join(found) or 'no entry'}; expected exactly one of stack, "
            "labels or objects"
        )
    expected = error.schema.get("description") or allowed(error)
    if ".classes" in where:
        expected = (
            "value: name for each class, such as {1: fibril}; names hold A to Z, digits, _ and "
            "-, and begin with a letter or digit"
        )
    return f"{where}: {error.message}; expected: {expected} (docs/configuration.md)"


def allowed(error: jsonschema.ValidationError) -> str:
    """What the schema says of a value that has no description, such as one of a list."""
    schema = error.schema
    limits = {
        "type": "of type {}", "enum": "one of {}", "minimum": "{} or more",
        "exclusiveMinimum": "more than {}", "maximum": "{} or less",
        "exclusiveMaximum": "less than {}", "pattern": "like {}",
    }  # fmt: skip
    return ", ".join(text.format(schema[key]) for key, text in limits.items() if key in schema)


def fill(value: dict, schema: dict) -> None:
    """Set the keys that ``value`` leaves out to the defaults of ``schema``, at every level.

    Known keys come in the order of the schema: Snakemake takes another order for another setting.
    """
    for key, part in schema.get("properties", {}).items():
        if key not in value and "default" in part:
            default = part["default"]
            value[key] = default.copy() if isinstance(default, dict | list) else default
        elif key in value:
            value[key] = value.pop(key)
        if isinstance(value.get(key), dict):
            fill(value[key], part)
    others = schema.get("additionalProperties")
    if isinstance(others, dict) and others.get("properties"):
        for key, part in value.items():
            if key not in schema.get("properties", {}) and isinstance(part, dict):
                fill(part, others)


def check_names(config: dict, source: str) -> None:
    """Refuse names in the file ``source`` that lead nowhere: denoisers, networks, missing files."""
    if not config["datasets"] and not config["denoisers"]:
        raise InputError(
            f"{source}: it names no dataset and no denoiser, so there is nothing to do; "
            "expected at least one under datasets (README.md, docs/configuration.md)"
        )
    if "self_supervised" in config["denoisers"]:
        raise InputError(
            f"{source}: denoisers.self_supervised: the name is taken by the way to do without "
            "pairs; expected another name"
        )
    for name in config["datasets"]:
        check_dataset(name, config, source)


def check_dataset(name: str, config: dict, source: str) -> None:
    """Refuse what the dataset ``name`` asks for and is not there: files, denoisers, networks."""
    dataset, where = config["datasets"][name], f"{source}: datasets.{name}"
    if name in ("denoisers", "compare"):
        raise InputError(f"{where}: results/{name} is taken; expected another name")
    entry = next(key for key in ("stack", "labels", "objects") if key in dataset)
    if not Path(dataset[entry]).exists() and ":" not in dataset[entry]:
        raise InputError(
            f"{where}.{entry}: {dataset[entry]} not found; expected a file or folder, from "
            f"the working directory {Path.cwd()} (for another configuration than "
            "config/config.yaml, the demo's, name it by --configfile)"
        )
    denoiser, segmenter = dataset["denoiser"], dataset["segmenter"]
    if denoiser not in (None, "self_supervised", *config["denoisers"]):
        known = ", ".join(config["denoisers"]) or "none"
        raise InputError(
            f"{where}.denoiser: {denoiser!r} is not among the denoisers ({known}); name one, "
            "or self_supervised, which needs no pairs"
        )
    if segmenter and dataset["annotations"]:
        raise InputError(
            f"{where}: found both annotations and segmenter; expected one: train a network of "
            "its own, or take another dataset's"
        )
    if segmenter and segmenter.split("/")[0] not in config["datasets"]:
        model = Path("results", segmenter, "segmenter", "model.pt")
        if not model.is_file():
            raise InputError(
                f"{where}.segmenter: {model} not found, and no dataset is called "
                f"{segmenter.split('/')[0]!r}; expected <dataset>/iter_NN"
            )
    check_classes(dataset, where)


def check_classes(dataset: dict, where: str) -> None:
    """Refuse classes, or what depends on them, that do not fit together; ``where`` for messages."""
    names = object_classes(dataset["classes"])
    if (dataset["annotations"] or dataset["classes"]) and not names:
        found = "no class but the background" if dataset["classes"] else "missing"
        raise InputError(
            f"{where}.classes: {found}; expected the value and name of each class, such as "
            "{1: fibril}"
        )
    context, slices = dataset["context"], dataset["patches"]["context"]
    if slices is not None and context and (slices == 0) != (context == "2d"):
        raise InputError(
            f"{where}: found context {context} and patches.context {slices}; expected 0 in 2d "
            "and at least 1 in 2.5d and 3d; leave patches.context out"
        )
    least, classes = dataset["patches"]["min_foreground"], names.values()
    unknown = sorted(set(least) - set(classes)) if isinstance(least, dict) else []
    if unknown:
        raise InputError(
            f"{where}.patches.min_foreground: {unknown[0]!r} is not a class; expected "
            f"{', '.join(classes)}"
        )
    unknown = sorted(set(dataset["class_priority"]) - set(classes))
    if unknown:
        raise InputError(
            f"{where}.class_priority: {unknown[0]!r} is not a class; expected some of "
            f"{', '.join(classes)}"
        )
    if isinstance(dataset["separate"], dict) and classes:
        try:
            ways(dataset["separate"], list(classes))
        except InputError as error:
            raise InputError(f"{where}.{error}") from None
    for value in dataset["classes"]:
        if not str(value).isdigit() or not 1 <= int(value) <= 254:
            raise InputError(
                f"{where}.classes: value {value!r}; expected whole numbers from 1 to 254; leave 0, "
                "the background, out"
            )
    told = [str(name).lower() for name in dataset["classes"].values()]
    twice = next((name for name in told if told.count(name) > 1), None)
    if twice:
        raise InputError(f"{where}.classes: {twice!r} twice; expected a name of its own for each")
    if "objects" in dataset and len(names) < len(told):
        raise InputError(
            f"{where}.classes: found a background; expected one class, that of the objects"
        )


def check_pairs(name: str, denoiser: dict, count: int, source: str) -> None:
    """Refuse pairs kept out of training that the table of ``count`` pairs does not have."""
    for key in ("test_pairs", "validation_pairs"):
        beyond = [pair for pair in denoiser[key] or [] if pair >= count]
        if beyond:
            raise InputError(
                f"{source}: denoisers.{name}.{key}: {beyond[0]}; expected numbers from 0 to "
                f"{count - 1}, the lines of {denoiser['pairs']}"
            )
