"""The built-in street scenes: the same for ever, the same at every size, and full of edges."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from skimage.feature import canny

from edgeconnect.data.scenes import render


@pytest.mark.parametrize(("height", "width"), [(96, 96), (64, 128), (120, 50), (16, 16), (300, 17)])
def test_picture_has_the_size_asked_for(height: int, width: int) -> None:
    picture = render(3, height, width)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8


def test_same_scene_twice_and_in_threads() -> None:
    once = [render(index, 64, 64) for index in range(8)]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda index: render(index, 64, 64), range(8)))
    np.testing.assert_array_equal(once, again)


def test_indices_and_seeds_differ() -> None:
    pictures = [render(index, 48, 48, seed).astype(float) for index in range(6) for seed in range(3)]
    for i, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 5 for other in pictures[:i])


@pytest.mark.parametrize("index", range(12))
def test_every_size_shows_the_same_scene(index: int) -> None:
    small = render(index, 64, 64).astype(float)
    for side in (96, 256, 512):
        large = cv2.resize(render(index, side, side), (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(large - small).mean() < 8


@pytest.mark.parametrize("index", range(12))
def test_wider_picture_keeps_the_middle(index: int) -> None:
    wide, square = render(index, 64, 128).astype(float), render(index, 64, 64).astype(float)
    assert np.abs(wide[40:, 48:80] - square[40:, 16:48]).mean() < 12


def test_scenes_hold_edges_and_contrast() -> None:
    for index in range(50):
        grey = cv2.cvtColor(render(index, 96, 96), cv2.COLOR_RGB2GRAY)
        assert 0.04 < canny(grey / 255, sigma=2).mean() < 0.22, index
        assert grey.std() > 20, index


@pytest.mark.parametrize(
    ("index", "height", "width", "seed"), [(-1, 64, 64, 0), (0, 64, 64, -1), (0, 15, 64, 0), (0, 64, 15, 0)]
)
def test_what_cannot_be_drawn_is_refused(index: int, height: int, width: int, seed: int) -> None:
    with pytest.raises(ValueError, match="need index, seed >= 0 and sides >= 16, got"):
        render(index, height, width, seed)
