"""Comparisons and exports as a user asks for them, on objects made elsewhere: no network."""

import numpy as np
import pytest
import tifffile

from blockface.tables import read_table
from workflow.project import SHAPE, VOXEL_NM, Project


def block(z, y, x, number, ids):
    ids[z : z + 10, y : y + 10, x : x + 10] = number


def two_datasets(folder) -> Project:
    """Two datasets of three objects; in the second one has moved and one is not there."""
    folder.mkdir()
    one, other = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    for number, at in enumerate([(5, 10, 10), (5, 20, 10), (25, 50, 50)], 1):
        block(*at, 10 * number, one)
        if number < 3:
            block(at[0], at[1] + 3, at[2], number, other)
    for name, ids in (("one", one), ("other", other)):
        tifffile.imwrite(folder / f"{name}.tif", ids)
    project = Project(folder)
    datasets = {
        n: {"objects": f"{n}.tif", "voxel_size_nm": list(VOXEL_NM)} for n in ("one", "other")
    }
    datasets["one"] |= {"export": ["ply", "swc"], "export_files": "object"}
    project.write({"datasets": datasets, "compare": {"moved": ["one/iter_00", "other/iter_00"]}})
    return project


@pytest.fixture
def project(tmp_path) -> Project:
    """Of which nothing is made yet."""
    return two_datasets(tmp_path / "project")


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> Project:
    """The project after its comparison; only to be copied and read."""
    project = two_datasets(tmp_path_factory.mktemp("compared") / "project")
    project.make()
    return project


def test_a_comparison_and_exports(compared):
    project = compared
    folder = project / "results/compare/moved"
    rows = read_table(folder / "objects.csv")
    assert rows.fate.tolist() == ["gone", "matched", "matched"]
    assert rows[rows.fate == "matched"].shift_y_nm.tolist() == pytest.approx([30, 30])
    assert {"all", "inside", "stack"} == set(read_table(folder / "summary.csv").objects)
    assert (folder / "figure.png").is_file()
    found = {f.name for f in (project / "results/one/iter_00/exports/object").iterdir()}
    assert found == {f"{n}.{e}" for n in (10, 20, 30) for e in ("ply", "swc")}
    assert not (project / "results/other/iter_00/exports").exists()
    assert project.jobs() == {}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (["one/iter_00", "third/iter_00"], "compare.moved: results/third/iter_00/tables/objects"),
        (["one/iter_00", "other/iter_01"], "its newest iteration is 00"),
        (["one/iter_00"], "compare.moved: ['one/iter_00'] is too short; expected: two of"),
        (["one", "other"], "'one' does not match"),
        (
            {"of": ["one/iter_00", "other/iter_00"], "mach": True},
            "unknown key 'mach'; did you mean",
        ),
    ],
)
def test_comparisons_of_what_is_not_there_stop_before_anything_runs(project, entry, line):
    project.change("compare", "moved", value=entry)
    done = project.snakemake()
    assert done.returncode != 0
    assert line in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout
    assert not (project / "results").exists()


def test_two_voxel_sizes_are_refused_and_distributions_are_not(compared, tmp_path):
    project = compared.copy(tmp_path / "project")
    made = sorted((project / "results/compare/moved").iterdir())
    before = [file.read_bytes() for file in made]
    project.change("datasets", "other", "voxel_size_nm", value=[50, 12, 12])
    done = project.snakemake()
    assert "Error: compare.moved: results/one/iter_00/objects.zarr has voxels" in done.stdout
    assert "Traceback" not in done.stdout
    assert [file.read_bytes() for file in made] == before
    asked = {"of": ["one/iter_00", "other/iter_00"], "match": False}
    project.change("compare", "moved", value=asked)
    project.make()
    assert set(read_table(project / "results/compare/moved/objects.csv").fate) == {"not_compared"}
