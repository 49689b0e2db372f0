"""What a user must not overlook about pairs and denoiser, a sentence each."""

from pathlib import Path

import pandas as pd

from blockface.figures import pair_name
from blockface.given import Given
from blockface.pairs import ENOUGH_FIELDS


def denoiser_warnings(given: Given) -> list[str]:
    """Warnings for pairs that are refused, few, saturated, both noisy, or were made worse."""
    found = []
    pairs, scores = given.table("registration"), given.table("denoiser_scores")
    if pairs is not None:
        refused = pairs[~pairs["accepted"].astype(bool)]
        if len(refused):
            names = [Path(str(n)).name for n in refused.get("noisy", refused.iloc[:, 0])]
            reasons = refused["reason"] if "reason" in refused else [""] * len(refused)
            both = zip(names, reasons, strict=True)
            told = [f"{n} ({r})" if r == r and r else n for n, r in both]
            more = f" and {len(told) - 5} more" if len(told) > 5 else ""
            found.append(
                f"{len(refused)} of {len(pairs)} pairs were refused: {'; '.join(told[:5])}{more}."
            )
        found += [*few_fields(pairs, scores), *peculiar(pairs)]
    if scores is not None:
        worse = scores[scores["psnr_denoised"] < scores["psnr_noisy"]]
        if len(worse):
            names = ", ".join(map(pair_name, worse["pair"]))
            found.append(f"The denoiser made {len(worse)} of {len(scores)} pairs worse: {names}.")
    return found


def few_fields(pairs: pd.DataFrame, scores: pd.DataFrame | None) -> list[str]:
    """A warning where few fields were there to learn from, with how sure the gain is."""
    accepted = pairs[pairs["accepted"].astype(bool)]
    count = accepted["field"].nunique() if "field" in accepted else len(accepted)
    if count > ENOUGH_FIELDS:  # one of them is kept out
        return []
    told = (
        f"Only {count} fields with accepted pairs; 8 or more are advised, for what a denoiser "
        "learns from few need not hold for others."
    )
    if scores is None or "gain_low_db" not in scores:
        return [told]
    gain = scores["psnr_denoised"] - scores["psnr_noisy"]
    listed = "; ".join(
        f"{pair_name(pair)} {value:.1f} dB ({low:.1f} to {high:.1f})"
        for pair, value, low, high in zip(
            scores["pair"], gain, scores["gain_low_db"], scores["gain_high_db"], strict=True
        )
    )
    return [
        f"{told} Gain in PSNR on the {len(scores)} kept out, in brackets the 95 % interval within "
        f"the image: {listed}; between fields it may differ by more."
    ]


def peculiar(pairs: pd.DataFrame) -> list[str]:
    """Warnings for accepted pairs that are saturated, or of two noisy images."""
    accepted, found = pairs[pairs["accepted"].astype(bool)], []
    if "remarks" in accepted:
        told = accepted[accepted["remarks"].fillna("") != ""]
        listed = [f"{pair_name(p.pair)}: {p.remarks}" for p in told.itertuples()]
        more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
        if listed:
            found.append(
                f"Saturated images teach the denoiser wrong grey levels at the ends: "
                f"{'; '.join(listed[:5])}{more}."
            )
    if "partner" in accepted and (accepted["partner"] == "noisy").any():
        numbers = accepted.loc[accepted["partner"] == "noisy", "pair"]
        found.append(
            f"{len(numbers)} of {len(accepted)} pairs have a partner as noisy as themselves "
            f"({', '.join(map(pair_name, numbers[:5]))}{', …' if len(numbers) > 5 else ''}): fit "
            "to learn from, but PSNR and SSIM against such a partner stay low however good the "
            "denoiser is."
        )
    return found
