"""The sections of a report about pairs, noise and denoiser; a missing part gives none."""

from pathlib import Path

import pandas as pd

from blockface import figures, pictures, sampling
from blockface.given import Given
from blockface.noise import Noise, load_noise
from blockface.page import Picture, Section, picture, table
from blockface.volume import voxel_size


def registration(given: Given) -> Section | None:
    """Which pairs were taken and how well they fit."""
    pairs = given.table("registration")
    if pairs is None:
        return None
    section = Section(
        "Registered pairs",
        f"{int(pairs['accepted'].astype(bool).sum())} of {len(pairs)} pairs of a short and a long "
        "dwell were laid on each other and kept for the denoiser.",
        "edges that stay doubled after registration, or a remaining shift above half a pixel; "
        "such a pair teaches the denoiser to blur.",
    )
    if given.registration_figure:
        section.items.append(
            picture(given.registration_figure, "Pairs before and after registration.")
        )
    section.items.append(table(pairs, folded="All pairs with shift, residual and verdict"))
    return section


def noise(given: Given) -> Section | None:
    """What kind of noise the noisy images have."""
    if not given.noise_figure:
        return None
    section = Section(
        "The noise",
        "How strong the noise of the noisy images is at each grey level, how it hangs together "
        "with that of neighbouring pixels and lines, and what is left between the images of a "
        "pair. The denoiser was trained with more of the same kind.",
        "points that leave the line (the detector clips or bends), edges of the structure in the "
        "residual (a bad registration), or spots in the spectrum (interference).",
        [picture(given.noise_figure, "The noise, measured in the pairs, and the model of it.")],
    )
    if given.noise:
        section.items.append(table(noise_table(load_noise(given.noise))))
    return section


def noise_table(model: Noise) -> pd.DataFrame:
    """The numbers of a noise model with their names."""
    rows = {
        "variance for each grey level": model.gain,
        "variance at grey level 0": model.offset,
        "SD of the lines' offsets (grey levels)": model.line_sd,
        "correlation with the next pixel of the line": model.along[0],
        "correlation with the next line": model.across[0],
    }
    return pd.DataFrame({"noise": list(rows), "value": list(rows.values())})


def denoiser(given: Given) -> Section | None:
    """How the denoiser was trained and what it gains on pairs it never saw."""
    history, scores = given.table("denoiser_history"), given.table("denoiser_scores")
    if history is None and scores is None:
        return None
    section = Section(
        "The denoiser",
        "Its error during training, and how much closer each noisy image comes to its long-dwell "
        "partner.",
        "a PSNR that falls again (learning by heart), one that "
        "still rises at the end (train longer), or a pair the denoiser makes worse.",
    )
    if history is not None:
        path = figures.training_curves(history, given.file("denoiser_history"))
        section.items.append(
            picture(
                path,
                "Training loss, and PSNR on pairs not trained on; circle: the best.",
            )
        )
    if scores is not None:
        path = figures.denoising_scores(scores, given.file("denoiser_scores"))
        gain = scores[scores["split"] != "train"]
        gain = (gain if len(gain) else scores).drop(columns="pair").groupby("split").mean()
        section.items += [
            *pairs_pictures(given.denoiser_scores),
            picture(path, "Every pair before and after, against the long-dwell image."),
            table(gain.reset_index(), "Means over the pairs that were kept out of training."
                  if set(gain.index) != {"train"} else "Means over the training pairs."),
        ]  # fmt: skip
    return section


def pairs_pictures(scores: str) -> list[Picture]:
    """The pictures of pairs kept out of training that lie beside their ``scores``, if they do."""
    captions = {
        "denoised_pairs.png": "Pairs kept out of training: noisy, denoised, and the partner.",
        "residuals.png": "What was taken away, beside the noise that was there: where the curves "
        "agree, only noise was taken; correlation that the noise does not have is lost signal.",
    }
    beside = {Path(scores).with_name(name): caption for name, caption in captions.items()}
    return [picture(path, caption) for path, caption in beside.items() if path.is_file()]


def denoised(given: Given) -> Section | None:
    """The stack before and after the denoiser."""
    raw, clean = given.volume("raw"), given.volume("denoised")
    if raw is None or clean is None:
        return None
    z, part = raw.shape[0] // 2, sampling.window(raw.shape[1:], 400)
    path = pictures.noisy_and_denoised(
        raw[z, *part], clean[z, *part], given.file("denoised"), voxel_size(raw)[1:]
    )
    caption = f"The middle of slice {z}; the profiles run along the line."
    return Section(
        "The stack, denoised",
        "One place before and after the denoiser, and what it took away.",
        "membranes or fibrils in the picture of what was taken away (signal was lost), structure "
        "in places that are empty in the noisy image (invented), or a residual whose mean is far "
        "from 0.",
        [picture(path, caption)],
    )
