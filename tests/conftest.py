"""What tests share: where the real data lie, and the demo, run once."""

import os
from pathlib import Path

import pytest

from demo.commands import Demo


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data: BLOCKFACE_DATA, or shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("BLOCKFACE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder}; set BLOCKFACE_DATA")
    return folder


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Demo:
    """The demo after both iterations, as `make demo` leaves it on a workstation of two cores."""
    return Demo(tmp_path_factory.mktemp("demo")).make()
