"""No step holds the stack in memory: each takes the same on 0.25 GB as on 1 GB, below 1.5 GB."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blockface.tables import read_table
from blockface.unet import Network, UNet, save_model
from memory.scene import VOXEL_NM, Scene

pytestmark = pytest.mark.timeout(3600)  # the first test makes all; a busy machine is slow
DEPTHS = (64, 256)  # slices of 2048 x 2048 pixels of one byte
EDGE = 2048
EDGE_OF_SLICES = 1024  # where objects are separated by slices, which takes the longest
MOST = 1.5e9
EQUAL = 1.1
STEPS = (
    "import_stack",
    "denoise_slab",
    "predict_slab",
    "separate_slab",
    "separate_objects",
    "separate_slab by slices",
    "separate_objects by slices",
    "measure_slab",
    "measure_pairs",
    "measure_objects",
)


def networks(folder: Path) -> dict[str, str]:
    """Files of the smallest networks of both kinds, not trained."""
    files = {}
    seen = {"voxel_size_nm": VOXEL_NM, "denoised": False}
    for kind, more in {
        "denoiser": {},
        "segmenter": {"classes": ["fibril"], "values": [1], **seen},
    }.items():
        residual = kind == "denoiser"
        network = Network(1 if residual else 2, base=4, depth=2, stride=2, residual=residual)
        files[kind] = str(folder / f"{kind}.pt")
        save_model(files[kind], UNet(network), {"kind": kind, "views": 1, **more})
    return files


def arguments(folder: Path, models: dict[str, str]) -> dict[str, dict]:
    """What each script is called with, as its rule would, in one slab."""
    at = {
        name: str(folder / name)
        for name in (
            "stack.tif",
            "raw.zarr",
            "denoised.zarr",
            "predicted.zarr",
            "probability.zarr",
            "smaller.zarr",
            "slab",
            "slices",
            "objects.zarr",
            "linked.zarr",
            "index.csv",
            "index.parquet",
            "part",
            "pairs",
        )
    }
    slab = {"slab": 0, "slabs": 1}
    index = {"index": at["index.parquet"], "objects": at["objects.zarr"]}
    tables = {
        f"{name}_table": str(folder / f"{name}.csv")
        for name in (
            "objects",
            "contacts",
            "neighbours",
            "summary",
            "diameters",
            "radial",
            "cross_sections",
            "centrelines",
        )
    }
    return {
        "import_stack": {
            "stack": at["stack.tif"],
            "raw": at["raw.zarr"],
            "voxel_size_nm": VOXEL_NM,
        },
        "denoise_slab": {
            "raw": at["raw.zarr"],
            "model": models["denoiser"],
            "denoised": at["denoised.zarr"],
            **slab,
        },
        "predict_slab": {
            "image": at["raw.zarr"],
            "model": models["segmenter"],
            "probability": at["predicted.zarr"],
            "classes": {"1": "fibril"},
            **slab,
        },
        "separate_slab": {
            "probability": at["probability.zarr"],
            "local": at["slab"],
            "settings": {"method": "watershed"},
            **slab,
        },
        "separate_objects": {
            "slabs": at["slab"],
            "objects": at["objects.zarr"],
            "index": at["index.csv"],
            "links": str(folder / "links.csv"),
        },
        "separate_slab by slices": {
            "probability": at["smaller.zarr"],
            "local": at["slices"],
            "settings": {"method": "slices"},
            **slab,
        },
        "separate_objects by slices": {
            "slabs": at["slices"],
            "objects": at["linked.zarr"],
            "index": str(folder / "linked.csv"),
            "links": str(folder / "links.csv"),
            "slices": {},
        },
        "measure_slab": {**index, "part": at["part"], **slab},
        "measure_pairs": {**index, "part": at["pairs"], "settings": {"neighbours": 3}, **slab},
        "measure_objects": {
            **index,
            **tables,
            "parts": at["part"],
            "pairs": at["pairs"],
        },
    }


def measured(step: str, arguments: dict) -> dict:
    """Peak memory (bytes) and time (s) of a step's script in a process of its own."""
    script = step.split(" ")[0]
    runner = Path(__file__).with_name("peak.py")
    done = subprocess.run(
        [sys.executable, str(runner), script, json.dumps({**arguments, "threads": 2})],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """What every step took, by depth of the stack; printed as a table."""
    found: dict[str, dict[int, dict]] = {step: {} for step in STEPS}
    counts = {}
    for depth in DEPTHS:
        folder = tmp_path_factory.mktemp(f"stack_{depth}")
        try:
            began = time.monotonic()
            scene = Scene((depth, EDGE, EDGE))
            scene.write_tiff(folder / "stack.tif")
            scene.write_probability(folder / "probability.zarr")
            smaller = Scene((depth, EDGE_OF_SLICES, EDGE_OF_SLICES))
            smaller.write_probability(folder / "smaller.zarr")
            print(f"\n{depth} slices written in {time.monotonic() - began:.0f} s")
            for step, given in arguments(folder, networks(folder)).items():
                found[step][depth] = measured(step, given)
                took = found[step][depth]
                print(f"{step:26} {depth:4} slices {took['peak'] / 1e6:7.0f} MB"
                      f" {took['seconds']:6.1f} s, {took['cpu_seconds']:6.1f} s of processor",
                      flush=True)  # fmt: skip
            counts[depth] = len(read_table(folder / "objects.csv"))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return found, counts


@pytest.mark.parametrize("step", STEPS)
def test_the_same_memory_on_a_quarter_and_on_one_gigabyte(chain, step):
    small, large = (chain[0][step][depth]["peak"] for depth in DEPTHS)
    assert max(small, large) < MOST
    assert max(small, large) <= EQUAL * min(small, large)


def test_there_was_work_to_do(chain):
    small, large = (chain[1][depth] for depth in DEPTHS)
    assert small > 250
    assert large > 1000
