"""The folders of annotation rounds: which files belong together, and what their names say.

A round is a folder ``annotations/<dataset>/NN``. Each folder in it that holds files is a *bundle*:
its files belong together, as the folder ``corrected`` of a correction bundle does.
"""

import logging
import re
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.seg3d import refuse_other_formats
from blockface.tables import read_table

log = logging.getLogger(__name__)

REGIONS = "regions.tsv"
BOX = ("z0", "z1", "y0", "y1", "x0", "x1")
READ = (".nrrd", ".tif", ".tiff")
Box = tuple[int, int, int, int, int, int]


def round_folders(folder: str | Path) -> list[Path]:
    """Folders 00, 01, … of ``folder``, in order.

    Raises
    ------
    InputError
        None there, a number missing, or a folder not named in two digits.
    """
    folder = Path(folder)
    found = sorted(f for f in folder.iterdir() if f.is_dir()) if folder.is_dir() else []
    odd = [f.name for f in found if f.name.isdigit() and len(f.name) != 2]
    rounds = [f for f in found if re.fullmatch(r"\d\d", f.name)]
    if odd or not rounds:
        raise InputError(
            f"{folder}: found {', '.join(odd) or 'no annotation round'}; expected folders 00, 01, "
            "… of two digits, one per round; put the first masks into 00"
        )
    for number, path in enumerate(rounds):
        if int(path.name) != number:
            raise InputError(
                f"{folder}: round {number:02d} is missing, found "
                f"{', '.join(f.name for f in rounds)}; "
                "rounds are numbered from 00 without gaps; rename the folders"
            )
    return rounds


def bundles_of(round_folder: Path) -> list[list[Path]]:
    """Annotation files of a round, together as they lie together in folders."""
    folders = [round_folder, *sorted(f for f in round_folder.rglob("*") if f.is_dir())]
    bundles = []
    for folder in folders:
        visible = not any(p.startswith(".") for p in folder.relative_to(round_folder).parts)
        files = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
        if visible and files:
            for file in files:
                refuse_other_formats(file)
            files = [f for f in files if f.suffix.lower() in READ]
            if files and (folder / "bundle.json").is_file():
                _exported(folder)
            elif files:
                bundles.append(files)
    if not bundles:
        raise InputError(
            f"{round_folder}: no annotation in this round; expected .nrrd or .tif files; put the "
            "masks there or remove the folder"
        )
    return bundles


def _exported(folder: Path) -> None:
    """A whole correction bundle was copied: its prediction is no annotation."""
    if not any(f.suffix.lower() in READ for f in (folder / "corrected").glob("*")):
        raise InputError(
            f"{folder}: a correction bundle without a file in corrected/; what it holds beside is "
            "the prediction; save the corrected masks from Seg3D into corrected/"
        )
    log.info("%s: a whole correction bundle; only its folder corrected/ is read", folder)


def class_of_name(stem: str, classes: dict[int, str], path="") -> int | None:
    """Class that a file named ``stem`` holds, or None: ``fibril``, ``z0123_fibril``, ``fibril_2``.

    Case does not matter; signs that Seg3D does not allow in names count as ``_``; of several
    classes that fit, the longest name is meant.
    """
    stem, found = _plain(stem), {}
    for number, name in classes.items():
        plain = _plain(name)
        for candidate in (stem, re.sub(r"_\d+$", "", stem)):
            if (
                candidate == plain
                or candidate.endswith(f"_{plain}")
                or candidate.startswith(f"{plain}_")
            ):
                found[number] = (stem == plain, len(plain))
    if not found:
        return None
    best = [n for n, weight in found.items() if weight == max(found.values())]
    if len(best) > 1:
        raise InputError(
            f"{path}: the name fits the classes {', '.join(classes[n] for n in best)}; name the "
            "file after one of them"
        )
    return best[0]


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name.strip()).lower()


def read_regions(paths: list[Path], shape) -> list[tuple[str, Box]]:
    """Rows (file, box) of a folder's regions.tsv; none if there is none."""
    table = paths[0].parent / REGIONS
    if not table.is_file():
        return []
    frame = read_table(table, ("file", *BOX))
    names = {p.name for p in paths}
    rows = []
    for number, row in enumerate(frame.to_dict("records"), start=2):
        try:
            box = tuple(int(row[key]) for key in BOX)
        except (TypeError, ValueError):
            raise InputError(f"{table}: line {number}: expected whole numbers in z0 … x1") from None
        inside = all(0 <= a < b <= n for a, b, n in zip(box[::2], box[1::2], shape, strict=True))
        if not inside or str(row["file"]) not in {*names, "*"}:
            raise InputError(
                f"{table}: line {number}: {row['file']} {box}: expected a file of this folder or "
                f"*, and a half-open box inside the stack of {by(shape)} voxels (z y x)"
            )
        rows.append((str(row["file"]), box))
    return rows


def intersection(a: Box, b: Box) -> Box | None:
    """What two boxes share; None if nothing."""
    cut = tuple(v for i in (0, 2, 4) for v in (max(a[i], b[i]), min(a[i + 1], b[i + 1])))
    return cut if all(cut[i] < cut[i + 1] for i in (0, 2, 4)) else None


def runs(numbers) -> list[tuple[int, int]]:
    """Half-open runs of the sorted whole ``numbers``: [3, 4, 7] gives [(3, 5), (7, 8)]."""
    numbers = np.asarray(numbers, int)
    if not len(numbers):
        return []
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [(int(p[0]), int(p[-1]) + 1) for p in parts]


def by(shape) -> str:
    """Sizes as people write them: 3 x 4 x 5."""
    return " x ".join(map(str, shape))
