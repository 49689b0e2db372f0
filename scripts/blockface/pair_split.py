"""Registered pairs as they are learnt from: what each is for, in what grey levels, in patches."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blockface.errors import InputError
from blockface.pairs import ENOUGH_FIELDS
from blockface.patch_grid import grid
from blockface.patches import check_size
from blockface.tables import read_table

log = logging.getLogger(__name__)


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


def span_of(pairs: list[NDArray]) -> float:
    """Span of grey levels for PSNR: 255 for 8-bit images, else that of the clean images."""
    if max(float(pair[0].max()) for pair in pairs) <= 255:
        return 255.0
    clean = np.concatenate([pair[1].ravel() for pair in pairs])
    low, high = np.percentile(clean, (0.1, 99.9))
    return float(high - low)
