import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blockface import figures, pictures, pictures_objects, sampling
from blockface.page import cell
from blockface.volume import create_volume

CLASSES = {1: "fibril", 2: "cell"}


def looks_like_a_picture(path):
    with Image.open(path) as image:
        assert image.size[0] > 900
        return np.asarray(image.convert("L")).std() > 3


@pytest.fixture
def slices():
    """Images of 40 x 60 pixels of 10 nm, with a square of each class."""
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 60), np.uint8)
    labels[5:15, 5:15], labels[20:35, 30:50] = 1, 2
    images = [rng.normal(100 + 40 * labels, 5) for _ in range(2)]
    return images, [labels, np.roll(labels, 3, 1)]


@pytest.fixture
def kept(monkeypatch):
    """Figures in the order in which they were saved."""
    seen = []

    def keep(figure, path):
        seen.append(figure)
        return figures.save(figure, path)

    monkeypatch.setattr(pictures, "save", keep)
    return seen


@pytest.mark.parametrize(
    "columns", [[], ["validation_loss"], ["validation_loss", "validation_psnr", "learning_rate"]]
)
def test_training_curves(tmp_path, columns):
    history = pd.DataFrame({"step": [0, 10, 20], "train_loss": [1, 0.5, 0.3]})
    for name in columns:
        history[name] = [np.nan, 0.6, 0.5]
    path = figures.training_curves(history, tmp_path / "a" / "curves.png")
    assert looks_like_a_picture(path)


def test_scores(tmp_path):
    frame = pd.DataFrame({
        "pair": ["a.tif", "b.tif"], "split": ["train", "validation"], "psnr_noisy": [20, 21],
        "psnr_denoised": [25, np.nan], "ssim_noisy": [0.3, 0.4], "ssim_denoised": [0.6, 0.7],
    })  # fmt: skip
    assert looks_like_a_picture(figures.denoising_scores(frame, tmp_path / "d.png"))
    frame = pd.DataFrame({"iteration": [0, 1], "split": "held_out", "class": "fibril"})
    frame = frame.assign(dice=[0.7, np.nan], iou=0.5, precision=0.6, recall=0.7)
    assert looks_like_a_picture(figures.iteration_scores(frame, tmp_path / "i.png"))


@pytest.mark.parametrize("length", [[100.0, np.nan], [np.nan, np.nan], [5.0, 5.0], [1.0, 1e5]])
def test_object_histograms_of_awkward_values(tmp_path, length):
    frame = pd.DataFrame({
        "class": ["a", "a"], "length_nm": length, "diameter_mean_nm": [0.0, 3.0],
        "volume_um3": [1e-4, 1.0], "nearest_distance_nm": [np.inf, 4.0],
        "touches_border": [False, True],
    })  # fmt: skip
    assert looks_like_a_picture(figures.object_histograms(frame, tmp_path / "h.png"))


def test_values_that_differ_by_rounding_are_drawn_as_one():
    assert len(figures.even_edges(0.8, 0.8 + 1e-9, 12)) == 4
    assert len(figures.even_edges(-1.0, -1.0 + 1e-9, 12)) == 4
    assert figures.even_edges(0.8, 0.81, 12).tolist() == np.linspace(0.8, 0.81, 13).tolist()


def test_pairs_are_named_by_number_or_file():
    assert figures.pair_name(3) == figures.pair_name("3") == "pair 3"
    assert figures.pair_name("data/a.tif") == "a.tif"


def test_strip(tmp_path):
    profile = pd.DataFrame({"z": [0, 1], "class": "a", "area_fraction": 0.1, "uncertainty": 0.2})
    assert looks_like_a_picture(figures.slice_strip(profile, tmp_path / "s.png", [0], [1], []))


def test_overlays_show_the_class_colours_and_a_true_scale_bar(tmp_path, slices, kept):
    images, labels = slices
    path = pictures.predictions(
        images, labels, ["a", "b"], CLASSES, tmp_path / "p.png", (10.0, 10.0)
    )
    assert looks_like_a_picture(path)
    axis = kept[0].axes[0]
    assert axis.get_xlim() == (0, 600)
    assert axis.get_ylim() == (400, 0)
    bar = axis.lines[0].get_xdata()
    assert bar[1] - bar[0] == pytest.approx(200)
    assert axis.texts[0].get_text() == "200 nm"


def test_verdicts_give_the_dice_of_known_pixels(tmp_path, slices, kept):
    images, labels = slices
    truth = labels[0].copy()
    truth[:, 45:] = 255
    path = pictures.verdicts(
        images[:1], labels[1:], [truth], ["z 3"], CLASSES, tmp_path / "v.png", (10.0, 10.0)
    )
    assert looks_like_a_picture(path)
    titles = [axis.get_title() for axis in kept[-1].axes]
    dice_of_2 = 2 * 12 * 15 / (12 * 15 + 15 * 15)
    assert titles == ["z 3, fibril: Dice 0.700", f"z 3, cell: Dice {dice_of_2:.3f}"]


def test_one_class_uses_the_width(tmp_path, slices, kept):
    images, labels = slices
    one = {1: "fibril"}
    pictures.verdicts(images, labels, labels, "ab", one, tmp_path / "v.png", (10.0, 10.0))
    assert len(kept[0].axes) == 2


def test_worst_slices(tmp_path, slices):
    work = pd.DataFrame({"rank": [1, 2], "z": [4, 9], "score": [0.5, 0.25], "reason": "x"})
    path = pictures.worst_slices(*slices, work, CLASSES, tmp_path / "w.png", (10.0, 10.0))
    assert looks_like_a_picture(path)


def test_noisy_and_denoised(tmp_path, slices):
    images = [image.astype(np.uint8) for image in slices[0]]
    path = pictures.noisy_and_denoised(*images, tmp_path / "n.png", (10.0, 10.0))
    assert looks_like_a_picture(path)
    path = pictures.noisy_and_denoised(*slices[0], tmp_path / "n.png", (10.0, 10.0))
    assert looks_like_a_picture(path)


def test_an_id_keeps_its_colour():
    ids = np.array([[0, 7, 4_000_000_000]], np.uint32)
    colours = pictures_objects.id_colours(ids)
    assert (colours[0, 0] == 0).all()
    assert (colours[0, 1:].max(axis=-1) > 0.7).all()
    np.testing.assert_array_equal(colours[0, 2], pictures_objects.id_colours(ids[:, 2:])[0, 0])


def test_planes_meet_in_the_middle(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.integers(0, 9, (21, 30, 40)).astype(np.uint32)
    array = create_volume(tmp_path / "o.zarr", values.shape, "u4", (50, 10, 12))
    array[:] = values
    (_, none, xy, size), (_, _, xz, _), (_, _, yz, beside) = sampling.planes(array, None, 16)
    np.testing.assert_array_equal(xy, values[10, 7:23, 12:28])
    np.testing.assert_array_equal(xz, values[2:18, 15, 12:28])
    np.testing.assert_array_equal(yz, values[2:18, 7:23, 20].T)
    assert none is None
    assert (size, beside) == ((10, 12), (10, 50))


def test_profile(tmp_path):
    array = create_volume(tmp_path / "p.zarr", (2, 40, 8, 8), "u1", (50, 10, 10))
    array[0, 3] = 255
    array[1, 3, :4] = 128
    found = sampling.profile(array, ["a", "b"], 0.5)
    assert len(found) == 80
    a, b = (found[(found["z"] == 3) & (found["class"] == c)].iloc[0] for c in "ab")
    assert (a["area_fraction"], b["area_fraction"]) == (1, 0.5)
    assert a["uncertainty"] == pytest.approx(0, abs=1e-6)
    assert b["uncertainty"] == pytest.approx(0.5, abs=1e-4)
    some = sampling.profile(array, ["a", "b"], 0.5, limit=7)
    assert len(some) == 14
    assert some["z"].is_monotonic_increasing


def test_predicted_is_the_likeliest_class_in_part_or_thinned(tmp_path):
    array = create_volume(tmp_path / "p.zarr", (2, 3, 30, 40), "u1", (50, 10, 10))
    array[0, 1, :20] = 200
    array[1, 1, 10:] = 220
    whole = sampling.predicted(array, 1, [1, 2], 0.5)
    np.testing.assert_array_equal(whole[[5, 15, 25], 0], [1, 2, 2])
    part = sampling.window((30, 40), 8)
    np.testing.assert_array_equal(sampling.predicted(array, 1, [1, 2], 0.5, yx=part), whole[part])
    thin = sampling.predicted(array, 1, [1, 2], 0.5, every=4)
    np.testing.assert_array_equal(thin, sampling.fitted(whole, 4))
    assert not sampling.predicted(array, 1, [1, 2], 0.9).any()


def test_thinning_keeps_images_and_labels_together():
    image = np.arange(7 * 9).reshape(7, 9)
    assert sampling.thinned(image, 3).shape == sampling.fitted(image, 3).shape == (2, 3)
    np.testing.assert_array_equal(sampling.thinned(image, 3), sampling.fitted(image, 3))
    assert sampling.step((2000, 900), 800) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (np.nan, "–"), (True, "yes"), (np.bool_(False), "no"), (12345, "12\u202f345"),
     (0.123456, "0.1235"), (np.float32(2), "2"), ("z", "z"), (999, "999")],
)  # fmt: skip
def test_cells(value, text):
    assert cell(value).text == text


def test_a_blank_middle_slice_is_not_the_one_that_is_shown(tmp_path):
    array = create_volume(str(tmp_path / "o.zarr"), (9, 12, 12), "uint32", (50, 10, 10))
    for z in (1, 6):
        array[z, 3:6, 3:6] = 7
    (title, _, ids, _), *_ = sampling.planes(array, None)
    assert title == "xy, z 6"
    assert ids.max() == 7
    array[:] = 0
    assert sampling.planes(array, None)[0][0] == "xy, z 4"
