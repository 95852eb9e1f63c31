"""How sure a mean is: percentile bootstrap over pictures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
AT_ONCE = 1 << 22  # drawn indices in memory

Sums = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and the bounds of its 95 % interval; nan where nothing was measured."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Interval:
    """Return the mean of values and its interval; values of one group, such as a picture, are drawn together."""
    array = np.asarray(values, dtype=np.float64)
    return ratio_interval(array, np.ones(len(array)), groups, seed)


def ratio_interval(
    parts: Sequence[float] | Sums, wholes: Sequence[float] | Sums, groups: Sequence[str], seed: int = 0
) -> Interval:
    """Return the sum of parts over the sum of wholes and its interval."""
    _, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    count = int(codes.max()) + 1 if len(codes) else 0
    top, bottom = (np.bincount(codes, np.asarray(sums, dtype=np.float64), count) for sums in (parts, wholes))
    if not bottom.sum():
        return Interval(*[float("nan")] * 3)
    rng = np.random.default_rng(seed)
    drawn = []
    rows = max(1, AT_ONCE // count)
    for first in range(0, RESAMPLES, rows):
        chosen = rng.integers(count, size=(min(rows, RESAMPLES - first), count))
        below = bottom[chosen].sum(axis=1)
        drawn.append(top[chosen].sum(axis=1)[below > 0] / below[below > 0])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(drawn), (tail, 1 - tail))
    return Interval(float(top.sum() / bottom.sum()), float(low), float(high))
