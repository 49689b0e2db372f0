"""Labels as people make them, from file to loss and score: what nobody reviewed says nothing."""

import numpy as np
import pytest
import torch

from blockface.annotations import UNKNOWN, import_rounds, known_slices
from blockface.augment import Augmentation
from blockface.patches import choose, cut
from blockface.review import score_slices
from blockface.reviewed import fully_known, in_channels, seen_for, without_of
from blockface.seg3d import write_nrrd
from blockface.segmentation import label_channels, loss, sampler
from blockface.touching import boundaries
from blockface.train import Training
from blockface.unet import Hardware, Network
from blockface.volume import create_volume, open_volume

SHAPE, VOXEL = (20, 64, 64), (50.0, 10.0, 10.0)
CLASSES = {1: "fibril", 2: "cell"}
CPU = Hardware(torch.device("cpu"), None)


def truth():
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, 8:24, 8:24] = labels[:, 40:56, 10:22] = 1
    labels[:, 10:40, 40:60] = 2
    return labels


def save(home, name, value, at):
    """Mask of a class over the part ``at`` (slices z, y, x) of the stack, all of it reviewed."""
    path = home / "00" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = (truth()[at] == value).astype(np.uint8)
    write_nrrd(path, mask, VOXEL, tuple(s.start for s in at))


@pytest.fixture
def sparse(tmp_path):
    """Slice 4 reviewed as a whole, a crop of 9, and of a crop of 14 the fibrils only."""
    home, all_ = tmp_path / "annotations", slice(0, 64)
    for value, name in CLASSES.items():
        save(home, f"whole/{name}.nrrd", value, (slice(4, 5), all_, all_))
        save(home, f"crop/{name}.nrrd", value, (slice(9, 10), slice(0, 40), slice(16, 64)))
    save(home, "one/fibril.nrrd", 1, (slice(14, 15), slice(0, 48), slice(0, 48)))
    import_rounds(home, [0], CLASSES, SHAPE, VOXEL, tmp_path / "a.zarr")
    labels = open_volume(tmp_path / "a.zarr")
    known = np.zeros(SHAPE, bool)
    known[4] = True
    known[9, :40, 16:] = True
    known = {1: known.copy(), 2: known}
    known[1][14, :48, :48] = True
    known[2][14, :48, :48] = truth()[14, :48, :48] == 1  # what is no fibril may be a cell
    for value in CLASSES:
        seen = seen_for(labels[:], value, without_of(labels.attrs))
        assert np.array_equal(seen != UNKNOWN, known[value])
        assert np.array_equal(seen[known[value]] == value, truth()[known[value]] == value)
    return labels, known


def chosen(labels, **more):
    options = {
        "held_out": [], "classes": CLASSES, "size": 64, "seed": 1,
        "min_foreground": {"fibril": 0.02, "cell": 0.02}, "background_share": 0.0,
    }  # fmt: skip
    options["without"] = without_of(labels.attrs)
    return choose(labels, known_slices(labels).tolist(), **{**options, **more})


def test_patch_statistics_count_the_reviewed_area_only(sparse):
    labels, known = sparse
    table = chosen(labels).set_index("z")
    assert table.index.tolist() == [4, 9, 14]
    for z, row in table.iterrows():
        assert row["reviewed"] == pytest.approx(known[1][z].mean())
        for value, name in CLASSES.items():
            share = (truth()[z][known[value][z]] == value).mean()
            assert row[f"foreground_{name}"] == pytest.approx(share)
    assert table.loc[14, "foreground_cell"] == 0
    assert 0 < table.loc[14, "foreground_fibril"] < 0.3


@pytest.mark.parametrize("context", [0, 2, 4])
def test_unknown_voxels_have_no_say_in_loss_whatever_the_network_sees(sparse, context):
    labels, _ = sparse
    volumetric = context == 4
    image = np.random.default_rng(0).integers(0, 255, SHAPE, dtype=np.uint8)
    table = chosen(labels)
    patches = np.stack(list(cut(image, labels, table, 64, context, (), volumetric)))
    slices = 2 * context + 1
    network = Network(outputs=3, base=4, depth=2, context=context, volumetric=volumetric,
                      voxel_size_nm=(10.0, 10.0, 10.0))  # fmt: skip
    without = in_channels(without_of(labels.attrs), [1, 2])
    masks = label_channels(patches[:, slices:], [1, 2], without)[:, None]
    training = Training(steps=1, batch=6, crop=48)
    draw = sampler(patches[:, :slices].astype(np.float32), masks, training,
                   Augmentation(shifted_slice=3), CPU, network)  # fmt: skip
    images, target = draw(torch.Generator().manual_seed(0))
    target = target[:, 0]
    assert target.shape[1:-2] == ((8,) if volumetric else ())
    hidden = target == UNKNOWN
    assert 0.1 < hidden.float().mean() < 1
    assert set(target[~hidden].tolist()) == {0, 1, 2, *without}
    output = torch.randn(len(images), 3, *target.shape[1:], requires_grad=True)
    loss(output, target, without).backward()
    assert not output.grad.movedim(1, -1)[hidden].any()
    assert output.grad.movedim(1, -1)[~hidden].any()


def test_patches_are_drawn_by_how_much_of_them_was_reviewed():
    images = np.stack([np.full((1, 32, 32), v, np.float32) for v in (-1, 1)])
    masks = np.full((2, 1, 1, 32, 32), UNKNOWN, np.uint8)
    masks[0], masks[1, ..., :8] = 0, 0  # all of one, a quarter of the other
    still = Augmentation(noise=0, blur=0, contrast=0, brightness=0, oblique=0)
    draw = sampler(images, masks, Training(1, 2000, 16), still, CPU, Network(2))
    drawn, _ = draw(torch.Generator().manual_seed(0))
    assert (drawn.mean(dim=(1, 2, 3)) > 0).float().mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("slices", [[4], [9], [14], [4, 9, 14]])
def test_scores_count_what_is_known_of_each_class(sparse, tmp_path, slices):
    labels, known = sparse
    wrong = (truth() + 1) % 3  # every class taken for another
    guess = create_volume(tmp_path / "p.zarr", (2, *SHAPE), np.uint8, VOXEL)
    guess[:] = 255 * np.stack([wrong == 1, wrong == 2])
    totals, used = score_slices(guess, labels, slices, list(CLASSES), 0.5)
    assert used == len(slices)
    for value in CLASSES:
        seen = known[value][slices]
        found, real = ((a[slices] == value) & seen for a in (wrong, truth()))
        counts = totals[value]
        assert counts.voxels == seen.sum()
        assert counts.true_positive == 0
        assert counts.false_positive == found.sum()
        assert counts.false_negative == real.sum()


def test_where_objects_touch_is_unknown_beside_what_nobody_reviewed(sparse):
    labels, known = sparse
    made = boundaries(fully_known(labels[4:15], without_of(labels.attrs)))
    assert (made[0] != UNKNOWN).all()
    assert (made[10] == UNKNOWN)[~known[2][14]].all()
    inner = np.zeros((64, 64), bool)
    inner[:38, 18:] = True
    assert np.array_equal(made[5] != UNKNOWN, inner)
