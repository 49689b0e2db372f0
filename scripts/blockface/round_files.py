"""Which rounds of annotations there are, and by what files they are known to have changed."""

import os
from functools import cache
from hashlib import file_digest
from pathlib import Path

from blockface.errors import InputError

TIMES = "times.tsv"  # when a place was opened and saved
CLUTTER = ("thumbs.db", "desktop.ini")  # that Windows leaves in folders; others are hidden
ZARR_FILES = (".zarray", ".zattrs", ".zgroup")
NOTES = (".txt", ".md", ".html", ".pdf", ".docx", ".py")  # are no annotations


def is_clutter(name: str) -> bool:
    """Whether a file of this name is a system's own, left where somebody looked."""
    return name.startswith(".") or name.lower() in CLUTTER


def rounds(folder: str | Path) -> list[int]:
    """Numbers of the annotation rounds in ``folder``: 00, 01, … without gap.

    Raises
    ------
    InputError
        The folder is missing, has no round, or a number is left out.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"{folder}: annotations folder not found; expected one with the first round in 00"
        )
    names = sorted(d.name for d in folder.iterdir() if d.is_dir() and d.name.isdigit())
    found = [int(name) for name in names]
    missing = next(n for n in range(len(found) + 1) if n not in found)
    odd = [name for name in names if len(name) != 2]
    if missing < len(found) or not found or odd:
        advice = f"make or rename one to {folder / f'{missing:02d}'}"
        if odd and f"{int(odd[0]):02d}" not in names and int(odd[0]) < 100:
            advice = f"rename {folder / odd[0]} to {int(odd[0]):02d}"
        raise InputError(
            f"{folder}: found rounds {', '.join(names) or 'none'}; expected folders of two digits, "
            f"00, 01, … without a gap; {advice}"
        )
    return found


def no_rounds(folder: str | Path) -> list[str]:
    """Folders in ``folder`` that are no rounds, as they have another name."""
    names = (d.name for d in Path(folder).iterdir() if d.is_dir() and not d.name.startswith("."))
    return sorted(name for name in names if not name.isdigit())


def round_files(folder: str | Path, last: int) -> list[str]:
    """Files of rounds 00 to ``last`` in a fixed order that may matter; hidden ones: only zarr's.

    Notes, and the times a place was opened, do not: what was learnt from a round stays as it is.
    Folders may be links to others.
    """
    files = []
    for number in range(last + 1):
        inside = []
        for place, folders, names in os.walk(Path(folder, f"{number:02d}"), followlinks=True):
            above = Path(place).resolve().parents
            folders[:] = [  # hidden ones are not read, and links to where they lie lead nowhere
                f
                for f in folders
                if not f.startswith(".") and Path(place, f).resolve() not in above
            ]
            inside += [Path(place, name) for name in names]
        files += sorted(
            str(f)
            for f in inside
            if f.is_file()
            and (f.name in ZARR_FILES or not is_clutter(f.name))
            and not (f.name == TIMES or f.suffix.lower() in NOTES)
        )
    return files


@cache
def _digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return file_digest(file, "sha256").hexdigest()


def digests(files: list[str], root: str | Path) -> list[list[str]]:
    """Name below ``root`` and content digest of each file; dates do not tell."""
    stats = [(f, Path(f).stat()) for f in files]
    return [[str(Path(f).relative_to(root)), _digest(f, s.st_size, s.st_mtime_ns)]
            for f, s in stats]  # fmt: skip
