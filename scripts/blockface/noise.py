"""The noise of a microscope as a model: how strong at which grey level, and how it hangs together.

Variance that grows along a line with the grey level (Poisson and Gauss, Foi et al. 2008,
doi:10.1109/TIP.2008.2001399), correlation with neighbouring pixels (a fast detector smears along
the line), and an offset of each line. `blockface.noise_estimate` reads it from registered pairs.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Noise:
    """Variance ``gain * grey + offset`` in grey levels², at least ``least``; SD of line offsets.

    ``along`` and ``across`` the lines are correlations with neighbours 1, 2, … pixels away.
    """

    gain: float
    offset: float
    least: float
    line_sd: float
    along: tuple[float, ...]
    across: tuple[float, ...]

    def variance(self, grey):
        """Variance (grey levels²) of a pixel of true ``grey`` level, without the lines' part.

        ``grey`` is an array or a tensor.
        """
        return (self.gain * grey + self.offset).clip(self.least)

    def kernels(self) -> tuple[np.ndarray, np.ndarray]:
        """Weights along x and along y that give white noise these correlations and variance 1."""
        return kernel(self.along), kernel(self.across)


def kernel(correlation: tuple[float, ...]) -> np.ndarray:
    """Symmetric weights, squares adding up to 1, that give white noise about this ``correlation``.

    What no filter can have (a negative power at some frequency) is left out.
    """
    reach = len(correlation)
    wide = np.zeros(8 * reach + 8)  # room for the root to die away before it meets itself
    wide[0] = 1
    for lag, value in enumerate(correlation, start=1):
        wide[lag] = wide[-lag] = value
    power = np.fft.rfft(wide).real.clip(0)
    weights = np.roll(np.fft.irfft(np.sqrt(power), len(wide)), 2 * reach)[: 4 * reach + 1]
    return weights / np.linalg.norm(weights)


def save_noise(noise: Noise, path: str | Path, **told) -> None:
    """Write the model as JSON, with what else is ``told`` of it."""
    stored = {"unit": "grey levels of the pairs", **asdict(noise), **told}
    Path(path).write_text(json.dumps(stored, indent=1))


def load_noise(path: str | Path) -> Noise:
    """The model in a file that `save_noise` wrote."""
    told = json.loads(Path(path).read_text())
    named = {name: told[name] for name in ("gain", "offset", "least", "line_sd")}
    return Noise(**named, along=tuple(told["along"]), across=tuple(told["across"]))
