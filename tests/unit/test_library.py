"""The library stands on its own."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def test_every_module_imports_without_snakemake_and_without_copyleft_packages():
    modules = sorted(
        ".".join(f.relative_to(SCRIPTS).with_suffix("").parts)
        for f in (SCRIPTS / "blockface").rglob("*.py")
    )
    code = (
        "import sys, importlib\n"
        "for name in ('snakemake', 'kimimaro', 'webknossos', 'bm3d', 'ncempy', 'rsciio'):\n"
        "    sys.modules[name] = None\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_rule_with_a_script_names_one_that_exists_and_has_a_main():
    rules = "".join(f.read_text() for f in (SCRIPTS.parent / "workflow/rules").glob("*.smk"))
    for script in SCRIPTS.glob("*.py"):
        assert f'"../../scripts/{script.name}"' in rules, f"no rule calls {script.name}"
        assert "def main(" in script.read_text()
