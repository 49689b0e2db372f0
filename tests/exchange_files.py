"""Segmentations as other programs save them, written by hand so that readers are not tested by us.

Every writer takes masks {name: (z, y, x) bool} of one grid: voxel size and offset in nm (z, y, x).
"""

import sqlite3

import nibabel
import nrrd
import numpy as np
import tifffile
import zarr


def label_map(masks):
    first = next(iter(masks.values()))
    return sum(
        (np.uint8(i) * m for i, m in enumerate(masks.values(), start=1)), 0 * first.astype("u1")
    )


def new_style(path, array, size, first, centering="cell", **extra):
    header = {
        "space": "3D-right-handed",
        "space directions": np.diag(size[::-1]),
        "space origin": np.array(first[::-1]),
        "kinds": ["space"] * 3,
        "centerings": [centering] * 3,
        **extra,
    }
    nrrd.write(str(path), np.ascontiguousarray(array), header, index_order="C")


def old_style(path, array, size, first, centering="cell"):
    low = np.array(first[::-1]) - (np.array(size[::-1]) / 2 if centering == "cell" else 0)
    header = {"spacings": np.array(size[::-1]), "axis mins": low, "centerings": [centering] * 3}
    nrrd.write(str(path), np.ascontiguousarray(array), header, index_order="C")


def turned(path, array, size, first, order=(2, 0, 1), flips=(True, False, True)):
    """NRRD whose file axes (z, y, x) are the stack's ``order``, some running backwards."""
    steps, corner = np.diag(size).astype(float), np.array(first, float)
    for axis in np.flatnonzero(flips):
        array = np.flip(array, axis)
        corner = corner + steps[axis] * (array.shape[axis] - 1)
        steps[axis] *= -1
    directions = steps[list(order)][::-1, ::-1]  # rows: file axes x, y, z; columns: world x, y, z
    new_style(
        path, array.transpose(order), size, first,
        **{"space directions": directions, "space origin": corner[::-1]},
    )  # fmt: skip


def nifti(path, array, size, first, ras=False, unit=1.0):
    """As ITK-SNAP (its LPS numbers turned into RAS) or as a program that keeps the numbers."""
    sign = np.array([1.0, 1, 1, 1]) if ras else np.array([-1.0, -1, 1, 1])
    affine = np.diag([*size[::-1], 1.0])
    affine[:3, 3] = first[::-1]
    affine[:3] *= unit
    image = nibabel.Nifti1Image(
        np.ascontiguousarray(array.transpose(2, 1, 0)), sign[:, None] * affine
    )
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def slicer(path, masks, size, first, layers=False, ras=False, crop=True, below=None):
    """A .seg.nrrd of Slicer: labels in one layer or a layer each; cut to what is painted.

    ``below``: voxels (z, y, x) of the image that it was painted on, if the file is to tell.
    """
    names, arrays = list(masks), [m.astype(np.uint8) for m in masks.values()]
    stack = np.stack(arrays) if layers else label_map(masks)[None]
    if crop and stack.any():
        box = tuple(slice(int(w.min()), int(w.max()) + 1) for w in np.nonzero(stack.any(axis=0)))
        stack = stack[(slice(None), *box)]
        first = [f + b.start * s for f, b, s in zip(first, box, size, strict=True)]
    sign = np.array([-1.0, -1, 1]) if ras else np.ones(3)
    directions = np.diag(size[::-1]) * sign
    header = {
        "space": "left-posterior-superior",
        "space origin": np.array(first[::-1]) * sign,
        "kinds": ["domain"] * 3,
        "space directions": directions,
    }
    if layers:
        header["kinds"] = ["list", *header["kinds"]]
        header["space directions"] = np.vstack([np.full(3, np.nan), directions])
    for i, name in enumerate(names):
        header |= {
            f"Segment{i}_ID": f"Segment_{i + 1}", f"Segment{i}_Name": name,
            f"Segment{i}_LabelValue": "1" if layers else str(i + 1),
            f"Segment{i}_Layer": str(i if layers else 0), f"Segment{i}_Color": "0.5 0.1 1",
        }  # fmt: skip
    header["Segmentation_ReferenceImageExtentOffset"] = "-3 0 7"
    if below:
        matrix = "".join(f"{n:g};" for n in np.diag([*size[::-1], 1.0]).ravel())
        ends = "".join(f"0;{n - 1};" for n in below[::-1])
        header["Segmentation_ConversionParameters"] = (
            "Collapse labelmaps|1|Merge the labelmaps.&"
            f"Reference image geometry|{matrix}{ends}|Image geometry description string.&"
        )
    array = np.moveaxis(stack, 0, -1) if layers else stack[0]
    nrrd.write(str(path), np.ascontiguousarray(array), header, index_order="C")


def tiff(path, array, dtype=np.uint8, lead=False):
    array = array.astype(dtype)
    tifffile.imwrite(path, array[None] if lead else array, compression="zlib")


def plain_zarr(path, array, version=3):
    stored = zarr.create_array(
        str(path), shape=array.shape, dtype=array.dtype, zarr_format=version, chunks=(2, 16, 16)
    )
    stored[:] = array


def ome_zarr(path, array, size, first):
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", shape=array.shape, dtype=array.dtype)[:] = array
    transforms = [
        {"type": "scale", "scale": [s / 1000 for s in size]},
        {"type": "translation", "translation": [f / 1000 for f in first]},
    ]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"],
            "datasets": [{"path": "0", "coordinateTransformations": transforms}],
        }
    ]


def project(folder, sessions, size, first, *, version="2", database=True):
    """A Seg3D project; ``sessions`` is a list of {layer name: mask}, the last one the newest."""
    for part in ("sessions", "data", "database"):
        (folder / part).mkdir(parents=True)
    (folder / f"{folder.stem}.s3d").write_text(
        f'<?xml version="1.0" ?><Seg3D major_version="2"><project version="{version}">'
        '<State id="current_session_name">[New Session]</State></project></Seg3D>'
    )
    for number, masks in enumerate(sessions, start=1):
        layers, block = [], None
        for i, (name, mask) in enumerate(masks.items()):
            generation, bit = 10 * number + i // 8, (3 * i + 1) % 8
            if i % 8 == 0:
                block = np.zeros(mask.shape, np.uint8)
            block |= mask.astype(np.uint8) << bit
            old_style(folder / "data" / f"{generation}.nrrd", block, size, first, "node")
            layers.append(
                f'<layer_{i} version="2" type="mask"><State id="name">{name}</State>'
                f'<State id="generation">{generation}</State><State id="bit">{bit}</State>'
                f"</layer_{i}>"
            )
        groups = f"<group_0><layers>{''.join(layers)}</layers></group_0>" if layers else ""
        (folder / "sessions" / f"{number}.xml").write_text(
            '<?xml version="1.0" ?><Seg3D><layermanager version="1"><groups>'
            f"{groups}</groups></layermanager></Seg3D>"
        )
    if database:
        with sqlite3.connect(folder / "database" / "sessions.sqlite") as connection:
            connection.execute(
                "create table session (session_id integer primary key, session_name text, "
                "session_file text, user_id text, timestamp text)"
            )
            connection.executemany(
                "insert into session values (?, '[Auto Save]', null, 'u', '2024-05-06 07:08:09')",
                [(n,) for n in range(1, len(sessions) + 1)],
            )
        connection.close()
