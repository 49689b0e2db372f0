"""Projects of Seg3D: which session, which planes, and what is told where something is missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import exchange_files as files
from blockface.annotations import import_rounds
from blockface.errors import InputError
from blockface.layers import Reference, open_layers
from blockface.seg3d_project import read_session, sessions
from blockface.volume import open_volume

SHAPE, VOXEL, FIRST = (6, 8, 9), (50.0, 10.0, 12.0), (0.0, 0.0, 0.0)
REFERENCE = Reference(SHAPE, VOXEL)


def some(seed, count=2):
    rng = np.random.default_rng(seed)
    return {f"layer {i}": rng.random(SHAPE) > 0.7 for i in range(count)}


def masks_of(folder):
    found = {}
    for layer in open_layers(folder, REFERENCE):
        found[layer.name] = layer.view(layer.place(REFERENCE, folder))[:]
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 19), st.integers(0, 99))
def test_every_mask_is_its_bit_of_its_block(tmp_path_factory, count, seed):
    folder = tmp_path_factory.mktemp("p") / "mine.seg3dproj"
    truth = some(seed, count)
    files.project(folder, [truth], VOXEL, FIRST)
    found = masks_of(folder)
    assert list(found) == list(truth)
    assert all(np.array_equal(found[name], truth[name]) for name in truth)


@pytest.fixture
def folder(tmp_path):
    files.project(tmp_path / "p.seg3dproj", [some(0), some(1)], VOXEL, FIRST)
    return tmp_path / "p.seg3dproj"


def test_the_newest_session_is_read_and_another_one_on_request(folder):
    assert [entry[0] for entry in sessions(folder)] == [1, 2]
    assert str(read_session(folder)) == "session 2 (Auto Save, 2024-05-06 07:08:09)"
    assert str(read_session(folder / "p.s3d", 1)).startswith("session 1")
    assert np.array_equal(masks_of(folder)["layer 0"], some(1)["layer 0"])
    (folder.parent / "sessions.tsv").write_text("project\tsession\np.seg3dproj\t1\n")
    assert np.array_equal(masks_of(folder)["layer 0"], some(0)["layer 0"])
    (folder.parent / "sessions.tsv").write_text("project\tsession\np.seg3dproj\t5\n")
    with pytest.raises(InputError, match=r"session 5 has no XML .* 1 \(Auto Save.*2 \("):
        masks_of(folder)


def test_without_a_list_of_sessions_the_highest_number_is_taken(folder, caplog):
    (folder / "database" / "sessions.sqlite").unlink()
    assert read_session(folder).number == 2
    assert "known by their numbers only" in caplog.text


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_what_is_missing_or_odd_is_told_in_one_line(folder):
    session = folder / "sessions" / "2.xml"
    keep = session.read_text()
    for old, new, message in (
        ('id="bit">1<', 'id="bit">8<', "layer 0: bit 8; expected 0 to 7"),
        ('<State id="bit">1</State>', "", "layer 0: bit missing"),
        ('type="mask"', 'type="large"', "extract a data layer"),
        ("</Seg3D>", "", "not readable as XML"),
        ('<layer_0 version="2" type="mask">', '<layer_0 version="2" type="label">', None),
    ):
        changed(session, old, new)
        if message is None:
            assert [m.name for m in read_session(folder).masks] == ["layer 1"]
        else:
            with pytest.raises(InputError, match=message) as caught:
                read_session(folder)
            assert "\n" not in str(caught.value)
        session.write_text(keep)
    session.write_text(keep.split("<group_0>")[0] + "</groups></layermanager></Seg3D>")
    with pytest.raises(
        InputError, match=r"no mask layers in session 2 .*; sessions with masks: 1 \([^()]*\); "
    ):
        read_session(folder)
    changed(folder / "p.s3d", 'project version="2"', 'project version="1"')
    with pytest.raises(InputError, match="project version 1; expected 2; open and save it once"):
        read_session(folder)
    (folder / "q.s3d").write_text("")
    with pytest.raises(InputError, match=r"found p.s3d, q.s3d; expected one"):
        read_session(folder)


def test_a_group_whose_layers_have_two_grids_is_refused(tmp_path):
    folder = tmp_path / "p.seg3dproj"
    files.project(folder, [some(0, 9)], VOXEL, FIRST)
    files.old_style(folder / "data" / "11.nrrd", np.ones(SHAPE, np.uint8), VOXEL, (50.0, 0, 0))
    with pytest.raises(InputError, match=r"layer layer 8 has .* layer 0 of the same group"):
        open_layers(folder, REFERENCE)


def imported(home, classes):
    return import_rounds(home / "in", [0], classes, SHAPE, VOXEL, home / "a.zarr")


def test_layers_of_no_class_are_left_out_and_told_and_missing_blocks_too(tmp_path, caplog):
    folder = tmp_path / "in" / "00" / "p.seg3dproj"
    masks = {f"{i} helper": np.ones(SHAPE, bool) for i in range(8)}
    masks |= {"fibril": np.zeros(SHAPE, bool), "void space": np.zeros(SHAPE, bool)}
    masks["fibril"][2, :3], masks["void space"][2, 5:] = True, True
    files.project(folder, [masks], VOXEL, FIRST)
    (folder / "data" / "10.nrrd").unlink()  # the helpers' block
    table = imported(tmp_path, {1: "fibril", 2: "void_space"})
    truth = np.full(SHAPE, 255, np.uint8)
    truth[2] = 0
    truth[2, :3], truth[2, 5:] = 1, 2
    assert np.array_equal(open_volume(tmp_path / "a.zarr")[:], truth)
    assert "layers of no class left out: 0 helper, 1 helper" in caplog.text
    assert "session 1 (Auto Save" in table["note"][0]
    assert table["file"].tolist() == ["00/p.seg3dproj:fibril", "00/p.seg3dproj:void space"]
    (folder / "data" / "11.nrrd").unlink()
    with pytest.raises(InputError, match=r"11.nrrd: missing; the mask fibril \(generation 11\)"):
        imported(tmp_path, {1: "fibril", 2: "void_space"})
    with pytest.raises(InputError, match="none is named after one of the classes cell"):
        imported(tmp_path, {1: "cell"})


def test_masks_of_a_project_that_overlap_are_refused_with_count_and_box(tmp_path):
    masks = {"fibril": np.zeros(SHAPE, bool), "cell": np.zeros(SHAPE, bool)}
    masks["fibril"][1, :3, :3], masks["cell"][1, 2:5, 2:5] = True, True
    files.project(tmp_path / "in" / "00" / "p.seg3dproj", [masks], VOXEL, FIRST)
    with pytest.raises(InputError, match=r"in 1 voxels, inside z 1:2, y 2:3, x 2:3"):
        imported(tmp_path, {1: "fibril", 2: "cell"})


def test_a_project_file_without_its_folder_says_what_to_do(tmp_path):
    (tmp_path / "in" / "00").mkdir(parents=True)
    (tmp_path / "in" / "00" / "p.s3d").write_text("")
    with pytest.raises(InputError, match="copy the whole folder of the project"):
        imported(tmp_path, {1: "fibril"})
    (tmp_path / "in" / "00" / "sub").mkdir()
    (tmp_path / "in" / "00" / "p.s3d").rename(tmp_path / "in" / "00" / "sub" / "p.s3d")
    with pytest.raises(InputError, match="no folder sessions beside it"):
        imported(tmp_path, {1: "fibril"})
