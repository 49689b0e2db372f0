"""What follows from the size of a voxel: which axes are pooled, and shapes in 2-D and 3-D."""

import pytest
import torch

from blockface.network import Network, neighbours
from blockface.unet import Hardware, UNet, load_model, save_model

CPU = Hardware(torch.device("cpu"), None)
SERIAL = (50.0, 10.0, 10.0)


def deep(voxel, **more):
    return Network(outputs=2, base=4, volumetric=True, voxel_size_nm=voxel, **more)


def test_a_deep_voxel_is_not_pooled_in_z_at_first():
    levels = deep(SERIAL, depth=5).levels
    # 10, 20, 40 nm wide: only then 50 nm deep is less than twice that
    assert [level.pooling[0] for level in levels] == [1, 1, 1, 2, 2]
    assert [level.kernel[0] for level in levels] == [1, 1, 3, 3, 3]
    assert all(level.pooling[1:] == (2, 2) for level in levels[1:])
    folded = deep(SERIAL, depth=4, stride=2)  # begins 20 nm wide
    assert [level.pooling[0] for level in folded.levels] == [1, 1, 2, 2]
    assert folded.multiple_z == 4


def test_even_voxels_are_pooled_alike_and_flat_networks_never_in_z():
    assert {level.pooling for level in deep((8, 8, 8)).levels[1:]} == {(2, 2, 2)}
    assert {level.kernel for level in deep((8, 8, 8)).levels} == {(3, 3, 3)}
    assert Network(outputs=1, voxel_size_nm=(8, 8, 8)).multiple_z == 1


@pytest.mark.parametrize("depth", [4, 5, 6])
def test_a_deeper_network_needs_no_more_slices(depth):
    levels = deep((8, 8, 8), depth=depth).levels
    assert [level.pooling[0] for level in levels[1:]] == [2, 2, 2, 1, 1][: depth - 1]
    assert [level.pooling[1:] for level in levels[1:]] == [(2, 2)] * (depth - 1)
    assert neighbours("3d", None, {"depth": depth, "stride": 1}, (8, 8, 8)) == 8


def test_slices_that_a_network_needs():
    size = {"depth": 4, "stride": 2}
    assert neighbours("2d", None, size, SERIAL) == 0
    assert neighbours("2.5d", None, size, SERIAL) == 1
    assert neighbours("2.5d", None, size, (8, 8, 8)) == 2
    assert neighbours(None, None, size, SERIAL) == 0
    assert neighbours(None, None, size, (8, 8, 8)) == 2
    assert neighbours("3d", None, size, SERIAL) == 4
    assert neighbours("3d", None, size, (8, 8, 8)) == 8
    assert neighbours("3d", 2, size, SERIAL) == 2


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("voxel", [SERIAL, (8.0, 8.0, 8.0)])
def test_a_volume_gives_a_volume(stride, voxel, tmp_path):
    network = deep(voxel, depth=3, stride=stride, context=2)
    model = CPU.place(UNet(network)).eval()
    volume = torch.rand(2, 2 * network.multiple_z, 2 * network.multiple, network.multiple)
    made = model(CPU.place(volume))
    assert made.shape == (2, 2, *volume.shape[1:])
    save_model(tmp_path / "m.pt", model, {"kind": "segmenter"})
    again, _ = load_model(tmp_path / "m.pt", CPU, "segmenter")
    assert again.network == network
    torch.testing.assert_close(again(volume), made)


def test_slices_of_deep_voxels_meet_only_where_they_are_pooled():
    model = UNet(deep(SERIAL, depth=2)).eval()  # both levels flat
    volume = torch.rand(1, 4, 8, 8, requires_grad=True)
    model(volume)[0, :, 1].sum().backward()
    assert (volume.grad[0, 1] != 0).any()
    assert not volume.grad[0, [0, 2, 3]].any()
