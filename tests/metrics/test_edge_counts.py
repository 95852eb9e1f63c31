"""Edge counts against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.morphology import thin

from edgeconnect.metrics.images import count_edges, count_matches


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
    lines = thin((drawn > 0.5) & mask)
    assert counts == (hits, found, true, lines.sum(), count_matches(wanted & mask, lines))


def test_8_bit_maps_count_as_floats_do():
    wanted, drawn, mask = maps(3)
    bytes_ = (drawn * 255).round().astype(np.uint8)
    assert count_edges(wanted * np.uint8(255), bytes_, mask) == count_edges(wanted, bytes_ / 255, mask)
    gray = np.array([[127, 128]], np.uint8)
    assert count_edges(gray, gray, np.ones((1, 2), np.bool_)).wanted == 1


def most_matches(wanted: list[tuple[int, int]], drawn: frozenset[tuple[int, int]]) -> int:
    """Try everything: the first pixel goes unmatched, or to any of those near it."""
    if not wanted:
        return 0
    (row, column), *rest = wanted
    near = [pixel for pixel in drawn if max(abs(pixel[0] - row), abs(pixel[1] - column)) <= 1]
    return max([most_matches(rest, drawn), *(1 + most_matches(rest, drawn - {pixel}) for pixel in near)])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000))
def test_matches_are_the_most_there_can_be(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 6, 2))
    wanted, drawn = (np.zeros(shape, np.bool_) for _ in range(2))
    for edges in (wanted, drawn):
        edges.flat[rng.integers(0, edges.size, rng.integers(0, 8))] = True
    one, other = ([tuple(place) for place in np.argwhere(edges)] for edges in (wanted, drawn))
    assert count_matches(wanted, drawn) == count_matches(drawn, wanted) == most_matches(one, frozenset(other))


@pytest.mark.parametrize(("shift", "matched"), [((0, 0), 8), ((1, 0), 8), ((-1, 1), 8), ((2, 0), 0)])
def test_one_pixel_aside_is_a_match_and_two_are_none(shift, matched):
    line = np.zeros((12, 12), np.bool_)
    line[5, 1:9] = True
    assert count_matches(line, np.roll(line, shift, (0, 1))) == matched
    thick = line | np.roll(line, shift, (0, 1))
    assert count_matches(line, thick) == count_matches(thick, line) == 8
    assert count_matches(line, np.zeros_like(line)) == 0


def test_a_thick_line_counts_as_its_middle_where_a_pixel_is_forgiven():
    line = np.zeros((12, 12), np.bool_)
    line[5, 1:11] = True
    thick = line | np.roll(line, 1, 0) | np.roll(line, -1, 0)
    counts = count_edges(line, thick, np.ones_like(line))
    assert counts.drawn == 30
    assert counts.matched == counts.lines
    assert 8 <= counts.lines <= 10


def test_a_match_is_of_the_hole_alone():
    line = np.zeros((6, 6), np.bool_)
    line[2] = True
    hole = np.zeros_like(line)
    hole[2:] = True
    assert count_edges(line, np.roll(line, -1, 0), hole).matched == 0
    assert count_edges(line, np.roll(line, 1, 0), hole).matched == 6
