"""Contacts of objects: the voxel faces that two objects share, how long and how deep they reach.

Every face is a rectangle of known place and size, so area, centre and second moments of a contact
are exact sums over its faces, and add up over slabs. A face belongs to the slab of the voxel below
it along its axis.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

from blockface.heap import give_back
from blockface.long_tables import by_object
from blockface.measure import padded_blocks
from blockface.truth import count_runs
from blockface.volume import voxel_size

log = logging.getLogger(__name__)

LAYERS = 8  # parts of equal depth between which the spread of a number is told
FACES = 2**17  # kept before they are added up
ROWS = 10_000  # of sums that are added up at a time
MOMENTS = ("z", "y", "x", "zz", "yy", "xx", "zy", "zx", "yx")
ADDED = ("faces", "area_nm2", *MOMENTS, "n_slices")
PARTS = ("object_a", "object_b", *ADDED, "z0", "z1")
COLUMNS = (
    "object_a", "object_b", "class_a", "class_b", "contact_faces", "contact_area_um2",
    "contact_length_nm", "z0", "z1", "n_slices", "persistence_nm",
    "contact_z_nm", "contact_y_nm", "contact_x_nm",
)  # fmt: skip


def layer_of(z: int, depth: int) -> int:
    """Number of the layer, of at most LAYERS of equal depth, in which slice ``z`` lies."""
    return z * min(LAYERS, depth) // depth


def slab_contacts(array, rows: list[slice]) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Sums over the shared faces of each pair (columns PARTS), and voxels of objects by layer.

    ``array`` is (z, y, x) of ids. Moments are in nm, weighted by area. The second table has the
    columns object_id, layer, voxels. Both come in parts that are to be added up; at least one.
    """
    spacing = np.asarray(voxel_size(array))
    yield empty(PARTS), pd.DataFrame(columns=["object_id", "layer", "voxels"], dtype=np.int64)
    for z, block in padded_blocks(array, rows, 1, 0) if rows else ():
        faces, held, layers = [], 0, []
        for k in range(1, len(block) - 1):
            found = plane_faces(block[k], block[k + 1], z + k - 1)
            faces.append(found)
            held += len(found[0])
            ids, voxels = count_runs(block[k].ravel())
            layer = np.full(len(ids), layer_of(z + k - 1, array.shape[0]))
            part = {"object_id": ids.astype(np.int64), "layer": layer, "voxels": voxels}
            layers.append(pd.DataFrame(part)[ids > 0])
            if held > FACES or k == len(block) - 2:
                by_layer = pd.concat(layers).groupby(["object_id", "layer"], as_index=False).sum()
                yield face_sums(faces, spacing), by_layer
                faces, held, layers = [], 0, []
        give_back()
        log.info("contacts: slice %d of %d", z + len(block) - 2, rows[-1].stop)


def plane_faces(plane: np.ndarray, above: np.ndarray, z: int) -> tuple[np.ndarray, ...]:
    """Faces between two objects of slice ``z`` in itself and to the slice ``above``.

    The pair as one number (smaller id in front), the axis across the face, and its z, y, x: those
    of the voxel below it.
    """
    pair, axis, where = [], [], []
    for number, one, other in (
        (0, plane, above),
        (1, plane[:-1], plane[1:]),
        (2, plane[:, :-1], plane[:, 1:]),
    ):
        y, x = np.nonzero(one != other)
        a, b = one[y, x].astype(np.uint64), other[y, x].astype(np.uint64)
        both = np.flatnonzero((a > 0) & (b > 0))
        a, b = a[both], b[both]
        pair.append((np.minimum(a, b) << np.uint64(32)) | np.maximum(a, b))
        axis.append(np.full(len(a), number, np.int8))
        where.append(np.stack([np.full(len(a), z), y[both], x[both]]))
    return np.concatenate(pair), np.concatenate(axis), np.concatenate(where, axis=1)


def face_sums(faces: list[tuple[np.ndarray, ...]], spacing: np.ndarray) -> pd.DataFrame:
    """Table PARTS of whole slices of faces."""
    if not sum(len(part[0]) for part in faces):
        return empty(PARTS)
    pair, axis, at = (np.concatenate(part, axis=-1) for part in zip(*faces, strict=True))
    order = np.argsort(pair, kind="stable")  # slices stay in order within a pair
    pair, axis, at = pair[order], axis[order], at[:, order]
    starts = np.flatnonzero(np.r_[True, pair[1:] != pair[:-1]])
    area = (spacing.prod() / spacing)[axis]
    across = axis == np.arange(3)[:, None]
    middle = (at + np.where(across, 1.0, 0.5)) * spacing[:, None]
    own = np.where(across, 0, spacing[:, None] ** 2 / 12)  # second moment of the face itself
    rows = {"object_a": pair[starts] >> np.uint64(32), "object_b": pair[starts] & (2**32 - 1)}
    rows = {name: ids.astype(np.int64) for name, ids in rows.items()}
    rows |= {"faces": np.diff(np.r_[starts, len(pair)]), "area_nm2": np.add.reduceat(area, starts)}
    for name in MOMENTS:
        i, j = "zyx".index(name[0]), "zyx".index(name[-1])
        value = middle[i] if len(name) == 1 else middle[i] * middle[j] + own[i] * (i == j)
        rows[name] = np.add.reduceat(area * value, starts)
    beside = np.flatnonzero(axis > 0)
    first = np.r_[True, np.diff(pair[beside]) != 0] | np.r_[True, np.diff(at[0, beside]) != 0]
    new = np.zeros(len(pair), np.int64)
    new[beside[first[: len(beside)]]] = 1
    rows["n_slices"] = np.add.reduceat(new, starts)
    rows["z0"] = np.minimum.reduceat(at[0] + (axis == 0), starts)
    rows["z1"] = np.maximum.reduceat(at[0] + 1, starts)
    return pd.DataFrame(rows)


def empty(columns: tuple[str, ...]) -> pd.DataFrame:
    """Table without rows; areas and moments are floats, all else integers."""
    real = {"area_nm2", *MOMENTS}
    return pd.DataFrame({c: np.zeros(0, float if c in real else np.int64) for c in columns})


def add_up(part: pd.DataFrame) -> pd.DataFrame:
    """Table PARTS with one row per pair, from rows of several parts of a volume."""
    how = dict.fromkeys(ADDED, "sum") | {"z0": "min", "z1": "max"}
    return part.groupby(["object_a", "object_b"], as_index=False).agg(how)[list(PARTS)]


def contact_tables(folders: list[str], index: pd.DataFrame, spacing) -> Iterator[pd.DataFrame]:
    """The table of contacts (`contact_table`) by object_a, in pieces.

    ``folders`` are the slabs' with contacts.parquet, ``index`` holds all objects, sorted by
    object_id, and names their classes.
    """
    classes = index.set_index("object_id")["class"]
    for part in by_object(folders, "contacts", index.object_id.to_numpy(), ROWS, "object_a"):
        yield contact_table(part, classes, spacing)


def contact_table(part: pd.DataFrame, classes: pd.Series, spacing) -> pd.DataFrame:
    """COLUMNS, one row per touching pair, of rows of slabs' tables; ``classes`` by object_id.

    The length is that of a straight strip with the second moment of the faces along their first
    principal axis, √(12 λ).
    """
    sums = add_up(part)
    area = sums.area_nm2.to_numpy()
    centre = sums[["z", "y", "x"]].to_numpy() / area[:, None]
    second = np.zeros((len(sums), 3, 3))
    for name in MOMENTS[3:]:
        i, j = "zyx".index(name[0]), "zyx".index(name[1])
        second[:, i, j] = second[:, j, i] = sums[name] / area - centre[:, i] * centre[:, j]
    longest = np.linalg.eigvalsh(second)[:, 2] if len(sums) else np.zeros(0)
    table = {"object_a": sums.object_a, "object_b": sums.object_b}
    table |= {f"class_{e}": sums[f"object_{e}"].map(classes).astype(str) for e in "ab"}
    table |= {
        "contact_faces": sums.faces,
        "contact_area_um2": area / 1e6,
        "contact_length_nm": np.sqrt(12 * np.maximum(longest, 0)),
        "z0": sums.z0,
        "z1": sums.z1,
        "n_slices": sums.n_slices,
        "persistence_nm": (sums.z1 - sums.z0) * float(spacing[0]),
    }
    table |= {f"contact_{a}_nm": centre[:, i] for i, a in enumerate("zyx")}
    return pd.DataFrame(table)[list(COLUMNS)]
