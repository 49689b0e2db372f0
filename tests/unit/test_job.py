"""What a rule's script says where it stops."""

import errno
import logging
from types import SimpleNamespace

import numpy as np
import pytest

from blockface.errors import InputError
from blockface.job import run
from blockface.volume import create_volume, open_volume


class Named(dict):
    """Files with names and positions, as Snakemake's are."""

    def __getitem__(self, key):
        return list(self.values())[key] if isinstance(key, int) else super().__getitem__(key)


def job(folder, **files):
    """As much of Snakemake's job as a script sees."""
    return SimpleNamespace(
        log=[str(folder / "log")], input=Named(files), output=Named(model=str(folder / "model.pt")),
        params=Named(), threads=1,
    )  # fmt: skip


def stopped(folder, main, **files) -> str:
    with pytest.raises(SystemExit) as stop:
        run(main, job(folder, **files))
    return str(stop.value.code)


def full():
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_in_one_line(tmp_path):
    assert "model.pt: no space left on the disk" in stopped(tmp_path, lambda **_: full())


def test_a_full_disk_that_a_library_hid_behind_another_error_is_told_too(tmp_path):
    def main(**_):
        try:
            full()
        finally:
            raise RuntimeError("unexpected pos 1419840 vs 1419728")

    told = stopped(tmp_path, main)
    assert "no space left on the disk" in told
    assert "unexpected pos" not in told


def test_a_damaged_volume_is_told_in_one_line(tmp_path):
    array = create_volume(tmp_path / "objects.zarr", (20, 40, 40), np.uint32, (50.0, 10.0, 10.0))
    array[:16] = np.arange(16 * 1600).reshape(16, 40, 40)
    (shard,) = (f for f in (tmp_path / "objects.zarr/c").rglob("*") if f.is_file())
    shard.write_bytes(shard.read_bytes()[:-5])

    def main(**_):
        open_volume(tmp_path / "objects.zarr")[:]

    told = stopped(tmp_path, main, objects=str(tmp_path / "objects.zarr"), table="a.csv")
    assert told.startswith(f"Error: {tmp_path}/objects.zarr: a stored chunk is damaged")


def test_a_mistake_of_the_user_is_told_as_it_is(tmp_path):
    def main(**_):
        raise InputError("a.tif: wrong")

    assert stopped(tmp_path, main) == "Error: a.tif: wrong"


def test_any_other_error_keeps_its_traceback(tmp_path):
    def main(**_):
        raise ValueError("a fault of the program")

    with pytest.raises(ValueError, match="a fault of the program"):
        run(main, job(tmp_path))
    assert "Traceback" in (tmp_path / "log").read_text()


def test_warnings_reach_the_terminal_and_those_of_libraries_do_not(tmp_path, capfd):
    def main(**_):
        logging.getLogger("blockface.stack").warning("a.tif: one slice is blank")
        logging.getLogger("__main__").info("slice 3")
        logging.getLogger("tifffile").warning("a tag is odd")

    run(main, job(tmp_path))
    assert capfd.readouterr().err == "Warning: a.tif: one slice is blank\n"
    written = (tmp_path / "log").read_text()
    for told in ("one slice is blank", "slice 3", "a tag is odd"):
        assert told in written
