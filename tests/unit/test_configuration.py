"""The configuration: whole, told in one line where wrong, rounds without gaps."""

import copy
import json
from pathlib import Path

import pytest
import yaml

from blockface.configuration import check_names, complete, load_schema
from blockface.errors import InputError
from blockface.references import check_segmenters
from blockface.round_files import digests, round_files, rounds

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = load_schema(str(ROOT / "workflow/schemas/config.schema.yaml"))
WHOLE = {
    "denoisers": {"d": {"pairs": "pairs.tsv", "network": {"base": 8}, "training": {"steps": 5},
                        "augmentation": {"noise": 0.2}}},
    "datasets": {"s": {"stack": "stack", "patches": {"size": 64}, "network": {"depth": 3},
                       "training": {"crop": 64}, "augmentation": {"blur": 0.0},
                       "corrections": {"count": 2},
                       "truth": {"objects": "o.zarr", "table": "o.csv"}}},
}  # fmt: skip


def keys(schema, where=()):
    """Every named key of the schema with its way to it, its part and whether it is required."""
    for name, part in schema.get("properties", {}).items():
        yield (*where, name), part, name in schema.get("required", [])
        yield from keys(part, (*where, name))
    if isinstance(schema.get("additionalProperties"), dict):
        yield from keys(schema["additionalProperties"], (*where, "<name>"))


@pytest.mark.parametrize(
    ("where", "part", "required"), list(keys(SCHEMA)), ids=[".".join(k[0]) for k in keys(SCHEMA)]
)
def test_every_key_has_a_description_and_a_default_unless_it_must_be_given(where, part, required):
    assert part.get("description", "").rstrip().endswith(".")
    entry = where[-1] in ("stack", "labels", "objects") and where[:-1] == ("datasets", "<name>")
    assert required or entry or "default" in part
    levels = [part, part.get("additionalProperties")]
    assert all(
        level.get("additionalProperties") is not None
        for level in levels
        if isinstance(level, dict) and "properties" in level
    )


def defaults_of(config):
    made = copy.deepcopy(config)
    complete(made, SCHEMA)
    return made


def test_defaults_are_filled_in_at_every_level():
    made = defaults_of(WHOLE)
    assert made["seed"] == 0
    assert made["slabs"] == 1
    assert made["denoisers"]["d"]["network"] == {"base": 8, "depth": 4, "stride": 1}
    assert made["datasets"]["s"]["network"] == {"base": 16, "depth": 3, "stride": 2}
    assert made["datasets"]["s"]["classes"] == {}
    assert made["datasets"]["s"]["corrections"]["count"] == 2
    assert made["datasets"]["s"]["min_volume_um3"] == 0


def test_the_order_in_which_keys_are_written_does_not_matter():
    plain, turned = copy.deepcopy(WHOLE), copy.deepcopy(WHOLE)
    sample = {"views": 4, "threshold": None, "network": {"stride": 2, "depth": 3}}
    plain["datasets"]["s"] |= {**sample, "network": {"depth": 3, "stride": 2}}
    turned["datasets"]["s"] = dict(reversed({**turned["datasets"]["s"], **sample}.items()))
    one, other = defaults_of(plain), defaults_of(dict(reversed(turned.items())))
    assert json.dumps(one) == json.dumps(other)


def test_filling_twice_changes_nothing_and_defaults_are_not_shared():
    made = defaults_of(WHOLE)
    again = defaults_of(made)
    assert again == made
    made["datasets"]["s"]["held_out_slices"].append(3)
    assert defaults_of(WHOLE)["datasets"]["s"]["held_out_slices"] == []


def test_the_shipped_configurations_are_good():
    shipped = sorted((ROOT / "config").glob("*.yaml"))
    assert shipped
    for path in shipped:
        complete(yaml.safe_load(path.read_text()), SCHEMA)


def levels(part, where=()):
    """Every mapping in a configuration whose keys are fixed."""
    for name, value in part.items():
        if isinstance(value, dict):
            if where not in ((),):
                yield (*where, name)
            yield from levels(value, (*where, name))


def at(config, where):
    for key in where:
        config = config[key]
    return config


@pytest.mark.parametrize("where", [(), *levels(WHOLE)], ids=lambda w: ".".join(w) or "top")
def test_an_unknown_key_is_refused_at_every_level(where):
    wrong = copy.deepcopy(WHOLE)
    at(wrong, where)["stepps"] = 1
    with pytest.raises(InputError) as caught:
        complete(wrong, SCHEMA)
    message = str(caught.value)
    assert "\n" not in message
    assert "unknown key 'stepps'" in message
    assert (".".join(where) or "top level") in message


@pytest.mark.parametrize(
    ("where", "right", "typo"),
    [((), "datasets", "dataset"), (("datasets", "s"), "classes", "clases"),
     (("datasets", "s", "training"), "steps", "step"), (("denoisers", "d"), "pairs", "pairz"),
     (("datasets", "s", "patches"), "min_foreground", "min_forground")],
)  # fmt: skip
def test_a_typo_is_told_the_nearest_key(where, right, typo):
    wrong = copy.deepcopy(WHOLE)
    at(wrong, where)[typo] = 1
    with pytest.raises(InputError, match=f"unknown key '{typo}'; did you mean {right}\\?"):
        complete(wrong, SCHEMA)


@pytest.mark.parametrize(
    ("where", "value", "words"),
    [(("datasets", "s", "voxel_size_nm"), [50, 10], "voxel_size_nm: .*z, y, x"),
     (("datasets", "s", "voxel_size_nm"), [50, 10, 0], "voxel_size_nm.2: .*more than 0"),
     (("datasets", "s", "training", "steps"), "many", "training.steps: 'many' .*Batches"),
     (("datasets", "s", "views"), 3, r"views: 3 is not one of \[1, 2, 4\]"),
     (("datasets", "s", "separate"), "magic", "separate: 'magic' .*components"),
     (("datasets", "s", "separate"), {"a": "magic"}, "separate.a: 'magic' is not one of"),
     (("datasets", "s", "segmenter"), "other/2", "segmenter: 'other/2' .*<dataset>/iter_NN"),
     (("datasets", "s", "held_out_slices"), [-1], "held_out_slices.0: .*expected: .*0 or more"),
     (("datasets", "s", "labels"), "l.tif", "found stack and labels; expected exactly one"),
     (("seed",), 1.5, "seed: 1.5 .*random")],
)  # fmt: skip
def test_a_wrong_value_is_told_with_what_was_expected(where, value, words):
    wrong = copy.deepcopy(WHOLE)
    at(wrong, where[:-1])[where[-1]] = value
    with pytest.raises(InputError, match=words) as caught:
        complete(wrong, SCHEMA)
    assert "\n" not in str(caught.value)


def test_a_dataset_needs_an_entry_and_a_denoiser_its_pairs():
    with pytest.raises(InputError, match=r"datasets.s: found no entry; expected exactly one"):
        complete({"datasets": {"s": {}}}, SCHEMA)
    with pytest.raises(InputError, match=r"denoisers.d: 'pairs' is a required property; add it"):
        complete({"denoisers": {"d": {}}}, SCHEMA)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"stack": "nowhere"}, "datasets.s.stack: nowhere not found"),
     ({"denoiser": "e"}, r"datasets.s.denoiser: 'e' is not among the denoisers \(d\)"),
     ({"segmenter": "t/iter_00"}, "no dataset is called 't'"),
     ({"annotations": "a"}, "datasets.s.classes: missing"),
     ({"annotations": "a", "segmenter": "s/iter_00"}, "found both annotations and segmenter"),
     ({"classes": {1: "x"}, "separate": {"y": "slices"}}, r"s.separate: 'y' is not a class"),
     ({"classes": {1: "x"}, "class_priority": ["y"]}, r"s.class_priority: 'y' is not a class"),
     ({"classes": {1: "x", 2: "y"}, "separate": {"y": "slices"}}, "'x' has no method"),
     ({"classes": {1: "Background"}}, "s.classes: no class but the background"),
     ({"classes": {1: "x", 2: "X"}}, "s.classes: 'x' twice"),
     ({"classes": {1: "background", 2: "x"}, "class_priority": ["background"]}, "is not a class"),
     ({"classes": {1: "background", 2: "x"}, "objects": "stack"}, "found a background"),
     ({"classes": {0: "x"}}, "leave 0, the background, out"),
     ({"classes": {0: "x"}}, "expected whole numbers from 1 to 254"),
     ({"classes": {255: "x"}}, "expected whole numbers from 1 to 254")],
)  # fmt: skip
def test_names_that_lead_nowhere(tmp_path, monkeypatch, changes, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stack").mkdir()
    good = defaults_of(WHOLE)
    check_names(good, "mine.yaml")
    good["datasets"]["s"].update(changes)
    with pytest.raises(InputError, match=words):
        check_names(good, "mine.yaml")


@pytest.mark.parametrize(("iteration", "fits"), [(0, True), (1, True), (2, False)])
def test_networks_of_iterations_that_cannot_be_made(tmp_path, monkeypatch, iteration, fits):
    monkeypatch.chdir(tmp_path)
    datasets = {"a": {"segmenter": None}, "b": {"segmenter": f"a/iter_{iteration:02d}"}}
    if fits:
        check_segmenters({"datasets": datasets}, {"a": 1}, "mine.yaml")
    else:
        with pytest.raises(InputError, match=r"mine.yaml: datasets.b.segmenter: .*iter_02.*is 01"):
            check_segmenters({"datasets": datasets}, {"a": 1}, "mine.yaml")
    with pytest.raises(InputError, match="it has no annotations"):
        check_segmenters({"datasets": datasets}, {}, "mine.yaml")


@pytest.mark.parametrize(
    ("made", "words"),
    [([], "found rounds none; .*make .*00"), (["00", "02"], "found rounds 00, 02; .*make .*01"),
     (["01"], "found rounds 01; expected"), (None, "annotations folder not found")],
)  # fmt: skip
def test_rounds_with_gaps_are_refused(tmp_path, made, words):
    folder = tmp_path / "annotations"
    for name in made or []:
        (folder / name).mkdir(parents=True)
    if made == []:
        folder.mkdir()
    with pytest.raises(InputError, match=words):
        rounds(folder)


def test_files_of_rounds_and_their_digests(tmp_path):
    for name in ("00/b.nrrd", "00/z0001/a.nrrd", "01/a.nrrd", "02/a.nrrd", "00/.hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for name in ("01/notes.txt", "01/README.html", "01/times.tsv"):
        (tmp_path / name).write_text("not to learn from")
    (tmp_path / "notes").mkdir()
    assert rounds(tmp_path) == [0, 1, 2]
    files = round_files(tmp_path, 1)
    assert [str(Path(f).relative_to(tmp_path)) for f in files] == [
        "00/b.nrrd", "00/z0001/a.nrrd", "01/a.nrrd"
    ]  # fmt: skip
    before = digests(files, tmp_path)
    assert [d[0] for d in before] == ["00/b.nrrd", "00/z0001/a.nrrd", "01/a.nrrd"]
    (tmp_path / "00/b.nrrd").touch()
    assert digests(files, tmp_path) == before  # the date does not count
    (tmp_path / "00/b.nrrd").write_text("other")
    assert [a == b for a, b in zip(before, digests(files, tmp_path), strict=True)] == [
        False, True, True
    ]  # fmt: skip


def test_a_round_may_be_links_to_folders_elsewhere(tmp_path):
    (tmp_path / "share/z0007").mkdir(parents=True)
    (tmp_path / "share/z0007/fibril.nrrd").write_text("x")
    (tmp_path / "a/00").mkdir(parents=True)
    (tmp_path / "a/00/z0007").symlink_to(tmp_path / "share/z0007")
    (tmp_path / "a/00/Thumbs.db").write_text("of Windows")
    (tmp_path / "a/00/.cache").mkdir()
    (tmp_path / "a/00/.cache/fibril.nrrd").write_text("hidden, so not read")
    (tmp_path / "a/00/loop").symlink_to(tmp_path / "a")
    files = round_files(tmp_path / "a", 0)
    assert files == [str(tmp_path / "a/00/z0007/fibril.nrrd")]
    before = digests(files, tmp_path / "a")
    (tmp_path / "share/z0007/fibril.nrrd").write_text("other")
    assert digests(files, tmp_path / "a") != before


def test_a_configuration_without_anything_to_do_is_refused():
    config = {}
    complete(config, SCHEMA)
    with pytest.raises(InputError, match="no dataset and no denoiser"):
        check_names(config, "mine.yaml")
