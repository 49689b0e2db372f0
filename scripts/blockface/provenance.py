"""The manifest: from which files, settings, versions and machine an iteration came about.

Everything but the entries ``times`` and ``platform`` is the same, byte for byte, when the same
inputs, settings and code are run again.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pandas as pd
import psutil

from blockface.errors import InputError

PACKAGES = ("blockface", "torch", "numpy", "scipy", "pandas", "zarr", "scikit-image", "tifffile",
            "connected-components-3d", "edt", "snakemake")  # fmt: skip
WHOLE_FILE = 2**32  # bytes of a file up to which all of it is digested: 4 GiB
WHOLE_INPUT = 2**35  # bytes of an input up to which its files are: 32 GiB
END = 2**20  # of a larger one the first and last MiB
HOME = Path(__file__).resolve().parents[2]


def file_digest(path: Path, whole: bool) -> str:
    """SHA-256 of a file: all its bytes, or if not ``whole`` its size, first and last MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if whole:
            while block := file.read(END):
                digest.update(block)
        else:
            size = path.stat().st_size
            digest.update(f"{size}:".encode() + file.read(END))
            file.seek(max(0, size - END))
            digest.update(file.read(END))
    return digest.hexdigest()


def digest(path: str | Path, threads: int = 1) -> dict:
    """Record of a file or folder: path, number of files, bytes, SHA-256, and how that was taken.

    The digest of a folder is that of the list of its files (sorted; path, size, digest of each).
    Neither times nor owners enter. ``partly`` counts the files of which only the size, the first
    and the last MiB were read: those above 4 GiB, and all of an input above 32 GiB.

    Raises
    ------
    InputError
        There is nothing at ``path``.
    """
    root = Path(path)
    if not root.exists():
        raise InputError(f"{path}: not found, so no digest can be taken; check the configuration")
    files = [root]
    if root.is_dir():
        inside = (f for f in root.rglob("*") if f.is_file())
        files = sorted(f for f in inside if not f.name.startswith(".snakemake"))
    sizes = [f.stat().st_size for f in files]
    small = sum(sizes) <= WHOLE_INPUT
    whole = [small and size <= WHOLE_FILE for size in sizes]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        digests = list(pool.map(file_digest, files, whole))
    total = digests[0] if files == [root] else None
    if total is None:
        lines = zip(files, sizes, digests, strict=True)
        listing = "".join(f"{f.relative_to(root).as_posix()}\t{s}\t{d}\n" for f, s, d in lines)
        total = hashlib.sha256(listing.encode()).hexdigest()
    return {"path": str(path), "files": len(files), "bytes": sum(sizes), "sha256": total,
            "partly": whole.count(False)}  # fmt: skip


def versions() -> dict[str, str | None]:
    """Version of Python and of every package that makes numbers; None for one not installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    if found["blockface"] is None:
        project = HOME / "pyproject.toml"
        text = project.read_text() if project.is_file() else ""
        said = re.search(r'^version = "(.+)"', text, re.M)
        found["blockface"] = said and said[1]
    return found


def git_state(checkout: Path = HOME) -> dict[str, str | bool | None]:
    """Commit of the workflow's own checkout and whether tracked files differ from it.

    Both are None outside a checkout, or where git is missing: that is no error.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}

    def git(*words: str) -> str:
        command = ["git", "-C", str(checkout), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean)
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != Path(checkout).resolve():
            return {"commit": None, "dirty": None}
        commit = git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def machine() -> dict:
    """Processor, cores, memory, system and GPU of this machine."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.M)
        cpu = named[1] if named else cpu
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": gpu(),
        "system": f"{platform.system()} {platform.release()}",
        "executable": Path(sys.executable).name,
    }


def gpu() -> str | None:
    """Name of the first GPU that torch can use, or None."""
    try:
        import torch
    except ImportError:
        return None
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def times(records: Iterable[str | Path]) -> dict:
    """Seconds and memory of every rule and when the work began and ended.

    ``records`` are Snakemake's benchmark files, ``<rule>[.benchmark].tsv``, and logs that end in
    "done in … s", ``<rule>.log``; a log counts where its job has no benchmark file. Slabs,
    ``<rule>/<slab>-of-<slabs>`` or ``<rule>_<slab>``, are added up (``seconds``) and their largest
    memory is kept (``max_memory_mb``). Files not there or not finished are passed over.
    """
    jobs = {}
    for path in sorted(map(Path, records), key=lambda p: (p.suffix == ".tsv", p)):
        told = spent(path) if path.is_file() else None
        if told is not None:
            jobs[re.sub(r"(\.benchmark)?\.(tsv|log)$", "", str(path))] = (path, *told)
    rules, starts, ends = {}, [], []
    for job, (path, seconds, memory) in sorted(jobs.items()):
        record = rules.setdefault(rule_of(job), {"jobs": 0, "seconds": 0.0, "max_memory_mb": None})
        record["jobs"] += 1
        record["seconds"] = round(record["seconds"] + seconds, 3)
        if memory is not None:
            record["max_memory_mb"] = max(record["max_memory_mb"] or 0.0, memory)
        ends.append(path.stat().st_mtime)
        starts.append(ends[-1] - seconds)

    def moment(seconds: float) -> str:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "started": moment(min(starts)) if starts else None,
        "finished": moment(max(ends)) if ends else None,
        "rules": rules,
    }


def rule_of(job: str) -> str:
    """Name of the rule whose ``job`` (path without endings) this is."""
    name = Path(job).name
    if re.fullmatch(r"\d+-of-\d+", name):
        return Path(job).parent.name
    return re.sub(r"([_.-]?\d+)+$", "", name) or name


def spent(path: Path) -> tuple[float, float | None] | None:
    """Seconds and memory (MB, or None) that a benchmark file or a log tells; None for nothing."""
    if path.suffix != ".tsv":
        done = re.findall(r"done in ([\d.]+) s$", path.read_text(errors="replace"), re.M)
        return (float(done[-1]), None) if done else None
    if path.stat().st_size == 0:
        return None
    table = pd.read_csv(path, sep="\t", na_values=["-"])
    memory = table["max_rss"].max() if "max_rss" in table else float("nan")
    return float(table["s"].sum()), None if memory != memory else round(float(memory), 1)


def records_of(folder: str | Path, iteration: int) -> list[Path]:
    """Logs and benchmark files in a dataset's log ``folder`` but those of another iteration."""
    found = []
    for path in sorted(f for f in Path(folder).rglob("*") if f.suffix in (".log", ".tsv")):
        others = [p for p in path.relative_to(folder).parts[:-1] if re.fullmatch(r"iter_\d+", p)]
        if all(int(p[5:]) == iteration for p in others):
            found.append(path)
    return found


def plain(value):
    """``value`` with every key a string and nothing that JSON does not know."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in (sorted(value) if isinstance(value, set) else value)]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def write_manifest(
    path: str | Path, *, settings: dict, dataset: str, iteration: int, seed: int,
    inputs: Iterable[str], results: Iterable[str], records: Iterable[str | Path] = (),
    threads: int = 1,
) -> dict:  # fmt: skip
    """The manifest, also written to ``path`` as JSON with sorted keys, whole or not at all.

    ``inputs`` and ``results`` are digested; ``records`` tell the times, see `times`.
    """
    path = Path(path)
    manifest = {
        "dataset": dataset,
        "iteration": iteration,
        "seed": seed,
        "settings": plain(settings),
        "versions": versions(),
        "git": git_state(),
        "inputs": [digest(p, threads) for p in sorted(map(str, inputs))],
        "results": [digest(p, threads) for p in sorted(map(str, results))],
        "platform": machine(),
        "times": times(records),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    os.replace(part, path)
    return manifest
