"""The sections of a report on objects, their measures, the truth, and how it came about."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from blockface import figures, figures_stack, pictures_objects, sampling, view3d
from blockface.given import Given
from blockface.page import Section, picture, table


def objects(given: Given) -> Section | None:
    """The separated objects, each in its own colour."""
    if not given.objects:
        return None
    ids, image = given.volume("objects"), given.image
    if image is not None and image.shape != ids.shape:
        image = None
    planes = sampling.planes(ids, image)
    path = pictures_objects.objects_in_colour(planes, given.file("objects"))
    title, grey, numbers, pixel_nm = planes[0]
    numbered = pictures_objects.numbered_objects(grey, numbers, given.file("ids"), pixel_nm, title)
    view = view3d.objects_in_3d(ids, given.file("objects_3d"))
    return Section(
        "Separated objects",
        "Each object has one colour, the same in every picture; its number is object_id in the "
        "tables.",
        "one colour over several structures (merged; try separate: watershed), one structure in "
        "several colours (split), and steps or gaps in xz and yz.",
        [
            picture(path, "Slice xy, below it xz, beside it yz, in true proportions."),
            picture(numbered, "The same slice with the numbers of the largest objects in it."),
            picture(view, "The whole stack, the first slice on top, thinned where it is large."),
        ],
    )


def measures(given: Given) -> Section | None:
    """Distributions per class, contacts, and the summary table."""
    frame = given.table("objects_table")
    if frame is None:
        return None
    path = figures.object_histograms(frame, given.file("measures"))
    caption = "All objects; pale: cut by the border; dashed: the median."
    section = Section(
        "Measures",
        "How long, thick and large the objects are and how far from their nearest neighbour.",
        "a heap of tiny objects (raise min_volume_um3) and lengths of objects that the border "
        "cuts off, which are too short.",
        [picture(path, caption)],
    )
    if given.contacts_table and given.table("contacts_table") is not None:
        section.items.append(table(contact_summary(given), "Objects that touch."))
    summary = given.table("summary_table")
    if summary is not None:
        section.items.append(table(summary, folded="The whole summary table"))
    return section


def stack(given: Given) -> Section | None:
    """Directions, densities, diameters and order in space of the whole stack."""
    frame = given.table("objects_table")
    tables = [given.table(n) for n in ("diameters_table", "radial_table", "summary_table")]
    if frame is None:
        return None
    items = []
    path = figures_stack.directions(frame, given.file("directions"))
    if path:
        items.append(picture(path, "Seen along z: the centre is z, the rim the plane of the slices;"
                                   " star: the mean direction."))  # fmt: skip
    if all(t is not None for t in tables):
        path = figures_stack.diameters_and_order(*tables, given.file("diameters_and_order"))
        if path:
            items.append(picture(path, "Left: diameters, dashed: the modes. Right: how many others "
                                       "lie at a distance r, over as many at random."))  # fmt: skip
    if given.objects:
        known = frame.sort_values("object_id")
        ids, kinds = known["object_id"].to_numpy(), known["class"].astype(str).to_numpy()
        shares, cell_nm = sampling.densities(given.volume("objects"), ids, kinds)
        path = pictures_objects.density_map(shares, cell_nm, given.file("density"))
        items.append(picture(path, "Volume fraction, averaged along z (left) and along y (right)."))
    if not items:
        return None
    return Section(
        "The stack as a whole",
        "How the objects are directed, how thick they are, and how they are spread in space.",
        "a density that falls off towards one side or depth (a gradient of contrast or focus), and "
        "a second mode of diameters at twice the first (merged pairs).",
        items,
    )


def class_summary(given: Given) -> pd.DataFrame:
    """One row per class: number, medians, share cut by the border, contacts."""
    frame = given.table("objects_table")
    rows = []
    for name, of_class in frame.groupby("class", sort=False):
        whole = of_class[~of_class["touches_border"].astype(bool)]

        def both(column: str, factor: float = 1.0, all_=of_class, whole=whole) -> str:
            pair = [factor * part[column].median() for part in (all_, whole)]
            text = f"{pair[0]:.3g}" if np.isfinite(pair[0]) else "–"
            return f"{text} ({pair[1]:.3g})" if np.isfinite(pair[1]) else text

        row = {"class": name, "objects": len(of_class), "whole": len(whole)}
        row["cut by border (%)"] = round(100 * (1 - len(whole) / len(of_class)))
        for column, (label, factor) in figures.MEASURES.items():
            if column in of_class:
                row[label] = both(column, factor)
        if "tortuosity" in of_class:
            row["tortuosity"] = both("tortuosity")
        if "n_contacts" in of_class:
            row["touching another (%)"] = round(100 * float((of_class["n_contacts"] > 0).mean()))
        rows.append(row)
    return pd.DataFrame(rows)


def contact_summary(given: Given) -> pd.DataFrame:
    """One row per pair of classes: contacts and their area."""
    contacts, frame = given.table("contacts_table"), given.table("objects_table")
    named = frame.set_index("object_id")["class"].astype(str)
    ends = [contacts[c].map(named) for c in ("object_a", "object_b")]
    pairs = [" – ".join(sorted(map(str, p))) for p in zip(*ends, strict=True)]
    area = contacts["contact_area_um2"].groupby(pairs)
    found = pd.DataFrame({"classes": list(area.groups), "contacts": area.size().values})
    found["median contact area (µm²)"] = area.median().values
    found["total contact area (µm²)"] = area.sum().values
    return found


def truth(given: Given) -> Section | None:
    """The comparison with a known truth."""
    frame = given.table("truth")
    if frame is None:
        return None
    if {"measure", "class", "value", "unit"} == set(frame.columns):
        frame = frame.fillna({"unit": "", "class": "all"})
        wide = frame.pivot_table(
            "value", ["measure", "unit"], "class", aggfunc="first", sort=False, observed=True
        )
        frame = wide.reset_index().rename_axis(columns=None)
    return Section(
        "Against the known truth",
        "This dataset comes with its truth, so the results can be compared with it.",
        "numbers of objects or lengths far from the truth, even where Dice is high.",
        [table(frame)],
    )


def origin(given: Given) -> Section | None:
    """What the results were made with, and how long it took."""
    if not given.manifest:
        return None
    record = json.loads(Path(given.manifest).read_text())
    commit = record["git"]["commit"]
    state = "no checkout" if not commit else commit[:12] + " and changes" * record["git"]["dirty"]
    machine = record["platform"]
    lines = {"seed": str(record["seed"]), "workflow": state, "processor": machine["cpu"],
             "cores": str(machine["cores"]), "GPU": machine["gpu"] or "none"}  # fmt: skip
    lines |= {k: v for k, v in record["versions"].items() if v}
    section = Section(
        "How it came about",
        "Settings, digests of all inputs and results, and every version are in manifest.json.",
    )
    rules = [
        {"rule": k, "jobs": v["jobs"], "seconds": v["seconds"], "memory (MB)": v["max_memory_mb"]}
        for k, v in record["times"]["rules"].items()
    ]
    if rules:
        timed = pd.DataFrame(rules).sort_values("seconds", ascending=False)
        section.items.append(table(timed, "Time and the most memory of each rule."))
    made = pd.DataFrame({"what": list(lines), "value": list(lines.values())})
    section.items.append(table(made, folded="Versions and machine"))
    return section


OBJECT_SECTIONS: tuple[Callable[[Given], Section | None], ...] = (
    objects, measures, stack, truth, origin,
)  # fmt: skip
