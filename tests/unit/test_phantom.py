"""The demo's phantom: its truth is true, its noise is the dose's, its drift is on record."""

import hashlib
from pathlib import Path

import nrrd
import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.optimize import minimize

from demo.annotate import correct
from demo.annotate import main as annotate
from demo.hand import paint
from demo.imaging import expose, scan_pattern
from demo.make_demo import main as make_demo
from demo.phantom import VOXEL_NM, make_phantom
from demo.scene import Scene

SHAPE = ("16", "192", "224")


def make(folder: Path, seed: str = "3") -> Path:
    make_demo(["--out", str(folder / "demo"), "--annotations", str(folder / "annotations"),
               "--seed", seed, "--shape", *SHAPE])  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return make(tmp_path_factory.mktemp("phantom"))


@pytest.fixture(scope="module")
def truth(demo):
    ids = zarr.open_array(str(demo / "demo/truth/objects.zarr"), mode="r")[...]
    return ids, pd.read_csv(demo / "demo/truth/objects.csv")


def digests(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(folder.rglob("*")) if file.is_file()}  # fmt: skip


def test_same_seed_same_bytes(demo, tmp_path):
    assert digests(make(tmp_path)) == digests(demo)


def test_another_seed_another_stack():
    one, other = (Scene(make_phantom((2, 64, 64), seed))(0)[0] for seed in (3, 4))
    assert (one != other).mean() > 0.9


def test_volumes_of_fibrils_are_length_times_area(truth):
    ids, table = truth
    voxels = np.bincount(ids.ravel(), minlength=table["object_id"].max() + 1)
    assert (voxels[table["object_id"]] == table["voxels"]).all()
    whole = table[(table["class"] == "fibril") & (table["cut"] == 0)]
    assert len(whole) > 20
    counted = whole["voxels"] * np.prod(VOXEL_NM) / 1e9
    assert (counted / whole["volume_um3"]).to_numpy() == pytest.approx(1, abs=0.04)
    assert counted.sum() == pytest.approx(whole["volume_um3"].sum(), rel=0.005)
    through = whole[whole["ends_inside"] == 0]
    area_nm2 = np.pi / 4 * through["diameter_mean_nm"] ** 2
    assert (through["volume_um3"] * 1e9 / (area_nm2 * through["length_nm"])).to_numpy() == (
        pytest.approx(1, abs=1e-3)
    )


def test_lengths_exceed_the_depth_they_cross(truth):
    _, table = truth
    whole = table[(table["class"] == "fibril") & (table["cut"] == 0) & (table["ends_inside"] == 0)]
    depth_nm = int(SHAPE[0]) * VOXEL_NM[0]
    assert (whole["displacement_nm"] >= depth_nm).all()
    assert (whole["length_nm"] >= whole["displacement_nm"]).all()
    assert (whole["length_nm"] < 1.2 * depth_nm).all()


def test_fibrils_are_in_one_piece_and_apart():
    scene = Scene(make_phantom((12, 160, 160), 5))
    ids = np.stack([scene(z)[1] for z in range(12)])
    fibrils = len(scene.phantom.radii)
    assert 0.2 < ((ids > 0) & (ids <= fibrils)).mean() < 0.6
    assert (ids > fibrils).any()
    side = (ids[..., 1:] != ids[..., :-1]) & (ids[..., 1:] > 0) & (ids[..., :-1] > 0)
    assert 0 < side.sum() < 0.05 * (ids > 0).sum()


def test_noise_variance_falls_as_one_over_dwell():
    flat, rng = np.full((400, 400), 0.5), np.random.default_rng(0)
    one, thirty = (expose(flat, dwell, rng) for dwell in (1.0, 30.0))
    assert one.mean() == pytest.approx(0.5, abs=0.005)
    assert one.var() / thirty.var() == pytest.approx(30, rel=0.03)


def test_the_scan_pattern_is_weak_and_fixed():
    assert scan_pattern((64, 64)).std() < 0.01
    assert (scan_pattern((64, 64)) == scan_pattern((64, 64))).all()


def test_drift_of_the_pairs_is_the_recorded_one(demo):
    shifts = pd.read_csv(demo / "demo/pairs/truth_shift.csv")
    pairs = pd.read_csv(demo / "demo/pairs/pairs.tsv", sep="\t")
    assert len(pairs) == len(shifts) == 12
    for row, pair in list(zip(shifts.itertuples(), pairs.itertuples(), strict=True))[:3]:
        noisy, clean = (
            gaussian_filter(tifffile.imread(demo / "demo/pairs" / name).astype(float), 1.5)
            for name in (pair.noisy, pair.clean)
        )
        rows = slice(noisy.shape[0] // 2 - 40, noisy.shape[0] // 2 + 40)
        y, x = np.mgrid[rows, 10 : noisy.shape[1] - 10]

        def unlike(shift, noisy=noisy, clean=clean, y=y, x=x):
            moved = map_coordinates(clean, [y + shift[0], x + shift[1]], order=1)
            return -np.corrcoef(noisy[y, x].ravel(), moved.ravel())[0, 1]

        start = (row.dy_middle_px + 0.7, row.dx_middle_px - 0.7)
        found = minimize(unlike, start, method="Nelder-Mead", options={"xatol": 0.02}).x
        assert found == pytest.approx((row.dy_middle_px, row.dx_middle_px), abs=0.25)


def test_annotations_lie_on_the_stack_as_seg3d_places_them(demo):
    fibril, new = nrrd.read(str(demo / "annotations/demo/00/fibril.nrrd"), index_order="C")
    cell, old = nrrd.read(str(demo / "annotations/demo/00/cell.nrrd"), index_order="C")
    assert fibril.shape == cell.shape == tuple(map(int, SHAPE))
    assert set(np.unique(fibril)) == {0, 1}
    painted = np.flatnonzero(fibril.any(axis=(1, 2)))
    assert painted.tolist() == [3, 4, 10, 12]
    assert new["space origin"].tolist() == [0, 0, 0]
    assert (old["axis mins"] + old["spacings"] / 2).tolist() == [0, 0, 0]
    assert np.diag(new["space directions"]).tolist() == old["spacings"].tolist() == [10, 10, 50]
    assert (demo / "annotations/demo/00/cell.nrrd").read_bytes().startswith(b"NRRD0001\n")


def test_the_hand_is_good_but_not_perfect(truth):
    ids, table = truth
    fibrils = table.loc[table["class"] == "fibril", "object_id"].to_numpy()
    real = np.isin(ids[4], fibrils)
    mask = paint(ids[4], fibrils, np.random.default_rng(0))
    dice = 2 * (mask & real).sum() / (mask.sum() + real.sum())
    assert 0.85 < dice < 0.98


def test_annotations_are_never_overwritten(demo):
    before = digests(demo)
    with pytest.raises(SystemExit, match="never overwritten"):
        make(demo, seed="8")
    make(demo)
    assert digests(demo) == before


def test_annotator_paints_no_voxel_twice(tmp_path):
    """A fibril lies against a cell: two wandering outlines drawn blindly would cross."""
    ids = np.zeros((1, 64, 80), np.uint16)
    ids[0, :, :40], ids[0, :, 40:] = 1, 2
    head = {"space": "3D-right-handed", "space directions": np.diag([10.0, 10, 50]),
            "space origin": [0.0, 0, 0]}  # fmt: skip
    for name in ("fibril", "cell"):
        nrrd.write(str(tmp_path / f"{tmp_path.name}_{name}.nrrd"), np.zeros(ids.shape, np.uint8),
                   head, index_order="C")  # fmt: skip
    of = {"fibril": np.array([1]), "cell": np.array([2])}
    for seed in range(5):
        done = correct(tmp_path, 0, ids, of, np.random.default_rng(seed))
        masks = np.array([mask[0] for _, _, mask, *_ in done])
        assert masks.any((1, 2)).tolist() == [True, True]
        assert masks.sum(0).max() == 1


def test_annotator_corrects_what_the_worklist_names(demo, tmp_path, truth):
    ids, table = truth
    folder = tmp_path / "results/demo/iter_00"
    bundle = folder / "corrections/z0006"
    (bundle / "corrected").mkdir(parents=True)
    (bundle / "corrected/predicted.npz").write_bytes(b"as handed out")
    head = {"space": "3D-right-handed", "space directions": np.diag([10.0, 10, 50]),
            "space origin": [10.0 * 32, 10.0 * 20, 50.0 * 6]}  # fmt: skip
    for name in ("image", "fibril", "cell"):
        nrrd.write(str(bundle / f"z0006_{name}.nrrd"), np.zeros((1, 64, 80), np.uint8), head,
                   index_order="C")  # fmt: skip
    arguments = ["--results", str(tmp_path / "results"), "--truth", str(demo / "demo/truth"),
                 "--annotations", str(tmp_path / "annotations")]  # fmt: skip
    with pytest.raises(SystemExit, match=r"worklist\.tsv: no worklist"):
        annotate(arguments)
    (folder / "worklist.tsv").write_text("rank\tz\tscore\tfolder\n1\t6\t0.5\tcorrections/z0006\n")
    annotate(arguments)
    made = tmp_path / "annotations/demo/01/z0006"
    names = ["predicted.npz", "z0006_cell.nrrd", "z0006_fibril.nrrd"]
    assert sorted(f.name for f in made.iterdir()) == names
    mask, header = nrrd.read(str(made / "z0006_fibril.nrrd"), index_order="C")
    assert header["space origin"].tolist() == [320, 200, 300]
    real = np.isin(ids[6, 20:84, 32:112], table.loc[table["class"] == "fibril", "object_id"])
    assert mask.shape == (1, 64, 80)
    assert 2 * (mask[0] & real).sum() / (mask.sum() + real.sum()) > 0.85
