"""Projects that are made once and copied for each test."""

import pytest

from workflow.project import Project, hashes, paint_crop


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> Project:
    """A project of which nothing is made yet; only to be copied."""
    return Project.new(tmp_path_factory.mktemp("fresh") / "project")


@pytest.fixture(scope="session")
def first(fresh, tmp_path_factory) -> Project:
    """The project after iteration 00; only to be copied and read."""
    project = fresh.copy(tmp_path_factory.mktemp("first") / "project")
    project.make()
    return project


@pytest.fixture(scope="session")
def second(first, tmp_path_factory) -> tuple[Project, dict[str, str]]:
    """The project after iteration 01, and the hashes that iteration 00 had before."""
    project = first.copy(tmp_path_factory.mktemp("second") / "project")
    closed = hashes(project / "results/demo/iter_00")
    paint_crop(project / "annotations/demo/01/z0025", 25)
    project.make()
    return project, closed


@pytest.fixture
def project(first, tmp_path) -> Project:
    """A copy of the project after iteration 00, to be changed."""
    return first.copy(tmp_path / "project")
