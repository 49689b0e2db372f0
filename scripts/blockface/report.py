"""The report: one self-contained HTML page about an iteration, with its warnings on top."""

import logging
import os
from pathlib import Path

import pandas as pd

from blockface.corrections import odd_places
from blockface.denoiser_warnings import denoiser_warnings
from blockface.given import Given
from blockface.iterations import dice_of, falls, stopping_hint
from blockface.page import Table, cell, render, table
from blockface.patches import not_taught
from blockface.sections import SECTIONS
from blockface.sections_objects import OBJECT_SECTIONS, class_summary

log = logging.getLogger(__name__)
BORDER_SHARE = 0.3  # of objects cut by the border, above which lengths mislead
PIECES_SHARE = 0.05  # of objects in several pieces, likewise


def make_report(given: Given, path: str | Path, commands: list[str]) -> Path:
    """Path of the HTML page, made of what is there of ``given``.

    ``commands`` are the lines to type for the next round, shown as they are. The pictures also lie
    in the folder ``given.figures``.
    """
    path = Path(path)
    Path(given.figures).mkdir(parents=True, exist_ok=True)
    sections = []
    for make in (*SECTIONS, *OBJECT_SECTIONS):
        section = make(given)
        if section is not None:
            log.info("section: %s", section.title)
            sections.append(section)
    title = f"{given.dataset}, iteration {given.iteration:02d}"
    html = render(
        title=title,
        warnings=warnings(given),
        facts=facts(given),
        summary=summary(given),
        steps=steps(given),
        commands=commands,
        sections=sections,
        footer="Made by Blockface. All pictures are inside this file; the tables lie beside it.",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(html, encoding="utf-8")
    os.replace(part, path)
    return path


def warnings(given: Given) -> list[str]:
    """What a user must not overlook, a sentence each."""
    scores, found = held_out(given), denoiser_warnings(given)
    if scores is not None:
        hint = stopping_hint(scores)
        found = [*falls(scores, given.iteration), *([hint] if hint else []), *found]
    if given.annotations and not given.held_out_slices:
        found.append(
            "No slice is held out, so nothing says how good the prediction is. Annotate a few "
            "whole slices and name them in held_out_slices."
        )
    elif given.annotations and given.scores is None:
        found.append(
            "The held-out slices have no annotation yet, so there is no score. Annotate them."
        )
    unseen = sorted(set(given.held_out_slices) - set(given.annotated))
    if given.annotations and given.scores is not None and unseen:
        listed = ", ".join(map(str, unseen))
        found.append(f"Held-out slices without annotation, and so without a score: z {listed}.")
    places, learnt = given.table("import_report"), given.table("patches_table")
    found += [] if learnt is None else not_taught(learnt)
    for row in [] if places is None else odd_places(places).to_dict("records"):
        found.append("Round {round:02d}, {place}, {class}: {note}".format(**row))
    objects, summary = given.table("objects_table"), given.table("summary_table")
    if objects is not None:
        for name, of_class in objects.groupby("class", sort=False):
            found += odd_objects(name, of_class)
    elif given.objects_table:
        found.append("No objects were found. Look at the prediction, threshold and min_volume_um3.")
    if objects is not None and summary is not None:
        found += [
            f"No object of class {name} was found."
            for name in summary.loc[empty_class(summary), "class"]
        ]
    return found


def odd_objects(name: str, objects: pd.DataFrame) -> list[str]:
    """What makes the measures of many of the ``objects`` of the class ``name`` doubtful."""
    found = []
    share = objects["touches_border"].astype(bool).mean()
    if share > BORDER_SHARE:
        found.append(
            f"{share:.0%} of the objects of class {name} touch the border of the stack: "
            "their lengths, volumes and end-to-end distances are cut short."
        )
    share = (objects["pieces"] > 1).mean()
    if share > PIECES_SHARE:
        found.append(
            f"{share:.0%} of the objects of class {name} are in several pieces (column pieces of "
            "objects.csv): slices in which they are missing, or one number for several things. "
            "Their lengths go across the gaps."
        )
    return found


def empty_class(summary: pd.DataFrame) -> pd.Series:
    """Which rows of the summary say that a class has no object."""
    return (summary["measure"] == "n_objects") & (summary["all"] == 0)


def held_out(given: Given) -> pd.DataFrame | None:
    """The scores on held-out slices, of this and all earlier iterations."""
    return None if given.scores is None else given.scores[given.scores["split"] == "held_out"]


def facts(given: Given) -> list[dict[str, str]]:
    """The boxes at the top: name, value and a smaller line."""
    found = []
    names = ("denoised", "raw", "probability", "objects")
    volume = next((given.volume(n) for n in names if getattr(given, n)), None)
    if volume is not None:
        shape, size = volume.shape[-3:], volume.attrs["voxel_size_nm"]
        field = " × ".join(f"{n * s / 1000:.3g}" for n, s in zip(shape, size, strict=True))
        found += [
            {"name": "voxel size, z y x", "value": " × ".join(f"{v:g}" for v in size) + " nm",
             "more": ""},
            {"name": "stack, z y x", "value": " × ".join(map(str, shape)), "more": field + " µm"},
        ]  # fmt: skip
    objects = given.table("objects_table")
    if objects is not None:
        for name, of_class in objects.groupby("class", sort=False):
            whole = int((~of_class["touches_border"].astype(bool)).sum())
            found.append({"name": f"objects: {name}", "value": cell(len(of_class)).text,
                          "more": f"{whole} whole, not cut by the border"})  # fmt: skip
    scores = held_out(given)
    told = [] if scores is None else dice_of(scores, given.iteration)
    for name, now, before in told:
        change = "no earlier iteration" if before is None else f"before: {before:.3f}"
        value = "–" if now is None else f"{now:.3f}"
        found.append({"name": f"held-out Dice: {name}", "value": value, "more": change})
    if given.annotations:
        learned = len(set(given.annotated) - set(given.held_out_slices))
        share = "" if volume is None else f"{100 * learned / volume.shape[-3]:.2g} % of the stack"
        found.append({"name": "annotated slices", "value": str(learned),
                      "more": f"{share}; {len(given.held_out_slices)} more held out"})  # fmt: skip
    return found


def summary(given: Given) -> list[Table]:
    """The table of medians under the boxes, if anything was measured."""
    if given.table("objects_table") is None:
        return []
    frame: pd.DataFrame = class_summary(given)
    return [table(frame, "Medians of all objects; in brackets of those the border does not cut.")]


def steps(given: Given) -> list[str]:
    """What to do for the next round, in words, if there is a worklist."""
    work = given.table("worklist")
    if work is None:
        return []
    work = work.sort_values("rank") if "rank" in work else work
    first = ", ".join(str(int(z)) for z in work["z"].head(3))
    folder = Path(given.worklist).parent / "corrections"
    following = f"{given.dataset}/{given.iteration + 1:02d}"
    return [
        f"Open the {len(work)} places in {folder} in Seg3D or napari, the worst first (z {first}, "
        "…); the README.html in each folder says how.",
        f"Correct the masks, save them, and copy the folders into the round folder …/{following} "
        "beside the earlier rounds.",
        f"Run the command below: it makes iteration {given.iteration + 1:02d} and leaves this one "
        "as it is. Stop when the held-out Dice no longer rises.",
    ]
