"""What tests share: where the real data lie."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data: BLOCKFACE_DATA, or shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("BLOCKFACE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder}; set BLOCKFACE_DATA")
    return folder
