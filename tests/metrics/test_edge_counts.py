"""Edge counts against loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.metrics.images import EdgeCounts, count_edges


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
    assert counts == EdgeCounts(hits, found, true)


def test_8_bit_maps_count_as_floats_do():
    wanted, drawn, mask = maps(3)
    bytes_ = (drawn * 255).round().astype(np.uint8)
    assert count_edges(wanted * np.uint8(255), bytes_, mask) == count_edges(wanted, bytes_ / 255, mask)
    gray = np.array([[127, 128]], np.uint8)
    assert count_edges(gray, gray, np.ones((1, 2), np.bool_)).wanted == 1
