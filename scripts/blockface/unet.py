"""The U-Net of both tasks, and the choice of device, precision and memory layout."""

import itertools
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import max_pool2d, pixel_shuffle, pixel_unshuffle

from blockface.errors import InputError


@dataclass(frozen=True)
class Network:
    """Description of a U-Net; two networks are the same if their descriptions are.

    ``context`` neighbouring slices on either side enter as channels (0: plain 2-D). ``stride`` 2
    folds 2 × 2 pixels into channels at the entry and unfolds them at the exit: nothing is lost,
    it sees twice as far and is about four times as fast. ``residual``:
    the output is added to the middle slice, for denoising; such a network has no batch
    normalisation, which would disturb grey levels.
    """

    outputs: int
    base: int = 32
    depth: int = 4
    context: int = 0
    stride: int = 1
    residual: bool = False

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return 2 * self.context + 1

    @property
    def multiple(self) -> int:
        """Edge lengths of the input must be multiples of this."""
        return self.stride * 2 ** (self.depth - 1)


class Block(nn.Module):
    """Two 3 × 3 convolutions with a shortcut, and batch normalisation if ``normalise``.

    Batch rather than group normalisation: in use it is a fixed scaling, so what a tile gives
    does not depend on what else lies in the tile, and tiles join without seams.
    """

    def __init__(self, inputs: int, outputs: int, normalise: bool):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=not normalise),
            nn.BatchNorm2d(outputs) if normalise else nn.Identity(),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=not normalise),
            nn.BatchNorm2d(outputs) if normalise else nn.Identity(),
        )
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x):
        """Features of the same height and width."""
        return torch.relu(self.body(x) + self.shortcut(x))


class UNet(nn.Module):
    """U-Net (Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28) with residual blocks."""

    def __init__(self, network: Network):
        super().__init__()
        self.network = network
        widths = [network.base * 2**level for level in range(network.depth)]
        norm = not network.residual
        entry = network.inputs * network.stride**2
        self.down = nn.ModuleList(
            Block(i, o, norm) for i, o in zip([entry, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            nn.ModuleList(
                [nn.ConvTranspose2d(wide, narrow, 2, stride=2), Block(wide, narrow, norm)]
            )
            for narrow, wide in reversed(list(itertools.pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], network.outputs * network.stride**2, 1)
        if network.residual:  # begin as the identity
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(self, x):
        """Output (batch, outputs, y, x) of a normalised image (batch, inputs, y, x)."""
        stride = self.network.stride
        kept, features = [], pixel_unshuffle(x, stride)
        for level, block in enumerate(self.down):
            features = block(features if level == 0 else max_pool2d(features, 2))
            kept.append(features)
        for (enlarge, block), skip in zip(self.up, reversed(kept[:-1]), strict=True):
            features = block(torch.cat([enlarge(features), skip], dim=1))
        y = pixel_shuffle(self.head(features), stride)
        middle = self.network.context
        return y + x[:, middle : middle + 1] if self.network.residual else y


@dataclass(frozen=True)
class Hardware:
    """Where the arithmetic runs: device, autocast type (None: plain float32), memory layout."""

    device: torch.device
    dtype: torch.dtype | None

    @classmethod
    def best(cls, threads: int) -> "Hardware":
        """The GPU if there is one; else the processor, with bfloat16 where it has it."""
        torch.set_num_threads(threads)
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
        return thing.to(self.device, memory_format=torch.channels_last)


def save_model(path: str | Path, model: UNet, task: dict) -> None:
    """Write description, weights and ``task`` (plain values: classes, grey range, settings)."""
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    with open(path, "wb") as file:  # torch hides a full disk if given the name
        torch.save({"network": asdict(model.network), "weights": weights, "task": task}, file)


def load_model(path: str | Path, hardware: Hardware, kind: str) -> tuple[UNet, dict]:
    """Network in evaluation mode and its task, from ``path``; ``kind`` as in ``task["kind"]``.

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
    model = UNet(network)
    try:
        model.load_state_dict(stored["weights"])
    except RuntimeError as error:
        raise InputError(
            f"{path}: weights do not fit the network {network}: {str(error).splitlines()[0]}; "
            "train again"
        ) from error
    return hardware.place(model).eval(), task
