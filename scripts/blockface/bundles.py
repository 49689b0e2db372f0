"""Bundles for Seg3D: one folder per place, with image, predicted masks and a script to open them.

The extent of a bundle's files is what counts as reviewed when they come back, so a bundle holds
one slice unless the person asks for more (``context_slices``).
"""

import hashlib
import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np

from blockface.errors import InputError
from blockface.scores import to_labels
from blockface.seg3d import write_nrrd
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

BLOCK = 16  # pixels; the most uncertain area is sought on a grid of such blocks
CORRECTED = "corrected"
SCRIPT = "open_in_seg3d.py"


def file_names(folder: str, classes: list[str]) -> list[str]:
    """Names (without ending) of a bundle's masks, of signs that Seg3D takes as they are."""
    plain = [re.sub(r"[^A-Za-z0-9_-]", "_", name) for name in classes]
    if len({p.lower() for p in plain} | {"image"}) <= len(plain):
        raise InputError(
            f"classes: found {', '.join(classes)}; expected names that differ in letters, digits, "
            "_ and -, and none of them 'image'; rename them"
        )
    return [f"{folder}_{p}" for p in plain]


def window(probability: np.ndarray, size: int) -> tuple[slice, slice]:
    """Where in (class, y, x) the window of ``size`` pixels with most undecided ones lies."""
    shape = probability.shape[1:]
    if max(shape) <= size:
        return slice(0, shape[0]), slice(0, shape[1])
    doubt = _doubt(probability)
    side = [max(1, min(size, n) // BLOCK) for n in shape]
    total = np.pad(doubt, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    a, b = (min(s, n) for s, n in zip(side, doubt.shape, strict=True))
    sums = total[a:, b:] - total[:-a, b:] - total[a:, :-b] + total[:-a, :-b]
    corner = np.unravel_index(sums.argmax(), sums.shape)
    starts = [int(min(c * BLOCK, max(0, n - size))) for c, n in zip(corner, shape, strict=True)]
    return tuple(slice(s, min(s + size, n)) for s, n in zip(starts, shape, strict=True))


def _doubt(probability: np.ndarray) -> np.ndarray:
    """How undecided each block of 16 x 16 pixels is, as a sum."""
    distance = np.abs(probability.astype(np.int16) - 128).min(axis=0)
    doubt = np.maximum(0, 64 - distance).astype(np.int64)
    edges = [np.arange(0, n, BLOCK) for n in doubt.shape]
    return np.add.reduceat(np.add.reduceat(doubt, edges[0], axis=0), edges[1], axis=1)


def export_bundle(
    folder: str | Path,
    z: int,
    image,
    probability,
    threshold: float,
    *,
    context_slices: int = 0,
    max_xy: int = 2048,
    reason: str = "",
    origin_nm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> dict:
    """Write the bundle of slice ``z`` into ``folder`` and give its record (bundle.json).

    ``image`` is (z, y, x) and ``probability`` (class, z, y, x), volumes of one stack. The masks
    are the most probable class where it reaches ``threshold``. Slices larger than ``max_xy``
    pixels are cut to the most uncertain part.
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
    rows, columns = window(slice_, max_xy)
    size = voxel_size(image)
    offset = (depth.start, rows.start, columns.start)
    (folder / CORRECTED).mkdir(parents=True, exist_ok=True)
    files = {f"{folder.name}_image.nrrd": image[depth, rows, columns]}
    labels = to_labels(probability[:, depth, rows, columns], values, threshold)
    for name, value in zip(names, values, strict=True):
        files[f"{name}.nrrd"] = labels == value
    for name, array in files.items():
        write_nrrd(folder / name, array, size, offset, origin_nm=origin_nm)
    spot = _spot(slice_[:, rows, columns], (z, rows.start, columns.start))
    centre = [float(o + p * v) for o, p, v in zip(origin_nm, spot, size, strict=True)]
    (folder / SCRIPT).write_text(_script(folder.name, names, centre), encoding="ascii")
    (folder / CORRECTED / "README.txt").write_text(_corrected_text(names))
    (folder / "README.txt").write_text(_text(folder.name, z, names, reason))
    record = {
        "z": int(z), "offset_voxels_zyx": list(offset), "shape_zyx": list(labels.shape),
        "voxel_size_nm_zyx": list(size), "stack_shape_zyx": list(image.shape),
        "classes": dict(zip(classes, (f"{name}.nrrd" for name in names), strict=True)),
        "threshold": threshold, "worst_spot_zyx": list(spot), "reason": reason,
        "sha256": {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in files},
    }  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(record, indent=1))
    return record


def has_corrections(folder: Path) -> bool:
    """Whether somebody has saved masks into the bundle ``folder``."""
    return any(f.suffix.lower() in (".nrrd", ".tif", ".tiff") for f in folder.glob("corrected/*"))


def clear(folder: Path) -> None:
    """Remove the bundles of an earlier run from ``folder``, except those with corrections."""
    for record in sorted(folder.glob("*/bundle.json")):
        if has_corrections(record.parent):
            log.warning("%s: kept as it is, it holds corrections", record.parent)
        else:
            shutil.rmtree(record.parent)


def _spot(probability: np.ndarray, corner) -> tuple[int, int, int]:
    doubt = _doubt(probability)
    y, x = np.unravel_index(doubt.argmax(), doubt.shape)
    last = [n - 1 for n in probability.shape[1:]]
    return (
        int(corner[0]),
        int(corner[1] + min(y * BLOCK + BLOCK // 2, last[0])),
        int(corner[2] + min(x * BLOCK + BLOCK // 2, last[1])),
    )


def _script(name: str, masks: list[str], centre: list[float]) -> str:
    """The Python 3.4 program that Seg3D runs; ``set`` in there is an action of Seg3D."""
    return f"""\
# Opens this place in Seg3D. In this folder:  Seg3D2 --python={SCRIPT}
# or, in Seg3D, Window > Python Console:  exec(open('<this folder>/{SCRIPT}').read())
import os
HERE = os.path.dirname(os.path.abspath(__file__)) if '__file__' in globals() else os.getcwd()
if '[' in HERE or ']' in HERE or '"' in HERE:
    raise Exception('Rename the folder: Seg3D cannot read paths with brackets or quotes: ' + HERE)
MASKS = {masks!r}
def br(p): return '[' + os.path.join(HERE, p) + ']'
image_ids = importlayer(filename=br('{name}_image.nrrd'), importer='[Teem Importer]', mode='data')
mask_ids = []
for f in MASKS:
    mask_ids += importlayer(filename=br(f + '.nrrd'), importer='[Teem Importer]', \
mode='single_mask')
for i in mask_ids:
    set(stateid=i + '::opacity', value=0.6)
activatelayer(layerid=mask_ids[0])
opentool(tooltype='painttool')
pickpoint(point=[{centre[2]:.10g}, {centre[1]:.10g}, {centre[0]:.10g}])
def save_corrections():
    if not os.path.isdir(os.path.join(HERE, '{CORRECTED}')):
        os.mkdir(os.path.join(HERE, '{CORRECTED}'))
    exportsegmentation(layers=mask_ids, file_path=br('{CORRECTED}'), mode='single_mask', \
extension='.nrrd')
    missing = [n for n in MASKS
               if not os.path.exists(os.path.join(HERE, '{CORRECTED}', n + '.nrrd'))]
    print('saved' if not missing else 'NOT WRITTEN: ' + ', '.join(missing))
print('Correct the masks, then type  save_corrections()  in Window > Python Console \
(Ctrl+Shift+Y).')
"""


def _text(name: str, z: int, masks: list[str], reason: str) -> str:
    return (
        f"Slice {z}: {reason or 'chosen by hand'}.\n"
        f"1. In this folder: Seg3D2 --python={SCRIPT}  (or File > Import Layer From Single File: "
        f"{name}_image.nrrd as image data, {', '.join(f'{m}.nrrd' for m in masks)} each as Single "
        "Mask).\n"
        "2. Correct every mask over its whole extent: what you leave unpainted counts as "
        "background.\n"
        f"3. Type save_corrections() in Window > Python Console, or export each mask as NRRD into "
        f"the folder {CORRECTED}, under its own name.\n"
        f"4. Copy the folder {CORRECTED} as {name} into the next round: "
        f"annotations/<dataset>/<NN+1>/{name}\n"
    )


def _corrected_text(masks: list[str]) -> str:
    return (
        "The corrected masks go here, each under its own name, also those that needed no change:\n"
        + "".join(f"{m}.nrrd\n" for m in masks)
    )
