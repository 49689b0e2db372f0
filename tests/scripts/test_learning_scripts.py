"""The scripts from annotations to probabilities, for networks of every context, on tiny volumes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import zarr

import choose_segmentation_patches
import extract_segmentation_patches
import predict
import predict_slab
import separate_slab
import train_segmenter
from blockface.errors import InputError
from blockface.foreground import Classes
from blockface.rounds import runs
from blockface.tables import read_table
from blockface.unet import Hardware, load_model, save_model
from blockface.volume import create_volume, open_volume
from blockface.votes import member_dice

SHAPE, VOXEL = (24, 80, 80), (50.0, 10.0, 10.0)
CLASSES, HELD_OUT = {"1": "rod", "2": "block"}, [5, 12]
NETWORK = {"base": 4, "depth": 2, "stride": 2}
AUGMENTATION = {"slice_grey": 0.1, "missing_slice": 0.1, "shifted_slice": 2, "charging": 0.1}


def truth():
    y, x = np.mgrid[:80, :80]
    plane = np.zeros((80, 80), np.uint8)
    for cy, cx in ((20, 20), (20, 35), (60, 20), (55, 60)):
        plane[(y - cy) ** 2 + (x - cx) ** 2 < 64] = 1
    plane[10:30, 55:75] = 2
    return np.repeat(plane[None], SHAPE[0], axis=0)


@pytest.fixture(autouse=True)
def set_some_aside(monkeypatch):
    """The stack has fewer blocks than it takes to set some aside."""
    monkeypatch.setattr("blockface.calibration.FEWEST", 1)


def stack(folder, poison=0):
    """Stack and annotations of some slices; those held out say nonsense if ``poison``."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    grey = np.choose(truth(), (60, 150, 210)) + rng.normal(0, 15, SHAPE)
    levels = {"p1": 30.0, "p99": 240.0}
    raw = create_volume(folder / "raw.zarr", SHAPE, np.uint8, VOXEL, grey=levels)
    raw[:] = grey.clip(0, 255)
    labels = create_volume(folder / "a.zarr", SHAPE, np.uint8, VOXEL, fill_value=255)
    known = [2, 5, 6, 8, 12, 17]
    painted = np.full(SHAPE, 255, np.uint8)
    painted[known] = truth()[known]
    if poison:
        painted[HELD_OUT] = rng.integers(0, 3, (2, 80, 80))
    labels[:] = painted
    labels.attrs["known_slices"] = runs(known)
    return folder


def patches_of(folder, context, asked=None):
    settings = {"size": 64, "context": asked, "min_foreground": 0.01, "background_share": 0.1}
    common = {"annotations": str(folder / "a.zarr"), "table": str(folder / "p.tsv"),
              "classes": CLASSES, "held_out_slices": HELD_OUT, "context": context,
              "threads": 1}  # fmt: skip
    choose_segmentation_patches.main(
        raw=str(folder / "raw.zarr"), settings=settings, seed=0,
        network={"depth": 2, "stride": 2}, **common,
    )  # fmt: skip
    extract_segmentation_patches.main(
        image=str(folder / "raw.zarr"), patches=str(folder / "p.zarr"), **common
    )
    return open_volume_of_patches(folder)


def open_volume_of_patches(folder):
    return zarr.open_array(str(folder / "p.zarr"), mode="r")


def trained(folder, *, boundary=False, calibration=0.0, members=1, steps=4):
    train_segmenter.main(
        patches=str(folder / "p.zarr"), model=str(folder / "m.pt"), history=str(folder / "h.tsv"),
        settings={
            "network": NETWORK, "augmentation": AUGMENTATION, "views": 2, "boundary": boundary,
            "training": {"steps": steps, "batch": 2, "crop": 32, "members": members},
            "calibration": calibration,
        },
        seed=1, threads=1,
    )  # fmt: skip
    return load_model(folder / "m.pt", Hardware.best(1), "segmenter")


def predicted(folder, slabs=1):
    names = ("probability", "boundary", "votes")
    for slab in range(slabs):
        predict_slab.main(
            image=str(folder / "raw.zarr"), model=str(folder / "m.pt"), classes=CLASSES, slab=slab,
            slabs=slabs, threads=1, **{n: str(folder / f"{n}_{slab}.zarr") for n in names},
        )  # fmt: skip
    parts = {n: [str(folder / f"{n}_{slab}.zarr") for slab in range(slabs)] for n in names}
    at = {n: str(folder / f"{n}.zarr") for n in names}
    predict.main(
        slabs=parts["probability"], boundary_slabs=parts["boundary"], votes_slabs=parts["votes"],
        volume=at["probability"], boundary=at["boundary"], votes=at["votes"], threads=1,
    )  # fmt: skip
    return {n: open_volume(at[n]) for n in names}


def test_a_network_of_another_size_is_refused(tmp_path):
    folder = stack(tmp_path / "s")
    patches_of(folder, "2d")
    trained(folder)
    with pytest.raises(InputError, match=r"m.pt: a network of .*, expected .*'base': 48"):
        predict_slab.main(
            image=str(folder / "raw.zarr"), model=str(folder / "m.pt"), classes=CLASSES, slab=0,
            slabs=1, threads=1, probability=str(folder / "q.zarr"), size={**NETWORK, "base": 48},
        )  # fmt: skip


def test_a_network_calibrated_as_before_is_refused(tmp_path):
    folder = stack(tmp_path / "s")
    patches_of(folder, "2d")
    network, task = trained(folder)
    task["calibration"] = {"temperatures": [1.0, 2.0, 1.5], "threshold": 0.4}
    save_model(str(folder / "m.pt"), network, task)
    with pytest.raises(InputError, match="a temperature for each class"):
        predicted(folder)


@pytest.mark.parametrize("context", ["2d", "2.5d", "3d"])
def test_every_context_from_annotations_to_probabilities(tmp_path, context):
    folder = stack(tmp_path / "s")
    patches = patches_of(folder, context)
    slices = {"2d": 1, "2.5d": 3, "3d": 9}[context]
    assert patches.shape[1] == (2 * slices if context == "3d" else slices + 1)
    model, task = trained(folder, boundary=True, calibration=0.3, members=2)
    assert model.network.volumetric == (context == "3d")
    assert len(model.members) == 2
    assert task["calibration"]["voxels"] > 0
    made = predicted(folder, slabs=2)
    assert made["probability"].shape == (2, *SHAPE)  # one channel per class, whatever is beside
    assert made["probability"].dtype == made["boundary"].dtype == np.uint8
    assert made["boundary"].shape == SHAPE
    assert made["boundary"].attrs["learnt"]
    assert made["probability"].attrs["threshold"] == task["calibration"]["threshold"]
    assert Classes(str(folder / "probability.zarr"), None).level == pytest.approx(
        255 * task["calibration"]["threshold"]
    )
    table = member_dice(made["votes"])
    assert table["z"].nunique() == SHAPE[0]
    assert table["dice"].dropna().between(0, 1).all()
    shares = made["probability"][:].astype(int)
    assert shares.sum(axis=0).max() <= 256  # classes exclude each other
    before = {name: volume[:] for name, volume in made.items()}
    for name, volume in predicted(folder, slabs=1).items():
        assert np.array_equal(volume[:], before[name])


def test_what_is_not_a_class_is_learnt_where_that_class_alone_was_reviewed(tmp_path):
    folder = stack(tmp_path / "s")
    labels = zarr.open_array(str(folder / "a.zarr"))
    painted = labels[:]
    painted[:, ~(truth()[0] == 1)] = np.where(painted[:, ~(truth()[0] == 1)] == 255, 255, 254)
    labels[:], labels.attrs["without"] = painted, {"254": [1]}  # not a rod: block or nothing
    assert patches_of(folder, "2d").attrs["without"] == {"254": [1]}
    _, task = trained(folder, boundary=True, calibration=0.2, steps=400)
    assert task["calibration"]["voxels"] > 10_000
    shares = predicted(folder)["probability"][0]
    found, real = shares >= 255 * task["calibration"]["threshold"], truth() == 1
    assert 2 * (found & real).sum() / (found.sum() + real.sum()) > 0.6  # 0.2 if unknown


def test_a_plain_network_leaves_what_lies_beside_empty(tmp_path):
    folder = stack(tmp_path / "s")
    patches_of(folder, "2d")
    _, task = trained(folder)
    assert task["calibration"] == {}
    made = predicted(folder)
    assert not made["boundary"].attrs["learnt"]
    assert not list((folder / "boundary.zarr").rglob("c/*"))  # nothing but its description
    assert not made["votes"][:].any()
    assert "threshold" not in made["probability"].attrs
    with pytest.raises(InputError, match="learnt no boundaries"):
        separate_slab.main(
            local=str(folder / "slab"), settings={"method": "watershed"}, slab=0, slabs=1,
            threads=1, probability=str(folder / "probability.zarr"),
            boundary=str(folder / "boundary.zarr"),
        )  # fmt: skip


def digest(folder):
    files = sorted(f for f in Path(folder).rglob("*") if f.is_file())
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


@pytest.mark.parametrize("context", ["2d", "2.5d", "3d"])
def test_what_held_out_slices_say_reaches_neither_weights_nor_threshold(tmp_path, context):
    clean, poisoned = (stack(tmp_path / name, name == "poison") for name in ("clean", "poison"))
    patches = [patches_of(folder, context) for folder in (clean, poisoned)]
    assert digest(clean / "p.zarr") == digest(poisoned / "p.zarr")
    used = read_table(clean / "p.tsv").query("kept")["z"].unique()
    assert sorted(used) == [2, 6, 8, 17]  # 6 lies beside the held-out 5, and does without it
    assert patches[0].attrs["places"] == patches[1].attrs["places"]
    tasks = [trained(folder, calibration=0.3, steps=1)[1] for folder in (clean, poisoned)]
    assert tasks[0]["calibration"]["threshold"] == tasks[1]["calibration"]["threshold"]


@pytest.mark.parametrize(("context", "reach"), [("2.5d", 1), ("3d", 4)])
def test_the_slice_beside_one_that_is_held_out_is_repeated(tmp_path, context, reach):
    folder = stack(tmp_path / "s")
    patches, raw = patches_of(folder, context), open_volume(folder / "raw.zarr")
    for patch, (z, y, x) in zip(patches, patches.attrs["places"], strict=True):
        own = [min(max(n, 0), SHAPE[0] - 1) for n in range(z - reach, z + reach + 1)]
        for number, n in enumerate(own):
            shown = raw[n, y : y + 64, x : x + 64]
            assert np.array_equal(patch[number], shown) == (n not in HELD_OUT)
        for n in HELD_OUT if context == "3d" else ():
            if abs(n - z) <= 4:
                assert (patch[9 + n - z + 4] == 255).all()  # and its labels are unknown
