"""Edge counts against loops, and as sums."""

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.metrics.definitions import DEFINITIONS
from edgeconnect.metrics.edges import EdgeCounts, count_edges


def maps(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    share = rng.random(3)
    return rng.random((5, 6)) < share[0], (rng.random((5, 6)) * 2 * share[1]).clip(0, 1), rng.random((5, 6)) < share[2]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_counts_are_those_of_a_loop_over_the_hole(seed):
    wanted, drawn, mask = maps(seed)
    hits = found = true = 0
    for w, d, m in zip(wanted.ravel(), drawn.ravel(), mask.ravel(), strict=True):
        if m:
            hits, found, true = hits + (w and d > 0.5), found + (d > 0.5), true + w
    counts = count_edges(wanted, drawn, mask)
    assert counts == EdgeCounts(hits, found, true, pictures=1, empty=not found and not true)


def test_8_bit_maps_count_as_floats_do():
    wanted, drawn, mask = maps(3)
    bytes_ = (drawn * 255).round().astype(np.uint8)
    assert count_edges(wanted * np.uint8(255), bytes_, mask) == count_edges(wanted, bytes_ / 255, mask)
    gray = np.array([[127, 128]], np.uint8)
    assert count_edges(gray, gray, np.ones((1, 2), np.bool_)).wanted == 1


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5))
def test_sums_are_the_counts_of_the_pictures_side_by_side(seeds):
    several = [maps(seed) for seed in seeds]
    summed = reduce(add, (count_edges(*parts) for parts in several), EdgeCounts())
    whole = count_edges(*(np.concatenate(part) for part in zip(*several, strict=True)))
    assert summed.measures() == pytest.approx(whole.measures(), nan_ok=True)
    assert summed.pictures == len(seeds)


def test_precision_recall_and_f1():
    assert EdgeCounts(6, 8, 24).measures() == {"edge_precision": 0.75, "edge_recall": 0.25, "edge_f1": 0.375}
    assert set(EdgeCounts().measures()) <= set(DEFINITIONS)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (EdgeCounts(0, 0, 0), [np.nan, np.nan, np.nan]),
        (EdgeCounts(0, 0, 4), [np.nan, 0, 0]),
        (EdgeCounts(0, 4, 0), [0, np.nan, 0]),
    ],
    ids=["neither", "none-drawn", "none-wanted"],
)
def test_what_has_no_value_is_nan(counts, expected):
    assert list(counts.measures().values()) == pytest.approx(expected, nan_ok=True)


def test_pictures_without_any_edge_in_the_hole_are_counted_apart():
    edge, nothing, mask = np.ones((2, 2)), np.zeros((2, 2)), np.ones((2, 2), np.bool_)
    counts = count_edges(edge, edge, mask) + count_edges(nothing, nothing, mask) + count_edges(edge, edge, ~mask)
    assert (counts.pictures, counts.empty) == (3, 2)
    assert counts.measures()["edge_f1"] == 1
