"""The documents say what the code does."""

import re
from itertools import product
from pathlib import Path

import yaml
from docs import make_configuration

from blockface import contacts, cross_sections, object_tables

ROOT = Path(__file__).resolve().parents[2]


def test_configuration_page_is_that_of_the_schema():
    assert (ROOT / "docs" / "configuration.md").read_text() == make_configuration.page(), (
        "run python docs/make_configuration.py"
    )


def test_every_key_says_what_it_means():
    bare = [row for row in make_configuration.page().splitlines() if row.endswith("|  |")]
    assert not bare


def explained() -> set[str]:
    """Patterns of the names in the first cells of the tables of docs/measures.md."""
    lines = (ROOT / "docs" / "measures.md").read_text().splitlines()
    names = [
        n
        for line in lines
        if line.startswith("| `")
        for n in re.findall("`([^`]+)`", line.split(" | ")[0])
    ]
    patterns = set()
    for name in names:
        parts = [
            p[1:-1].split(",") if p.startswith("{") else [p]
            for p in re.findall(r"{[^}]*}|[^{}]+", name)
        ]
        patterns |= {
            re.sub(r"\d", r"\\d", "".join(way)).replace("…", ".+") for way in product(*parts)
        }
    return patterns


def test_every_column_of_the_tables_is_explained():
    columns = {*object_tables.COLUMNS, *object_tables.INTENSITY, *object_tables.NEIGHBOURS,
               *contacts.COLUMNS, *cross_sections.COLUMNS}  # fmt: skip
    patterns = explained()
    assert [c for c in sorted(columns) if not any(re.fullmatch(p, c) for p in patterns)] == []
    assert not any(re.fullmatch(p, "volume_of_nothing") for p in patterns)


def test_links_between_pages_lead_somewhere():
    broken = []
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_environments_name_the_packages_of_the_project():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[>=<\[]", line)[0] for line in project["dependencies"]}
    other = {"torch": {"pytorch-cpu", "pytorch-gpu"}, "matplotlib": {"matplotlib-base"}}
    for name in ("cpu", "gpu"):
        listed = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
        flat = [x for part in listed for x in (part["pip"] if isinstance(part, dict) else [part])]
        given = {re.split(r"[ >=<]", line)[0] for line in flat}
        missing = [w for w in wanted if not given & ({w} | other.get(w, set()))]
        assert not missing, f"envs/{name}.yaml lacks {missing}"
