"""NRRD masks: both header styles, the place in the stack, and every file to refuse."""

import gzip
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockface import nrrd_data
from blockface.errors import InputError
from blockface.grids import Grid, place
from blockface.rounds import refuse_other_formats
from blockface.seg3d import read_mask, write_nrrd

VOXEL = (50.0, 10.0, 12.0)
SHAPE = (5, 6, 7)
NEW = """NRRD0005
type: unsigned char
dimension: 3
space: 3D-right-handed
sizes: 7 6 5
space directions: (12,0,0) (0,10,0) (0,0,50)
centerings: cell cell cell
kinds: space space space
encoding: gzip
space origin: (24,30,200)
measurement frame: (1,0,0) (0,1,0) (0,0,1)
"""
OLD = """NRRD0001
type: unsigned char
dimension: 3
sizes: 7 6 5
spacings: 12 10 50
axis mins: 18 25 175
centerings: cell cell cell
encoding: gzip
"""
OFFSET = (4, 3, 2)  # what both headers say


def some_mask(shape=SHAPE, seed=0):
    return (np.random.default_rng(seed).random(shape) > 0.6).astype(np.uint8)


def saved(tmp_path, header, array, name="fibril.nrrd", cut=None):
    data = np.ascontiguousarray(array).tobytes()
    data = gzip.compress(data) if "encoding: gzip" in header else data
    path = tmp_path / name
    path.write_bytes(header.encode() + b"\n" + data[:cut])
    return path


def placed(path, shape=(20, 20, 20), voxel=VOXEL, **more):
    mask = read_mask(path)
    where = place(mask.grid, shape, voxel, path=path, **more)
    return where, where.view(mask.array)


@pytest.mark.parametrize("header", [NEW, OLD], ids=["since 2.4", "before 2.4"])
@pytest.mark.parametrize("encoding", ["gzip", "raw"])
@pytest.mark.parametrize("centering", ["cell", "node"])
def test_both_styles_and_centrings_lie_at_the_same_place(tmp_path, header, encoding, centering):
    header = header.replace("gzip", encoding).replace("cell cell cell", " ".join([centering] * 3))
    if centering == "node":
        header = header.replace("axis mins: 18 25 175", "axis mins: 24 30 200")
    array = some_mask()
    where, seen = placed(saved(tmp_path, header, array))
    assert where.offset == OFFSET
    assert np.array_equal(seen, array)


def grid_from(tmp_path, *fields):
    header = "NRRD0001\ntype: uchar\ndimension: 3\nsizes: 7 6 5\nencoding: raw\n"
    return read_mask(saved(tmp_path, header + "".join(f"{f}\n" for f in fields), some_mask())).grid


@pytest.mark.parametrize(
    ("fields", "spacing", "first"),
    [
        (["axis mins: 1 2 3", "spacings: 2 2 4"], [2, 2, 4], [1, 2, 3]),
        (["axis mins: 1, 2, 3", "spacings: 2 2 4"], [2, 2, 4], [1, 2, 3]),
        (["axis mins: 1 2 3", "spacings: 2 2 4", "centers: cell cell cell"], [2, 2, 4], [2, 3, 5]),
        (["axis mins: 0 0 0", "axis maxs: 14 12 10", "centerings: cell cell cell"],
         [2, 2, 2], [1, 1, 1]),
        (["axis mins: 0 0 0", "axis maxs: 12 10 8"], [2, 2, 2], [0, 0, 0]),
        (["spacings: 2 2 4"], [2, 2, 4], [0, 0, 0]),
        (["spacings: 2 2 4", "centerings: cell cell cell"], [2, 2, 4], [1, 1, 2]),
        (["spacings: NaN NaN NaN"], [1, 1, 1], [0, 0, 0]),
        ([], [1, 1, 1], [0, 0, 0]),
        (["centerings: cell cell cell"], [1, 1, 1], [0.5, 0.5, 0.5]),
    ],
)  # fmt: skip
def test_half_voxel_rule_of_old_headers(tmp_path, fields, spacing, first):
    grid = grid_from(tmp_path, *fields)
    assert grid.spacing.tolist() == spacing
    assert grid.first_centre.tolist() == first


STEPS = "(12,0,0) (0,10,0) (0,0,50)"
CHANGES = {
    "wrong sizes": ("sizes", "sizes", "7 x 6 x 5 .* 6 x 6 x 6 .*another crop", (6,) * 3),
    "wrong spacing": ("(12,0,0)", "(13,0,0)", r"13 x 10 x 50 against 12 x 10 x 50 .*ratio", None),
    "unit um": (STEPS, "(.012,0,0) (0,.01,0) (0,0,.05)", "nm, um, mm", None),
    "unit mm": (STEPS, "(12e-6,0,0) (0,1e-5,0) (0,0,5e-5)", "nm, um", None),
    "x and z swapped": (STEPS, "(50,0,0) (0,10,0) (0,0,12)", "z, y, x", None),
    "uncalibrated": (STEPS, "(1,0,0) (0,1,0) (0,0,1)", "no voxel size", None),
    "half voxel": ("(24,30,200)", "(30,35,225)", "node/cell centering .*30, 35, 225", None),
    "other fraction": ("(24,30,200)", "(27,30,200)", "2.25, 3, 4 voxels.*Transform tool", None),
    "oblique": ("(12,0,0)", "(11,4,0)", "oblique data is not supported", None),
    "NaN origin": ("(24,30,200)", "(nan,nan,nan)", "'space origin'", None),
    "no origin": ("space origin: (24,30,200)\n", "", "'space origin'", None),
    "zero spacing": ("(0,10,0)", "(0,0,0)", "spacing of 0", None),
    "vector kind": ("kinds: space space space", "kinds: RGB-color space space", "multi-comp", None),
    "Slicer": ("kinds:", "Segment0_ID:=a\nkinds:", "multi-component or Slicer file", None),
    "float": ("unsigned char", "float", "type float with values .* expected unsigned char", None),
    "negative": ("unsigned char", "signed char", "negative values", None),
    "type block": ("unsigned char", "block", "type block", None),
    "zero size": ("sizes: 7 6 5", "sizes: 7 6 0", "sizes", None),
    "hex": ("gzip", "hex", "encoding hex", None),
    "detached": ("encoding", "data file: a.raw\nencoding", "in another file", None),
    "twice": ("dimension: 3", "dimension: 3\ndimension: 3", "header cannot be read", None),
    "no sizes": ("sizes: 7 6 5\n", "", "header cannot be read|no field 'sizes'", None),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_one_changed_line_is_refused_in_one_line(tmp_path, name):
    old, new, message, shape = CHANGES[name]
    assert old in NEW
    array = some_mask()
    if name == "float":
        array = array.astype(np.float32) / 2
    if name == "negative":
        array = -array.astype(np.int8)
    path = saved(tmp_path, NEW.replace(old, new), array)
    with pytest.raises(InputError, match=message) as caught:
        placed(path, shape or (20, 20, 20))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_four_axes_and_two_axes_are_refused_but_an_axis_of_one_is_dropped(tmp_path):
    four = NEW.replace("dimension: 3", "dimension: 4").replace("sizes: 7", "sizes: 2 7")
    four = four.replace("(12,", "none (12,").replace("kinds: ", "kinds: list ")
    four = four.replace("centerings: cell", "centerings: none cell")
    with pytest.raises(InputError, match="multi-component"):
        read_mask(saved(tmp_path, four, np.stack([some_mask()] * 2, -1)))
    one = four.replace("sizes: 2", "sizes: 1")
    where, seen = placed(saved(tmp_path, one, some_mask()))
    assert where.offset == OFFSET
    assert np.array_equal(seen, some_mask())
    flat = "NRRD0001\ntype: uchar\ndimension: 2\nsizes: 7 6\nencoding: raw\n"
    with pytest.raises(InputError, match="expected a stack"):
        read_mask(saved(tmp_path, flat, some_mask()[0]))


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_truncated_files_tell_expected_and_found_bytes(tmp_path, encoding):
    path = saved(tmp_path, NEW.replace("gzip", encoding), some_mask(), cut=60)
    with pytest.raises(InputError, match=r"truncated or corrupt.* \d+ .*210"):
        read_mask(path)


def test_damaged_gzip_is_refused(tmp_path):
    path = saved(tmp_path, NEW, some_mask())
    data = bytearray(path.read_bytes())
    data[-6] ^= 255  # in the checksum
    path.write_bytes(data)
    with pytest.raises(InputError, match="truncated or corrupt"):
        read_mask(path)
    path.write_bytes(bytes(data[:-8]))
    with pytest.raises(InputError, match="truncated"):
        read_mask(path)


def test_too_long_data_are_read_with_a_warning(tmp_path, caplog):
    path = saved(tmp_path, NEW, np.append(some_mask(), np.zeros(9, np.uint8)))
    assert np.array_equal(read_mask(path).array, some_mask())
    assert "9 bytes more" in caplog.text


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.s3d", "whole folder of the project"), ("a.mat", "as NRRD"), ("a.nhdr", "header attached"),
     ("a.ses", "Seg3D 2"), ("a.zip", "webKnossos"), ("a.mha", "as NRRD"), ("a.dcm", "as NRRD")],
)  # fmt: skip
def test_other_formats_say_what_to_do(tmp_path, name, message):
    with pytest.raises(InputError, match=message):
        refuse_other_formats(tmp_path / name)


def test_something_else_is_no_nrrd(tmp_path):
    (tmp_path / "a.nrrd").write_text("hello")
    with pytest.raises(InputError, match="not an NRRD"):
        read_mask(tmp_path / "a.nrrd")


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_uncalibrated_file_of_the_whole_stack_is_taken_with_a_note(first):
    grid = Grid((7, 6, 5), np.eye(3), np.full(3, first), "node")
    where = place(grid, SHAPE, VOXEL)
    assert where.offset == (0, 0, 0)
    assert "no voxel size" in where.note


def test_whole_stack_one_voxel_off_after_a_flip_is_named_as_seg3d_fault():
    grid = Grid((7, 6, 5), np.diag([-12.0, 10, 50]), np.array([7 * 12.0, 0, 0]), "node")
    with pytest.raises(InputError, match="one-voxel shift"):
        place(grid, SHAPE, VOXEL)


def test_big_endian_labels_of_two_bytes_are_read(tmp_path):
    labels = (some_mask().astype(np.uint16) * 300).astype(">u2")
    header = NEW.replace("unsigned char", "ushort").replace("encoding", "endian: big\nencoding")
    assert np.array_equal(read_mask(saved(tmp_path, header, labels)).array, labels)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_permuted_flipped_crop_finds_its_voxels_again(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    stack = rng.integers(0, 255, rng.integers(3, 9, 3)).astype(np.uint8)
    size = np.array(data.draw(st.tuples(*[st.floats(0.5, 500)] * 3)))
    origin = rng.uniform(-1000, 1000, 3)
    low = [int(rng.integers(0, n)) for n in stack.shape]
    high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, stack.shape, strict=True)]
    crop = stack[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    order = data.draw(st.permutations(range(3)))  # file axis j is stack axis order[j], zyx
    flips = data.draw(st.tuples(*[st.booleans()] * 3))
    first, steps = origin + np.array(low) * size, np.diag(size)
    for axis in range(3):
        if flips[axis]:
            crop = np.flip(crop, axis)
            first = first + steps[axis] * (crop.shape[axis] - 1)
            steps[axis] *= -1
    array = crop.transpose(order)
    directions = steps[list(order)][::-1, ::-1].T  # columns x y z of the file, rows x y z
    grid = Grid(array.shape[::-1], directions, first[::-1], "cell")
    where = place(grid, stack.shape, tuple(size), origin_nm=tuple(origin))
    region = tuple(slice(o, o + n) for o, n in zip(where.offset, where.shape, strict=True))
    assert np.array_equal(where.view(array), stack[region])
    assert where.offset == tuple(low)


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(0, 6)] * 3), st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 99))
def test_written_crop_comes_back_voxel_for_voxel(tmp_path_factory, offset, shape, seed):
    path = tmp_path_factory.mktemp("crop") / "z0001_fibril.nrrd"
    array = some_mask(shape, seed)
    write_nrrd(path, array.astype(bool), VOXEL, offset)
    where, seen = placed(path)
    assert where.offset == offset
    assert np.array_equal(seen, array)


def test_written_header_is_the_one_seg3d_reads(tmp_path):
    write_nrrd(tmp_path / "a.nrrd", np.ones((2, 3, 4), np.uint16), VOXEL, (1, 2, 3))
    header = (tmp_path / "a.nrrd").read_bytes().split(b"\n\n")[0].decode().splitlines()
    assert header == [
        "NRRD0005", "type: uint16", "dimension: 3", "space: 3D-right-handed", "sizes: 4 3 2",
        "space directions: (12,0,0) (0,10,0) (0,0,50)", "kinds: space space space",
        "endian: little", "encoding: gzip", "centerings: cell cell cell",
        "space origin: (36,20,50)",
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_large_packed_file_is_unpacked_into_a_sparse_file(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(nrrd_data, "IN_MEMORY", 1000)
    monkeypatch.setattr(nrrd_data, "PIECE", 1 + 977 * seed)
    array = np.zeros((40, 50, 60), np.uint8)
    array[20:22] = some_mask((2, 50, 60), seed)
    header = NEW.replace("sizes: 7 6 5", "sizes: 60 50 40")
    mask = read_mask(saved(tmp_path, header, array), tmp_path)
    assert isinstance(mask.array.base, np.memmap)
    assert np.array_equal(mask.array, array)
    assert [f.name for f in tmp_path.iterdir()] == ["fibril.nrrd"]


def test_several_gzip_members_are_one_volume(tmp_path):
    data = some_mask().tobytes()
    packed = b"".join(zlib.compress(p, wbits=31) for p in (data[:100], data[100:]))
    (tmp_path / "a.nrrd").write_bytes(NEW.encode() + b"\n" + packed)
    assert read_mask(tmp_path / "a.nrrd").array.tobytes() == data


def test_raw_file_is_mapped_not_read(tmp_path):
    mask = read_mask(saved(tmp_path, NEW.replace("gzip", "raw"), some_mask()))
    assert isinstance(mask.array, np.memmap)
    assert not mask.array.flags.writeable
