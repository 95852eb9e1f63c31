"""Blending: gradients of the completion, colours of the rim."""

import numpy as np
import pytest

from edgeconnect.data.blending import blended
from edgeconnect.data.scenes import render

IMAGE = render(3, 64, 80)


def hole(*boxes):
    mask = np.zeros((64, 80), np.bool_)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def error(picture, mask):
    return np.abs(picture.astype(int) - IMAGE)[mask].mean()


@pytest.mark.parametrize("mask", [hole((20, 40, 30, 60)), hole((5, 6, 7, 8)), hole((5, 15, 5, 20), (40, 60, 50, 79))])
def test_a_completion_of_another_brightness_takes_that_of_the_rim(mask):
    brighter = np.clip(IMAGE.astype(int) + 30, 0, 255).astype(np.uint8)
    assert error(brighter, mask) > 25
    assert error(blended(IMAGE, brighter, mask), mask) < 1.5
    assert error(blended(IMAGE, IMAGE, mask), mask) < 1.5


@pytest.mark.parametrize("mask", [hole((0, 30, 50, 80)), hole((10, 20, 0, 80)), hole((0, 1, 0, 80))])
def test_a_hole_at_the_border_is_blended_where_pixels_are_known(mask):
    brighter = np.clip(IMAGE.astype(int) + 30, 0, 255).astype(np.uint8)
    assert error(blended(IMAGE, brighter, mask), mask) < 8


@pytest.mark.parametrize("mask", [hole(), hole((20, 40, 30, 60)), hole((0, 64, 0, 80)), hole((0, 63, 0, 80))])
def test_known_pixels_come_back_bit_for_bit(mask):
    noise = np.random.default_rng(0).integers(0, 256, IMAGE.shape, dtype=np.uint8)
    picture = blended(IMAGE, np.where(mask[..., None], noise, IMAGE), mask)
    assert picture.shape == IMAGE.shape
    assert np.array_equal(picture[~mask], IMAGE[~mask])


def test_without_a_hole_the_picture_stays_and_without_known_pixels_the_painting():
    noise = np.random.default_rng(0).integers(0, 256, IMAGE.shape, dtype=np.uint8)
    nothing = np.zeros(IMAGE.shape[:2], np.bool_)
    assert np.array_equal(blended(IMAGE, noise, nothing), IMAGE)
    assert np.array_equal(blended(IMAGE, noise, ~nothing), noise)
