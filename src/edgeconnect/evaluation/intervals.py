"""Confidence intervals of means and of their differences, by a percentile bootstrap over pictures."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
AT_ONCE = 1 << 22  # drawn indices in memory

Sums = NDArray[np.float64]
Shares = Sequence[tuple[float, float]] | Sums
"""For every item a part, and the whole that the sum of parts is divided by the sum of; wholes of 1 make a mean."""


class Interval(NamedTuple):
    """An estimate and the bounds of its 95 % interval; nan where nothing was measured."""

    value: float
    low: float
    high: float


def ratio_interval(shares: Shares, groups: Sequence[str], seed: int = 0) -> Interval:
    """Return the sum of parts over the sum of wholes and its interval.

    Items of one group, such as those of one picture, are drawn together.
    """
    return _interval(*_resampled(shares, groups, seed))


def difference_interval(first: Shares, second: Shares, groups: Sequence[str], seed: int = 0) -> Interval:
    """Return the second ratio minus the first and its interval; each resample has the same groups for both."""
    one, ones = _resampled(first, groups, seed)
    other, others = _resampled(second, groups, seed)
    return _interval(other - one, others - ones)


def _resampled(shares: Shares, groups: Sequence[str], seed: int) -> tuple[float, Sums]:
    """Return the ratio and that of every resample, nan where its whole is 0."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}  # in their order, not by name
    codes, count = np.array([numbers[group] for group in groups], dtype=np.intp), len(numbers)
    columns = np.asarray(shares, dtype=np.float64).reshape(-1, 2).T
    top, bottom = (np.bincount(codes, column, count) for column in columns)
    rng = np.random.default_rng(seed)
    drawn = [np.full(1, np.nan)]
    rows = max(1, AT_ONCE // max(1, count))
    with np.errstate(invalid="ignore", divide="ignore"):
        for first in range(0, RESAMPLES if count else 0, rows):
            chosen = rng.integers(count, size=(min(rows, RESAMPLES - first), count))
            drawn.append(top[chosen].sum(axis=1) / bottom[chosen].sum(axis=1))
        return float(top.sum() / bottom.sum()), np.concatenate(drawn)


def _interval(value: float, drawn: Sums) -> Interval:
    """Cut the tails off; resamples that have no value do not count."""
    known, tail = drawn[np.isfinite(drawn)], (1 - LEVEL) / 2
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    low, high = np.quantile(known, (tail, 1 - tail))
    return Interval(value, float(low), float(high))
