"""Inpainting without learning: fills the hole and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconnect.data.scenes import render
from edgeconnect.evaluation.baselines import CLASSICAL


@pytest.mark.parametrize("name", CLASSICAL)
def test_smooth_picture_is_restored(name):
    ramp = np.repeat(np.linspace(60, 180, 40, dtype=np.uint8)[None, :, None], 30, 0).repeat(3, 2)
    mask = np.zeros((30, 40), np.bool_)
    mask[10:18, 12:20] = True
    filled = CLASSICAL[name](np.where(mask[..., None], np.uint8(255), ramp), mask)
    assert np.abs(filled[mask].astype(int) - ramp[mask]).max() < 16


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(list(CLASSICAL)), st.integers(1, 40), st.integers(1, 40), st.integers(0, 100))
def test_known_pixels_shape_and_type_are_kept(name, height, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    mask = rng.random((height, width)) < rng.random()
    before = image.copy(), mask.copy()
    filled = CLASSICAL[name](image, mask)
    assert filled.shape == image.shape
    assert filled.dtype == np.uint8
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@pytest.mark.parametrize("name", CLASSICAL)
def test_what_the_hole_holds_does_not_matter(name):
    image = render(0, 32, 32)
    mask = np.zeros((32, 32), np.bool_)
    mask[8:20, 10:18] = True
    white, black = (np.where(mask[..., None], np.uint8(value), image) for value in (255, 0))
    np.testing.assert_array_equal(CLASSICAL[name](white, mask), CLASSICAL[name](black, mask))


@pytest.mark.parametrize("name", CLASSICAL)
def test_empty_mask_returns_the_picture(name):
    image = render(0, 32, 32)
    np.testing.assert_array_equal(CLASSICAL[name](image, np.zeros((32, 32), np.bool_)), image)
