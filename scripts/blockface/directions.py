"""The mean direction of axes and how they spread about it."""

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import dawsn

from blockface.tables import Columns

AXES = ("direction_z", "direction_y", "direction_x")
SPREADS = ("order_parameter", "dispersion_deg", "watson_kappa")
LARGEST_KAPPA = 1e6


def mean_direction(vectors: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean axis (3,) of unit vectors (n, 3), pointing up, and SPREADS (3,); NaN for none.

    The axis is the first of the orientation tensor, λ its eigenvalue. The order parameter is
    (3 λ - 1) / 2: 0 at random, 1 parallel. The dispersion is the root mean square of the angles to
    the axis: 61° at random. κ is that of Watson's distribution (Mardia & Jupp 2000, Directional
    Statistics, 10.3), 0 at random.
    """
    ok = np.isfinite(vectors).all(axis=1) & (weight > 0)
    vectors, weight = vectors[ok], weight[ok]
    if not len(vectors):
        return np.full(3, np.nan), np.full(3, np.nan)
    weight = weight / weight.sum()
    values, axes = np.linalg.eigh((vectors * weight[:, None]).T @ vectors)
    axis = axes[:, 2] * (np.sign(axes[np.flatnonzero(np.abs(axes[:, 2]) > 1e-9)[0], 2]) or 1)
    angle = np.degrees(np.arccos(np.minimum(np.abs(vectors @ axis), 1)))
    spread = np.sqrt(weight @ angle**2)
    return axis, np.array([(3 * values[2] - 1) / 2, spread, watson_kappa(float(values[2]))])


def watson_kappa(value: float) -> float:
    """κ of the Watson distribution whose orientation tensor has the largest eigenvalue ``value``.

    NaN for axes that are all the same, as that of a single object is. From E[cos²] =
    1 / (2 √κ D(√κ)) - 1 / (2 κ), with Dawson's integral D.
    """

    def excess(k: float) -> float:
        root = np.sqrt(k)
        return 1 / (2 * root * dawsn(root)) - 1 / (2 * k) - value

    if value <= 1 / 3 + 1e-6:
        return 0.0
    return float(brentq(excess, 1e-6, LARGEST_KAPPA)) if excess(LARGEST_KAPPA) > 0 else np.nan


def direction_vectors(objects: Columns | pd.DataFrame) -> np.ndarray:
    """Directions (n, 3) of the objects, z, y, x."""
    return np.stack([objects[name] for name in AXES], 1).astype(float)
