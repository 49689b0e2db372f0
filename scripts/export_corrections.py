"""Rule export_corrections: the places of the worklist as bundles for Seg3D and napari."""

import json
import logging
from pathlib import Path

from blockface.bundles import clear, export_bundle, has_corrections
from blockface.job import run
from blockface.scores import threshold_of
from blockface.tables import read_table
from blockface.volume import open_volume

log = logging.getLogger(__name__)

COLUMNS = ("rank", "z", "y0", "y1", "x0", "x1", "reason", "folder")


def main(*, worklist, image, probability, corrections, threshold, settings, threads=1):
    """Write one folder per place; bundles in which somebody works are left alone.

    ``corrections`` is the folder, or a file in it with a suffix (an index, written last).
    """
    target = Path(corrections)
    folder = target.parent if target.suffix else target
    folder.mkdir(parents=True, exist_ok=True)
    clear(folder)
    picture, predicted = open_volume(image), open_volume(probability)
    level, index = threshold_of(predicted, threshold), []
    for row in read_table(worklist, COLUMNS).to_dict("records"):
        place = folder / str(row["folder"])
        if not has_corrections(place):
            export_bundle(
                place,
                int(row["z"]),
                picture,
                predicted,
                level,
                part=(slice(row["y0"], row["y1"]), slice(row["x0"], row["x1"])),
                context_slices=int(settings.get("context_slices", 2)),
                reason=str(row["reason"]),
                control=bool(row.get("control", False)),
                origin_nm=tuple(picture.attrs.get("origin_nm", (0.0, 0.0, 0.0))),
            )
            log.info("%s: written", place)
        index.append({"rank": int(row["rank"]), "z": int(row["z"]), "folder": place.name})
    if target.suffix:
        target.write_text(json.dumps(index, indent=1))


if __name__ == "__main__":
    run(main, snakemake)
