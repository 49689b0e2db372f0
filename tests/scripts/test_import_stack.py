"""import_stack: the same volume however it was stopped, checked, and in bounded memory."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import import_stack
from blockface import intake
from blockface.errors import InputError
from blockface.stack import open_stack
from blockface.volume import open_volume, voxel_size

SIZE = [50.0, 10.0, 8.0]


def stack_file(path, dtype="uint8", shape=(70, 40, 50), seed=0):
    rng = np.random.default_rng(seed)
    data = rng.normal(120, 20, shape).clip(0, 250).astype(dtype)
    tifffile.imwrite(path, data, photometric="minisblack")
    return data


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_values_voxel_size_and_grey_levels(tmp_path, dtype):
    data = stack_file(tmp_path / "s.tif", dtype)
    import_stack.main(stack=str(tmp_path / "s.tif"), raw=str(tmp_path / "raw.zarr"),
                      voxel_size_nm=SIZE, dataset="d", threads=2)  # fmt: skip
    raw = open_volume(tmp_path / "raw.zarr")
    np.testing.assert_array_equal(raw[:], data)
    assert raw.dtype == data.dtype
    assert voxel_size(raw) == tuple(SIZE)
    assert raw.attrs["source"] == str(tmp_path / "s.tif")
    grey = raw.attrs["grey"]
    assert set(grey) == {"p1", "p50", "p99", "mean", "sd", "min", "max"}
    tolerance = 0.01 if dtype == "float32" else 1e-9
    exact = data.astype(float)
    for name in ("mean", "sd", "min", "max"):
        assert grey[name] == pytest.approx(getattr(exact, name.replace("sd", "std"))(), abs=1e-6)
    for p in (1, 50, 99):
        expected = np.percentile(exact, p, method="inverted_cdf")
        assert grey[f"p{p}"] == pytest.approx(expected, abs=tolerance)


def test_floats_far_from_zero_with_an_outlier_have_fine_percentiles(tmp_path):
    data = np.random.default_rng(0).normal(-30000, 5, (20, 64, 64)).astype("float32")
    data[3, 4, 5] = 1e9
    tifffile.imwrite(tmp_path / "s.tif", data, photometric="minisblack")
    import_stack.main(stack=str(tmp_path / "s.tif"), raw=str(tmp_path / "raw.zarr"),
                      voxel_size_nm=SIZE)  # fmt: skip
    grey = open_volume(tmp_path / "raw.zarr").attrs["grey"]
    assert grey["p50"] == pytest.approx(np.median(data), abs=0.05)
    assert grey["p1"] == pytest.approx(np.percentile(data, 1), abs=0.05)
    assert grey["max"] == pytest.approx(1e9)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, dtype):
    stack_file(tmp_path / "s.tif", dtype)
    stack = open_stack(tmp_path / "s.tif", SIZE)
    intake.copy_stack(stack, tmp_path / "a.zarr")

    calls = []

    def killed(volume_block, z0, of):
        calls.append(z0)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(intake, "_check_finite", killed)
        with pytest.raises(KeyboardInterrupt):
            intake.copy_stack(stack, tmp_path / "b.zarr")
    assert not (tmp_path / "b.zarr").exists()
    read, plain = [], stack.reader
    stack.reader = lambda z0, z1: read.append(z0) or plain(z0, z1)
    intake.copy_stack(stack, tmp_path / "b.zarr", threads=2)
    assert min(read) == 32  # two rows of 16 slices were there already
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")


def test_a_changed_source_begins_anew(tmp_path, monkeypatch):
    stack_file(tmp_path / "s.tif")
    with monkeypatch.context() as patch:
        patch.setattr(intake.GreyLevels, "statistics", lambda self, rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            intake.copy_stack(open_stack(tmp_path / "s.tif", SIZE), tmp_path / "raw.zarr")
    data = stack_file(tmp_path / "s.tif", seed=1)
    intake.copy_stack(open_stack(tmp_path / "s.tif", SIZE), tmp_path / "raw.zarr")
    np.testing.assert_array_equal(open_volume(tmp_path / "raw.zarr")[:], data)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_names_the_slice_and_the_count(tmp_path, value):
    data = stack_file(tmp_path / "s.tif", "float32")
    data[33, 2, 3:6] = value
    tifffile.imwrite(tmp_path / "s.tif", data, photometric="minisblack")
    with pytest.raises(InputError, match=r"s.tif: slice 33 holds 3 values that are NaN"):
        import_stack.main(stack=str(tmp_path / "s.tif"), raw=str(tmp_path / "raw.zarr"),
                          voxel_size_nm=SIZE)  # fmt: skip
    assert not (tmp_path / "raw.zarr").exists()


def test_blank_slices_are_kept_with_a_warning(tmp_path, caplog):
    data = stack_file(tmp_path / "s.tif")
    data[[5, 20, 21]] = 7
    tifffile.imwrite(tmp_path / "s.tif", data, photometric="minisblack")
    with caplog.at_level(logging.INFO):
        import_stack.main(stack=str(tmp_path / "s.tif"), raw=str(tmp_path / "raw.zarr"),
                          voxel_size_nm=SIZE)  # fmt: skip
    assert "3 slice(s) of one grey level only: 5, 20-21;" in caplog.text
    assert "70 of 70 slices copied" in caplog.text


def test_a_failed_import_leaves_the_earlier_result(tmp_path):
    stack_file(tmp_path / "s.tif")
    args = {"stack": str(tmp_path / "s.tif"), "raw": str(tmp_path / "raw.zarr")}
    import_stack.main(**args, voxel_size_nm=SIZE)
    before = files_of(tmp_path / "raw.zarr")
    with pytest.raises(InputError, match=r"voxel size unknown.*datasets\.d\.voxel_size_nm"):
        import_stack.main(**args, dataset="d")
    assert files_of(tmp_path / "raw.zarr") == before


def test_two_slices_of_a_big_stack_need_little_memory(tmp_path):
    """A sparse file of 2 GB: opened and read in a process of its own, its peak is measured."""
    tifffile.memmap(tmp_path / "s.tif", shape=(512, 2048, 2048), dtype="uint8", bigtiff=True,
                    photometric="minisblack")  # fmt: skip
    code = (
        "import sys, resource; sys.path.insert(0, sys.argv[1])\n"
        "from blockface.stack import open_stack\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "stack = open_stack(sys.argv[2], (50, 10, 10))\n"
        "assert stack.read(300, 302).shape == (2, 2048, 2048)\n"
        "print(peak() - before)\n"
    )
    scripts = Path(import_stack.__file__).parent
    out = subprocess.run([sys.executable, "-c", code, str(scripts), str(tmp_path / "s.tif")],
                         check=True, capture_output=True, text=True)  # fmt: skip
    assert int(out.stdout) < 100_000  # kB


def test_the_volume_opens_as_a_stack(tmp_path):
    data = stack_file(tmp_path / "s.tif")
    intake.copy_stack(open_stack(tmp_path / "s.tif", SIZE), tmp_path / "raw.zarr")
    again = open_stack(tmp_path / "raw.zarr")
    assert again.voxel_size_nm == tuple(SIZE)
    np.testing.assert_array_equal(again.read(10, 20), data[10:20])
    assert isinstance(zarr.open(str(tmp_path / "raw.zarr"), mode="r"), zarr.Array)
