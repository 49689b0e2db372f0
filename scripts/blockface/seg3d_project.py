"""Projects of Seg3D (.s3d, .seg3dproj): sessions, layers by name, masks as bit planes.

A mask is one bit of every voxel of a block ``data/<generation>.nrrd``. Planes that the session does
not name are left over from deleted masks and are never shown. Source: Seg3D 2.5.1
(github.com/SCIInstitute/Seg3D).
"""

import logging
import sqlite3
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from blockface.errors import InputError
from blockface.grids import Grid, grid_of
from blockface.seg3d import read_header

log = logging.getLogger(__name__)

SAVE_AGAIN = "open the project in Seg3D, save it and copy the whole folder again"


@dataclass(frozen=True)
class MaskLayer:
    """One mask of a session: bit ``bit`` of the block ``file``, on the grid of its group."""

    name: str
    file: Path
    bit: int
    group: str


@dataclass(frozen=True)
class Session:
    """One saved state of a project and its masks, from the bottom of the layer panel up."""

    number: int
    name: str
    time: str
    masks: list[MaskLayer]
    grouped: dict[str, list[tuple[str, Path]]]  # every layer with voxels, by group

    def __str__(self):
        return f"session {self.number} ({', '.join(s for s in (self.name, self.time) if s)})"


def is_project(folder: Path) -> bool:
    """Whether ``folder`` is that of a Seg3D project, whatever its name."""
    return folder.is_dir() and (
        folder.suffix.lower() == ".seg3dproj" or bool(project_files(folder))
    )


def project_files(folder: Path) -> list[Path]:
    """The .s3d files in ``folder``, without what macOS lays beside them (._name.s3d)."""
    return sorted(f for f in folder.glob("*.s3d") if not f.name.startswith("."))


def project_folder(path: str | Path) -> Path:
    """Folder of the project at ``path``, its folder or its .s3d file, of a version that is read.

    Raises
    ------
    InputError
        None or several .s3d files, no sessions beside it, or project version 1.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    files = project_files(folder)
    if len(files) != 1:
        raise InputError(
            f"{folder}: found {', '.join(f.name for f in files) or 'no .s3d file'}; expected one "
            f".s3d file in the folder of a Seg3D project; {SAVE_AGAIN}"
        )
    if not (folder / "sessions").is_dir():
        raise InputError(f"{files[0]}: no folder sessions beside it; {SAVE_AGAIN}")
    project = _xml(files[0]).find("project")
    version = project.get("version") if project is not None else None
    if version != "2":
        raise InputError(
            f"{files[0]}: project version {version}; expected 2; open and save it once in Seg3D "
            "2.2 or later"
        )
    return folder


def sessions(folder: Path) -> list[tuple[int, str, str, Path]]:
    """Number, name, time (UTC) and XML file of each session of the project, oldest first.

    Without a list of sessions the XML files themselves are taken, with a warning.
    """
    database = folder / "database" / "sessions.sqlite"
    if not database.is_file():
        log.warning("%s: missing; the sessions are known by their numbers only", database)
        found = sorted(int(f.stem) for f in (folder / "sessions").glob("*.xml") if f.stem.isdigit())
        return [(number, "", "", folder / "sessions" / f"{number}.xml") for number in found]
    address = f"file:{quote(str(database.absolute()))}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as connection:
            rows = connection.execute(
                "select session_id, session_name, session_file, timestamp from session "
                "order by session_id"
            ).fetchall()
    except sqlite3.Error as error:
        raise InputError(f"{database}: not a list of sessions ({error}); {SAVE_AGAIN}") from None
    listed = []
    for number, name, file, time in rows:
        xml = folder / "sessions" / f"{number}.xml"
        if not xml.is_file() and file:
            xml = folder / "sessions" / Path(file).name
        listed.append((int(number), _unwrapped(name or ""), time or "", xml))
    return listed


def read_session(path: str | Path, number: int | None = None) -> Session:
    """Session ``number`` of the project at ``path``; by default the newest, auto-saves included.

    Raises
    ------
    InputError
        No such session, its XML missing or broken, a mask without a valid bit, or no mask in it.
    """
    folder = project_folder(path)
    saved = sessions(folder)
    if not saved:
        raise InputError(f"{folder}: its list of sessions is empty; {SAVE_AGAIN}")
    if number is None:
        number = saved[-1][0]
    names = ", ".join(f"{n} ({', '.join(s for s in (name, time) if s)})"
                      for n, name, time, file in saved if file.is_file())  # fmt: skip
    wanted = next((entry for entry in saved if entry[0] == number), None)
    if wanted is None or not wanted[3].is_file():
        raise InputError(
            f"{folder}: session {number} has no XML in sessions/; there are {names or 'none'}; "
            f"{SAVE_AGAIN}, or name another in sessions.tsv"
        )
    session = _parsed(folder, *wanted)
    if not session.masks:
        others = (_parsed(folder, *e) for e in saved if e[0] != number and e[3].is_file())
        found = ", ".join(str(s).removeprefix("session ") for s in others if s.masks)
        raise InputError(
            f"{folder}: no mask layers in {session}; sessions with masks: {found or 'none'}; save "
            "the project with its masks, or name another session in sessions.tsv"
        )
    log.info("%s: %s of sessions %s", folder, session, names)
    return session


def _parsed(folder: Path, number: int, name: str, time: str, file: Path) -> Session:
    masks, grouped = [], {}
    for group in _xml(file).iterfind("layermanager/groups/*"):
        for layer in group.iterfind("layers/*"):
            states = {s.get("id"): s.text or "" for s in layer.iterfind("State")}
            title, kind = states.get("name", layer.tag), layer.get("type")
            if kind == "large":
                raise InputError(
                    f"{file}: layer {title} is a large volume kept in bricks; expected plain "
                    "layers; extract a data layer from it in Seg3D and paint on that"
                )
            generation = _whole(states.get("generation"), -1)
            if kind not in ("mask", "data") or generation < 0:
                continue
            block = folder / "data" / f"{generation}.nrrd"
            grouped.setdefault(group.tag, []).append((title, block))
            if kind == "mask":
                bit = _whole(states.get("bit"), -1)
                if not 0 <= bit <= 7:
                    raise InputError(
                        f"{file}: mask {title}: bit {states.get('bit', 'missing')}; expected 0 to "
                        f"7; {SAVE_AGAIN}"
                    )
                masks.append(MaskLayer(title, block, bit, group.tag))
    return Session(number, name, time, masks, grouped)


def group_grid(session: Session, group: str) -> Grid:
    """Grid of a group of layers: that of its first layer, which Seg3D forces on all others.

    A missing file of another layer (an image left out to save space) does not matter.

    Raises
    ------
    InputError
        Layers of the group that are there have different grids.
    """
    first = None
    for title, file in session.grouped[group]:
        if not file.is_file():
            log.warning("%s: missing (layer %s); its group's grid is taken elsewhere", file, title)
            continue
        grid = grid_of(read_header(file)[0], file)
        if first is None:
            first = (title, grid)
        elif not _alike(first[1], grid):
            raise InputError(
                f"{file}: layer {title} has {grid.sizes} voxels (x y z) from {grid.first_centre}, "
                f"layer {first[0]} of the same group {first[1].sizes} from "
                f"{first[1].first_centre}; expected one grid; {SAVE_AGAIN}"
            )
    return first[1]


def block_of(layer: MaskLayer, folder: Path) -> Path:
    """File of the block that holds ``layer``, if it is there."""
    if not layer.file.is_file():
        raise InputError(
            f"{layer.file}: missing; the mask {layer.name} (generation {layer.file.stem}) of "
            f"{folder} lies in it; copy the whole project folder"
        )
    return layer.file


def plane(block: np.ndarray, bit: int) -> np.ndarray:
    """Bit number ``bit`` of every voxel, 0 or 1."""
    return (block >> np.uint8(bit)) & np.uint8(1)


def _alike(a: Grid, b: Grid) -> bool:
    tolerance = 0.05 * a.spacing.min()
    return (
        a.sizes == b.sizes
        and np.allclose(a.directions, b.directions, rtol=1e-3, atol=1e-3 * a.spacing.min())
        and bool(np.abs(a.first_centre - b.first_centre).max() <= tolerance)
    )


def _xml(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise InputError(f"{path}: not readable as XML ({error}); {SAVE_AGAIN}") from None


def _whole(text: str | None, otherwise: int) -> int:
    try:
        return int(text)
    except (TypeError, ValueError):
        return otherwise


def _unwrapped(text: str) -> str:
    """Text of a state without the brackets Seg3D puts around blanks."""
    if text == "[]":
        return ""
    return text[1:-1] if len(text) > 2 and text[0] == "[" and text[-1] == "]" else text
