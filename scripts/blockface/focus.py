"""By how much one of two registered images is blurrier than the other, in spite of noise."""

import numpy as np
from scipy import fft, ndimage

HIGHEST = 0.35  # cycles per pixel, structure finer than this is not looked at
BINS = 28  # rings of the spectrum
CLEAR = 4.0  # a ring counts if the clean image has this many times the power of its noise there
FAINTEST = 1e-6  # rings with less than this share of the strongest one's power do not count
WIDEST = 10.0  # px, blur looked for


def relative_blur(noisy: np.ndarray, clean: np.ndarray) -> float:
    """SD (px) of the Gaussian blur of ``noisy`` against ``clean``; negative if clean is blurred.

    The images (2-D, freed of shading and stripes) show one field, pixel on pixel. Noise of the two
    is independent, so that the cross spectrum over the power spectrum of the clean image is the
    transfer function from clean to noisy; a Gaussian is fitted to it, each ring weighted by how
    well it is known. NaN if nothing can be seen.
    """
    window = np.outer(*(np.hanning(n) for n in noisy.shape))
    shape = [fft.next_fast_len(n, real=True) for n in noisy.shape]
    spectra = [fft.rfft2(window * image, shape) for image in (noisy, clean)]
    fy, fx = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])[None]
    # along the axes lie what stripes are left
    off = (np.abs(fy) > 3 / shape[0]) & (fx > 3 / shape[1])
    frequency = np.hypot(fy, fx)
    ring = np.minimum(frequency / HIGHEST * BINS, BINS).astype(int)

    def rings(values):
        return np.bincount(ring[off], values[off], BINS + 1)[:BINS]

    count = rings(np.ones_like(frequency))
    low = (count == 0) | (np.arange(BINS) < 2)  # nothing there, or freed of as shading
    count = np.maximum(count, 1)
    cross = rings((spectra[0] * spectra[1].conj()).real)
    power, other = (rings(np.abs(s) ** 2) for s in spectra[::-1])
    # noise of a scan is independent from line to line: at high fy it is what it is at low fy
    fine = (np.abs(fy[:, 0]) > 0.3) & (np.abs(fy[:, 0]) < 0.42)
    floor = np.median(np.abs(spectra[1][fine]) ** 2, axis=0) / np.log(2)
    floor = rings(np.broadcast_to(ndimage.uniform_filter1d(floor, 9), frequency.shape))
    clear = power > np.maximum(CLEAR * floor, FAINTEST * (power / count).max() * count)
    power -= floor
    clear &= np.cumprod(clear | low).astype(bool)  # up to where noise begins
    if clear.sum() < 3:
        return np.nan
    cross, power, other, count = (v[clear] for v in (cross, power, other, count))
    transfer, known = cross / power, power * count / np.maximum(other - cross**2 / power, 1e-12)
    at = ((np.arange(BINS) + 0.5) / BINS * HIGHEST)[clear]
    widths = np.linspace(-WIDEST, WIDEST, 401)
    shapes = np.exp(-np.sign(widths)[:, None] * 2 * (np.pi * widths[:, None] * at) ** 2)
    shapes /= shapes.max(axis=1, keepdims=True)
    heights = (shapes * known) @ transfer / ((shapes**2) @ known)
    misfit = (known * (transfer - np.maximum(heights, 0)[:, None] * shapes) ** 2).sum(axis=1)
    return float(widths[np.argmin(misfit)])
