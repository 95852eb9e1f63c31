"""Masks from files: what counts as missing, and masks that are probably inverted."""

import numpy as np
import pytest

from edgeconnect.data import masks
from edgeconnect.errors import UserError


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
