"""The folders of annotation rounds: which files belong together, and what their names say.

A round is a folder ``annotations/<dataset>/NN``. Each folder in it that holds files is a *bundle*:
its files belong together, as the folder ``corrected`` of a correction bundle does.
"""

import json
import logging
import re
from hashlib import sha256
from pathlib import Path

import numpy as np

from blockface.classes import BACKGROUND
from blockface.errors import InputError
from blockface.layers import is_annotation
from blockface.predicted import FILE
from blockface.round_files import no_rounds
from blockface.tables import read_table

log = logging.getLogger(__name__)

OTHERS = (  # endings of images and segmentations that are not read
    ".mat", ".mrc", ".dcm", ".mha", ".mhd", ".gz", ".png", ".bmp", ".jpg", ".jpeg", ".gif", ".h5",
    ".hdf5", ".npy", ".am", ".hdr", ".img", ".raw", ".xcf", ".psd", ".vtm", ".vti", ".n5",
)  # fmt: skip
REGIONS, RECORD = "regions.tsv", "bundle.json"
BOX = ("z0", "z1", "y0", "y1", "x0", "x1")
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
    for other in no_rounds(folder) if found else ():
        log.warning("%s: not named as a round is, in two digits; left out", folder / other)
    if odd or not rounds:
        raise InputError(
            f"{folder}: found {', '.join(odd) or 'no annotation round'}; expected folders 00, 01, "
            "… of two digits, one per round; "
            + ("rename them" if odd else "put the first masks into 00")
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
    """Annotations of a round (files, zarr and project folders), together as they lie together.

    Raises
    ------
    InputError
        None there, a file that is not read, or a correction bundle without corrections.
    """
    bundles = _below(round_folder)
    if not bundles:
        raise InputError(
            f"{round_folder}: no annotation in this round; expected masks or label maps (.nrrd, "
            ".seg.nrrd, .nii, .tif, zarr, a Seg3D project); put them there or remove the folder"
        )
    return bundles


class NotSavedError(InputError):
    """A place that was handed out is in the round, but nothing was saved of it."""


def _below(folder: Path) -> list[list[Path]]:
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    for path in inside:
        if not path.exists():
            raise InputError(f"{path}: a link to nothing; copy the file itself there")
        if path.is_symlink() and path.resolve() in folder.resolve().parents:
            raise InputError(
                f"{path}: a link to a folder that it lies in; expected none; remove it"
            )
    here = [p for p in inside if is_annotation(p)]
    handed_out = (folder / RECORD).is_file()
    for file in inside:
        if file.is_file() and file.stem.lower() in ("region", "regions") and file.name != REGIONS:
            raise InputError(
                f"{file}: what was reviewed is read from {REGIONS} alone; save it under this name, "
                "with tabs between the columns"
            )
        picture = file.suffix == ".png" and (handed_out or (folder / FILE).is_file())
        if file.is_file() and file not in here and not picture:
            refuse_other_formats(file)
    bundles = (_saved_over(folder, here) if handed_out else [here]) if here else []
    unsaved = []
    for path in inside:
        if path.is_dir() and path not in here:
            try:
                bundles += _below(path)
            except NotSavedError as error:
                unsaved.append(error)
    if unsaved:
        others = [str(error).split(":")[0] for error in unsaved[1:]]
        also = f"; so are {', '.join(others)}" if others else ""
        raise NotSavedError(f"{unsaved[0]}{also}")
    return bundles


def read_record(folder: Path) -> dict:
    """What ``folder``, a place that was handed out, says of itself.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return dict(json.loads((folder / RECORD).read_text()))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{folder / RECORD}: cannot be read ({error}); copy the folder of the bundle "
            "again, or hand in its folder corrected/ alone and remove the rest"
        ) from None


def of_a_bundle(folder: Path) -> bool:
    """Whether the files in ``folder`` are those of a place that was handed out."""
    return any((f / RECORD).is_file() for f in (folder, folder.parent))


def refuse_other_formats(path: Path) -> None:
    """Raise InputError for files that hold segmentations in a form not read here."""
    advice = {
        ".s3d": "copy the whole folder of the project, named <name>.seg3dproj",
        ".ses": "open and save it in Seg3D 2, then export NRRD",
        ".nhdr": "save it with its header attached, as one .nrrd file",
        ".zip": "unpack it; from webKnossos, export TIFF or zarr of the bounding box",
        ".nml": "it holds skeletons; from webKnossos, export TIFF or zarr of the bounding box",
        ".zarr": "a zarr is a folder; copy it again with all that is in it",
    } | dict.fromkeys(OTHERS, "export it from Seg3D as NRRD; a picture does not belong here")
    if path.suffix.lower() in advice:
        raise InputError(
            f"{path}: segmentations of type {path.suffix} are not read; expected .nrrd, "
            f".seg.nrrd, .nii, .tif, zarr or a Seg3D project; {advice[path.suffix.lower()]}"
        )


def _saved_over(folder: Path, here: list[Path]) -> list[list[Path]]:
    """Masks of a whole correction bundle: its prediction is none, unless it was saved over."""
    record, corrected = read_record(folder), folder / "corrected"
    masks = {name: folder / file for name, file in record.get("classes", {}).items()}
    told = record.get("sha256", {})
    over = {
        name: p
        for name, p in masks.items()
        if p in here and told.get(p.name) not in (None, sha256(p.read_bytes()).hexdigest())
    }
    saved = [p for p in corrected.iterdir() if is_annotation(p)] if corrected.is_dir() else []
    if saved:
        log.info("%s: a whole correction bundle; only its folder corrected/ is read", folder)
        names = dict(enumerate(masks))
        of = {class_of_name(p.name.partition(".")[0], names, p) for p in saved}
        for number, name in names.items():
            if name in over and None not in of and number not in of:
                raise InputError(
                    f"{over[name]}: saved over what was handed out, while other classes were saved "
                    f"into {corrected.name}/, where none is of {name}; move it there, or copy what "
                    "was handed out over it"
                )
        return []
    if over:
        log.warning("%s: the masks handed out were saved over; they are read", folder)
        return [[p for p in masks.values() if p in here]]
    beside = [p.name for p in here if p.name not in told]
    raise NotSavedError(
        f"{folder}: a correction bundle without a file in corrected/; what it holds beside is "
        "the prediction; save the masks into corrected/ (unchanged if all is right)"
        + (f", move {', '.join(beside)} there" if beside else "")
        + ", or remove the folder"
    )


def class_of_name(stem: str, classes: dict[int, str], path="") -> int | None:
    """Class that a file named ``stem`` holds, or None: ``fibril``, ``z0123_fibril``, ``fibril_2``.

    A mask of the background is of none. Case does not matter; signs that Seg3D does not allow in
    names count as ``_``; of several classes that fit, the longest name is meant.
    """
    stem, found = _plain(stem), {}
    if BACKGROUND in stem.split("_") and not any(BACKGROUND in _plain(n) for n in classes.values()):
        return None
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
            if any(float(row[key]) != int(row[key]) for key in BOX):
                raise ValueError
        except (TypeError, ValueError, OverflowError):
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
