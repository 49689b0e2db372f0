"""Every benchmark starts as a program of its own, without what pytest puts on the path."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted(
    path
    for path in (Path(__file__).resolve().parents[2] / "benchmarks").glob("*.py")
    if "ArgumentParser(" in path.read_text()
)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_benchmark_says_how_it_is_used(program, tmp_path):
    told = subprocess.run(
        [sys.executable, program, "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert "usage:" in told.stdout
