"""Where objects touch: told from masks, learnt, and used to part what a mask has fused."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from blockface.augment import Augmentation
from blockface.foreground import Classes
from blockface.objects import Settings, separate_slab
from blockface.predict import Tiling, predict_slice
from blockface.scores import UNKNOWN
from blockface.segmentation import finisher, objective, sampler
from blockface.stitch import Joined, join_objects
from blockface.touching import REACH, boundaries, objects_of
from blockface.train import Training, fit
from blockface.unet import Hardware, Network
from blockface.volume import create_volume

CPU = Hardware(torch.device("cpu"), None)
RADIUS = 8


def discs(distance, size=48, gap=0, angle=0.4):
    """Ids (y, x) of two discs of `RADIUS`, parted along the line between them by ``gap`` pixels."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    ids = np.zeros((size, size), np.uint8)
    for number, side in ((1, -1), (2, 1)):
        inside = (along - side * distance / 2) ** 2 + across**2 < RADIUS**2
        ids[inside & (side * along >= gap / 2)] = number
    return ids, along, across


def test_a_boundary_lies_where_two_discs_touch_and_nowhere_else():
    ids, along, across = discs(14)
    made = boundaries((ids > 0)[None].astype(np.uint8))[0]
    neck = np.sqrt(RADIUS**2 - 7**2)
    assert (made[(abs(along) < 1) & (abs(across) < neck - 1)] == 1).all()
    assert not made[abs(along) > REACH + 2].any()
    assert not made[abs(across) > neck + REACH + 2].any()


def test_a_gap_that_is_narrow_is_a_boundary_a_wide_one_is_not():
    for distance, there in ((17, True), (24, False)):
        ids, _, _ = discs(distance)
        assert boundaries((ids > 0)[None].astype(np.uint8)).any() == there


def test_a_wide_neck_and_another_class_are_no_boundary():
    ids, _, _ = discs(6)
    assert not boundaries((ids > 0)[None].astype(np.uint8)).any()
    ids, _, _ = discs(14)  # as two classes they are parted anyway
    assert not boundaries(ids[None]).any()


def test_slices_do_not_touch_each_other():
    ids, _, _ = discs(14)
    one = (ids > 0).astype(np.uint8)
    stack = np.stack([one, np.roll(one, 9, axis=0), one, np.zeros_like(one), one])
    together = boundaries(stack)
    for plane, made in zip(stack, together, strict=True):
        assert np.array_equal(boundaries(plane[None])[0], made)
    found = objects_of(stack, 0.75)
    assert [len(np.unique(plane[plane > 0])) for plane in found] == [2, 2, 2, 0, 2]


def test_beside_unknown_voxels_nothing_is_known():
    ids, _, _ = discs(14)
    labels = (ids > 0)[None].astype(np.uint8)
    labels[0, :, :20] = UNKNOWN
    made = boundaries(labels)[0]
    assert (made[:, : 20 + REACH] == UNKNOWN).all()
    assert (made[:, 20 + REACH :] != UNKNOWN).all()
    assert (boundaries(np.full((2, 9, 9), UNKNOWN, np.uint8)) == UNKNOWN).all()


def scene(rng, distance):
    """Image (y, x) and mask of two discs with a dark line between them, and noise."""
    ids, along, _ = discs(distance, size=64, angle=rng.uniform(0, np.pi))
    line = (abs(along) < 1.2) & (ids > 0) & (distance < 2 * RADIUS)
    image = gaussian_filter(np.where(ids > 0, 0.7, -0.5) - 0.9 * line, 0.7)
    return (image + rng.normal(0, 0.1, image.shape)).astype(np.float32), (ids > 0).astype(np.uint8)


def objects_in(shares, folder, boundary):
    folder.mkdir()
    at = {name: str(folder / name) for name in ("p.zarr", "b.zarr", "slab", "o.zarr")}
    bytes_ = (shares * 255).round().astype(np.uint8)
    known = {"classes": ["disc"], "values": [1]}
    create_volume(at["p.zarr"], bytes_[:1].shape, np.uint8, (50, 10, 10), **known)[:] = bytes_[:1]
    create_volume(at["b.zarr"], bytes_[1].shape, np.uint8, (50, 10, 10))[:] = bytes_[1]
    chosen = Settings(method="watershed", smooth_slices=False)
    edge = at["b.zarr"] if boundary else None
    separate_slab(at["p.zarr"], at["slab"], slice(0, len(bytes_[0])), chosen, boundary=edge)
    index, _ = join_objects([Joined([at["slab"]])], at["o.zarr"], 0)
    found = Classes(at["p.zarr"]).read((slice(None),) * 3) > 0
    assert index["voxels"].sum() == found.sum()  # a boundary takes no voxel away
    large = index[index["voxels"] > 40]
    return np.bincount(large["z0"], minlength=len(bytes_[0])).tolist()


def test_a_learnt_boundary_parts_discs_that_the_mask_has_fused(tmp_path):
    rng = np.random.default_rng(0)
    # so near that a watershed of the mask alone cannot tell them, not seen in training
    images, masks = zip(*(scene(rng, distance) for distance in [12, 13, 14, 15] * 6), strict=True)
    masks = np.stack(masks)
    labels = np.stack([masks, boundaries(masks)], axis=1)[:, :, None]
    network = Network(outputs=3, base=8, depth=3, stride=1)
    training = Training(steps=110, batch=4, crop=64, learning_rate=0.006, validations=1)
    flat = Augmentation(0.0, True, 1.0, 0.0, 0.0, 0.1, 0.1)
    torch.set_num_threads(1)
    model, _ = fit(
        network, training,
        sample=sampler(np.stack(images)[:, None], labels, training, flat, CPU, network),
        loss=objective, validate=lambda net: {"score": 0.0},
        checkpoint=tmp_path / "c", made_from={}, hardware=CPU,
    )  # fmt: skip
    tests = [scene(rng, 8) for _ in range(4)]
    shares = np.stack([
        np.concatenate([b for _, b in predict_slice(model, image[None], Tiling(views=1), CPU,
                                                    finisher(boundary=True))], axis=1)
        for image, _ in tests
    ], axis=1)  # fmt: skip
    found, true = shares[0] > 0.5, np.stack([mask for _, mask in tests]) > 0
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.95
    for z in range(4):  # slice by slice: discs of neighbouring slices overlap
        one = shares[:, z : z + 1]
        assert objects_in(one, tmp_path / f"{z}_without", boundary=False) == [1]
        assert objects_in(one, tmp_path / f"{z}_with", boundary=True) == [2]


def test_unknown_edges_pull_at_nothing():
    rng = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (2, 2, 8, 8), generator=rng)
    truth[:, :, :, 3:] = UNKNOWN
    output = torch.randn(2, 3, 8, 8, generator=rng, requires_grad=True)
    objective(output, truth).backward()
    assert (output.grad[..., 3:] == 0).all()
    assert (output.grad[:, 2, :, :3] != 0).any()
    nothing = torch.full_like(truth, UNKNOWN)
    assert objective(output, nothing).item() == 0
