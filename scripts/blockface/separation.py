"""How each class comes apart: the way chosen for it, in slabs, joined into one volume of objects.

A slab is a folder with one of each way that is used: components, watershed (`objects`), slices
(`slices`), each of the classes that go this way.
"""

import json
import os
import shutil
from pathlib import Path

import pandas as pd

from blockface import objects, slices
from blockface.foreground import Classes
from blockface.methods import METHODS, ways
from blockface.slice_objects import Linked, links_of
from blockface.stitch import Joined, join_objects


def separate_slab(
    path: str,
    local: str,
    z: slice,
    settings: dict,
    threads: int = 1,
    boundary: str | None = None,
) -> None:
    """Make the folder ``local``: what is found in the slices ``z`` of the volume ``path``.

    ``settings``: method (see `methods.ways`), those of `objects.Settings`, and under ``slices``
    those of `slices.Settings`. ``boundary``: see `foreground.Classes`. Begun work lies in
    ``<local>.partial``.
    """
    settings = {key: value for key, value in settings.items() if value is not None}
    across = slices.Settings.of(
        {
            "threshold": settings.get("threshold"),
            "max_radius_nm": settings.get("max_radius_nm"),
            **settings.pop("slices", {}),
        }
    )
    method = settings.pop("method", "components")
    folder, record = Path(f"{local}.partial"), Path(f"{local}.partial/key.json")
    whole = Classes(path, boundary=boundary)
    key = json.dumps([whole.files, z.start, z.stop, method, settings, across.of_slab])
    if not record.is_file() or record.read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        record.write_text(key)
    for how, names in ways(method, list(whole.names.values())).items():
        part = folder / how
        if part.is_dir():
            continue
        if how == "slices":
            source = Classes(path, across.threshold, names, boundary)
            slices.separate_slab(source, str(part), z, across, threads)
        else:
            own = objects.Settings.of({**settings, "method": how})
            edge = boundary if how == "watershed" else None  # what is connected stays so
            objects.separate_slab(path, str(part), z, own, threads, only=names, boundary=edge)
    shutil.rmtree(local, ignore_errors=True)
    os.replace(folder, local)


def join_slabs(
    slabs: list[str], volume: str, min_volume_um3: float = 0, across: dict | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the ``volume`` of ids; index of the objects, and table of links (`links_of`).

    ``across``: those of `slices.Settings` that say how cross-sections are linked.
    """
    sources = []
    for how in METHODS:
        folders = [str(Path(slab, how)) for slab in slabs if Path(slab, how).is_dir()]
        if folders and how == "slices":
            scratch = Path(volume).parent
            scratch.mkdir(parents=True, exist_ok=True)
            sources += Linked.of_all(folders, slices.Settings.of(across), scratch)
        elif folders:
            sources.append(Joined(folders))
    index, ids = join_objects(sources, volume, min_volume_um3)
    linked = [(s, own) for s, own in zip(sources, ids, strict=True) if isinstance(s, Linked)]
    return index, links_of(linked)
