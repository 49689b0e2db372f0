"""Run one script in this process and print its peak resident memory: peak.py SCRIPT ARGUMENTS."""

import importlib
import json
import resource
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def peak_bytes() -> int:
    """Peak resident memory of this program alone.

    ru_maxrss begins with what the process that started this one held, so Linux's own record comes
    first.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    sys.path.insert(0, str(SCRIPTS))
    began = time.monotonic()
    importlib.import_module(sys.argv[1]).main(**json.loads(sys.argv[2]))
    spent = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "peak": peak_bytes(),
                "seconds": time.monotonic() - began,
                "cpu_seconds": spent.ru_utime + spent.ru_stime,
            }
        )
    )
