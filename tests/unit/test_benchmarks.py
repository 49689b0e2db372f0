"""Every benchmark starts as a program of its own, without what pytest puts on the path."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted(
    str(path)
    for path in (ROOT / "benchmarks").glob("*.py")
    if "ArgumentParser(" in path.read_text()
)
# one after another in one process, as torch takes seconds to start; what is ours starts anew
EACH = """
import json, runpy, sys, traceback
path, failed = sys.path[1:], {}
for program in sys.argv[1:]:
    folder = program.rpartition("/")[0]
    sys.path[:], sys.argv = [folder, *path], [program, "--help"]
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if end.code:
            failed[program] = f"code {end.code}"
    except Exception:
        failed[program] = traceback.format_exc()
    root = folder.rpartition("/")[0] + "/"
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if file.startswith(root) and "/site-packages/" not in file:
            del sys.modules[name]
print(json.dumps(failed), file=sys.stderr)
"""


def test_every_benchmark_says_how_it_is_used(tmp_path):
    told = subprocess.run(
        [sys.executable, "-c", EACH, *PROGRAMS], cwd=tmp_path, capture_output=True, text=True
    )
    assert json.loads(told.stderr.splitlines()[-1]) == {}
    assert told.stdout.count("usage:") == len(PROGRAMS) >= 7
