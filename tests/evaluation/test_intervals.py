"""The bootstrap: deterministic, as wide as theory says, wider where items of one picture go together."""

import math

import numpy as np
import pytest

from edgeconnect.evaluation import intervals
from edgeconnect.evaluation.intervals import difference_interval, ratio_interval


def mean(values, groups=None, seed=0):
    shares = [(value, 1.0) for value in values]
    return ratio_interval(shares, groups or [str(i) for i in range(len(shares))], seed)


def drawn(n=400, seed=0, scale=2.0):
    return np.random.default_rng(seed).normal(30, scale, n)


def width(interval):
    return interval.high - interval.low


def test_it_is_deterministic_and_contains_the_mean():
    values = drawn(50)
    found = mean(values)
    assert found == mean(values)
    assert found.value == pytest.approx(values.mean())
    assert found.low < found.value < found.high
    assert found != mean(values, seed=1)


def test_it_is_nearly_as_wide_as_normal_theory_says():
    values = drawn()
    assert width(mean(values)) == pytest.approx(2 * 1.96 * values.std(ddof=1) / math.sqrt(len(values)), rel=0.07)


def test_it_covers_the_truth_about_as_often_as_it_says():
    found = [mean(drawn(40, seed), seed=seed) for seed in range(200)]
    share = np.mean([interval.low <= 30 <= interval.high for interval in found])
    assert 0.90 <= share <= 0.98


def test_items_of_one_group_are_drawn_together():
    """Ten items of each of 40 pictures that differ say no more than the 40."""
    pictures = drawn(40)
    items, groups = np.repeat(pictures, 10), [str(i // 10) for i in range(400)]
    clustered = mean(items, groups)
    assert clustered.value == pytest.approx(pictures.mean())
    assert width(clustered) == pytest.approx(width(mean(pictures)), rel=1e-9)
    assert width(clustered) > 2.5 * width(mean(items))


def test_groups_may_be_of_different_sizes():
    """A mean over items weighs a picture by its items, as the value does."""
    values, groups = [1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"]
    found = mean(values, groups)
    assert (found.value, found.low, found.high) == (2.0, 1.0, 5.0)


def test_neither_names_of_groups_nor_memory_matter(monkeypatch):
    values = drawn(30)
    named = mean(values, [f"folder/{30 - i}.png" for i in range(30)])
    assert named == mean(values)
    monkeypatch.setattr(intervals, "AT_ONCE", 100)
    assert mean(values) == named


def test_one_group_gives_a_point_and_none_gives_nothing():
    assert mean([1.0, 3.0], ["a", "a"]) == (2.0, 2.0, 2.0)
    assert all(map(math.isnan, mean([])))
    assert all(map(math.isnan, ratio_interval([(0.0, 0.0)] * 3, ["a", "b", "c"])))


def test_ratios_are_of_sums():
    shares = [(1.0, 2.0), (0.0, 10.0), (3.0, 3.0)] * 20
    groups = [str(i) for i in range(60)]
    found = ratio_interval(shares, groups)
    assert found.value == pytest.approx(4 / 15)
    assert found.low < 4 / 15 < found.high
    assert found.low >= 0
    assert found.high <= 1


def test_resamples_without_a_whole_do_not_count():
    found = ratio_interval([(1.0, 2.0), (0.0, 0.0), (0.0, 0.0)], ["a", "b", "c"])
    assert found == (0.5, 0.5, 0.5)


def test_a_difference_is_drawn_in_pairs():
    values, groups = drawn(60), [str(i) for i in range(60)]
    noise = np.random.default_rng(1).normal(0.3, 0.2, 60)
    one, other = ([(value, 1.0) for value in array] for array in (values, values + noise))
    found = difference_interval(one, other, groups)
    assert found.value == pytest.approx(noise.mean())
    assert width(found) == pytest.approx(2 * 1.96 * noise.std(ddof=1) / math.sqrt(60), rel=0.1)
    assert width(found) < width(mean(values)) / 4
    assert difference_interval(one, one, groups) == (0.0, 0.0, 0.0)
    assert difference_interval(other, one, groups).low == pytest.approx(-found.high)
