"""Learning to denoise from registered pairs, and how good it is on pairs never trained on."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from blockface.augment import Augmentation, grey, more_noise, move, sampling_grid
from blockface.errors import InputError
from blockface.noise import Noise
from blockface.pairs import ENOUGH_FIELDS
from blockface.patch_grid import grid
from blockface.patches import check_size
from blockface.predict import Tiling, levelled, normalised, predict_slice
from blockface.residuals import lost_detail
from blockface.tables import read_table
from blockface.train import Training
from blockface.unet import Hardware, UNet

log = logging.getLogger(__name__)
BLOCKS = 6  # parts along each side of a pair, of which the uncertainty of its score is read


def load_pairs(folder: str | Path) -> dict[int, NDArray]:
    """Registered pairs by row number of their table: (noisy, clean), y, x in grey levels."""
    return {int(f.stem.split("_")[1]): np.load(f) for f in sorted(Path(folder).glob("pair_*.npy"))}


def check_accepted(table: str | Path, leave_out: bool) -> None:
    """Raise an `InputError` if pairs are refused in the ``table`` of registrations.

    With ``leave_out`` only if all are.
    """
    pairs = read_table(table, ("pair", "noisy", "clean", "accepted", "reason"))
    refused = pairs[~pairs["accepted"].astype(bool)]
    if refused.empty or (leave_out and len(refused) < len(pairs)):
        return
    told = [f"{p.noisy} and {p.clean}: {p.reason}" for p in refused.head(3).itertuples()]
    if len(refused) > len(told):
        told.append(f"and {len(refused) - len(told)} more")
    some = len(refused) < len(pairs) and not leave_out
    other = ", or set denoisers.<name>.refused_pairs: leave_out" if some else ""
    raise InputError(
        f"{table}: {len(refused)} of {len(pairs)} pairs are refused, expected two images of one "
        f"field in each: {'; '.join(told)}; look at registration.png beside it, then mend these "
        f"lines of the table of pairs or take them out{other}"
    )


def split_pairs(
    fields: dict[int, int], validation: list[int] | None, test: list[int]
) -> dict[int, str]:
    """What each pair is for: ``train``, ``validation`` (chooses the weights) or ``test`` (scored).

    ``fields`` says which field each pair shows; all pairs of a field are for the same, or what is
    scored would have been seen in training. Unless named, every fifth field that is not for the
    test, at least one, is for validation.
    """
    named = {fields[p]: "test" for p in test if p in fields}
    free = [f for f in sorted(set(fields.values())) if f not in named]
    for field in [fields[p] for p in validation or [] if p in fields]:
        if named.get(field) == "test":
            both = ", ".join(str(p) for p, f in fields.items() if f == field)
            raise InputError(
                f"test_pairs and validation_pairs: pairs {both} show one field; expected all of "
                "them under one of the two; name the field in one only"
            )
        named[field] = "validation"
    if validation is None:
        named |= dict.fromkeys(free[2::5] or free[-1:], "validation")
    split = {pair: named.get(field, "train") for pair, field in fields.items()}
    counts = {side: list(split.values()).count(side) for side in ("train", "validation", "test")}
    if not counts["train"] or not counts["validation"]:
        raise InputError(
            f"{len(fields)} accepted pair(s) of {len(set(fields.values()))} field(s), "
            f"{counts['test']} of them test_pairs: expected at least one field to train on and "
            "another to validate on; add pairs, or see registration.tsv for why pairs were rejected"
        )
    if len(free) < ENOUGH_FIELDS:
        log.warning("only %d fields to learn from; 8 or more are advised", len(free))
    return split


def grey_range(pairs: list[NDArray]) -> tuple[float, float]:
    """Grey levels (1st and 99th percentile of all noisy images) that become -1 and 1."""
    low, high = np.percentile(np.concatenate([pair[0].ravel() for pair in pairs]), (1, 99))
    return float(low), float(high)


def cut_pair(pair: NDArray, size: int, source: str) -> list[NDArray]:
    """Patches (2, size, size) that cover a registered pair of ``source``, half a patch apart."""
    check_size(size, pair.shape[1:], source, "denoisers.<name>.patch_size")
    return [
        pair[:, y : y + size, x : x + size]
        for y in grid(pair.shape[1], size, size // 2)
        for x in grid(pair.shape[2], size, size // 2)
    ]


@dataclass(frozen=True)
class ExtraNoise:
    """More noise like that of the pairs, up to ``strength`` times as strong.

    ``levels`` are the grey levels that became -1 and 1.
    """

    noise: Noise
    levels: tuple[float, float]
    strength: float


def sampler(
    patches: NDArray,
    training: Training,
    augmentation: Augmentation,
    hardware: Hardware,
    extra: ExtraNoise | None = None,
):
    """Function that draws a batch (noisy, clean) of normalised ``patches`` (n, 2, y, x).

    With ``extra`` the noise added follows the model, without it is white (`Augmentation.noise`).
    """
    if extra:
        augmentation = replace(augmentation, noise=0.0)
    store = torch.from_numpy(patches)

    def sample(rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = store[torch.randint(len(store), (training.batch,), generator=rng)]
        cells = sampling_grid(training.batch, store.shape[-1], training.crop, augmentation, rng)
        images, _ = move(chosen.to(hardware.device), None, cells.to(hardware.device))
        if extra:
            images[:, :1] += more_noise(
                images[:, 1:], extra.noise, extra.levels, extra.strength, rng
            )
        images = grey(images, augmentation, rng, noisy=slice(0, 1))
        return hardware.place(images[:, :1]), images[:, 1:]

    return sample


def loss(output: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """Mean absolute error (Zhao et al. 2017, doi:10.1109/TCI.2016.2644865)."""
    return torch.nn.functional.l1_loss(output, clean)


def denoise_image(
    model: UNet, noisy: NDArray, levels: tuple[float, float], tiling: Tiling, hardware: Hardware
) -> NDArray[np.float32]:
    """Denoised image of the same shape, grey levels and mean as ``noisy`` (y, x)."""
    low, high = levels
    image = normalised(noisy, low, high)[None]
    ((_, made),) = levelled(predict_slice(model, image, tiling, hardware), image)
    return (made[0] + 1) * ((high - low) / 2) + low


def psnr(image: NDArray, clean: NDArray, span: float) -> float:
    """Peak signal-to-noise ratio in dB for grey levels that span ``span``."""
    return float(10 * np.log10(span**2 / np.mean((image.astype(float) - clean) ** 2)))


def ssim(image: NDArray, clean: NDArray, span: float) -> float:
    """Structural similarity, Gaussian windows (Wang et al. 2004, doi:10.1109/TIP.2003.819861)."""
    return float(
        structural_similarity(
            image.astype(float), clean.astype(float), data_range=span, gaussian_weights=True,
            sigma=1.5, use_sample_covariance=False,
        )
    )  # fmt: skip


def span_of(pairs: list[NDArray]) -> float:
    """Span of grey levels for PSNR: 255 for 8-bit images, else that of the clean images."""
    if max(float(pair[0].max()) for pair in pairs) <= 255:
        return 255.0
    clean = np.concatenate([pair[1].ravel() for pair in pairs])
    low, high = np.percentile(clean, (0.1, 99.9))
    return float(high - low)


def gain_interval(noisy: NDArray, made: NDArray, clean: NDArray) -> tuple[float, float]:
    """95 % interval (dB) of the gain in PSNR, from how it varies over `BLOCKS`² parts of a pair.

    A bootstrap (Efron 1979, doi:10.1214/aos/1176344552) over the parts, which says nothing of how
    other fields differ.
    """
    before, after = (
        np.array([
            part.mean()
            for rows in np.array_split((image.astype(float) - clean) ** 2, BLOCKS)
            for part in np.array_split(rows, BLOCKS, axis=1)
        ])
        for image in (noisy, made)
    )  # fmt: skip
    drawn = np.random.default_rng(0).integers(0, len(before), (1000, len(before)))
    before, after = (np.maximum(v[drawn].mean(axis=1), 1e-12) for v in (before, after))
    gains = 10 * np.log10(before / after)
    return tuple(float(v) for v in np.quantile(gains, (0.025, 0.975)))


def score_pairs(
    pairs: dict[int, NDArray], split: dict[int, str], denoised: dict[int, NDArray], span: float
) -> pd.DataFrame:
    """PSNR (dB), SSIM and lost detail of ``denoised`` images against the clean ones of ``pairs``.

    ``gain_low_db`` and ``gain_high_db`` are the 95 % interval of the gain in PSNR within the pair.
    """
    rows = []
    for number, made in denoised.items():
        noisy, clean = pairs[number]
        made = np.clip(made, min(0, noisy.min()), noisy.max())
        low, high = gain_interval(noisy, made, clean)
        rows.append({
            "pair": number, "split": split[number],
            "psnr_noisy": psnr(noisy, clean, span), "psnr_denoised": psnr(made, clean, span),
            "ssim_noisy": ssim(noisy, clean, span), "ssim_denoised": ssim(made, clean, span),
            "lost_detail": lost_detail(made, clean),
            "gain_low_db": low, "gain_high_db": high,
        })  # fmt: skip
    return pd.DataFrame(rows)
