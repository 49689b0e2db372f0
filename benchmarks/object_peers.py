"""One other program on a stack of labels; run by objects.py, if need be by an interpreter apart.

object_peers.py PEER LABELS.zarr OUT: writes OUT.csv (length_nm, diameter_nm, NaN where the program
has none), or for `cc3d` the numbered objects as OUT.npy. Nothing of Blockface is imported.
"""

import sys

import numpy as np
import pandas as pd
import zarr

PROPERTIES = (
    "label", "area", "bbox", "centroid", "inertia_tensor_eigvals", "axis_major_length",
    "axis_minor_length", "equivalent_diameter_area", "extent",
)  # fmt: skip


def skimage(array) -> pd.DataFrame:
    """Axes of the ellipsoid of equal moments stand for length and diameter."""
    from skimage.measure import label, regionprops_table

    spacing = array.attrs["voxel_size_nm"]
    labels = label(array[:], connectivity=1)
    table = pd.DataFrame(regionprops_table(labels, properties=PROPERTIES, spacing=spacing))
    ellipsoid = {"length_nm": "axis_major_length", "diameter_nm": "axis_minor_length"}
    return table.assign(**{new: table[old] for new, old in ellipsoid.items()})


def porespy(array) -> pd.DataFrame:
    """All that props_to_DataFrame gives: volumes, surfaces, axes; lengths in nm if cubic."""
    from porespy.metrics import props_to_DataFrame, regionprops_3D
    from skimage.measure import label

    labels = label(array[:], connectivity=1)
    table = props_to_DataFrame(regionprops_3D(labels))
    nm = array.attrs["voxel_size_nm"][1]
    return table.assign(
        length_nm=table["axis_major_length"] * nm, diameter_nm=table["axis_minor_length"] * nm
    )


def cc3d(array) -> np.ndarray:
    """Numbered objects, x first, as kimimaro's command wants them."""
    from cc3d import connected_components

    return connected_components(array[:], connectivity=6, out_dtype=np.uint32).T


if __name__ == "__main__":
    peer, labels, out = sys.argv[1:]
    found = globals()[peer](zarr.open_array(labels, mode="r"))
    if peer == "cc3d":
        np.save(f"{out}.npy", found)
    else:
        found.to_csv(f"{out}.csv", index=False)
