"""The person with the brush: outlines every object by eye, never quite on the border."""

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter

JITTER_PX = 0.7


def paint(ids: np.ndarray, wanted: np.ndarray, rng, jitter: float = JITTER_PX) -> np.ndarray:
    """Mask uint8 (y, x) of the objects ``wanted`` (by id) in a slice of true ``ids``.

    The border wanders by ``jitter`` px (SD), slowly along the outline; between two touching
    objects a line is left free, as by one who draws each for itself.
    """
    inside = np.isin(ids, wanted)
    if not inside.any():
        return np.zeros(ids.shape, np.uint8)
    outward, nearest = distance_transform_edt(~inside, return_indices=True)
    distance = np.where(inside, 0.5 - distance_transform_edt(inside), outward - 0.5)
    noise = gaussian_filter(rng.standard_normal(ids.shape), 3)
    painted = distance + jitter * noise / noise.std() < 0
    owner = ids[tuple(nearest)]
    line = np.zeros(ids.shape, bool)
    line[:-1] |= owner[:-1] != owner[1:]
    line[:, :-1] |= owner[:, :-1] != owner[:, 1:]
    return (painted & ~line).astype(np.uint8)
