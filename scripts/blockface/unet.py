"""The U-Net of both tasks, and the choice of device, precision and memory layout."""

import itertools
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import max_pool2d, max_pool3d, pixel_shuffle, pixel_unshuffle

from blockface.errors import InputError
from blockface.heap import share_one_heap
from blockface.network import Network

FLAT = nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d
DEEP = nn.Conv3d, nn.ConvTranspose3d, nn.BatchNorm3d


class Block(nn.Module):
    """Two 3 × 3 (× 3) convolutions with a shortcut, and batch normalisation if the network has it.

    Batch rather than group normalisation: in use it is a fixed scaling, so what a tile gives
    does not depend on what else lies in the tile, and tiles join without seams.
    """

    def __init__(self, inputs: int, outputs: int, network: Network, kernel: tuple[int, int, int]):
        super().__init__()
        convolution, _, norm = DEEP if network.volumetric else FLAT
        normalise, kernel = not network.residual, kernel if network.volumetric else kernel[1:]
        padding = tuple(n // 2 for n in kernel)
        self.body = nn.Sequential(
            convolution(inputs, outputs, kernel, padding=padding, bias=not normalise),
            norm(outputs) if normalise else nn.Identity(),
            nn.ReLU(inplace=True),
            convolution(outputs, outputs, kernel, padding=padding, bias=not normalise),
            norm(outputs) if normalise else nn.Identity(),
        )
        self.shortcut = nn.Identity() if inputs == outputs else convolution(inputs, outputs, 1)

    def forward(self, x):
        """Features of the same depth, height and width."""
        return torch.relu(self.body(x) + self.shortcut(x))


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28) with residual blocks."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network
        deep, levels = network.volumetric, network.levels
        convolution, enlarge, _ = DEEP if deep else FLAT
        widths = [network.base * 2**level for level in range(network.depth)]
        self.poolings = [level.pooling if deep else level.pooling[1:] for level in levels]
        entry = (1 if deep else network.inputs) * network.stride**2
        self.down = nn.ModuleList(
            Block(i, o, network, level.kernel)
            for i, o, level in zip([entry, *widths], widths, levels, strict=False)
        )
        steps = list(zip(itertools.pairwise(widths), levels, self.poolings[1:], strict=False))
        self.up = nn.ModuleList(
            nn.ModuleList([
                enlarge(wide, narrow, pooling, stride=pooling),
                Block(wide, narrow, network, level.kernel),
            ])
            for (narrow, wide), level, pooling in reversed(steps)
        )  # fmt: skip
        self.head = convolution(widths[0], network.outputs * network.stride**2, 1)
        if network.residual:  # begin as the identity
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x):
        """Output (batch, outputs, y, x) of a normalised image (batch, inputs, y, x).

        Of a volumetric network (batch, outputs, z, y, x) of (batch, z, y, x).
        """
        pool = max_pool3d if self.network.volumetric else max_pool2d
        kept, features = [], self.folded(x)
        for level, (block, pooling) in enumerate(zip(self.down, self.poolings, strict=True)):
            features = block(features if level == 0 else pool(features, pooling))
            kept.append(features)
        for (enlarge, block), skip in zip(self.up, reversed(kept[:-1]), strict=True):
            features = block(torch.cat([enlarge(features), skip], dim=1))
        y = self.unfolded(self.head(features))
        middle = self.network.context
        return y + x[:, middle : middle + 1] if self.network.residual else y

    def folded(self, x):
        """``x`` with its pixels folded into channels, and a channel axis if it is a volume."""
        if not self.network.volumetric:
            return pixel_unshuffle(x, self.network.stride)
        return pixel_unshuffle(x.contiguous()[:, :, None], self.network.stride).transpose(1, 2)

    def unfolded(self, y):
        """Channels of ``y`` unfolded into pixels."""
        if not self.network.volumetric:
            return pixel_shuffle(y, self.network.stride)
        return pixel_shuffle(y.transpose(1, 2).contiguous(), self.network.stride).transpose(1, 2)


class Ensemble(nn.Module):
    """Networks of one description that predict together (`predict.run_tiles`)."""

    def __init__(self, members: list[UNet]):
        super().__init__()
        self.members, self.network = nn.ModuleList(members), members[0].network


@dataclass(frozen=True)
class Hardware:
    """Where the arithmetic runs: device, autocast type (None: plain float32), memory layout."""

    device: torch.device
    dtype: torch.dtype | None

    @classmethod
    def best(cls, threads: int) -> "Hardware":
        """The GPU if there is one; else the processor, with bfloat16 where it has it."""
        torch.set_num_threads(threads)
        share_one_heap()
        if torch.cuda.is_available():
            torch.backends.cudnn.deterministic = True  # the same numbers from run to run
            half = torch.cuda.is_bf16_supported(including_emulation=False)
            return cls(torch.device("cuda"), torch.bfloat16 if half else None)
        fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        if platform.machine() in ("x86_64", "AMD64"):  # there oneDNN emulates it without need
            fast = fast and torch.cpu._is_avx512_bf16_supported()
        return cls(torch.device("cpu"), torch.bfloat16 if fast else None)

    def autocast(self):
        """Context in which convolutions run in the fast type."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def place(self, thing):
        """Module or image batch on the device, channels last."""
        deep = isinstance(thing, UNet) and thing.network.volumetric
        layout = torch.channels_last_3d if deep else torch.channels_last
        return thing.to(self.device, memory_format=layout)


def save_model(path: str | Path, model: UNet | Ensemble, task: dict) -> None:
    """Write description, weights and ``task`` (plain values: classes, grey range, settings)."""
    members = model.members if isinstance(model, Ensemble) else [model]
    weights = [{n: v.cpu() for n, v in member.state_dict().items()} for member in members]
    stored = {"network": asdict(model.network), "weights": weights[0], "task": task}
    if len(weights) > 1:
        stored["others"] = weights[1:]
    with open(path, "wb") as file:  # torch hides a full disk if given the name
        torch.save(stored, file)


def load_model(path: str | Path, hardware: Hardware, kind: str) -> tuple[UNet | Ensemble, dict]:
    """Network in evaluation mode and its task, from ``path``; ``kind`` as in ``task["kind"]``.

    An `Ensemble` if there are several members.

    Raises
    ------
    InputError
        Not a model of Blockface, of another kind, or its weights do not fit its description.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        network, task = Network(**stored["network"]), stored["task"]
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise InputError(
            f"{path}: not a network of Blockface ({type(error).__name__}); expected one that a "
            "rule train_… wrote; remove it and run again"
        ) from error
    if task.get("kind") != kind:
        raise InputError(
            f"{path}: this is a {task.get('kind')}, expected a {kind}; "
            "check which model the configuration names"
        )
    members = []
    for weights in [stored["weights"], *stored.get("others", [])]:
        model = UNet(network)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise InputError(
                f"{path}: weights do not fit the network {network}: {str(error).splitlines()[0]}; "
                "train again"
            ) from error
        members.append(hardware.place(model).eval())
    return (Ensemble(members) if len(members) > 1 else members[0]), task
