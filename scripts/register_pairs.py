"""Register every pair of a noisy and a clean image, or say why not."""

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.acceptance import partner, remarks
from blockface.job import run
from blockface.pair_images import content, read_image
from blockface.pairs import fields, read_pairs, same_as_before
from blockface.registration import Registration, register, rescaled
from blockface.registration_figure import SHOWN, panel, registration_figure
from blockface.tables import write_table

log = logging.getLogger(__name__)


def main(*, pairs, table, figure, registered, settings, rescale_to_nm, threads):
    """Write the table of registrations, their picture and a file per accepted pair."""
    listed = read_pairs(pairs)
    known = {path: content(path) for path in {*listed["noisy"], *listed["clean"]}}
    seen = [(known[pair.noisy], known[pair.clean]) for pair in listed.itertuples()]
    repeats, field = same_as_before(seen), fields(seen)
    partial = Path(f"{registered}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows, panels, shape = [], [], (1, 1)

    def one(number):
        noisy, clean = listed.noisy[number], listed.clean[number]
        (image, pixel), (other, pixel_other) = read_image(noisy), read_image(clean)
        result = attempt(image, other, pixel, pixel_other, repeats[number], settings)
        row = {"pair": number, "field": field[number], "noisy": noisy, "clean": clean}
        row |= measured(result) | {"remarks": remarks(image, other)}
        size, pixel = result.pair, pixel or pixel_other
        if result.accepted:
            if rescale_to_nm:
                size, pixel = rescaled(result.pair, pixel, rescale_to_nm, noisy), rescale_to_nm
            np.save(partial / f"pair_{number:02d}.npy", size)
        height, width = image.shape if size is None else size.shape[1:]
        row |= {"pixel_size_nm": pixel, "height": height, "width": width}
        return image, other, result, row

    with ThreadPoolExecutor(threads) as pool:
        for image, other, result, row in pool.map(one, range(len(listed))):
            log.info(
                "pair %d (%d of %d): %s",
                row["pair"], len(rows) + 1, len(listed), row["reason"] or "accepted",
            )  # fmt: skip
            if row["remarks"]:
                log.warning("%s, pair %d: %s", pairs, row["pair"], row["remarks"])
            rows.append(row)
            if sum(p.result.accepted == result.accepted for p in panels) < SHOWN:
                panels.append(panel(f"pair {row['pair']}", image, other, result))
                shape = tuple(np.maximum(shape, image.shape))
    write_table(pd.DataFrame(rows), table)
    registration_figure(panels, shape, len(rows)).savefig(figure, dpi=110)
    shutil.rmtree(registered, ignore_errors=True)
    os.replace(partial, registered)


def attempt(image, other, pixel, pixel_other, repeated, settings) -> Registration:
    """Registration of two images, or why it was not even tried."""
    if repeated is not None:
        return Registration(reason=f"the same two images as pair {repeated} (equal pixels)")
    if pixel and pixel_other and abs(pixel - pixel_other) > 0.01 * pixel:
        return Registration(
            reason=f"pixel sizes differ: noisy {pixel:.4g}, clean {pixel_other:.4g} nm"
        )
    return register(image, other, **settings)


def measured(result) -> dict:
    """What the table says of a registration."""
    moved = {}
    named = {"shift": result.shift, "drift": result.change, "stretch": result.stretch}
    for name, value in named.items():
        moved[f"{name}_y_px"], moved[f"{name}_x_px"] = value
    return {
        **moved,
        "jumps_at_lines": " ".join(map(str, result.drift.jumps)) if result.drift else "",
        "residual_px": result.residual,
        "residual_p95_px": result.residual_p95,
        "correlation": result.correlation,
        "blur_px": result.blur,
        "partner": partner(result.partner_noise),
        "gain": result.gain,
        "offset": result.offset,
        "accepted": result.accepted,
        "reason": result.reason,
    }


if __name__ == "__main__":
    run(main, snakemake)
