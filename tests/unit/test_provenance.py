import json
import os
import subprocess

import pytest

import manifest
from blockface import provenance
from blockface.errors import InputError


def make(folder, path):
    return provenance.write_manifest(
        path,
        settings={"classes": {1: "fibril"}, "voxel_size_nm": (50, 10, 10)},
        dataset="demo",
        iteration=1,
        seed=3,
        inputs=[folder],
        results=[folder / "a.csv"],
    )


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "in"
    (inside / "deep").mkdir(parents=True)
    (inside / "a.csv").write_bytes(b"a")
    (inside / "deep" / "b.bin").write_bytes(b"bb")
    return inside


def test_byte_stable_but_for_times_and_platform(folder, tmp_path):
    texts = []
    for name in ("one.json", "two.json"):
        make(folder, tmp_path / name)
        record = json.loads((tmp_path / name).read_text())
        record.pop("times")
        record.pop("platform")
        texts.append(json.dumps(record))
        for file in folder.rglob("*"):
            os.utime(file, (1, 1))
        (folder / ".snakemake_timestamp").touch()
    assert texts[0] == texts[1]
    assert record["settings"] == {"classes": {"1": "fibril"}, "voxel_size_nm": [50, 10, 10]}
    assert record["versions"]["numpy"]
    assert record["versions"]["blockface"]


def test_digest_of_a_file_is_its_sha256(folder):
    known = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert provenance.digest(folder / "a.csv")["sha256"] == known


@pytest.mark.parametrize("change", ["content", "name", "more"])
def test_digest_of_a_folder_sees_every_change(folder, change):
    before = provenance.digest(folder)
    if change == "content":
        (folder / "deep" / "b.bin").write_bytes(b"bc")
    elif change == "name":
        (folder / "deep" / "b.bin").rename(folder / "deep" / "c.bin")
    else:
        (folder / "c").touch()
    assert provenance.digest(folder)["sha256"] != before["sha256"]
    assert provenance.digest(folder, threads=3) == provenance.digest(folder)


def test_big_files_are_digested_in_part_and_said_so(folder, monkeypatch):
    monkeypatch.setattr(provenance, "WHOLE_FILE", 10)
    monkeypatch.setattr(provenance, "END", 4)
    big = folder / "big"
    big.write_bytes(b"head" + b"." * 20 + b"tail")
    first = provenance.digest(big)
    assert first["partly"] == 1
    big.write_bytes(b"head" + b"." * 20 + b"tale")
    assert provenance.digest(big)["sha256"] != first["sha256"]
    assert provenance.digest(folder)["partly"] == 1
    monkeypatch.setattr(provenance, "WHOLE_INPUT", 5)
    assert provenance.digest(folder)["partly"] == 3


def test_missing_input_is_one_line(tmp_path):
    with pytest.raises(InputError, match="not found"):
        provenance.digest(tmp_path / "none")


def test_git_state(tmp_path, monkeypatch):
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": None}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": None}
    (tmp_path / "f").write_text("1")
    subprocess.run([*git, "add", "f"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    state = provenance.git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "f").write_text("2")
    assert provenance.git_state(tmp_path)["dirty"] is True
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert provenance.git_state(inside)["commit"] is None
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(tmp_path) == {"commit": None, "dirty": None}


def test_times_add_up_slabs(tmp_path):
    head = "s\th:m:s\tmax_rss\tmax_vms\n"
    (tmp_path / "predict_0.tsv").write_text(head + "2.5\t0:00:02\t100\t1\n")
    (tmp_path / "predict_1.tsv").write_text(head + "1.5\t0:00:01\t300\t1\n")
    (tmp_path / "train_segmenter.tsv").write_text(head + "0.1\t0:00:00\t-\t-\n")
    (tmp_path / "empty.tsv").touch()
    found = provenance.times([*tmp_path.glob("*.tsv"), tmp_path / "none.tsv"])
    assert found["rules"] == {
        "predict": {"jobs": 2, "seconds": 4.0, "max_memory_mb": 300.0},
        "train_segmenter": {"jobs": 1, "seconds": 0.1, "max_memory_mb": None},
    }
    assert found["started"] <= found["finished"] <= found["written"]


def test_times_from_the_logs_of_this_iteration(tmp_path):
    line = "2025-01-01 00:00:00,000 INFO done in {} s\n"
    for name, seconds in (("import_stack", 1.5), ("iter_00/evaluate", 7), ("iter_01/evaluate", 2),
                          ("iter_01/predict_slab/0-of-2", 9),
                          ("iter_01/predict_slab/1-of-2", 3)):  # fmt: skip
        path = tmp_path / f"{name}.log"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("begun\n" + line.format(seconds))
    (tmp_path / "iter_01" / "report.log").write_text("not done\n")
    benchmark = tmp_path / "iter_01" / "predict_slab" / "0-of-2.benchmark.tsv"
    benchmark.write_text("s\tmax_rss\n10\t55\n")
    found = provenance.times(provenance.records_of(tmp_path, 1))["rules"]
    assert {rule: tuple(r.values()) for rule, r in found.items()} == {
        "import_stack": (1, 1.5, None), "evaluate": (1, 2.0, None), "predict_slab": (2, 13.0, 55),
    }  # fmt: skip
    assert provenance.records_of(tmp_path / "none", 1) == []


def test_script(folder, tmp_path):
    manifest.main(
        manifest=str(tmp_path / "m.json"), settings={}, dataset="d", iteration=0, seed=1,
        threads=1, inputs=str(folder), results=[str(folder / "a.csv")], benchmarks=[],
    )  # fmt: skip
    record = json.loads((tmp_path / "m.json").read_text())
    assert [r["files"] for r in record["inputs"]] == [2]
    assert set(record["platform"]) >= {"cpu", "cores", "gpu"}
