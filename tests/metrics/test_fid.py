"""Distances of features against their definitions, numpy and the pytorch-fid package."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytorch_fid.fid_score import calculate_frechet_distance

from edgeconnect.metrics.fid import (
    Moments,
    Statistics,
    frechet_distance,
    kernel_distance,
    polynomial_kernel,
    squared_mmd,
)


def features(n, dims=16, seed=0, scale=1.0, shift=0.0):
    return (np.random.default_rng(seed).standard_normal((n, dims)) * scale + shift).astype(np.float32)


def statistics(x):
    return Statistics(x.astype(np.float64).mean(0), np.cov(x.astype(np.float64), rowvar=False))


def streamed(x, sizes):
    moments, start = Moments(x.shape[1]), 0
    for size in itertools.chain(sizes, [len(x)]):
        if start < len(x):
            moments.add(x[start : start + size])
        start += size
    assert moments.n == len(x)
    return moments.statistics()


def by_package(one, other):
    with warnings.catch_warnings(action="ignore"):  # scipy's, of the way the package calls it
        return float(calculate_frechet_distance(*one, *other))


# Mean and covariance of a stream


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(2, 40))
def test_batches_of_any_size_give_numpys_mean_and_covariance(sizes, n):
    x = features(n, dims=5, scale=3, shift=1)
    mu, sigma = streamed(x, sizes)
    expected = statistics(x)
    np.testing.assert_allclose(mu, expected.mu, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sigma, expected.sigma, rtol=1e-10, atol=1e-12)


def test_far_from_zero_the_covariance_is_still_numpys():
    scale = np.logspace(-4, 4, 12)
    x = np.random.default_rng(1).standard_normal((1000, 12)) * scale + 1e6 * scale
    sigma, expected = streamed(x, [7] * 100).sigma, np.cov(x, rowvar=False)
    unit = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((sigma - expected) / unit).max() < 1e-9
    squares = (x.T @ x - len(x) * np.outer(x.mean(0), x.mean(0))) / (len(x) - 1)
    assert np.abs((squares - expected) / unit).max() > 1e-5  # what the merge is for


def test_float32_features_are_summed_in_float64():
    x = np.full((4097, 2), 1 / 3, np.float32)
    mu, sigma = streamed(x, [64] * 64)
    assert mu.dtype == sigma.dtype == np.float64
    np.testing.assert_allclose(mu, np.float64(np.float32(1 / 3)), rtol=1e-14)
    assert np.abs(sigma).max() < 1e-28


@pytest.mark.parametrize("n", [0, 1])
def test_covariance_takes_two_pictures(n):
    moments = Moments(4)
    if n:
        moments.add(features(1, 4))
    with pytest.raises(ValueError, match=f"of {n} pictures"):
        moments.statistics()


# Fréchet distance


@pytest.mark.parametrize("n", [40, 1000], ids=["rank-deficient", "full rank"])
def test_distance_is_the_packages(n):
    dims, decay = 128, np.exp(-np.arange(128) / 20)
    one = statistics(features(n, dims, 1, decay))
    other = statistics(features(n + 7, dims, 2, decay * 1.2, 0.05))
    assert frechet_distance(one, other) == pytest.approx(by_package(one, other), rel=1e-4)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-6)


def test_distance_of_diagonal_gaussians_has_a_closed_form():
    rng = np.random.default_rng(0)
    (m1, m2), (s1, s2) = rng.standard_normal((2, 9)), rng.random((2, 9))
    expected = np.square(m1 - m2).sum() + np.square(s1 - s2).sum()
    found = frechet_distance(Statistics(m1, np.diag(s1**2)), Statistics(m2, np.diag(s2**2)))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [5, 300])
def test_distance_to_itself_is_0_and_never_below(n):
    same = statistics(features(n, 64, scale=10))
    assert 0 <= frechet_distance(same, same) < 1e-6
    moved = Statistics(same.mu + 2, same.sigma)
    assert frechet_distance(same, moved) == pytest.approx(4 * 64, rel=1e-9)


def test_pictures_that_are_all_the_same_have_a_distance():
    still, lively = Statistics(np.ones(8), np.zeros((8, 8))), statistics(features(50, 8))
    expected = np.square(lively.mu - 1).sum() + np.trace(lively.sigma)
    for pair in ((still, lively), (lively, still)):
        assert frechet_distance(*pair) == pytest.approx(expected)


# Kernel distance


def by_loops(x, y):
    def kernel(a, b):
        return (float(np.dot(a, b)) / len(a) + 1) ** 3

    def own(side):
        pairs = [kernel(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j]
        return np.mean(pairs)

    return own(x) + own(y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def test_squared_mmd_is_the_sum_over_pairs():
    x, y = features(6, 7, 1).astype(np.float64), features(9, 7, 2, 2, 0.3).astype(np.float64)
    assert polynomial_kernel(x, y).shape == (6, 9)
    assert squared_mmd(x, y) == pytest.approx(by_loops(x, y), rel=1e-12)


def test_estimate_has_no_bias_and_grows_with_the_difference():
    same = kernel_distance(features(3000, seed=1), features(3000, seed=2), subsets=200, size=50)
    assert abs(same.mean) < 3 * same.std / 200**0.5
    near, far = (kernel_distance(features(300, seed=1), features(300, seed=2, shift=s), size=50) for s in (0.2, 0.4))
    assert 0 < near.mean < far.mean


def test_subsets_are_seeded_and_no_larger_than_the_smaller_side():
    x, y = features(30, seed=1), features(40, seed=2)
    first = kernel_distance(x, y, subsets=10)
    assert (first.subsets, first.size) == (10, 30)
    assert first.std > 0
    assert kernel_distance(x, y, subsets=10) == first
    assert kernel_distance(x, y, subsets=10, seed=1).mean != first.mean
    assert kernel_distance(x, y, subsets=10, size=20).size == 20


def test_one_set_that_is_all_there_is_has_no_spread():
    x, y = features(30, seed=1), features(30, seed=2)
    found = kernel_distance(x, y)
    assert (found.std, found.subsets, found.size) == (None, 1, 30)
    assert found.mean == pytest.approx(squared_mmd(x.astype(np.float64), y.astype(np.float64)))
