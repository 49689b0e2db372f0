"""Whether pairs and the stack they are to teach about have pixels of one size."""

import logging

import numpy as np
import pandas as pd

from blockface.errors import InputError

log = logging.getLogger(__name__)
TOLERANCE = 0.05  # share by which pixel sizes may differ: people round them


def check_pixel_sizes(
    pairs: pd.DataFrame, voxel_nm: list[float], *, dataset: str, denoiser: str
) -> str:
    """What is known of the pixels of the accepted ``pairs`` beside those of a stack (z, y, x).

    ``pairs`` is the table of registrations. Pairs whose files tell no pixel size are let through
    with a warning.

    Raises
    ------
    InputError
        The pixels of a pair have another size than the stack's.
    """
    accepted = pairs[pairs["accepted"].astype(bool)]
    sizes = pd.to_numeric(accepted["pixel_size_nm"], errors="coerce")
    wanted = float(np.sqrt(voxel_nm[1] * voxel_nm[2]))
    wrong = accepted[(sizes / wanted - 1).abs() > TOLERANCE]
    if len(wrong):
        first = wrong.iloc[0]
        raise InputError(
            f"{first['noisy']}: pixels of {float(first['pixel_size_nm']):.4g} nm, expected "
            f"{wanted:.4g} nm like the stack of datasets.{dataset} ({len(wrong)} of "
            f"{len(accepted)} pairs of denoisers.{denoiser} differ); record pairs at the pixel "
            f"size of the stack, or set denoisers.{denoiser}.rescale_to_nm: {wanted:.4g}"
        )
    unknown = int(sizes.isna().sum())
    if unknown:
        log.warning(
            "the files of %d of %d pairs tell no pixel size; make sure that it is that of the "
            "stack, %.4g nm", unknown, len(accepted), wanted,
        )  # fmt: skip
        return f"pixel size unknown for {unknown} of {len(accepted)}"
    return f"pixel size of all {len(accepted)} fits"
