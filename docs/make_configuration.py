"""Write docs/configuration.md from the schema of the configuration: run it after a change there."""

from pathlib import Path

import yaml

HERE = Path(__file__).parent
SCHEMA = HERE.parent / "workflow" / "schemas" / "config.schema.yaml"
HEAD = """# Configuration

Made from `workflow/schemas/config.schema.yaml` by `docs/make_configuration.py`. Paths start at the
working directory. `<name>` is a name of your choice. A key that is not listed here stops the run.
`snakemake --config seed=3` sets a key of the first level for one run.

| key | type | default | meaning |
|---|---|---|---|
"""


def kind(part: dict) -> str:
    """Type of a value in words, with what it is limited to."""
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"] if value is not None)
    types = part.get("type", "")
    words = [t for t in ([types] if isinstance(types, str) else types) if t != "null"]
    limits = [
        f"{sign} {part[key]:g}"
        for key, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if key in part
    ]
    return " or ".join(words) + (", " + ", ".join(limits) if limits else "")


def rows(schema: dict, prefix: str = "") -> list[str]:
    """Table rows of all keys below ``schema``, in its order."""
    found = []
    needed = schema.get("required", [])
    for key, part in schema.get("properties", {}).items():
        default = part.get("default")
        shown = "needed" if key in needed else "" if default in (None, {}, []) else f"`{default}`"
        text = part.get("description", "").replace("|", "\\|")
        found.append(f"| `{prefix}{key}` | {kind(part)} | {shown} | {text} |")
        found += rows(part, f"{prefix}{key}.")
        others = part.get("additionalProperties")
        if isinstance(others, dict) and "properties" in others:
            found += rows(others, f"{prefix}{key}.<name>.")
    return found


def page() -> str:
    """Text of docs/configuration.md."""
    return HEAD + "\n".join(rows(yaml.safe_load(SCHEMA.read_text()))) + "\n"


if __name__ == "__main__":
    (HERE / "configuration.md").write_text(page())
