"""Reading pairs of images: every kind of file, and every mistake with its message."""

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from blockface.errors import InputError
from blockface.pair_images import read_image
from blockface.pairs import read_pairs

GREY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


def table(folder, *lines):
    path = folder / "pairs.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def images(folder, *names):
    for name in names:
        tifffile.imwrite(folder / name, GREY)


def fei_file(path, image, height, width):
    """A file with the metadata tag of an FEI microscope."""
    text = (
        "[User]\r\nUser=x\r\n[Scan]\r\nPixelWidth=5e-09\r\nPixelHeight=5e-09\r\n"
        f"[Image]\r\nResolutionX={width}\r\nResolutionY={height}\r\n"
    )
    tifffile.imwrite(path, image, extratags=[(34682, "s", 0, text, True)])


def test_paths_start_from_the_folder_of_the_table(tmp_path):
    (tmp_path / "a").mkdir()
    images(tmp_path, "a/n.tif", "c.tif", "d.tif")
    lines = f"a/n.tif\t{tmp_path / 'c.tif'}\tx", "d.tif\tc.tif\t"
    path = table(tmp_path, "noisy\tclean\tnote", *lines)
    frame = read_pairs(path)
    assert list(frame.columns) == ["noisy", "clean"]
    assert frame.noisy[0] == str(tmp_path / "a/n.tif")
    assert frame.clean.tolist() == [str(tmp_path / "c.tif")] * 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["noisy\tclear", "n.tif\tc.tif"], r"column\(s\) clean missing"),
        (["noisy\tclean"], "no pair is listed"),
        (["noisy\tclean", "n.tif\tnone.tif"], r"line 2: clean image .*none.tif not found"),
        (["noisy\tclean", "n.tif\tc.tif", "./n.tif\tc.tif"], "line 3: the pair .* listed twice"),
        (["noisy\tclean", "n.tif\tn.tif"], "named as noisy and as clean"),
        (["noisy\tclean", "n.tif\t"], "no file under clean"),
    ],
)
def test_mistakes_in_the_table(tmp_path, lines, message):
    images(tmp_path, "n.tif", "c.tif")
    with pytest.raises(InputError, match=message) as caught:
        read_pairs(table(tmp_path, *lines))
    assert "\n" not in str(caught.value)


def test_a_table_in_another_encoding(tmp_path):
    images(tmp_path, "n.tif", "c.tif")
    path = tmp_path / "pairs.tsv"
    path.write_text("noisy\tclean\nn.tif\tc.tif\n", encoding="utf-16")  # Excel's "Unicode text"
    with pytest.raises(InputError, match=r"not a table of plain text .*expected UTF-8 with tabs"):
        read_pairs(path)


def test_missing_table(tmp_path):
    with pytest.raises(InputError, match="table not found"):
        read_pairs(tmp_path / "pairs.tsv")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colours", [False, True])
def test_grey_tiff(tmp_path, dtype, colours):
    image = GREY.astype(dtype)
    path = tmp_path / "i.tif"
    tifffile.imwrite(
        path,
        np.stack([image] * 3, -1) if colours else image,
        photometric="rgb" if colours else "minisblack",
    )
    read, pixel = read_image(path)
    assert pixel is None
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, image)


def test_png(tmp_path):
    imsave(tmp_path / "i.png", GREY.astype(np.uint8), check_contrast=False)
    np.testing.assert_array_equal(read_image(tmp_path / "i.png")[0], GREY.astype(np.uint8))


@pytest.mark.parametrize(("unit", "nm"), [("nm", 1), ("um", 1e3), ("µm", 1e3)])
def test_pixel_size_of_imagej(tmp_path, unit, nm):
    per_unit = nm / 5.5
    metadata = {"unit": unit.replace("µ", "\\u00B5")}
    tifffile.imwrite(
        tmp_path / "i.tif", GREY, imagej=True, resolution=(per_unit, per_unit), metadata=metadata
    )
    assert read_image(tmp_path / "i.tif")[1] == pytest.approx(5.5, rel=1e-4)


def test_pixel_size_of_resolution_tags(tmp_path):
    tifffile.imwrite(tmp_path / "i.tif", GREY, resolution=(1e6, 1e6), resolutionunit="centimeter")
    assert read_image(tmp_path / "i.tif")[1] == pytest.approx(10, rel=1e-4)
    tifffile.imwrite(tmp_path / "print.tif", GREY, resolution=(300, 300), resolutionunit="inch")
    assert read_image(tmp_path / "print.tif")[1] is None


@pytest.mark.parametrize("framed", [False, True])
def test_fei_bar_and_frame_line_are_cut_off(tmp_path, framed):
    image = np.stack([GREY.astype(np.uint8)] * 3, -1)
    if framed:
        image[[0, 39]] = image[:40, [0, 63]] = (0, 255, 0)
        image[[0, 39], :] = (0, 255, 0)
    fei_file(tmp_path / "i.tif", image, 40, 64)
    read, pixel = read_image(tmp_path / "i.tif")
    assert pixel == pytest.approx(5)
    inside = GREY.astype(np.uint8)[:40]
    np.testing.assert_array_equal(read, inside[1:-1, 1:-1] if framed else inside)


def test_wrong_images(tmp_path):
    colour = np.stack([GREY, GREY, GREY + 1], -1)
    tifffile.imwrite(tmp_path / "colour.tif", colour, photometric="rgb")
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([GREY] * 3), photometric="minisblack")
    long = {"resolution": (1e6, 2e6), "resolutionunit": "centimeter"}
    tifffile.imwrite(tmp_path / "long.tif", GREY, **long)
    (tmp_path / "text.tif").write_text("not an image")
    (tmp_path / "i.bmp").write_text("x")
    for name, message in {
        "colour.tif": "a colour image",
        "stack.tif": "3 images in the file",
        "long.tif": "expected square ones",
        "text.tif": "cannot be read",
        "i.bmp": "is not read",
        "none.tif": "not found",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.95])
def test_truncated_tiff(tmp_path, compression, share):
    rng = np.random.default_rng(0)
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, rng.integers(0, 255, (200, 200), np.uint8), compression=compression)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InputError, match=r"cut.tif: cannot be read .*damaged or cut short"):
        read_image(path)
