"""The network: shapes for every description, and what is stored of it."""

import pytest
import torch

from blockface.errors import InputError
from blockface.unet import Hardware, Network, UNet, load_model, save_model

CPU = Hardware(torch.device("cpu"), None)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("depth", [2, 4])
@pytest.mark.parametrize("context", [0, 2])
def test_output_has_the_shape_of_the_image(stride, depth, context):
    network = Network(outputs=3, base=4, depth=depth, stride=stride, context=context)
    assert network.inputs == 2 * context + 1
    assert network.multiple == stride * 2 ** (depth - 1)
    model, edge = UNet(network).eval(), network.multiple
    image = torch.rand(2, network.inputs, 2 * edge, 3 * edge)
    assert model(image).shape == (2, 3, 2 * edge, 3 * edge)


@pytest.mark.parametrize(("stride", "context"), [(1, 0), (2, 1)])
def test_a_residual_network_begins_as_the_identity_of_the_middle_slice(stride, context):
    network = Network(outputs=1, base=4, depth=2, stride=stride, context=context, residual=True)
    image = torch.rand(1, network.inputs, 16, 16)
    assert torch.equal(UNet(network)(image), image[:, context : context + 1])


def test_every_pixel_of_the_entry_reaches_the_exit():
    model = UNet(Network(outputs=1, base=8, depth=2, stride=2)).eval()
    image = torch.rand(1, 1, 16, 16, requires_grad=True)
    model(image).sum().backward()
    assert (image.grad != 0).float().mean() > 0.95


def test_channels_last_gives_the_same_numbers():
    model = UNet(Network(outputs=2, base=8, depth=3)).eval()
    image = torch.rand(2, 1, 32, 32)
    plain = model(image)
    placed = CPU.place(image)
    assert placed.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(CPU.place(model)(placed), plain, rtol=1e-4, atol=1e-5)


def test_what_is_stored_computes_the_same(tmp_path):
    network = Network(outputs=2, base=4, depth=2, stride=2, context=1)
    model = UNet(network)
    model(torch.rand(4, 3, 16, 16))  # moves the statistics of the normalisation
    model.eval()
    save_model(tmp_path / "m.pt", model, {"kind": "segmenter", "classes": ["a"]})
    again, task = load_model(tmp_path / "m.pt", CPU, "segmenter")
    image = torch.rand(1, 3, 16, 16)
    assert again.network == network
    assert not again.training
    assert task == {"kind": "segmenter", "classes": ["a"]}
    torch.testing.assert_close(again(image), model(image), rtol=1e-5, atol=1e-6)


def refusal(path, kind="segmenter"):
    with pytest.raises(InputError) as caught:
        load_model(path, CPU, kind)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def test_a_model_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "m.pt"
    save_model(path, UNet(Network(outputs=1, base=4, depth=2)), {"kind": "denoiser"})
    assert "this is a denoiser, expected a segmenter" in refusal(path)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "m.pt"
    save_model(path, UNet(Network(outputs=1, base=4, depth=2)), {"kind": "segmenter"})
    stored = torch.load(path, weights_only=True)
    stored["network"]["base"] = 8
    torch.save(stored, path)
    assert "weights do not fit the network" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"no network at all", None])
def test_a_damaged_or_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "m.pt"
    if content is None:  # cut short
        save_model(path, UNet(Network(outputs=1, base=4, depth=2)), {"kind": "segmenter"})
        content = path.read_bytes()[:-2000]
    path.write_bytes(content)
    assert "not a network of Blockface" in refusal(path)


def test_a_full_disk_is_told_as_such():
    with pytest.raises(OSError, match="No space left") as caught:
        save_model("/dev/full", UNet(Network(outputs=1, base=4, depth=2)), {})
    assert caught.value.errno == 28
