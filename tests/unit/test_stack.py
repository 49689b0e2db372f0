"""Every format written by its own library, with known content and voxel size, and read back."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import h5py
import imagecodecs
import mrcfile
import nibabel
import nrrd
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blockface.errors import InputError
from blockface.stack import check_stack, open_stack

SIZE = (50.0, 10.0, 8.0)  # z, y, x


def known(dtype="uint8", shape=(5, 20, 30)):
    n = int(np.prod(shape))
    return (np.arange(n).reshape(shape) * 7 % 251).astype(dtype)


def imagej(path, data, unit="nm", size=SIZE, **more):
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        photometric="minisblack",
        resolution=(1 / size[2], 1 / size[1]),
        metadata={"axes": "ZYX", "spacing": size[0], "unit": unit},
        **more,
    )


def ome(path, data, **more):
    meta = {"axes": "ZYX", "PhysicalSizeZ": 0.05, "PhysicalSizeY": 0.01, "PhysicalSizeX": 0.008}
    tifffile.imwrite(path, data, ome=True, metadata=meta, **more)


def bigtiff(path, data):
    ome(path, data, bigtiff=True, tile=(16, 16), compression="zlib")


def mrc(path, data):
    with mrcfile.new(path, data=data) as file:
        file.voxel_size = (80, 100, 500)  # x, y, z in Å


def hdf5(path, data):
    with h5py.File(path, "w") as file:
        file.create_dataset("volume/raw", data=data, chunks=(1, 20, 30), compression="gzip")
        file["volume/raw"].attrs["element_size_um"] = [0.05, 0.01, 0.008]
        file["table"] = np.arange(4)


def ome_zarr(path, data, version=2):
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    axes = [{"name": "c", "type": "channel"}] + [
        {"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"
    ]
    sets = []
    for level in (0, 1):
        group.create_array(str(level), data=data[None, :, :: 2**level, :: 2**level])
        scale = [1, 0.05, 0.01 * 2**level, 0.008 * 2**level]
        sets.append({"path": str(level),
                     "coordinateTransformations": [{"type": "scale", "scale": scale}]})  # fmt: skip
    multiscales = [{"version": "0.4", "axes": axes, "datasets": sets}]
    group.attrs.update(
        {"multiscales": multiscales} if version == 2 else {"ome": {"multiscales": multiscales}}
    )


def dm(path, data, z_unit="nm"):
    from nion.data import Calibration, DataAndMetadata
    from nionswift_plugin.DM_IO import dm3_image_utils

    cal = [Calibration.Calibration(0, s, u) for s, u in ((50, z_unit), (0.01, "µm"), (0.008, "µm"))]
    cal = cal[-data.ndim :]
    kind = DataAndMetadata.DataDescriptor(False, data.ndim - 2, 2)
    image = DataAndMetadata.new_data_and_metadata(data, data_descriptor=kind,
                                                  dimensional_calibrations=cal)  # fmt: skip
    with open(path, "wb") as file:
        dm3_image_utils.save_image(image, file, int(path.suffix[-1]))


def nrrd_file(path, data, encoding="gzip"):
    header = {"space dimension": 3, "space directions": np.diag(SIZE[::-1]),
              "space units": ["nm"] * 3, "encoding": encoding}  # fmt: skip
    nrrd.write(str(path), data.T, header, detached_header=path.suffix == ".nhdr")


def nifti(path, data):
    image = nibabel.Nifti1Image(data.T, np.diag([0.008, 0.01, 0.05, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, path)


FORMATS = {
    "imagej": ("s.tif", imagej),
    "imagej_zlib": ("s.tif", lambda p, d: imagej(p, d, compression="zlib")),
    "imagej_micron": ("s.tif", lambda p, d: imagej(p, d, "micron", (0.05, 0.01, 0.008))),
    "ome": ("s.ome.tif", ome),
    "ome_lzw": ("s.ome.tif", lambda p, d: ome(p, d, compression="lzw")),
    "bigtiff_tiles": ("s.ome.tif", bigtiff),
    "mrc": ("s.mrc", mrc),
    "hdf5": ("s.h5", hdf5),
    "hdf5_named": ("s.h5:/volume/raw", hdf5),
    "ome_zarr_v2": ("s.zarr", ome_zarr),
    "ome_zarr_v3": ("s.zarr", lambda p, d: ome_zarr(p, d, 3)),
    "dm4": ("s.dm4", dm),
    "dm3": ("s.dm3", dm),
    "nrrd": ("s.nrrd", nrrd_file),
    "nrrd_raw": ("s.nrrd", lambda p, d: nrrd_file(p, d, "raw")),
    "nrrd_detached": ("s.nhdr", nrrd_file),
    "nifti": ("s.nii", nifti),
    "nifti_gz": ("s.nii.gz", nifti),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", ["uint16", "float32", "int16"])
def test_a_file_is_read_back_exactly_with_its_voxel_size(tmp_path, name, dtype):
    file, write = FORMATS[name]
    if dtype == "int16" and name.startswith("imagej"):
        dtype = "uint8"  # ImageJ has no signed 16-bit
    data = known(dtype)
    write(tmp_path / file.split(":")[0], data)
    stack = open_stack(str(tmp_path / file))
    assert stack.shape == data.shape
    assert stack.dtype == data.dtype
    np.testing.assert_allclose(stack.voxel_size_nm, SIZE, rtol=1e-5)
    for z0, z1 in ((0, 5), (3, 5), (1, 2), (4, 9)):  # also back again
        block = stack.read(z0, z1)
        assert block.dtype == data.dtype
        np.testing.assert_array_equal(block, data[z0:z1])


def test_mrc_mode_0_is_signed_unless_imod_says_unsigned(tmp_path):
    data = known("uint8")
    mrc(tmp_path / "s.mrc", (data.astype(np.int16) - 128).astype(np.int8))
    np.testing.assert_array_equal(open_stack(tmp_path / "s.mrc").read(0, 5), data)
    mrc(tmp_path / "i.mrc", data.view(np.int8))
    with open(tmp_path / "i.mrc", "r+b") as file:
        file.seek(152)
        file.write(np.array([1146047817, 0], "<i4").tobytes())
    np.testing.assert_array_equal(open_stack(tmp_path / "i.mrc").read(0, 5), data)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".dm4"])
def test_a_folder_of_slices_comes_in_the_order_of_its_numbers(tmp_path, suffix):
    data = known("uint16", (12, 70, 80))
    for z in range(12):
        file = tmp_path / f"3VBSED_day2_{z + 1}{suffix}"
        if suffix == ".tif":
            tifffile.imwrite(file, data[z])
        elif suffix == ".dm4":
            dm(file, data[z])
        else:
            file.write_bytes(imagecodecs.png_encode(data[z]))
    (tmp_path / "notes.txt").write_text("hand-made")
    (tmp_path / f".hidden{suffix}").write_text("")
    stack = check_stack(tmp_path, SIZE)
    assert stack.shape == data.shape
    assert len(stack.files) == 12
    np.testing.assert_array_equal(stack.read(0, 12), data)
    np.testing.assert_array_equal(stack.read(9, 11), data[9:11])


@given(z=st.integers(1, 12), y=st.integers(1, 20), x=st.integers(2, 20), first=st.integers(0, 99))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_folder_and_a_multi_page_file_are_the_same_stack(tmp_path_factory, z, y, x, first):
    folder = tmp_path_factory.mktemp("slices")
    data = known("uint8", (z, y, x))
    for i in range(z):
        tifffile.imwrite(folder / f"s_{first + i}.tif", data[i])
    imagej(folder.parent / f"{folder.name}.tif", data)
    a = open_stack(folder, SIZE)
    b = open_stack(folder.parent / f"{folder.name}.tif")
    assert a.shape == b.shape == data.shape
    np.testing.assert_array_equal(a.read(0, z), b.read(0, z))


def test_labels_take_any_integer(tmp_path):
    data = known("uint32")
    tifffile.imwrite(tmp_path / "s.tif", data)
    assert open_stack(tmp_path / "s.tif", SIZE, labels=True).dtype == np.uint32
    with pytest.raises(InputError, match="values of type uint32 found"):
        open_stack(tmp_path / "s.tif", SIZE)


def test_equal_colour_channels_become_grey_others_are_refused(tmp_path):
    data = known("uint8")
    colour = np.repeat(data[..., None], 3, axis=-1)
    tifffile.imwrite(tmp_path / "s.tif", colour, photometric="rgb")
    np.testing.assert_array_equal(open_stack(tmp_path / "s.tif", SIZE).read(1, 3), data[1:3])
    colour[0, 3, 4, 1] += 1
    tifffile.imwrite(tmp_path / "c.tif", colour, photometric="rgb")
    with pytest.raises(InputError, match=r"page 1: a colour image .* differ in 1 pixels"):
        open_stack(tmp_path / "c.tif", SIZE)


def test_the_configured_voxel_size_wins_with_a_warning(tmp_path, caplog):
    imagej(tmp_path / "s.tif", known())
    assert open_stack(tmp_path / "s.tif", (50, 10, 8.01), "a").voxel_size_nm == (50, 10, 8.01)
    assert not caplog.records
    assert open_stack(tmp_path / "s.tif", [70, 10, 8], "a").voxel_size_nm == (70, 10, 8)
    assert "50 nm along z; datasets.a.voxel_size_nm says 70 nm" in caplog.text


@pytest.mark.parametrize("unit", ["inch", "pixel", None])
def test_resolution_without_a_length_is_no_voxel_size(tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", known(), resolution=(72, 72), resolutionunit="INCH")
    imagej(tmp_path / "b.tif", known(), unit)
    for name in "ab":
        with pytest.raises(InputError, match=r"b?voxel size unknown.*datasets\.d\.voxel_size_nm"):
            open_stack(tmp_path / f"{name}.tif", dataset="d")


def slices(folder, numbers, name="s_{:03d}.tif", **change):
    folder.mkdir(exist_ok=True)
    for n in numbers:
        tifffile.imwrite(folder / name.format(n), change.get(f"n{n}", known()[0]))


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def test_wrong_folders_are_named_in_one_line(tmp_path):
    def refused(folder, words):
        with pytest.raises(InputError, match=words) as error:
            open_stack(folder, SIZE)
        assert "\n" not in str(error.value)

    slices(tmp_path / "gap", [1, 2, 3, 5, 6])
    refused(tmp_path / "gap", r"gap: a gap in the slice numbers: slice 4 is missing")
    slices(tmp_path / "gap2", [1, 2, 6])
    refused(tmp_path / "gap2", r"slices 3 to 5 are missing between s_002.tif and s_006.tif")
    slices(tmp_path / "mixed", [1, 2, 3], n2=known()[0, :10])
    refused(tmp_path / "mixed", r"s_002.tif: 10 × 30 uint8 found, but s_001.tif is 20 × 30 uint8")
    slices(tmp_path / "types", [1, 2, 3], n3=known("uint16")[0])
    refused(tmp_path / "types", r"s_003.tif: 20 × 30 uint16 found, but")
    slices(tmp_path / "two", [1, 2])
    slices(tmp_path / "two", [1, 2], "t_{}.tif")
    refused(tmp_path / "two", "files of several names found")
    slices(tmp_path / "pages", [1, 2], n2=known())
    refused(tmp_path / "pages", "s_002.tif: 5 pages found in a folder of slices")
    slices(tmp_path / "twice", [1], "s_01.tif")
    slices(tmp_path / "twice", [2], "s_{}.tif")
    slices(tmp_path / "twice", [1], "s_{}.tif")
    refused(tmp_path / "twice", "has the slice number 1, as")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"no slices found in the folder \(nothing\)")
    missing = r"no such file or folder; check stack, labels or objects of datasets.<name>"
    refused(tmp_path / "absent", missing)


def test_a_single_foreign_name_is_left_out_with_a_line(tmp_path, caplog):
    slices(tmp_path, [1, 2, 3])
    tifffile.imwrite(tmp_path / "overview.tif", known()[0, :5])
    assert open_stack(tmp_path, SIZE).shape[0] == 3
    assert "overview.tif: not one of the slices" in caplog.text


def test_other_numbers_in_the_names_do_not_confuse(tmp_path):
    for z, second in enumerate([12, 47, 3]):
        name = f"run7_slice{z + 8}_t{second:02d}s.tif"
        tifffile.imwrite(tmp_path / name, known()[z])
    np.testing.assert_array_equal(open_stack(tmp_path, SIZE).read(0, 3), known()[:3])


@pytest.mark.parametrize(
    "name", ["imagej", "imagej_zlib", "ome_lzw", "mrc", "hdf5", "dm4", "dm3", "nrrd_raw",
             "nrrd", "nifti", "nifti_gz"]
)  # fmt: skip
@pytest.mark.parametrize("share", [0.02, 0.6, 0.95])
def test_a_truncated_file_is_named_in_one_line(tmp_path, name, share):
    file, write = FORMATS[name]
    noise = np.random.default_rng(1).integers(0, 60000, (5, 90, 90)).astype("uint16")
    write(tmp_path / file, noise)
    cut(tmp_path / file, int((tmp_path / file).stat().st_size * share))
    with pytest.raises(InputError, match=f"{file}.*(truncated|not a whole|not a readable)") as e:
        check_stack(tmp_path / file, SIZE)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("contiguous", [False, True])
def test_a_tiff_cut_anywhere_is_refused_or_whole(tmp_path, contiguous):
    """Within data, within a page's tags, between pages: never a traceback, never fewer slices."""
    array = np.random.default_rng(0).integers(0, 9, (7, 20, 30)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "whole.tif") as file:
        for page in array:
            file.write(page, contiguous=contiguous, compression=None if contiguous else "zlib")
    whole = (tmp_path / "whole.tif").read_bytes()
    for size in range(8, len(whole), 7):
        (tmp_path / "s.tif").write_bytes(whole[:size])
        try:
            stack = open_stack(tmp_path / "s.tif", SIZE)
            np.testing.assert_array_equal(stack.read(0, stack.shape[0]), array)
        except InputError:
            continue


def test_a_truncated_slice_in_a_folder_is_named(tmp_path):
    slices(tmp_path, [1, 2, 3])
    cut(tmp_path / "s_002.tif", 700)
    with pytest.raises(InputError, match=r"s_002.tif: (truncated|not a whole)"):
        open_stack(tmp_path, SIZE)


def test_other_wrong_files(tmp_path):
    def refused(path, words, size=SIZE):
        with pytest.raises(InputError, match=words) as error:
            open_stack(str(path), size, "d")
        assert "\n" not in str(error.value)

    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a"], file["b"] = known(), known()
    refused(tmp_path / "s.h5", r"2 3-D datasets found.*/a \(5, 20, 30\), /b")
    refused(f"{tmp_path}/s.h5:/c", r"no dataset /c found")
    (tmp_path / "s.tif").write_text("not an image at all")
    refused(tmp_path / "s.tif", "not a whole TIFF")
    (tmp_path / "e.tif").write_text("")
    refused(tmp_path / "e.tif", "the file is empty")
    (tmp_path / "s.jpg").write_text("x")
    refused(tmp_path / "s.jpg", "a format not known by its name")
    with tifffile.TiffWriter(tmp_path / "m.tif") as tif:
        tif.write(known()[0], metadata=None)
        tif.write(known()[0, :10], metadata=None)
    refused(tmp_path / "m.tif", "page 2 is 10 × 30 uint8 and page 1 is 20 × 30 uint8")
    tifffile.imwrite(tmp_path / "h.tif", np.zeros((2, 3, 8, 8), "u1"), imagej=True)
    refused(tmp_path / "h.tif", r"shape \(2, 3, 8, 8\); expected z, y, x")
    tifffile.imwrite(tmp_path / "d.tif", known("float64"))
    refused(tmp_path / "d.tif", "values of type float64 found; expected uint8")
    imagej(tmp_path / "o.tif", known())
    refused(tmp_path / "o.tif", "three sizes in nm", size=(50, 10))
    refused(tmp_path / "o.tif", "three sizes in nm", size=(50, 10, 0))
    zarr.open_group(str(tmp_path / "g.zarr"), mode="w").create_group("x")
    refused(tmp_path / "g.zarr", "zarr group with 0 3-D arrays")


def test_a_stack_of_imagej_beyond_its_first_page_is_whole(tmp_path):
    """As ImageJ writes more than 4 GB: one page only, the slices behind it raw."""
    imagej(tmp_path / "s.tif", known("uint16"))
    with tifffile.TiffFile(tmp_path / "s.tif") as tif:
        first = tif.pages[0]
        link = first.offset + 2 + 12 * len(first.tags)
    with open(tmp_path / "s.tif", "r+b") as file:
        file.seek(link)
        file.write(b"\0\0\0\0")
    stack = open_stack(tmp_path / "s.tif")
    np.testing.assert_array_equal(stack.read(0, 5), known("uint16"))


def test_gzip_reader_forgets_nothing_after_an_error(tmp_path):
    nifti(tmp_path / "s.nii.gz", known())
    raw = gzip.decompress((tmp_path / "s.nii.gz").read_bytes())
    (tmp_path / "s.nii.gz").write_bytes(gzip.compress(raw[:-700]))
    stack = open_stack(tmp_path / "s.nii.gz")
    for _ in range(2):
        with pytest.raises(InputError, match="truncated"):
            stack.read(4, 5)
        np.testing.assert_array_equal(stack.read(0, 2), known()[:2])


@pytest.mark.parametrize("name", ["imagej_zlib", "hdf5", "ome_zarr_v3", "nifti_gz", "dm4", "mrc"])
def test_several_threads_read_the_same(tmp_path, name):
    data = known("uint16")
    file, write = FORMATS[name]
    write(tmp_path / file, data)
    stack = open_stack(tmp_path / file)
    order = [z for _ in range(20) for z in (4, 0, 2, 3, 1)]
    with ThreadPoolExecutor(4) as pool:
        for z, block in zip(order, pool.map(lambda z: stack.read(z, z + 1), order), strict=True):
            np.testing.assert_array_equal(block[0], data[z])


def test_zeiss_metadata_tell_the_pixel(tmp_path):
    text = "\r\n".join(["0"] * 3 + ["AP_IMAGE_PIXEL_SIZE", "Image Pixel Size = 7.500 nm", ""])
    tag = (34118, "s", 0, text, True)
    tifffile.imwrite(tmp_path / "s_1.tif", known()[0], extratags=[tag], metadata=None)
    with pytest.raises(InputError, match=r"z unknown, y 7\.5 nm, x 7\.5 nm"):
        open_stack(tmp_path / "s_1.tif")


@pytest.mark.parametrize(("size", "told"), [((10, 10, 50), True), ((50, 10, 10), False)])
def test_a_voxel_size_in_the_wrong_order_is_asked_about(tmp_path, caplog, size, told):
    tifffile.imwrite(tmp_path / "s.tif", known())
    open_stack(tmp_path / "s.tif", size)
    assert ("mind its order: z, y, x" in caplog.text) == told
