"""Diameters of single particles in a denoised image against those in the clean one."""

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

LEAST_PX = 80  # area of a particle that is measured
ROUND = 0.9  # least solidity and least ratio of axes: touching ones are left out
REACH = 6  # pixels around a particle that may still be taken for it


def measurable(particles: np.ndarray, round_only: bool) -> list[int]:
    """Labels of the particles that are large enough, away from the border and, if asked, round."""
    chosen, (height, width) = [], particles.shape
    for region in regionprops(particles):
        y0, x0, y1, x1 = region.bbox
        inside = min(y0, x0) > REACH and y1 < height - REACH and x1 < width - REACH
        if not inside or region.area < LEAST_PX:
            continue
        axes = region.axis_minor_length / max(region.axis_major_length, 1e-9)
        if not round_only or min(region.solidity, axes) >= ROUND:
            chosen.append(region.label)
    return chosen


def diameters(image: np.ndarray, clean: np.ndarray, round_only: bool = True) -> np.ndarray:
    """Rows (diameter in ``image``, diameter in ``clean``), px, of each particle of ``clean``.

    Particles are what is brighter than Otsu's threshold; diameters are area-equivalent.

    Each image is cut at its own Otsu threshold, as its user would. What lies nearer to a particle
    than to any other, and at most ``REACH`` pixels away from it, counts for it.
    """
    smooth = ndimage.gaussian_filter(clean, 1)
    particles = label(smooth > threshold_otsu(smooth))
    distance, nearest = ndimage.distance_transform_edt(particles == 0, return_indices=True)
    zone = particles[tuple(nearest)] * (distance <= REACH)
    chosen = measurable(particles, round_only)
    sizes = [
        2
        * np.sqrt(np.bincount(zone[part > threshold_otsu(part)], minlength=zone.max() + 1) / np.pi)
        for part in (image, clean)
    ]
    return np.column_stack([size[chosen] for size in sizes])
