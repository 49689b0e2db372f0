"""Register every pair of a noisy and a clean image, or say why not."""

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from blockface.job import run
from blockface.pairs import read_image, read_pairs
from blockface.registration import Registration, register
from blockface.registration_figure import SHOWN, panel, registration_figure
from blockface.tables import write_table

log = logging.getLogger(__name__)


def main(*, pairs, table, figure, registered, settings, threads):
    """Write the table of registrations, their picture and a file per accepted pair."""
    listed = read_pairs(pairs)
    partial = Path(f"{registered}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    rows, panels, shape = [], [], (1, 1)

    def one(number):
        noisy, clean = listed.noisy[number], listed.clean[number]
        (image, pixel), (partner, other) = read_image(noisy), read_image(clean)
        if pixel and other and abs(pixel - other) > 0.01 * pixel:
            reason = f"pixel sizes differ: noisy {pixel:.4g}, clean {other:.4g} nm"
            result = Registration(reason=reason)
        else:
            result = register(image, partner, **settings)
        if result.accepted:
            np.save(partial / f"pair_{number:02d}.npy", result.pair)
        return image, partner, result, describe(number, noisy, clean, image, pixel or other, result)

    with ThreadPoolExecutor(threads) as pool:
        for image, partner, result, row in pool.map(one, range(len(listed))):
            log.info("pair %d of %d: %s", len(rows) + 1, len(listed), row["reason"] or "accepted")
            rows.append(row)
            if sum(p.result.accepted == result.accepted for p in panels) < SHOWN:
                panels.append(panel(f"pair {row['pair']}", image, partner, result))
                shape = tuple(np.maximum(shape, image.shape))
    write_table(pd.DataFrame(rows), table)
    registration_figure(panels, shape, len(rows)).savefig(figure, dpi=110)
    shutil.rmtree(registered, ignore_errors=True)
    os.replace(partial, registered)


def describe(number, noisy, clean, image, pixel_nm, result) -> dict:
    """Row of the table of registrations."""
    moved = {}
    named = {"shift": result.shift, "drift": result.change, "stretch": result.stretch}
    for name, value in named.items():
        moved[f"{name}_y_px"], moved[f"{name}_x_px"] = value
    height, width = image.shape if result.pair is None else result.pair.shape[1:]
    return {
        "pair": number,
        "noisy": noisy,
        "clean": clean,
        **moved,
        "residual_px": result.residual,
        "residual_p95_px": result.residual_p95,
        "correlation": result.correlation,
        "gain": result.gain,
        "offset": result.offset,
        "pixel_size_nm": pixel_nm,
        "accepted": result.accepted,
        "reason": result.reason,
        "height": height,
        "width": width,
    }


if __name__ == "__main__":
    run(main, snakemake)
