"""Scenes and masks written as PNG: the ones that `scenes:N` draws."""

import numpy as np
import pytest

from edgeconnect import images
from edgeconnect.data import files
from edgeconnect.data.scene_files import write_scenes
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError


def test_scenes_are_written_under_their_numbers(tmp_path):
    write_scenes(tmp_path, 3, 2, [32], None, 0)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["scene_000003.png", "scene_000004.png"]
    for n in (3, 4):
        image = images.read_image(tmp_path / f"images/scene_{n:06d}.png")
        np.testing.assert_array_equal(image, render(n, 32, 32))


def test_two_sides_are_height_and_width_and_the_seed_names_the_series(tmp_path):
    write_scenes(tmp_path, 0, 1, [24, 40], None, 7)
    image = images.read_image(tmp_path / "images/scene_000000.png")
    np.testing.assert_array_equal(image, render(0, 24, 40, 7))


def test_masks_have_their_ratio_and_pair_with_the_scenes(tmp_path):
    write_scenes(tmp_path, 0, 4, [32, 48], "0.2-0.4", 0)
    listed = files.list_images(str(tmp_path / "images"), "KEY")
    masks = files.pair(listed, files.list_images(str(tmp_path / "masks"), "KEY"), "mask", shared=False)
    read = [images.read_gray(path) for path in masks]
    assert len(read) == 4
    for mask in read:
        assert mask.shape == (32, 48)
        assert set(np.unique(mask)) == {0, 255}
        assert 0.2 <= (mask > 127).mean() <= 0.4
    assert len({mask.tobytes() for mask in read}) == 4


def test_same_command_writes_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_scenes(tmp_path / name, 0, 1, [32], "0.1-0.2", 3)
    for part in ("images", "masks"):
        one, other = (tmp_path / name / part / "scene_000000.png" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    ("option", "first", "count", "size", "seed"),
    [
        ("--count: 0", 0, 0, [32], 0),
        ("--first: -1", -1, 1, [32], 0),
        ("--size: 15", 0, 1, [15], 0),
        ("--size: 8", 0, 1, [32, 8], 0),
        ("--size: 32 32 32", 0, 1, [32, 32, 32], 0),
        ("--size: 99999x99999", 0, 1, [99999], 0),
        ("--seed: -1", 0, 1, [32], -1),
    ],
)
def test_numbers_that_make_no_sense_are_refused_one_by_one(tmp_path, option, first, count, size, seed):
    with pytest.raises(UserError, match=f"^{option} "):
        write_scenes(tmp_path, first, count, size, None, seed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ratio", ["0.4-0.2", "some", "0-0.5", "0.5-1", "0.2"])
def test_ratio_that_is_no_range_is_refused(tmp_path, ratio):
    with pytest.raises(UserError, match=f"--masks: '{ratio}' is no range"):
        write_scenes(tmp_path, 0, 1, [32], ratio, 0)
    assert not list(tmp_path.iterdir())


def test_ratio_without_a_whole_number_of_pixels_takes_the_nearest(tmp_path):
    write_scenes(tmp_path, 0, 1, [33], "0.5-0.5", 0)
    assert np.count_nonzero(images.read_gray(tmp_path / "masks" / "scene_000000.png")) == 544
