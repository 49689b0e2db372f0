"""Projects that are made once and copied for each test."""

import os
from collections.abc import Callable

import pytest
from filelock import FileLock

from workflow.project import Project, hashes, paint_crop


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Callable[[str, Callable[[], Project]], Project]:
    """Function that gives a copy of the project of some name, which the first to ask has made.

    Tests may run in several processes at a time (pytest-xdist): a project is made in one of them.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def project(name: str, make: Callable[[], Project]) -> Project:
        kept = shared / f"workflow_{name}"
        with FileLock(f"{kept}.lock"):
            if not kept.exists():
                make().folder.rename(kept)
        return Project(kept).copy(tmp_path_factory.mktemp(name) / "project")

    return project


@pytest.fixture(scope="session")
def fresh(made, tmp_path_factory) -> Project:
    """A project of which nothing is made yet; only to be copied."""
    return made("fresh", lambda: Project.new(tmp_path_factory.mktemp("fresh") / "project"))


@pytest.fixture(scope="session")
def first(fresh, made, tmp_path_factory) -> Project:
    """The project after iteration 00; only to be copied and read."""

    def make() -> Project:
        project = fresh.copy(tmp_path_factory.mktemp("first") / "project")
        project.make()
        return project

    return made("first", make)


@pytest.fixture(scope="session")
def second(first, made, tmp_path_factory) -> tuple[Project, dict[str, str]]:
    """The project after iteration 01, and the hashes that iteration 00 had before."""
    closed = hashes(first / "results/demo/iter_00")

    def make() -> Project:
        project = first.copy(tmp_path_factory.mktemp("second") / "project")
        paint_crop(project / "annotations/demo/01/z0025", 25)
        project.make()
        return project

    return made("second", make), closed


@pytest.fixture
def project(first, tmp_path) -> Project:
    """A copy of the project after iteration 00, to be changed."""
    return first.copy(tmp_path / "project")
