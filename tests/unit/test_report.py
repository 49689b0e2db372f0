import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

import report
from blockface.corrections import by_round
from blockface.noise import Noise, save_noise
from blockface.tables import write_table
from blockface.volume import create_volume

SHAPE = (24, 220, 260)
VOXEL = (50.0, 10.0, 10.0)
CLASSES = {1: "fibril", 2: "cell"}


class Page(HTMLParser):
    """Headings, pictures, alarms and text of a page, with every tag closed in its turn."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.headings, self.alarms, self.links = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in self.VOID:
            self.open.append((tag, attrs.get("class", "")))
        if tag == "img":
            self.images.append(attrs)
        self.links += [attrs[k] for k in ("src", "href") if k in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][0] == "h2":
            self.headings.append(data)
        if ("div", "alarm") in self.open:
            self.alarms.append(data)


def volumes(folder):
    """Raw, denoised, probability, annotations and objects of tubes that run along z."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    fibrils = np.zeros(SHAPE, bool)
    for cy in range(25, 210, 36):
        for cx in range(20, 160, 34):
            fibrils |= np.hypot(y - cy - 5 * np.sin(z / 6), x - cx - z / 3) < 10
    cell = np.hypot((y - 110) / 1.5, x - 225) < 26
    ids, n = ndimage.label(fibrils)
    ids[cell] = n + 1
    clean = np.where(fibrils, 90.0, 150.0) + 30 * cell
    raw = np.clip(rng.normal(clean, 28), 0, 255).astype(np.uint8)
    smooth = ndimage.gaussian_filter(clean, (0, 1, 1)) + rng.normal(0, 4, SHAPE)
    p = [ndimage.gaussian_filter(m.astype(float), (0.3, 3, 3)) for m in (fibrils, cell)]
    truth = np.where(fibrils, 1, np.where(cell, 2, 0)).astype(np.uint8)
    known = np.full(SHAPE, 255, np.uint8)
    for at in (2, 6, 11, 12, 20):
        known[at] = truth[at]
    known[11, :60] = 255
    parts = {
        "raw": raw, "denoised": np.clip(smooth, 0, 255).astype(np.uint8),
        "probability": np.round(255 * np.stack(p)).astype(np.uint8),
        "annotations": known, "objects": ids.astype(np.uint32),
    }  # fmt: skip
    for name, values in parts.items():
        extra = {}
        if name == "probability":
            extra = {"classes": list(CLASSES.values()), "values": list(CLASSES)}
        if name == "annotations":
            extra = {"known_slices": [[z, z + 1] for z in (2, 6, 11, 12, 20)]}
        fill = 255 if name == "annotations" else 0
        array = create_volume(
            folder / f"{name}.zarr", values.shape, values.dtype, VOXEL, fill_value=fill, **extra
        )
        array[:] = values
    return {name: str(folder / f"{name}.zarr") for name in parts}, int(ids.max())


def objects_table(n):
    rng = np.random.default_rng(1)
    along = np.stack([np.ones(n), *np.random.default_rng(7).normal(0, 0.1, (2, n))], 1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    return pd.DataFrame({
        "object_id": np.arange(1, n + 1),
        "class": ["fibril"] * (n - 2) + ["cell"] * 2,
        "volume_um3": rng.lognormal(-2, 1, n),
        "length_nm": rng.normal(1200, 200, n),
        "diameter_mean_nm": rng.normal(200, 20, n),
        "tortuosity": rng.uniform(1, 1.2, n),
        "nearest_distance_nm": np.where(np.arange(n) == 0, np.nan, rng.exponential(100, n)),
        "n_contacts": rng.integers(0, 3, n),
        "touches_border": rng.random(n) < 0.2,
        "pieces": 1,
        "direction_z": along[:, 0], "direction_y": along[:, 1], "direction_x": along[:, 2],
    })  # fmt: skip


def history(score):
    step = np.arange(0, 1001, 50)
    return pd.DataFrame({
        "step": step, "train_loss": np.exp(-step / 300) + 0.1,
        "validation_loss": np.exp(-step / 300) + 0.15, score: 1 - np.exp(-(step + 50) / 300),
    })  # fmt: skip


def scores(now, before=0.8):
    rows = []
    for iteration, value in ((0, before), (1, now)):
        for name in CLASSES.values():
            row = (iteration, "held_out", name, 2, 5000, value, value * 0.8, value, value)
            rows.append(row)
    rows.append((1, "corrected", "fibril", 3, 4000, 0.9, 0.82, 0.9, 0.9))
    columns = "iteration split class slices voxels dice iou precision recall"
    return pd.DataFrame(rows, columns=columns.split())


def places():
    """Two places of round 01, one as it was and one corrected, and one of round 02."""
    shared = {
        "control": False, "voxels_added": 0, "voxels_removed": 0, "minutes": np.nan, "note": None,
    }  # fmt: skip
    rows = [
        {"round": 1, "place": "z0017", "z": 17, "class": "all", "status": "confirmed",
         "control": True, "voxels_reviewed": 400, "voxels_changed": 0, "context_changed": 0},
        {"round": 1, "place": "z0004", "z": 4, "class": "fibril", "status": "corrected",
         "voxels_reviewed": 600, "voxels_changed": 50, "context_changed": 7,
         "note": "0% of the outlines handed out are left"},
        {"round": 1, "place": "z0004", "z": 4, "class": "all", "status": "corrected",
         "voxels_reviewed": 600, "voxels_changed": 50, "context_changed": 7, "minutes": 12.5},
        {"round": 2, "place": "z0009", "z": 9, "class": "all", "status": "missing",
         "voxels_reviewed": 0, "voxels_changed": 0, "context_changed": 0},
    ]  # fmt: skip
    return pd.DataFrame([shared | row for row in rows])


def tables(folder, n):
    rng = np.random.default_rng(2)
    noisy = rng.normal(22, 1, 8)
    worklist = {
        "rank": [1, 2, 3], "z": [17, 4, 9], "score": [0.4, 0.3, 0.2],
        "reason": ["uncertain at many edges", "jump to the next slice", "uncertain"],
        "folder": ["z0017", "z0004", "z0009"],
    }  # fmt: skip
    frames = {
        "registration.tsv": pd.DataFrame({
            "noisy": [f"p{i}_short.tif" for i in range(8)], "shift_y_px": rng.normal(0, 3, 8),
            "shift_x_px": rng.normal(0, 3, 8), "correlation": rng.uniform(0.6, 0.9, 8),
            "accepted": [True] * 7 + [False], "reason": [""] * 7 + ["correlation 0.05 < 0.3"],
        }),
        "denoiser_scores.csv": pd.DataFrame({
            "pair": [f"p{i}_short.tif" for i in range(8)],
            "split": ["train"] * 6 + ["validation"] * 2, "psnr_noisy": noisy,
            "psnr_denoised": noisy + 5, "ssim_noisy": 0.4 + 0 * noisy,
            "ssim_denoised": 0.7 + 0 * noisy,
        }),
        "denoiser_history.tsv": history("validation_psnr"),
        "history.tsv": history("validation_dice"),
        "patches_table.tsv": pd.DataFrame({
            "kept": [True, True, False], "reason": ["", "", "too little foreground"],
            "foreground_fibril": [0.3, 0.1, 0.0], "foreground_cell": [0.0, 0.0, 0.01],
        }),
        "evaluation.csv": scores(0.85),
        "import_report.tsv": places(),
        "worklist.tsv": pd.DataFrame(worklist),
        "objects_table.csv": objects_table(n),
        "contacts_table.csv": pd.DataFrame(
            {"object_a": [1, 2], "object_b": [2, n], "contact_area_um2": [0.1, 0.2]}
        ),
        "neighbours_table.csv": pd.DataFrame({"object_id": [1], "neighbour_id": [2]}),
        "summary_table.csv": pd.DataFrame(
            {"class": ["fibril", "cell"], "measure": "n_objects", "all": [n, 0], "spread": np.nan}
        ),
        "diameters_table.csv": pd.DataFrame({
            "class": "fibril", "low_nm": [160, 180, 200], "high_nm": [180, 200, 220],
            "all": [5, 12, 6], "inside": [4, 9, 5], "unbiased": [5, 11, 6.5], "spread": 1.5,
        }),
        "radial_table.csv": pd.DataFrame({
            "class": "fibril", "space": "plane", "r_low_nm": [0, 100, 200],
            "r_high_nm": [100, 200, 300], "g": [0, 1.5, 1], "spread": 0.1, "pairs": 50, "parts": 8,
        }),
        "truth.csv": pd.DataFrame({
            "measure": ["Dice", "Dice", "length error"], "class": ["fibril", "cell", "fibril"],
            "value": [0.93, 0.95, 31.0], "unit": [None, None, "nm"],
        }),
    }  # fmt: skip
    for name, frame in frames.items():
        write_table(frame, folder / name)
    return {name.split(".")[0]: str(folder / name) for name in frames}


def picture(folder):
    path = folder / "registration.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 255, (90, 300), np.uint8)).save(path)
    return str(path)


def made(folder, **given):
    settings = {"iteration": 1, "held_out_slices": [6, 11], "commands": ["snakemake --cores all"]}
    page = folder / "out" / "report.html"
    report.main(
        report=str(page), figures=str(folder / "out" / "figures"), threads=1, dataset="demo",
        threshold=0.5, **{**settings, **given},
    )  # fmt: skip
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    paths, n = volumes(folder)
    manifest = {
        "seed": 1, "git": {"commit": "a" * 40, "dirty": True}, "versions": {"numpy": "2"},
        "platform": {"cpu": "a processor", "cores": 2, "gpu": None},
        "times": {"rules": {"predict": {"jobs": 2, "seconds": 4.5, "max_memory_mb": None}}},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    save_noise(Noise(1.5, 40.0, 10.0, 3.0, (0.5,), (0.01,)), folder / "noise.json")
    named = {"manifest": str(folder / "manifest.json"), "registration_figure": picture(folder),
             "noise": str(folder / "noise.json"), "noise_figure": picture(folder)}  # fmt: skip
    return {**paths, **tables(folder, n), **named}


@pytest.fixture(scope="module")
def whole(parts, tmp_path_factory):
    return made(tmp_path_factory.mktemp("whole"), **parts)


def test_every_part_has_its_section_in_the_order_of_the_chain(whole):
    assert Page(whole).headings == [
        "Registered pairs", "The noise", "The denoiser", "The stack, denoised",
        "Training the segmenter",
        "The prediction", "Scores on held-out slices", "What was corrected",
        "Along the stack, and the worst slices",
        "Separated objects", "Measures", "The stack as a whole", "Against the known truth",
        "How it came about",
    ]  # fmt: skip


def test_pictures_are_inside_and_not_blank(whole):
    page = Page(whole)
    assert len(page.images) == 18
    for image in page.images:
        head, data = image["src"].split(",")
        assert head in ("data:image/png;base64", "data:image/jpeg;base64")
        pixels = Image.open(io.BytesIO(base64.b64decode(data)))
        assert pixels.size == (int(image["width"]), int(image["height"]))
        assert np.asarray(pixels.convert("L")).std() > 5
        assert image["alt"]
    assert all(link.startswith(("data:", "#")) for link in page.links)


def test_summary_tells_numbers_and_the_next_step(whole):
    for text in ("50 × 10 × 10 nm", "before: 0.800", "0.850", "snakemake --cores all",
                 "demo/02", "corrections", "z 17, 4, 9"):  # fmt: skip
        assert text in whole


def test_corrections_are_summed_by_round():
    found = by_round(places()).set_index("round")
    counts = ["places", "confirmed", "corrected", "class missing"]
    assert found[counts].to_numpy().tolist() == [[2, 1, 1, 0], [1, 0, 0, 1]]
    assert found["voxels_reviewed"].tolist() == [1000, 0]
    assert found["voxels_changed"].tolist() == [50, 0]
    assert found["correction_rate"].tolist() == [0.05, pytest.approx(np.nan, nan_ok=True)]
    assert found["control_rate"].tolist() == [0, pytest.approx(np.nan, nan_ok=True)]
    assert found["context_changed"].tolist() == [7, 0]
    assert found["minutes"].tolist() == [12.5, pytest.approx(np.nan, nan_ok=True)]


def test_what_was_corrected_is_shown_and_odd_masks_are_told(whole):
    assert "Every place and class" in whole
    assert "<td>confirmed</td>" in whole
    told = "Round 01, z0004, fibril: 0% of the outlines handed out are left"
    assert told in " ".join(Page(whole).alarms)


def test_refused_pairs_are_told(whole):
    alarms = " ".join(Page(whole).alarms)
    assert "1 of 8 pairs were refused: p7_short.tif (correlation 0.05 < 0.3)" in alarms
    assert "fell" not in alarms


def test_a_class_without_objects_is_told(whole):
    assert "No object of class cell was found." in " ".join(Page(whole).alarms)
    assert "Nothing of class cell is painted" in " ".join(Page(whole).alarms)


def test_same_input_same_page(parts, whole, tmp_path):
    assert made(tmp_path, **parts) == whole


def test_almost_nothing(tmp_path, parts):
    few = {"objects_table": parts["objects_table"]}
    absent = {name: [] for name in parts if name not in few}
    page = Page(made(tmp_path, held_out_slices=[], commands=[], **few, **absent))
    assert page.headings == ["Measures", "The stack as a whole"]
    assert page.alarms == []


def test_denoised_only(tmp_path, parts):
    few = {name: parts[name] for name in ("raw", "denoised")}
    assert Page(made(tmp_path, held_out_slices=None, **few)).headings == ["The stack, denoised"]


def test_network_of_another_dataset(tmp_path, parts):
    names = ("raw", "probability", "objects", "objects_table")
    few = {name: parts[name] for name in names}
    page = Page(made(tmp_path, held_out_slices=[], **few))
    assert page.headings == ["The prediction", "Along the stack, and the worst slices",
                             "Separated objects", "Measures", "The stack as a whole"]  # fmt: skip
    assert page.alarms == []


def test_objects_without_image(tmp_path, parts):
    few = {name: parts[name] for name in ("objects", "objects_table")}
    headings = ["Separated objects", "Measures", "The stack as a whole"]
    assert Page(made(tmp_path, **few)).headings == headings


def test_pairs_made_worse_are_an_alarm_and_their_picture_is_shown(tmp_path, parts):
    frame = pd.DataFrame({
        "pair": [3, 4], "split": ["validation", "train"], "psnr_noisy": [25.0, 20.0],
        "psnr_denoised": [24.0, 26.0], "ssim_noisy": [0.4, 0.4], "ssim_denoised": [0.5, 0.5],
    })  # fmt: skip
    write_table(frame, tmp_path / "scores.csv")
    Image.open(parts["registration_figure"]).save(tmp_path / "denoised_pairs.png")
    page = Page(made(tmp_path, denoiser_scores=str(tmp_path / "scores.csv")))
    assert "made 1 of 2 pairs worse: pair 3." in " ".join(page.alarms)
    assert len(page.images) == 2


def test_few_noisy_and_saturated_pairs_are_told_with_how_sure_the_gain_is(tmp_path):
    pairs = pd.DataFrame({
        "pair": range(4), "field": [0, 1, 2, 2], "noisy": ["n.tif"] * 4,
        "accepted": [True] * 4, "reason": [""] * 4, "partner": ["clean"] * 3 + ["noisy"],
        "remarks": ["", "7% of the noisy image is saturated", "", ""],
    })  # fmt: skip
    frame = pd.DataFrame({
        "pair": [2], "split": ["validation"], "psnr_noisy": [20.0], "psnr_denoised": [26.0],
        "ssim_noisy": [0.4], "ssim_denoised": [0.5], "gain_low_db": [5.1], "gain_high_db": [6.8],
    })  # fmt: skip
    write_table(pairs, tmp_path / "registration.tsv")
    write_table(frame, tmp_path / "scores.csv")
    page = Page(made(tmp_path, registration=str(tmp_path / "registration.tsv"),
                     denoiser_scores=str(tmp_path / "scores.csv")))  # fmt: skip
    alarms = " ".join(page.alarms)
    assert "Only 3 fields with accepted pairs; 8 or more are advised" in alarms
    assert "on the 1 kept out" in alarms
    assert "pair 2 6.0 dB (5.1 to 6.8)" in alarms
    assert "pair 1: 7% of the noisy image is saturated" in alarms
    assert "1 of 4 pairs have a partner as noisy as themselves (pair 3)" in alarms


def test_fallen_dice_is_an_alarm(tmp_path, parts):
    write_table(scores(0.7), tmp_path / "evaluation.csv")
    page = Page(made(tmp_path, evaluation=[str(tmp_path / "evaluation.csv")]))
    alarms = " ".join(page.alarms)
    assert "Dice of fibril on held-out slices fell from 0.800 to 0.700" in alarms
    assert "Dice of cell" in alarms


def test_earlier_iterations_may_come_in_files_of_their_own(tmp_path):
    frame = scores(0.7)
    for iteration in (0, 1):
        write_table(frame[frame["iteration"] == iteration], tmp_path / f"{iteration}.csv")
    files = [str(tmp_path / "0.csv"), str(tmp_path / "1.csv")]
    assert "fell from 0.800 to 0.700" in made(tmp_path, evaluation=files)


def test_no_held_out_slices_is_an_alarm(tmp_path, parts):
    page = Page(made(tmp_path, annotations=parts["annotations"], held_out_slices=[]))
    assert "No slice is held out" in " ".join(page.alarms)


def test_border_share_is_an_alarm(tmp_path):
    frame = objects_table(20).assign(touches_border=True)
    write_table(frame, tmp_path / "objects.csv")
    page = Page(made(tmp_path, objects_table=str(tmp_path / "objects.csv")))
    assert "100% of the objects of class fibril touch the border" in " ".join(page.alarms)


def test_objects_in_pieces_are_an_alarm(tmp_path):
    frame = objects_table(20)
    frame.loc[:2, "pieces"] = 2
    write_table(frame, tmp_path / "objects.csv")
    page = Page(made(tmp_path, objects_table=str(tmp_path / "objects.csv")))
    assert "of the objects of class fibril are in several pieces" in " ".join(page.alarms)


def test_no_objects_is_an_alarm(tmp_path):
    write_table(objects_table(4).iloc[:0], tmp_path / "objects.csv")
    page = Page(made(tmp_path, objects_table=str(tmp_path / "objects.csv")))
    assert "No objects were found" in " ".join(page.alarms)


def test_names_are_escaped(tmp_path):
    frame = objects_table(6).assign(**{"class": "<b>&fibril"})
    write_table(frame, tmp_path / "objects.csv")
    text = made(tmp_path, objects_table=str(tmp_path / "objects.csv"))
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;fibril" in text
