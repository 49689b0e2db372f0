"""Whole slices from tiles: no seam, any size, any slab, any view."""

import itertools

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface.predict import Tiling, corners, predict_rows, predict_slice, ramp, views
from blockface.unet import Ensemble, Hardware, Network, UNet
from blockface.volume import create_volume, open_volume, resumable, slab_rows

CPU = Hardware(torch.device("cpu"), None)


class Local(torch.nn.Module):
    """A network whose output depends on 3 × 3 pixels: the mean, or ``pixel`` as it is."""

    def __init__(self, context=0, multiple=4, weights=None):
        super().__init__()
        stride = 2
        self.network = Network(outputs=1, context=context, stride=stride, depth=multiple // 4 + 1)
        kernel = torch.ones(3, 3) / 9 if weights is None else torch.tensor(weights)
        self.kernel = kernel.reshape(1, 1, 3, 3)

    def forward(self, x):
        middle = x[:, x.shape[1] // 2 : x.shape[1] // 2 + 1]
        return torch.nn.functional.conv2d(middle, self.kernel, padding=1)


IDENTITY = [[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]
LEFT = [[0.0, 0, 0], [1, 0, 0], [0, 0, 0]]


def whole(model, image, tiling):
    bands = list(predict_slice(model, image, tiling, CPU))
    starts = [y for y, _ in bands]
    assert starts == np.cumsum([0, *(band.shape[1] for _, band in bands)])[:-1].tolist()
    return np.concatenate([band for _, band in bands], axis=1)


@given(height=st.integers(1, 90), width=st.integers(1, 90), tile=st.integers(8, 40),
       overlap=st.integers(0, 20), count=st.sampled_from([1, 2, 4]))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_the_identity_comes_back_for_any_size(height, width, tile, overlap, count):
    image = np.random.default_rng(height * width).random((1, height, width), np.float32)
    tiling = Tiling(tile // 4 * 4, overlap, count)
    made = whole(Local(weights=IDENTITY), image, tiling)
    np.testing.assert_allclose(made, image, atol=1e-6)


@pytest.mark.parametrize("count", [1, 4])
def test_tiles_join_without_seams(count):
    image = np.random.default_rng(0).random((1, 100, 120), np.float32)
    tiled = whole(Local(), image, Tiling(32, 16, count))
    at_once = whole(Local(), image, Tiling(120, 0, count))
    # at the borders of tiles the mean sees zeros instead of neighbours: blending must leave
    # there but a small share of it
    assert np.abs(tiled - at_once).max() < 0.06
    constant = whole(Local(), np.ones((1, 100, 120), np.float32), Tiling(32, 16, count))
    inner = constant[0, 2:-2, 2:-2]
    assert inner.min() > 0.95
    steps = np.abs(np.diff(inner, axis=0)).max()
    assert steps < 0.04


def test_a_convolution_network_joins_as_if_done_at_once():
    torch.manual_seed(0)
    model = UNet(Network(outputs=2, base=4, depth=2)).eval()
    image = np.random.default_rng(1).random((1, 160, 160), np.float32)
    tiled, at_once = (whole(model, image, Tiling(t, 32, 1)) for t in (96, 160))
    spread = at_once.std()
    assert np.abs(tiled - at_once)[:, 20:-20, 20:-20].max() < 0.1 * spread
    assert np.sqrt(np.mean((tiled - at_once) ** 2)) < 0.02 * spread


def test_mirrored_views_are_turned_back_and_averaged():
    image = np.random.default_rng(2).random((1, 16, 16), np.float32)
    shifted = {count: whole(Local(weights=LEFT), image, Tiling(16, 0, count)) for count in (1, 2)}
    left = np.pad(image, ((0, 0), (0, 0), (1, 1)))[:, :, :-2]
    right = np.pad(image, ((0, 0), (0, 0), (1, 1)))[:, :, 2:]
    np.testing.assert_allclose(shifted[1], left, atol=1e-6)
    np.testing.assert_allclose(shifted[2], (left + right) / 2, atol=1e-6)
    assert [len(views(n)) for n in (1, 2, 4)] == [1, 2, 4]


@given(length=st.integers(1, 5000), tile=st.integers(8, 600), share=st.floats(0, 0.5),
       multiple=st.sampled_from([1, 2, 4]))  # fmt: skip
def test_tiles_cover_everything_and_overlap_as_said(length, tile, share, multiple):
    overlap = int(tile * share)
    firsts = corners(length, tile, overlap, multiple)
    assert firsts[0] == 0
    assert firsts[-1] == max(0, length - tile)
    assert all(first % multiple == 0 for first in firsts[:-1])
    gaps = [b - a for a, b in itertools.pairwise(firsts)]
    assert all(0 < gap <= max(multiple, tile - overlap) for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 2 * multiple  # evenly
    weight = ramp(tile, overlap)
    assert weight.min() > 0
    assert weight.max() == 1 or overlap * 2 >= tile


def volume(path, shape=(40, 24, 28)):
    values = np.random.default_rng(3).integers(0, 255, shape, dtype=np.uint8)
    stack = create_volume(path, shape, np.uint8, (50, 10, 10))
    stack[:] = values
    return open_volume(path), values


def rows_of(source, target, model, *, slab=0, slabs=1, key=None, tiling=None,
            finish=lambda output: output, **more):  # fmt: skip
    def make(at):
        return create_volume(at, source.shape, np.uint8, (50, 10, 10))

    with resumable(target, key or {}, make) as (made, progress):
        predict_rows(
            model, source, [(made, progress)],
            normalise=lambda grey: (grey / 255).astype(np.float32),
            encode=lambda value: [(value[0] * 255).round().astype(np.uint8)],
            finish=finish,
            tiling=tiling or Tiling(16, 4, 1), hardware=CPU, slab=slab, slabs=slabs, **more,
        )  # fmt: skip
    return zarr.open_array(str(target), mode="r")[:]


def test_slices_keep_their_mean_if_asked_to(tmp_path):
    source, values = volume(tmp_path / "s.zarr")
    dim = Local(weights=[[0.0, 0, 0], [0, 0.7, 0], [0, 0, 0]])
    moved, kept = (
        rows_of(source, tmp_path / f"{keep}.zarr", dim, keep_mean=keep).mean((1, 2))
        for keep in (False, True)
    )
    true = values.mean((1, 2))
    assert (moved < true - 20).all()
    np.testing.assert_allclose(kept, true, atol=0.5)


@pytest.mark.parametrize("slabs", [1, 2, 3, 5])
@pytest.mark.parametrize("context", [0, 2])
def test_slabs_give_what_one_job_gives(tmp_path, slabs, context):
    torch.manual_seed(1)
    source, _ = volume(tmp_path / "s.zarr")
    model = UNet(Network(outputs=1, base=4, depth=2, context=context, residual=True)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.2)
    together = rows_of(source, tmp_path / "one.zarr", model)
    for slab in range(slabs):
        part = rows_of(source, tmp_path / f"{slab}.zarr", model, slab=slab, slabs=slabs)
        for row in slab_rows(source.shape, slab, slabs):
            assert np.array_equal(part[row], together[row])


def test_neighbouring_slices_enter_in_order_and_repeat_at_the_ends(tmp_path):
    source, values = volume(tmp_path / "s.zarr")

    class Below(Local):
        def forward(self, x):
            return x[:, :1]  # the slice before

    made = rows_of(source, tmp_path / "t.zarr", Below(context=1))
    assert np.array_equal(made, values[[0, *range(39)]])


def test_rows_done_before_are_left_alone(tmp_path):
    source, values = volume(tmp_path / "s.zarr")

    class Dies(Local):
        left = 16 * 6  # tiles of the first row and some of the second

        def forward(self, x):
            self.left -= len(x)
            if self.left < 0:
                raise KeyboardInterrupt
            return super().forward(x)

    with pytest.raises(KeyboardInterrupt):
        rows_of(source, tmp_path / "t.zarr", Dies(weights=IDENTITY))
    later = Dies(weights=IDENTITY)
    later.left = 24 * 6  # enough for what is left, not for all
    assert np.array_equal(rows_of(source, tmp_path / "t.zarr", later), values)


def volumetric(context=12, **more):
    torch.manual_seed(2)
    description = {"outputs": 1, "base": 4, "depth": 2, "volumetric": True, **more}
    model = UNet(Network(context=context, **description)).eval()
    torch.nn.init.normal_(model.head.weight, std=2)
    return model


@pytest.mark.parametrize("voxel", [(1.0, 1.0, 1.0), (1.5, 1.0, 1.0), (5.0, 1.0, 1.0)])
def test_rows_of_a_volumetric_network_join_as_if_done_at_once(tmp_path, voxel):
    source, values = volume(tmp_path / "s.zarr")  # rows of 16, 16 and 8 slices
    model = volumetric(voxel_size_nm=voxel)
    with torch.no_grad():
        at_once = model(torch.from_numpy(values[None] / np.float32(255)))[0, 0]
    middle, spread = at_once.mean(), at_once.std()

    def finish(output):
        return torch.sigmoid((output - middle) / spread)

    tiling = Tiling(64, 0, 1)
    made = rows_of(source, tmp_path / "t.zarr", model, tiling=tiling, finish=finish)
    assert np.abs(made / 255 - finish(at_once).numpy()).max() < 0.51 / 255


@pytest.mark.parametrize("slabs", [2, 3])
def test_slabs_of_a_volumetric_network_give_what_one_job_gives(tmp_path, slabs):
    source, _ = volume(tmp_path / "s.zarr")
    model = volumetric(context=3)  # less than it sees
    together = rows_of(source, tmp_path / "one.zarr", model)
    for slab in range(slabs):
        part = rows_of(source, tmp_path / f"{slab}.zarr", model, slab=slab, slabs=slabs)
        for row in slab_rows(source.shape, slab, slabs):
            assert np.array_equal(part[row], together[row])


def test_tiles_of_a_volumetric_network_join_as_if_done_at_once():
    model = volumetric()
    image = np.random.default_rng(1).random((6, 250, 210), np.float32)

    def all_of(tile, overlap):
        bands = [b for _, b in predict_slice(model, image, Tiling(tile, overlap, 1), CPU)]
        return np.concatenate(bands, axis=2)

    tiled, at_once = all_of(240, 64), all_of(512, 0)
    assert tiled.shape == at_once.shape == (1, 6, 250, 210)
    assert np.abs(tiled - at_once)[..., 20:-20, 20:-20].max() < 0.2 * at_once.std()
    assert np.sqrt(np.mean((tiled - at_once) ** 2)) < 0.02 * at_once.std()


@pytest.mark.parametrize(("members", "count"), [(2, 4), (3, 4), (4, 1), (3, 1)])
def test_members_share_the_views_and_keep_their_own_means(members, count):
    image = np.random.default_rng(4).random((1, 16, 16), np.float32)
    factors = np.arange(1, members + 1)
    together = Ensemble([Local(weights=(f * np.array(IDENTITY)).tolist()) for f in factors])
    together.members = torch.nn.ModuleList([m.float() for m in together.members])
    for member in together.members:
        member.kernel = member.kernel.float()
    made = whole(together, image, Tiling(16, 0, count))
    np.testing.assert_allclose(made, factors[:, None, None] * image, rtol=1e-5)
