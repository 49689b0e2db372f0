"""How far apart two samples are, with an interval: Cliff's delta, and the mean change of pairs."""

import numpy as np

LEVEL = (2.5, 97.5)  # percentiles of the interval
WORK = 4e7  # values drawn for one interval
FEWEST, MOST = 200, 2000  # samples drawn


def cliffs_delta(a: np.ndarray, b: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """P(b > a) - P(b < a) of two samples, and its 95 % interval.

    Cliff 1993, doi:10.1037/0033-2909.114.3.494. From -1 (every b below every a) to 1. The interval
    is that of the percentile bootstrap, both samples drawn anew. NaN where a sample is empty;
    values must be finite.
    """
    if not len(a) or not len(b):
        return np.nan, np.nan, np.nan
    distinct, where = np.unique(np.r_[a, b], return_inverse=True)
    sides = where[: len(a)], where[len(a) :]

    def delta(one: np.ndarray, two: np.ndarray) -> float:
        below = np.cumsum(np.bincount(one, minlength=len(distinct)))
        count = np.bincount(two, minlength=len(distinct))
        less = np.r_[0, below[:-1]]
        return float(count @ (less - (len(one) - below)) / len(one) / len(two))

    rng = np.random.default_rng(seed)
    drawn = [delta(*(s[rng.integers(0, len(s), len(s))] for s in sides))
             for _ in range(samples(len(where)))]  # fmt: skip
    return delta(*sides), *np.percentile(drawn, LEVEL).tolist()


def mean_change(change: np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean of ``change`` (n,) with its 95 % interval, by percentile bootstrap; NaN for none."""
    n = len(change)
    if not n:
        return np.nan, np.nan, np.nan
    rng = np.random.default_rng(seed)
    drawn = [change[rng.integers(0, n, n)].mean() for _ in range(samples(n))]
    return float(change.mean()), *np.percentile(drawn, LEVEL).tolist()


def samples(n: int) -> int:
    """How many samples of ``n`` values are drawn for an interval."""
    return int(np.clip(WORK // n, FEWEST, MOST))
