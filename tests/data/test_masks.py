"""Masks that are drawn: areas and ratios are exact, and the generator alone decides them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.data import masks
from edgeconnect.errors import UserError

SIDE = st.integers(16, 96)


@settings(deadline=None)
@given(st.integers(2, 70), st.integers(2, 70), st.integers(0, 10_000))
def test_block_is_one_rectangle_of_half_the_sides_inside_the_picture(height, width, seed):
    mask = masks.block(height, width, np.random.default_rng(seed))
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert mask.sum() == (height // 2) * (width // 2)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (height // 2, width // 2)


def test_block_reaches_every_place():
    drawn = [masks.block(8, 9, np.random.default_rng(seed)) for seed in range(400)]
    corners = {(int(np.flatnonzero(m.any(1))[0]), int(np.flatnonzero(m.any(0))[0])) for m in drawn}
    assert corners == {(top, left) for top in range(5) for left in range(6)}


@pytest.mark.parametrize("width", [8, 9])
def test_half_is_the_left_or_the_right_half(width):
    drawn = [masks.half(6, width, np.random.default_rng(seed)) for seed in range(200)]
    left, right = np.zeros((6, width), np.bool_), np.zeros((6, width), np.bool_)
    left[:, : width // 2] = True
    right[:, width // 2 :] = True
    lefts, rights = (sum(np.array_equal(mask, side) for mask in drawn) for side in (left, right))
    assert lefts + rights == 200
    assert 70 < lefts < 130


@settings(max_examples=60, deadline=None)
@given(SIDE, SIDE, st.floats(0.01, 0.95), st.floats(0.004, 0.4), st.integers(0, 10_000))
def test_strokes_keep_their_ratio_inside_the_range(height, width, low, spread, seed):
    high = min(0.99, low + spread)
    mask = masks.strokes(height, width, np.random.default_rng(seed), (low, high))
    assert mask.shape == (height, width)
    assert mask.dtype == np.bool_
    assert low * height * width - 1e-6 <= mask.sum() <= high * height * width + 1e-6


@pytest.mark.parametrize("ratio", [0.0001, 0.07, 0.25, 0.29, 0.57, 0.9999])
def test_strokes_hit_a_range_of_one_count_exactly(ratio):
    for seed in range(3):
        assert masks.strokes(100, 100, np.random.default_rng(seed), (ratio, ratio)).sum() == round(ratio * 10_000)


def test_strokes_are_the_generators_and_nothing_elses():
    one, same, other = (masks.strokes(64, 48, np.random.default_rng(seed), (0.2, 0.4)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_strokes_fill_their_range_evenly():
    ratios = [masks.strokes(48, 48, np.random.default_rng(seed), (0.1, 0.5)).mean() for seed in range(200)]
    counts, _ = np.histogram(ratios, bins=4, range=(0.1, 0.5))
    assert counts.sum() == 200
    assert counts.min() > 25


@pytest.mark.parametrize(("side", "ratio", "pixels"), [(33, (0.5, 0.5), 544), (16, (0.001, 0.003), 0)])
def test_range_without_a_whole_number_of_pixels_takes_the_nearest(side, ratio, pixels):
    assert masks.strokes(side, side, np.random.default_rng(0), ratio).sum() == pixels


@pytest.mark.parametrize(
    ("ratio", "pixels"),
    [
        ((0.1, 0.2), (1000, 2000)),
        ((0.29, 0.57), (2900, 5700)),
        ((0.10001, 0.10009), (1000, 1000)),
        ((0.3, 0.3), (3000,) * 2),
    ],
)
def test_range_of_ratios_is_one_of_whole_pixels_with_both_ends(ratio, pixels):
    assert masks.wanted(100, 100, ratio) == pixels


@pytest.mark.parametrize(
    ("threshold", "polarity", "expected"),
    [
        (127, "hole", [0, 0, 0, 1, 1]),
        (127, "known", [1, 1, 1, 0, 0]),
        (0, "hole", [0, 1, 1, 1, 1]),
        (0, "known", [1, 0, 0, 0, 0]),
        (254, "hole", [0, 0, 0, 0, 1]),
    ],
)
def test_binarize_calls_missing_what_is_above_the_threshold_or_its_opposite(threshold, polarity, expected):
    mask = masks.binarize(np.array([[0, 1, 127, 128, 255]], np.uint8), threshold, polarity)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, np.array([expected], np.bool_))


@pytest.mark.parametrize("ratios", [[0.6], [0.0, 0.5, 0.99], [0.9, 0.6, 0.1], [0.5, 0.7]])
def test_median_hole_ratio_of_0_6_passes(ratios):
    masks.refuse_large_holes(ratios, "TRAIN_MASK_FLIST")


@pytest.mark.parametrize("ratios", [[0.61], [0.2, 0.7, 0.8], [0.5, 0.71]])
def test_larger_median_hole_ratio_is_refused_with_both_remedies(ratios):
    with pytest.raises(UserError) as caught:
        masks.refuse_large_holes(ratios, "TRAIN_MASK_FLIST")
    text = str(caught.value)
    assert text.startswith(f"TRAIN_MASK_FLIST: the masks' median hole ratio is {np.median(ratios):.2f};")
    assert "MASK_POLARITY: known" in text
    assert "ALLOW_LARGE_HOLES: 1" in text
    assert "\n" not in text
