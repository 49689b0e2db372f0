"""The same body elsewhere, mirrored, with y and x exchanged or under another id: the same measures.

Allowed is what the measures may be off by (docs/measures.md). Nothing but the mirroring may turn a
hand round.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from object_shapes import (
    SPACINGS,
    arm,
    ellipsoid,
    helix,
    mask_of,
    rod,
    rod_extent,
    row_of,
    scale,
    torus,
    tube,
    union,
)

CHANGES = {
    "padded": lambda v: np.pad(v, ((3, 9), (5, 0), (1, 17))),
    "upside down": lambda v: v[::-1],
    "mirrored": lambda v: v[:, ::-1],
    "turned": lambda v: v[:, ::-1, ::-1],
    "transposed": lambda v: v.transpose(0, 2, 1),
    "renumbered": lambda v: v * 70_001,
}
OTHER_HAND = ("upside down", "mirrored", "transposed")


def bodies(k):
    """Bodies by name: what is inside, the box; ``k`` times as large."""
    line, _ = helix(300 * k, 1500 * k, 2)
    y = [
        arm((1, 0, 0), 1000 * k, 60 * k), arm((-1, 0.5, 0.2), 1000 * k, 60 * k),
        arm((-1, -0.5, 0), 700 * k, 60 * k),
    ]  # fmt: skip
    return {
        "rod": (
            rod((1, 0.4, -0.3), 1500 * k, 60 * k),
            rod_extent((1, 0.4, -0.3), 1500 * k, 60 * k),
        ),
        "helix": (tube(line, 80 * k), np.ptp(line, axis=0) + 160 * k),
        "ring": (torus((0.3, 1, 0.2), 500 * k, 90 * k), [1200 * k] * 3),
        "ellipsoid": (ellipsoid(150 * k, 300 * k, 200 * k), [620 * k] * 3),
        "Y": (union(y), [2000 * k, 1400 * k, 700 * k]),
    }


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", ["rod", "helix", "ring", "ellipsoid", "Y"])
def test_a_body_measures_the_same_however_it_lies(tmp_path, name, spacing):
    inside, box = bodies(scale(spacing))[name]
    mask = mask_of(inside, box, spacing).astype(np.uint32)
    first, close = row_of(tmp_path, mask, spacing), 0.03 if spacing[0] == 200 else 0.01
    for change, made in CHANGES.items():
        row = row_of(tmp_path, made(mask), spacing, change)
        assert row.length_nm == pytest.approx(first.length_nm, rel=close), change
        for measure in ("diameter_mean_nm", "diameter_min_nm", "feret_nm"):
            assert row[measure] == pytest.approx(first[measure], rel=0.03), (change, measure)
        for measure in ("branch_points", "loops", "ends_inside"):
            assert row[measure] == first[measure], (change, measure)
        turned = -1 if change in OTHER_HAND else 1
        assert row.handedness == turned * first.handedness, change
        if name != "ring":
            assert angle(row, first, change) < 1, change


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_a_lump_measures_the_same_however_it_lies(tmp_path, spacing, seed):
    """What has no clear line shows most: any choice made by the order of voxels changes it."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(14, 20, 24)), 2.5)
    parts, _ = label(field > np.quantile(field, 0.8))
    lump = np.pad(parts == np.bincount(parts.ravel())[1:].argmax() + 1, 1).astype(np.uint32)
    first = row_of(tmp_path, lump, spacing)
    for change, made in CHANGES.items():
        row = row_of(tmp_path, made(lump), spacing, change)
        for measure in (
            "length_nm", "diameter_mean_nm", "diameter_minor_mean_nm", "feret_nm", "feret_min_nm",
            "curvature_max_per_um", "branch_points", "loops", "ends_inside",
        ):  # fmt: skip
            assert row[measure] == pytest.approx(first[measure], rel=1e-6), (change, measure)


def angle(row, first, change) -> float:
    """Degrees between the ways from end to end of two rows, the first turned as the body was."""
    ways = np.array([[r[f"displacement_{a}_nm"] for a in "zyx"] for r in (row, first)])
    one, other = ways / np.linalg.norm(ways, axis=1, keepdims=True)
    unit = other * {
        "upside down": [-1, 1, 1], "mirrored": [1, -1, 1], "turned": [1, -1, -1],
    }.get(change, [1, 1, 1])  # fmt: skip
    unit = unit[[0, 2, 1]] if change == "transposed" else unit
    return float(np.degrees(np.arccos(min(1, abs(np.dot(one, unit))))))
