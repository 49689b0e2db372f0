"""The sections of a report up to the prediction and its scores; a missing part gives none."""

from collections.abc import Callable

import pandas as pd

from blockface import figures, pictures, sampling
from blockface.corrections import by_round
from blockface.figures_iterations import iterations_figure
from blockface.given import Given
from blockface.page import Section, picture, table
from blockface.reviewed import without_of
from blockface.sections_denoising import denoised, denoiser, noise, registration
from blockface.volume import open_volume

DETAIL = 512  # pixels of the middle that overlays show
SHOWN = 6  # slices in an overview


def training(given: Given) -> Section | None:
    """What the segmenter was trained on, and its training curves."""
    history, patches = given.table("history"), given.table("patches_table")
    if history is None and patches is None:
        return None
    slices = len(set(given.annotated) - set(given.held_out_slices))
    section = Section(
        "Training the segmenter",
        f"Learned from scratch on the annotation rounds 00 to {given.iteration:02d}"
        + (f", {slices} annotated slices." if slices else "."),
        "a curve that still improves at the last step (train longer).",
    )
    if history is not None:
        path = figures.training_curves(history, given.file("history"))
        section.items.append(
            picture(
                path,
                "Loss and Dice while training; the held-out slices judge the result.",
            )
        )
    reason = next((c for c in ("reason", "why") if patches is not None and c in patches), None)
    if reason:
        named = patches[reason].fillna("").replace("", "kept")
        counts = named.value_counts().rename_axis("candidate patches").reset_index(name="number")
        section.items.append(table(counts, limit=12))
    return section


def prediction(given: Given) -> Section | None:
    """Predicted classes over the image at a few slices."""
    if not given.probability or given.image is None:
        return None
    zs = sampling.evenly(given.volume("probability").shape[1], SHOWN)
    images, labels, pixel, _ = given.looks(zs, DETAIL)
    titles = [f"z {z}" for z in zs]
    path = pictures.predictions(
        images, labels, titles, given.classes, given.file("prediction"), pixel
    )
    caption = (
        f"Prediction at a threshold of {given.threshold:g} over the image, slices spread over the "
        f"stack; the middle {images[0].shape[0]} × {images[0].shape[1]} pixels."
    )
    return Section(
        "The prediction",
        "Where the network sees each class.",
        "outlines that follow brightness instead of the structure, neighbours that run together, "
        "or slices in which a class is missing.",
        [picture(path, caption)],
    )


def evaluation(given: Given) -> Section | None:
    """Scores per iteration, and the errors on held-out slices."""
    scores = given.scores
    if scores is None:
        return None
    section = Section(
        "Scores on held-out slices",
        "How well the prediction agrees with slices that are never trained on; 1 is perfect. "
        "Rows named corrected compare an iteration's prediction with what a person then made of "
        "it in the places looked at.",
        "a score that falls from one iteration to the next, or a class with few voxels, whose "
        "score means little.",
    )
    if (scores["split"] == "held_out").any():
        path = figures.iteration_scores(scores, given.file("scores"))
        section.items.append(picture(path, "Scores per iteration."))
    columns = ["iteration", "split", "class", "slices", "voxels", "dice", "iou", "precision",
               "recall"]  # fmt: skip
    listed = scores[[c for c in columns if c in scores]]
    listed = listed.assign(split=listed["split"].str.replace("_", " "))
    in_order = ["split", "iteration"]
    listed = listed.sort_values(in_order, ascending=[False, True], kind="stable")
    section.items.append(table(listed))
    zs = sorted(set(given.held_out_slices) & set(given.annotated))
    if zs and given.probability and given.image is not None:
        zs = [zs[i] for i in sampling.evenly(len(zs), SHOWN)]
        images, labels, pixel, every = given.looks(zs, None)
        marks = open_volume(given.annotations)
        truth = [sampling.fitted(marks[z], every) for z in zs]
        titles = [f"z {z}" for z in zs]
        path = pictures.verdicts(
            images,
            labels,
            truth,
            titles,
            given.classes,
            given.file("held_out"),
            pixel,
            without_of(marks.attrs),
        )
        section.items.append(
            picture(path, "Held-out slices: what the prediction has right, too much, and missed.")
        )
    return section


def corrections(given: Given) -> Section | None:
    """What people made of the places handed out, by round; None before the first corrections."""
    places = given.table("import_report")
    if places is None:
        return None
    told = ["round", "place", "class", "status", "voxels_added", "voxels_removed",
            "voxels_reviewed", "correction_rate", "context_changed", "dice", "minutes"]  # fmt: skip
    shown = [name for name in told if name in places and places[name].notna().any()]
    return Section(
        "What was corrected",
        "What people changed in the places handed out, against what had been predicted there. A "
        "place confirmed came back as it was; the correction rate is the share of the voxels asked "
        "about that were changed.",
        "a correction rate that does not go down from round to round, classes that never come "
        "back, and notes on masks that may lie elsewhere.",
        [
            table(_spaced(by_round(places)), "Round by round, all classes together."),
            table(_spaced(places[shown]), folded="Every place and class"),
        ],
    )


def _spaced(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with blanks in the names of its columns, so that they wrap."""
    return frame.rename(columns=lambda name: name.replace("_", " "))


def rounds(given: Given) -> Section | None:
    """What every round so far brought, from the second one on."""
    told = given.iterations
    if told is None:
        return None
    path = iterations_figure(told, given.file("iterations"))
    digests = {
        "annotations_sha256": "annotations", "model_sha256": "model", "measured_sha256": "measured",
    }  # fmt: skip
    short = told.assign(**{long: told[long].str[:12] for long in digests})
    short = short.drop(columns="held_out_voxels").rename(columns=digests)
    return Section(
        "Round by round",
        "What each iteration learnt from, how good it was on held-out slices, how much of it a "
        "person changed in the next round, and what was found with it. The digests tell which "
        "annotations and network it was, and with which settings it was measured.",
        "a Dice that fell, shares of corrections that do not go down, and numbers of objects that "
        "still move from round to round.",
        [picture(path, "All rounds so far."), table(short)],
    )


def worst(given: Given) -> Section | None:
    """The strip along z and the slices to correct next."""
    work = given.table("worklist")
    if not given.probability:
        return None
    probability = given.volume("probability")
    profile = sampling.profile(probability, list(given.classes.values()), given.threshold)
    held_out = sorted(given.held_out_slices)
    places = [] if work is None else sorted(work["z"].unique())
    learned = sorted(set(given.annotated) - set(held_out))
    path = figures.slice_strip(profile, given.file("strip"), learned, held_out, places)
    section = Section(
        "Along the stack, and the worst slices",
        "How much of each slice a class covers and how unsure the network is there; below, which "
        "slices were annotated, held out, or are proposed for correction.",
        "jumps between neighbouring slices, and uncertain stretches far from any annotated slice.",
        [picture(path, "Area and uncertainty of every class along z.")],
    )
    if work is None:
        return section
    work = work.sort_values("rank") if "rank" in work else work
    score = "place_score" if "place_score" in work else "score"  # older ones lack it
    columns = [c for c in ("rank", "z", score, "reason", "folder") if c in work]
    if given.image is not None:
        first = work.head(SHOWN)
        images, labels, pixel, _ = given.looks([int(z) for z in first["z"]], None)
        path = pictures.worst_slices(
            images, labels, first, given.classes, given.file("worst"), pixel
        )
        section.items.append(picture(path, "The slices to correct next, the worst first."))
    section.items.append(table(work[columns], "Worklist.", limit=30))
    return section


SECTIONS: tuple[Callable[[Given], Section | None], ...] = (
    registration, noise, denoiser, denoised, training, prediction, evaluation, corrections,
    rounds, worst,
)  # fmt: skip
