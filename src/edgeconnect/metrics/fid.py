"""Fréchet and kernel Inception distance, in float64; features are (N, D), whatever network they come from."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Floats = NDArray[np.float64]
Features = NDArray[np.float32]


class Statistics(NamedTuple):
    """The Gaussian that FID sees in place of the features."""

    mu: Floats  # (D,)
    sigma: Floats  # (D, D), divided by N - 1


class KID(NamedTuple):
    """Squared maximum mean discrepancy over `subsets` subsets of `size` features of either side."""

    mean: float
    std: float | None  # None: a single subset, which is all there is
    subsets: int
    size: int


class Moments:
    """Mean and covariance of a stream of features, in memory that does not grow with it.

    Batches are centred on their own mean and merged (Chan, Golub and LeVeque 1983): no large squares are
    subtracted from each other, as they are where sums of squares are accumulated.
    """

    def __init__(self, dims: int) -> None:
        self.n, self.mean, self.scatter = 0, np.zeros(dims), np.zeros((dims, dims))

    def add(self, features: Features) -> None:
        """Merge a batch, (B, D)."""
        batch, total = features.astype(np.float64), self.n + len(features)
        mean = batch.mean(axis=0)
        apart = mean - self.mean
        rows = np.vstack([batch - mean, apart * math.sqrt(self.n * len(batch) / total)])
        self.scatter += rows.T @ rows
        self.mean += apart * (len(batch) / total)
        self.n = total

    def statistics(self) -> Statistics:
        """Return mean and covariance; raise ValueError below two pictures."""
        if self.n < 2:
            raise ValueError(f"the covariance of {self.n} pictures is not defined")
        return Statistics(self.mean, self.scatter / (self.n - 1))


def frechet_distance(one: Statistics, other: Statistics) -> float:
    """Return |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), 0 or more (arXiv:1706.08500, eq. 6).

    With S1 = F F^T, S1 S2 has the eigenvalues of F^T S2 F, which is symmetric: unlike the square root of the product
    itself, theirs are real, and exist where there are fewer pictures than features, too.
    """
    values, vectors = linalg.eigh(one.sigma, driver="evd")
    kept = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps  # the others are rounding
    factor = vectors[:, kept] * np.sqrt(values[kept])
    shared = linalg.eigvalsh(factor.T @ other.sigma @ factor) if factor.size else np.zeros(0)
    apart = one.mu - other.mu
    trace = np.trace(one.sigma) + np.trace(other.sigma) - 2 * np.sqrt(shared.clip(min=0)).sum()
    return max(0.0, float(apart @ apart + trace))


def kernel_distance(one: Features, other: Features, subsets: int = 100, size: int = 1000, seed: int = 0) -> KID:
    """Average the unbiased estimate over subsets drawn without repetition (arXiv:1801.01401).

    Subsets are as large as the smaller side at the most; where both sides are no larger, there is but one.
    """
    size = min(size, len(one), len(other))
    if size == len(one) == len(other):
        subsets = 1
    rng, estimates = np.random.default_rng(seed), []
    for _ in range(subsets):
        x, y = (side[rng.choice(len(side), size, replace=False)].astype(np.float64) for side in (one, other))
        estimates.append(squared_mmd(x, y))
    return KID(float(np.mean(estimates)), float(np.std(estimates)) if subsets > 1 else None, subsets, size)


def squared_mmd(x: Floats, y: Floats) -> float:
    """Estimate the squared maximum mean discrepancy without bias, so that it may be below 0."""
    own = 0.0
    for side in (x, y):  # pairs of different pictures
        kernel, n = polynomial_kernel(side, side), len(side)
        own += (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
    return float(own - 2 * polynomial_kernel(x, y).mean())


def polynomial_kernel(x: Floats, y: Floats) -> Floats:
    """Return (x y / D + 1)^3 for every pair of (N, D) and (M, D): (N, M)."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)
