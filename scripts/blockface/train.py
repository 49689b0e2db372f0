"""The one training loop of both tasks; killed at any step, it goes on with an equal result."""

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from blockface.errors import InputError
from blockface.network import Network
from blockface.unet import Ensemble, Hardware, UNet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Training:
    """Length and pace of a training; everything random comes from ``seed`` and the step.

    Weights are averaged over about the last ``averaging`` of the steps. ``members`` above 1: the
    learning rate falls so many times, first over half of the steps, then over equal shares of the
    rest, and the averages at the end of each fall make an ensemble at the price of one training
    (snapshots, Huang et al. 2017, arXiv:1704.00109).
    """

    steps: int
    batch: int
    crop: int
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    averaging: float = 0.05
    validations: int = 12
    seed: int = 0
    members: int = 1

    @property
    def ends(self) -> list[int]:
        """Steps after which a member is complete; the last is that of the training."""
        first = self.steps // 2 if self.members > 1 else self.steps
        rest = max(1, self.members - 1)
        return sorted({first + (self.steps - first) * n // rest for n in range(self.members)})


def fitting(training: Training, stored: int, network: Network) -> Training:
    """The same training with crops that fit into ``stored`` pixels and the ``network``.

    Raises
    ------
    InputError
        The stored patches are too small for a network of that depth.
    """
    if network.volumetric and network.inputs < network.multiple_z:
        raise InputError(
            f"patches.context {network.context} gives {network.inputs} slices; expected at least "
            f"{network.multiple_z} for network.depth {network.depth} and voxels of "
            f"{network.voxel_size_nm} nm (z, y, x); leave patches.context out, or lower "
            "network.depth"
        )
    multiple = network.multiple
    crop = min(training.crop, stored) // multiple * multiple
    if crop == 0:
        raise InputError(
            f"training.crop {training.crop} and patches of {stored} pixels; expected at least "
            f"{multiple} for network.depth {network.depth} and network.stride {network.stride}; "
            "lower network.depth"
        )
    if crop != training.crop:
        log.info("crops of %d instead of %d pixels, to fit patch and network", crop, training.crop)
    return replace(training, crop=crop)


def generator(seed: int, step: int) -> torch.Generator:
    """Random numbers of one step: they do not depend on what ran before, so resuming is exact."""
    mixed = hashlib.sha256(f"{seed}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(mixed[:8], "little") >> 1)


def begin(network: Network, training: Training, hardware: Hardware) -> dict:
    """What a training works on: model, averaged model, optimizer and schedule."""
    torch.manual_seed(training.seed)
    model = hardware.place(UNet(network))
    decay = 1 - 1 / max(1.0, training.averaging * training.steps)
    average = torch.optim.swa_utils.AveragedModel(
        model,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(decay),
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    if training.members > 1:
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, falls(training.ends))
    else:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, training.learning_rate, total_steps=training.steps + 1, pct_start=0.1
        )
    return {"model": model, "average": average, "optimizer": optimizer, "schedule": schedule}


def falls(ends: list[int]) -> Callable:
    """Share of the highest learning rate at a step: cosines that end at ``ends``, after a rise."""

    def share(step: int) -> float:
        number = min(sum(step >= end for end in ends), len(ends) - 1)
        first, last = ([0, *ends])[number : number + 2]
        rise = max(1, (last - first) // 10) if number == 0 else 0
        if step - first < rise:
            return 0.04 + 0.96 * (step - first) / rise
        done = min(1.0, (step - first - rise) / max(1, last - first - rise))
        return max(1e-5, (1 + math.cos(math.pi * done)) / 2)

    return share


def fit(
    network: Network,
    training: Training,
    *,
    sample: Callable,
    loss: Callable,
    validate: Callable,
    checkpoint: Path,
    made_from: dict,
    hardware: Hardware,
    save_every_s: float = 20.0,
) -> tuple[UNet | Ensemble, pd.DataFrame]:
    """Trained network with the best weights seen, or all its members, and its history.

    AdamW with a one-cycle cosine schedule; weights are averaged (EMA), and validation judges the
    average. ``sample(rng)`` returns a batch (images, targets) on the device, ``loss(output,
    targets)`` a scalar, ``validate(model)`` numbers whose ``score`` is the higher the better.
    State is kept in ``checkpoint``, after the first step (a full disk shows then, not later) and
    every ``save_every_s`` seconds; one of other ``made_from`` is begun again.
    """
    parts = begin(network, training, hardware)
    model, average, schedule = (parts[name] for name in ("model", "average", "schedule"))
    state = restore(checkpoint, parts, made_from)
    every = max(1, training.steps // training.validations)
    began = time.monotonic()
    saved = began if state["step"] else -save_every_s
    losses: list[float] = state["losses"]
    for step in range(state["step"], training.steps):
        batch = sample(generator(training.seed, step))
        losses.append(learn(parts, batch, loss, hardware, f"step {step}"))
        if (step + 1) % every == 0 or step + 1 == training.steps:
            calibrate(average.module, sample, training.seed, hardware)
            numbers = validate(average.module.eval())
            row = note(state, step + 1, losses, numbers, schedule.get_last_lr()[0], average.module)
            pace = (time.monotonic() - began) / (step + 1 - state["step"])
            log.info(
                "%s; of %d steps, about %.0f s left",
                ", ".join(f"{name} {value:.4g}" for name, value in row.items()),
                training.steps,
                pace * (training.steps - step - 1),
            )
        if training.members > 1 and step + 1 in training.ends:
            calibrate(average.module, sample, training.seed, hardware)
            state["members"].append(weights_of(average.module))
        if time.monotonic() - saved > save_every_s:
            save(checkpoint, parts, state | {"step": step + 1, "losses": losses}, made_from)
            saved = time.monotonic()
    history = pd.DataFrame(state["history"])
    if training.members > 1:
        members = [hardware.place(UNet(network)) for _ in state["members"]]
        for member, weights in zip(members, state["members"], strict=True):
            member.load_state_dict(weights)
        return Ensemble(members).eval(), history
    model.load_state_dict(state["best"]["weights"])
    log.info("kept the weights of step %d", state["best"]["step"])
    return model.eval(), history


def learn(parts: dict, batch: tuple, loss: Callable, hardware: Hardware, where: str) -> float:
    """Loss of a ``batch`` (images, targets), after one step of the optimizer on it.

    Raises
    ------
    FloatingPointError
        The loss is not finite.
    """
    images, targets = batch
    model = parts["model"].train()
    with hardware.autocast():
        output = model(images)
    value = loss(output.float(), targets)
    if not torch.isfinite(value):
        raise FloatingPointError(
            f"loss is {value.item()} at {where}; lower training.learning_rate "
            f"(now {parts['optimizer'].defaults['lr']:g})"
        )
    parts["optimizer"].zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    parts["optimizer"].step()
    parts["schedule"].step()
    parts["average"].update_parameters(model)
    return value.item()


def weights_of(model: UNet) -> dict:
    """Copy of all weights and statistics, on the processor."""
    return {name: value.cpu().clone() for name, value in model.state_dict().items()}


def note(
    state: dict, step: int, losses: list[float], numbers: dict, learning_rate: float, model: UNet
) -> dict[str, float]:
    """The line added to the history in ``state``; the weights are kept if they are the best so far.

    All numbers become plain floats: a checkpoint that holds others could not be loaded safely.
    """
    numbers = {name: float(value) for name, value in numbers.items()}
    score = numbers.pop("score")
    row = {"step": step, "train_loss": sum(losses) / len(losses), **numbers}
    state["history"].append(row | {"learning_rate": learning_rate})
    losses.clear()
    if state["best"] is None or score >= state["best"]["score"]:
        state["best"] = {"score": score, "step": step, "weights": weights_of(model)}
    return row


@torch.no_grad()
def calibrate(model: UNet, sample: Callable, seed: int, hardware: Hardware) -> None:
    """Set the batch normalisation of averaged weights to the statistics that they produce.

    Averaging weights does not average the statistics of what they compute (Izmailov et al. 2018,
    arXiv:1803.05407).
    """
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm3d))]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    model.train()
    for number in range(12 if norms else 0):
        with hardware.autocast():
            model(sample(generator(seed, -1 - number))[0])


def save(checkpoint: Path, parts: dict, state: dict, made_from: dict) -> None:
    """Write the whole state in one step: a kill leaves the old checkpoint or the new one."""
    stored = {name: part.state_dict() for name, part in parts.items()}
    with open(f"{checkpoint}.part", "wb") as file:  # torch hides a full disk if given the name
        torch.save(stored | {"state": state, "made_from": json.dumps(made_from)}, file)
    os.replace(f"{checkpoint}.part", checkpoint)


def restore(checkpoint: Path, parts: dict, made_from: dict) -> dict:
    """State to go on from: that of ``checkpoint`` if it was made from the same, else the start."""
    start = {"step": 0, "history": [], "best": None, "losses": [], "members": []}
    if not checkpoint.is_file():
        return start
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if stored["made_from"] != json.dumps(made_from):
        log.info("%s is of another training; starting anew", checkpoint)
        return start
    for name, part in parts.items():
        part.load_state_dict(stored[name])
    log.info("going on from step %d of %s", stored["state"]["step"], checkpoint)
    return stored["state"]
