"""Denoising learnt from noisy lines alone, against the known clean images."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from blockface.denoising import denoise_image, psnr
from blockface.errors import InputError
from blockface.predict import Tiling
from blockface.self_supervision import draw_patches, halves
from blockface.unet import Hardware, load_model
from blockface.volume import create_volume
from train_self_supervised import main

SETTINGS = {
    "patches": 48, "patch_size": 96, "views": 1, "network": {"base": 8, "depth": 3, "stride": 1},
    "training": {"steps": 400, "batch": 8, "crop": 48, "learning_rate": 4e-3},
}  # fmt: skip


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**31))
def test_halves_share_out_the_two_lines_of_every_pair(n, pairs, width, seed):
    rng = torch.Generator().manual_seed(seed)
    images = torch.arange(n * 2 * pairs * width).float().reshape(n, 1, 2 * pairs, width)
    one, other = halves(images, rng)
    both = torch.stack([one, other]).sort(0).values
    assert torch.equal(both[0], images[:, :, 0::2])
    assert torch.equal(both[1], images[:, :, 1::2])
    assert ((one - other).abs() == width).all()


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Blobs and resin, the same with noise that runs along the lines, and a network for it."""
    folder, rng = tmp_path_factory.mktemp("stack"), np.random.default_rng(0)
    clean = ndimage.gaussian_filter(rng.normal(size=(12, 128, 128)), (0, 4, 4))
    clean = 128 + 45 * np.tanh(2 * clean / clean.std())
    clean[:, :, 72:] = 128  # empty resin
    noise = ndimage.gaussian_filter1d(rng.normal(size=clean.shape), 0.7, axis=2)
    noisy = np.clip(clean + 25 * noise / noise.std(), 0, 255).round().astype(np.uint8)
    low, high = (float(v) for v in np.percentile(noisy, (1, 99)))
    raw = create_volume(
        str(folder / "raw.zarr"), noisy.shape, "uint8", (50, 10, 10), grey={"p1": low, "p99": high}
    )
    raw[:] = noisy
    main(raw=str(folder / "raw.zarr"), model=str(folder / "model.pt"), settings=SETTINGS, seed=1,
         history=str(folder / "history.tsv"), threads=1)  # fmt: skip
    model, task = load_model(folder / "model.pt", Hardware.best(1), "denoiser")

    def denoise(image):
        return denoise_image(model, image, task["grey"], Tiling(views=1), Hardware.best(1))

    return clean, noisy, denoise, folder


def test_the_specimen_comes_out_of_the_noise(scanned):
    clean, noisy, denoise, folder = scanned
    before = np.mean([psnr(noisy[z], clean[z], 255) for z in (0, 7)])
    after = np.mean([psnr(denoise(noisy[z]), clean[z], 255) for z in (0, 7)])
    assert after > before + 5
    history = pd.read_csv(folder / "history.tsv", sep="\t")
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    assert not (folder / "model.pt.checkpoint").exists()


def test_nothing_is_invented_in_pure_noise(scanned):
    *_, denoise, _ = scanned
    rng = np.random.default_rng(5)
    noise = ndimage.gaussian_filter1d(rng.normal(size=(128, 128)), 0.7, axis=1)
    noise = 128 + 25 * noise / noise.std()
    made = denoise(noise.astype(np.float32))
    assert made[8:-8, 8:-8].std() < 0.3 * noise.std()


def test_patches_come_from_all_depths_and_fit(scanned, tmp_path):
    volume = create_volume(str(tmp_path / "v.zarr"), (10, 40, 50), "uint8", (1, 1, 1))
    volume[:] = np.arange(10, dtype=np.uint8)[:, None, None]
    drawn = draw_patches(volume, 20, 32, seed=0, name="v.zarr")
    assert sorted({int(p[0, 0]) for p in drawn}) == list(range(10))
    with pytest.raises(InputError, match=r"v\.zarr"):
        draw_patches(volume, 1, 64, seed=0, name="v.zarr")
