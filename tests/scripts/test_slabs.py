"""From probabilities to tables: cut into slabs or in one piece, every number is the same."""

import numpy as np
import pandas as pd
import pytest

import measure_objects
import measure_pairs
import measure_slab
import separate_objects
import separate_slab
from blockface.tables import read_table
from blockface.volume import open_volume
from memory.scene import Scene

TABLES = (
    "objects", "contacts", "neighbours", "summary", "diameters", "radial", "cross_sections",
    "centrelines",
)  # fmt: skip


def chain(folder, probability, slabs, method):
    """Ids of all voxels and the tables, made in ``slabs`` jobs per step."""
    folder.mkdir()
    at = {"objects": str(folder / "objects.zarr"), "index": str(folder / "index.csv")}
    links = str(folder / "links.csv")
    locals_ = [str(folder / f"slab{s}") for s in range(slabs)]
    for slab, local in enumerate(locals_):
        separate_slab.main(
            probability=probability,
            local=local,
            settings={"method": method},
            slab=slab,
            slabs=slabs,
            threads=1,
        )
    separate_objects.main(slabs=locals_, **at, links=links, min_volume_um3=1e-4, threads=1)
    at["index"] = str(folder / "index.parquet")
    parts = [str(folder / f"part{s}") for s in range(slabs)]
    pairs = [str(folder / f"pairs{s}") for s in range(slabs)]
    for slab, (part, pair) in enumerate(zip(parts, pairs, strict=True)):
        given = {"slab": slab, "slabs": slabs, "threads": 1}
        measure_slab.main(**at, part=part, **given)
        measure_pairs.main(**at, part=pair, settings={"neighbours": 3}, **given)
    paths = {f"{name}_table": str(folder / f"{name}.csv") for name in TABLES}
    measure_objects.main(parts=parts, pairs=pairs, **at, **paths, threads=1)
    tables = {name: read_table(folder / f"{name}.parquet") for name in TABLES}
    return open_volume(at["objects"])[:], tables


@pytest.mark.parametrize("method", ["watershed", "components", "slices"])
def test_three_slabs_give_what_one_gives(tmp_path, method):
    probability = str(tmp_path / "probability.zarr")
    Scene((96, 200, 260)).write_probability(probability)
    ids, one = chain(tmp_path / "one", probability, 1, method)
    cut, three = chain(tmp_path / "three", probability, 3, method)
    assert len(one["objects"]) > 8
    np.testing.assert_array_equal(ids, cut)
    for name in TABLES:
        pd.testing.assert_frame_equal(one[name], three[name], rtol=1e-9)
