"""Learning to denoise from registered pairs, and how good it is on pairs never trained on."""

import logging
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from blockface.augment import Augmentation, grey, more_noise, move, sampling_grid
from blockface.noise import Noise
from blockface.predict import Tiling, levelled, normalised, predict_slice
from blockface.residuals import lost_detail
from blockface.train import Training
from blockface.unet import Hardware, UNet

log = logging.getLogger(__name__)
BLOCKS = 6  # parts along each side of a pair, of which the uncertainty of its score is read


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
