"""Registration of 22 real pairs (sem_dwell_pairs): what is left, and wrong partners."""

import numpy as np
import pandas as pd
import pytest
import tifffile

from blockface.pair_images import read_image
from blockface.registration import register

KINDS = {
    "dwell": ("dwell_noisy_100ns.tif", "dwell_clean_30us.tif", "pairs_dwell.csv"),
    "line": ("line_noisy_1x.tif", "line_clean_50x.tif", "pairs_line.csv"),
}


@pytest.fixture(scope="module")
def folder(shared_data):
    path = shared_data / "sem_dwell_pairs"
    if not path.is_dir():
        pytest.skip(f"real pairs not found in {path}")
    return path


@pytest.fixture(scope="module")
def pairs(folder):
    """(kind, noisy, clean, measured) of the 22 pairs."""
    found = []
    for kind, (noisy, clean, table) in KINDS.items():
        images = tifffile.imread(folder / noisy), tifffile.imread(folder / clean)
        rows = pd.read_csv(folder / table).to_dict("records")
        found += [(kind, *item) for item in zip(*images, rows, strict=True)]
    return found


@pytest.fixture(scope="module")
def results(pairs):
    return [register(noisy, clean) for _, noisy, clean, _ in pairs]


def test_every_pair_is_accepted(results):
    assert [r.reason for r in results] == [""] * 22
    assert min(r.correlation for r in results) > 0.98
    assert max(r.residual for r in results) < 0.15
    assert max(r.residual_p95 for r in results) < 0.6


def test_thirds_agree_with_the_rough_ones(pairs, results):
    """Where those are not drawn to zero by the scan-fixed pattern: phase correlation is."""
    compared = 0
    for (_, _, _, measured), result in zip(pairs, results, strict=True):
        thirds = [third.mean() for third in np.array_split(result.drift.line[0], 3)]
        for name, ours in zip(("top", "middle", "bottom"), thirds, strict=True):
            rough = measured[f"dy_{name}_third"]
            if abs(rough) > 0.5:
                compared += 1
                assert ours == pytest.approx(rough, abs=0.9)
    assert compared >= 30


def test_fast_scans_are_stretched_alike_and_line_scans_are_not(pairs, results):
    """A property of the microscope, found in each pair on its own."""
    stretch = {kind: [] for kind in KINDS}
    for (kind, *_), result in zip(pairs, results, strict=True):
        stretch[kind].append(result.stretch[1])
    assert np.std(stretch["dwell"]) < 0.3
    assert 1.5 < np.mean(stretch["dwell"]) < 2.3
    assert np.abs(stretch["line"]).max() < 0.3


def test_wrong_partners_are_refused(pairs):
    for i in range(0, 22, 2):
        result = register(pairs[i][1], pairs[(i + 3) % 22][2])
        assert not result.accepted
        assert result.correlation < 0.3


def test_originals_of_the_microscope_are_read(folder):
    for name, stack in (("100ns_006", "dwell_noisy_100ns"), ("30us_006", "dwell_clean_30us")):
        image, pixel = read_image(folder / "original_files" / f"{name}.tif")
        assert pixel == pytest.approx(5.828, abs=1e-3)
        assert image.shape == (440, 510)
        np.testing.assert_array_equal(image[:439], tifffile.imread(folder / f"{stack}.tif")[5])
