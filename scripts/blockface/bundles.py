"""Bundles for correction: one folder per place, opened by one command in Seg3D or napari.

A bundle is a slab around one slice: that slice is what a person is asked about, the others are
context. What was handed out is kept in it, so that what comes back can be held against it.
"""

import hashlib
import json
import logging
import os
import re
import shutil
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from blockface import open_in_napari
from blockface.bundle_pictures import AROUND, PLACE, around_picture, place_picture
from blockface.bundle_texts import (
    CORRECTED,
    NAPARI,
    README,
    SCRIPT,
    corrected_text,
    readme,
    seg3d_script,
)
from blockface.errors import InputError
from blockface.places import doubts
from blockface.predicted import FILE, Prediction
from blockface.review import entropy_table
from blockface.round_files import is_clutter
from blockface.rounds import RECORD, read_record
from blockface.scores import to_labels
from blockface.seg3d import write_nrrd
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

SPOT = 4  # pixels, SD of what is looked at as one spot
OVERVIEW = 700  # pixels of the picture of the whole slice, at most
OURS = ("README.txt", FILE)  # in corrected/ from the beginning
BESIDE = {RECORD, SCRIPT, NAPARI, README, PLACE, AROUND, CORRECTED}  # the masks and images


def file_names(folder: str, classes: list[str]) -> list[str]:
    """Names (without ending) of a bundle's masks, of signs that Seg3D takes as they are."""
    plain = [re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in classes]
    if len({p.lower() for p in plain} | {"image", "uncertainty"}) < len(plain) + 2:
        raise InputError(
            f"classes: found {', '.join(classes)}; expected names that differ in letters, digits, "
            "_ and -, and none of them 'image' or 'uncertainty'; rename them"
        )
    return [f"{folder}_{p}" for p in plain]


def export_bundle(
    folder: str | Path,
    z: int,
    image,
    probability,
    threshold: float,
    *,
    part: tuple[slice, slice] = (slice(None), slice(None)),
    context_slices: int = 0,
    reason: str = "",
    control: bool = False,
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> dict:
    """Write the bundle of slice ``z`` into ``folder`` and give its record (bundle.json).

    ``image`` is (z, y, x) and ``probability`` (class, z, y, x), volumes of one stack. The masks
    are the most probable class where it reaches ``threshold``. ``part`` (y, x) of the slice is
    handed out; ``control`` if it was drawn at random.
    """
    folder = Path(folder)
    if re.search(r'[\[\]"]', str(folder.absolute())):
        raise InputError(
            f"{folder}: Seg3D cannot open files below a folder whose name holds [, ] or a double "
            "quote; expected none of them; rename the folder"
        )
    classes, values = list(probability.attrs["classes"]), list(probability.attrs["values"])
    names, n = file_names(folder.name, classes), probability.shape[1]
    depth = slice(max(0, z - context_slices), min(n, z + context_slices + 1))
    slice_ = probability[:, z]
    edges = zip(part, slice_.shape[1:], strict=True)
    rows, columns = (slice(*p.indices(size)[:2]) for p, size in edges)
    size = voxel_size(image)
    offset = (depth.start, rows.start, columns.start)
    (folder / CORRECTED).mkdir(parents=True, exist_ok=True)
    grey, chances = image[depth, rows, columns], probability[:, depth, rows, columns]
    labels, unsure = to_labels(chances, values, threshold), uncertainty(chances)
    masks = [labels == value for value in values]
    files = {f"{folder.name}_image.nrrd": grey, f"{folder.name}_uncertainty.nrrd": unsure}
    files |= {f"{name}.nrrd": mask for name, mask in zip(names, masks, strict=True)}
    for name, array in files.items():
        write_nrrd(folder / name, array, size, offset, origin_nm=origin_nm)
    table = dict(zip((int(v) for v in values), classes, strict=True))
    Prediction(labels, offset, int(z), control).write(folder / CORRECTED, table)
    spot = _spot(slice_[:, rows, columns], (z, rows.start, columns.start))
    centre = [float(o + p * v) for o, p, v in zip(origin_nm, spot, size, strict=True)]
    (folder / SCRIPT).write_text(seg3d_script(folder.name, names, centre), encoding="ascii")
    _write_texts(folder, z, z - depth.start, names, reason)
    at = (spot[1] - rows.start, spot[2] - columns.start)
    _draw(folder, image, grey, dict(zip(classes, masks, strict=True)), unsure, z, offset, at)
    record = {
        "z": int(z), "offset_voxels_zyx": list(offset), "shape_zyx": list(labels.shape),
        "voxel_size_nm_zyx": list(size), "stack_shape_zyx": list(image.shape),
        **{name: f"{folder.name}_{name}.nrrd" for name in ("image", "uncertainty")},
        "classes": dict(zip(classes, (f"{name}.nrrd" for name in names), strict=True)),
        "threshold": threshold, "worst_spot_zyx": list(spot), "reason": reason,
        "sha256": {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in files},
    }  # fmt: skip
    partial = folder / f".{RECORD}"  # whole or not at all: it tells that the place is whole
    partial.write_text(json.dumps(record, indent=1))
    os.replace(partial, folder / RECORD)
    return record


def _write_texts(folder: Path, z: int, number: int, names: list[str], reason: str) -> None:
    """What the annotator reads, and the script for napari; ``number`` is that of z in the files."""
    shutil.copyfile(open_in_napari.__file__, folder / NAPARI)
    (folder / CORRECTED / "README.txt").write_text(corrected_text(names))
    page = readme(folder.name, z, number, names, reason)
    (folder / README).write_text(page, encoding="utf-8")


def uncertainty(probability: np.ndarray) -> np.ndarray:
    """Entropy of the most undecided class of (class, z, y, x) uint8: uint8, 255 being one bit."""
    return np.rint(255 * entropy_table()).astype(np.uint8)[doubts(probability)]


def _draw(folder: Path, image, slab, masks: dict, unsure, z: int, offset, spot) -> None:
    """The two pictures of the README."""
    here, pixel = z - offset[0], voxel_size(image)[1:]
    step = -(-max(image.shape[1:]) // OVERVIEW)
    shares = [a / b for pair in ((offset[1:], image.shape[1:]), (slab.shape[1:], image.shape[1:]))
              for a, b in zip(*pair, strict=True)]  # fmt: skip
    place_picture(
        image[z][::step, ::step], tuple(shares), slab[here],
        {name: mask[here] for name, mask in masks.items()}, unsure[here], spot, folder / PLACE,
        pixel,
    )  # fmt: skip
    around_picture(slab, masks, offset[0], z, spot, folder / AROUND, pixel)


def has_corrections(folder: Path) -> bool:
    """Whether somebody works in the bundle ``folder``.

    They opened it by its script, put anything into it, or saved over what was handed out.
    """
    if any(f.name not in OURS and not is_clutter(f.name) for f in folder.glob(f"{CORRECTED}/*")):
        return True
    if not (folder / RECORD).is_file():  # written last, so nobody was told of this place
        return False
    told = read_record(folder).get("sha256")
    if told is None:  # of an earlier version
        return False
    for file in folder.iterdir():
        if file.name in told:
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != told[file.name]:
                    return True
        elif file.name not in BESIDE and not is_clutter(file.name):
            return True
    return False


def clear(folder: Path) -> None:
    """Remove the bundles of an earlier run from ``folder``, except those with corrections."""
    places = [record.parent for record in sorted(folder.glob(f"*/{RECORD}"))]
    for place, kept in [(place, has_corrections(place)) for place in places]:
        if kept:
            log.warning("%s: kept as it is, somebody works in it", place)
        else:
            shutil.rmtree(place)


def _spot(probability: np.ndarray, corner) -> tuple[int, int, int]:
    """Voxel (z, y, x) of the stack in the middle of most doubt, a dozen pixels across."""
    doubt = gaussian_filter(doubts(probability).astype(np.float32), SPOT, mode="constant")
    y, x = np.unravel_index(doubt.argmax(), doubt.shape)
    return int(corner[0]), int(corner[1] + y), int(corner[2] + x)
