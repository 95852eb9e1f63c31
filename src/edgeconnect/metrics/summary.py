"""Means of measures over pictures, and over which."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edgeconnect.metrics.definitions import DEFINITIONS


class Statistic(NamedTuple):
    """Mean and standard deviation (divided by n) of n pictures; nan of none.

    `capped` of the n lie at the measure's cap; `unmeasured` others have no value.
    """

    mean: float
    std: float
    n: int
    capped: int
    unmeasured: int


def summarize(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, Statistic]:
    """Sum up each named measure over the pictures' rows; nan is no value."""
    return {name: _statistic(name, [row[name] for row in rows]) for name in names}


def _statistic(name: str, values: Sequence[float]) -> Statistic:
    measured = np.array([value for value in values if not np.isnan(value)])
    n = len(measured)
    capped = int(np.count_nonzero(measured >= DEFINITIONS[name].cap))
    mean, std = (float(measured.mean()), float(measured.std())) if n else (float("nan"), float("nan"))
    return Statistic(mean, std, n, capped, len(values) - n)
