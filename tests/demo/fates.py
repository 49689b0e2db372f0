"""What became of true fibrils among the objects found, and how many ends are false."""

import tempfile

import numpy as np
import pandas as pd
from scipy import ndimage

from blockface.truth import match, overlaps
from blockface.volume import create_volume

LEAST = 200  # voxels of an object that is looked for


def in_runs(ids: np.ndarray) -> np.ndarray:
    """A fibril that leaves the image and comes back is another one."""
    out, last, count = np.zeros(ids.shape, np.uint32), np.zeros(ids.max() + 1, np.uint32), 0
    for z, plane in enumerate(ids):
        present = np.unique(plane)[1:]
        now = np.zeros_like(last)
        new = present[last[present] == 0]
        now[present] = last[present]
        now[new] = count + 1 + np.arange(len(new))
        count, last = count + len(new), now
        out[z] = now[plane]
    return out


def fates(found: np.ndarray, truth: np.ndarray) -> pd.Series:
    """How many true objects are matched, merged, split, missed."""
    with tempfile.TemporaryDirectory() as folder:
        tables = []
        for name, ids in (("found", found), ("truth", truth)):
            path = f"{folder}/{name}.zarr"
            create_volume(path, ids.shape, np.uint32, (1, 1, 1))[:] = ids
            voxels = np.bincount(ids.ravel())
            large = np.flatnonzero(voxels[1:] >= (LEAST if name == "truth" else 1)) + 1
            tables.append(pd.DataFrame({"object_id": large, "class": "fibril"}))
        overlap = overlaps(f"{folder}/found.zarr", f"{folder}/truth.zarr")
    fate = match(overlap, *tables)["fate"].value_counts()
    return fate.reindex(["matched", "merged", "split", "missed"], fill_value=0)


def false_ends(found: np.ndarray, truth: np.ndarray, beyond: int = 3) -> int:
    """Ends of found objects where the fibril goes on for ``beyond`` slices, inside the image."""
    inner, count = (slice(3, -3), slice(3, -3)), 0
    for number, box in enumerate(ndimage.find_objects(found), 1):
        if box is None:
            continue
        for z, step in ((box[0].start, -1), (box[0].stop - 1, 1)):
            own = np.bincount(truth[z][found[z] == number]).argmax()
            on = z + beyond * step
            if own == 0 or not 0 <= on < len(truth):
                continue
            sides = [(truth[k] == own) for k in (z, on)]
            whole = all(side.any() and side[inner].sum() == side.sum() for side in sides)
            count += whole
    return count


def millimetres(truth: np.ndarray, slice_nm: float) -> float:
    """Length of all true fibrils along z."""
    return sum(len(np.unique(plane)) - 1 for plane in truth) * slice_nm / 1e6
