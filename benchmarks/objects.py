"""Objects separated and measured: Blockface beside what one would use else, time and memory.

A phantom of N³ voxels with M rods of known size is made (--size, --objects). Blockface runs as its
rules do, in --slabs jobs, --cores of them side by side; the others in one process (kimimaro with
--cores processes). kimimaro (GPL) and porespy live in environments of their own: name kimimaro's
command and porespy's interpreter with --kimimaro and --porespy; neither is ever imported here.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import object_phantom
from clock import Clock

from blockface.tables import read_table, write_table

HERE = Path(__file__).resolve().parent
PEERS = str(HERE / "object_peers.py")
CALL = (
    "import sys, json, importlib; sys.path.insert(0, sys.argv[1]); "
    "importlib.import_module(sys.argv[2]).main(**json.loads(sys.argv[3]))"
)
TABLES = (
    "objects", "contacts", "neighbours", "summary", "diameters", "radial", "cross_sections",
    "centrelines",
)  # fmt: skip
DELIVERS = {
    "Blockface": "all columns, contacts, neighbours, summary, radial distribution",
    "scikit-image": "volume, box, centroid, axes of the ellipsoid",
    "cc3d + kimimaro": "skeletons with radii",
    "porespy": "volume, surface, convex volume, axes of the ellipsoid",
}


def script(name: str, **given) -> list[str]:
    """Command that calls the main of a rule's script."""
    scripts = str(HERE.parent / "scripts")
    return [sys.executable, "-c", CALL, scripts, name, json.dumps({"threads": 1, **given})]


def blockface(clock: Clock, labels: Path, out: Path, options) -> pd.DataFrame:
    """Our way: separated and measured in slabs, as many as cores unless told otherwise."""
    count = options.slabs or options.cores
    at = {n: str(out / n) for n in ("objects.zarr", "index.csv", "index.parquet")}
    slabs = [{"slab": i, "slabs": count} for i in range(count)]
    settings = {"method": options.separate}
    pieces = [str(out / f"slab{i}") for i in range(count)]
    clock.run(
        *(script("separate_slab", labels=str(labels), local=p, settings=settings, **s)
          for p, s in zip(pieces, slabs, strict=True))
    )  # fmt: skip
    clock.run(script("separate_objects", slabs=pieces, objects=at["objects.zarr"],
                     index=at["index.csv"], links=str(out / "links.csv"),
                     labels=str(labels)))  # fmt: skip
    given = {"objects": at["objects.zarr"], "index": at["index.parquet"]}
    folders = {n: [str(out / f"{n}{i}") for i in range(count)] for n in ("part", "pairs")}
    clock.run(
        *(script("measure_slab", **given, part=p, **s)
          for p, s in zip(folders["part"], slabs, strict=True)),
        *(script("measure_pairs", **given, part=p, settings={"neighbours": 3}, **s)
          for p, s in zip(folders["pairs"], slabs, strict=True)),
    )  # fmt: skip
    tables = {f"{n}_table": str(out / f"{n}.csv") for n in TABLES}
    clock.run(script("measure_objects", **given, parts=folders["part"], pairs=folders["pairs"],
                     **tables))  # fmt: skip
    found = read_table(out / "objects.parquet")
    return found.assign(diameter_nm=found["diameter_mean_nm"])


def one_peer(peer: str, python: str) -> Callable:
    """A program that object_peers.py runs with the interpreter ``python``."""

    def run(clock: Clock, labels: Path, out: Path, _) -> pd.DataFrame:
        clock.run([python, PEERS, peer, str(labels), str(out / peer)])
        return read_table(out / f"{peer}.csv")

    return run


def kimimaro(command: str, voxel_nm) -> Callable:
    """cc3d, then kimimaro's command; lengths and mean diameters from its SWC files."""

    def run(clock: Clock, labels: Path, out: Path, options) -> pd.DataFrame:
        z, y, x = voxel_nm
        clock.run([sys.executable, PEERS, "cc3d", str(labels), str(out / "cc3d")])
        try:
            clock.run([
                command, "forge", str(out / "cc3d.npy"), "--outdir", str(out / "swc"),
                "--anisotropy", f"{x:g},{y:g},{z:g}", "--dust", "0",
                "--parallel", str(options.cores), "--scale", "1.5",
                "--const", str(3 * max(voxel_nm)), "--no-fill-holes",
            ])  # fmt: skip
        finally:
            for left in Path("/dev/shm").glob("kimimaro-shm-*"):
                left.unlink()  # stopped, it leaves gigabytes there
        began = time.monotonic()
        rows = [skeleton(path) for path in sorted((out / "swc").glob("*.swc"))]
        clock.seconds += time.monotonic() - began
        return pd.DataFrame(rows, columns=["length_nm", "diameter_nm"])

    return run


def skeleton(path: Path) -> tuple[float, float]:
    """Cable length and mean diameter of an SWC file, in its own unit."""
    rows = np.loadtxt(path, ndmin=2)
    at = {int(n): i for i, n in enumerate(rows[:, 0])}
    linked = rows[:, 6] > 0
    parents = [at[int(p)] for p in rows[linked, 6]]
    length = np.linalg.norm(rows[linked, 2:5] - rows[parents, 2:5], axis=1).sum()
    return float(length), float(2 * rows[:, 5].mean())


def row_of(name: str, run: Callable, truth: pd.DataFrame, options, folder: Path) -> dict:
    """One row of the table: what a program took, and how far its mean sizes are from the truth."""
    clock = Clock(options.cores, options.limit)
    row = {"program": name, "delivers": DELIVERS[name], "note": ""}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        try:
            found = run(clock, folder / "labels.zarr", Path(out), options)
        except (RuntimeError, TimeoutError, FileNotFoundError) as error:
            row["note"] = str(error)
        else:
            row["objects"] = len(found)
            for size in ("length_nm", "diameter_nm"):
                row[f"{size[:-3]}_bias_percent"] = 100 * (
                    found[size].mean() / truth[size].mean() - 1
                )
    return row | {"seconds": clock.seconds, "peak_mb": clock.peak / 1e6}


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown."""
    lines = [
        "| program | s | peak MB | objects | length | diameter | what it gives |",
        "|---|---|---|---|---|---|---|",
    ]

    def number(value, form: str) -> str:
        return form.format(value) if np.isfinite(value) else "–"

    for row in table.itertuples():
        cells = [
            number(row.seconds, "{:.1f}"), number(row.peak_mb, "{:.0f}"),
            number(row.objects, "{:.0f}"), number(row.length_bias_percent, "{:+.1f} %"),
            number(row.diameter_bias_percent, "{:+.1f} %"), row.note or row.delivers,
        ]  # fmt: skip
        lines.append(f"| {row.program} | {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--size", type=int, default=256, help="edge in voxels, default %(default)s")
    add("--objects", type=int, default=2000, help="default %(default)s")
    add("--copies", type=int, default=1,
        help="cubes one below the other, default %(default)s")  # fmt: skip
    add("--voxel", type=float, nargs=3, default=(10, 10, 10), metavar="NM",
        help="voxel size z, y, x, default 10 10 10; porespy needs a cubic one")  # fmt: skip
    add("--cores", type=int, default=2, help="default %(default)s")
    add("--slabs", type=int, help="jobs our steps are cut into, default as many as cores")
    add("--separate", choices=["components", "watershed", "slices"], default="components",
        help="our way of separating, default %(default)s")  # fmt: skip
    add("--limit", type=float, default=7200, help="seconds for each, default %(default)s")
    add("--kimimaro", help="kimimaro's command in an environment of its own")
    add("--porespy", help="python of an environment with porespy, zarr and pandas")
    add("--only", nargs="+", choices=list(DELIVERS), default=list(DELIVERS), metavar="PROGRAM",
        help="some of: %(choices)s")  # fmt: skip
    add("--folder", help="where the phantom lies or is made (default: temporary)")
    add("--out", help="also write <out>.csv, <out>.parquet and <out>.md")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    options = arguments(argv)
    programs = {"Blockface": blockface, "scikit-image": one_peer("skimage", sys.executable)}
    if options.kimimaro:
        programs["cc3d + kimimaro"] = kimimaro(options.kimimaro, tuple(options.voxel))
    if options.porespy:
        programs["porespy"] = one_peer("porespy", options.porespy)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.folder or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "truth.csv").is_file():
            truth = read_table(folder / "truth.csv")
        else:
            truth = object_phantom.make(
                folder, options.size, options.objects, options.voxel, options.copies
            )
        rows = []
        for name in options.only:
            if name in programs:
                rows.append(row_of(name, programs[name], truth, options, folder))
                print(f"{name}: {rows[-1]}", file=sys.stderr, flush=True)
            else:
                missing = f"left out: name it with --{name.split()[-1]}"
                rows.append({"program": name, "delivers": DELIVERS[name], "note": missing})
    columns = ["program", "seconds", "peak_mb", "objects", "length_bias_percent",
               "diameter_bias_percent", "delivers", "note"]  # fmt: skip
    table = pd.DataFrame(rows).reindex(columns=columns)
    print(markdown(table))
    if options.out:
        write_table(table, f"{options.out}.csv")
        Path(f"{options.out}.md").write_text(markdown(table) + "\n")


if __name__ == "__main__":
    main()
