"""Holes painted in one colour: exact ones stay exact, soft rims leave no tint, implausible ones are refused."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from edgeconnect.data import markers
from edgeconnect.data.markers import Marking, Region, find_marks, parse_colour
from edgeconnect.data.scenes import render
from edgeconnect.errors import BadImageError, UserError

GREEN, MAGENTA = (0, 255, 0), (255, 0, 255)
HERE = Path("a.png")
TINT = 8  # levels towards the marker that cannot be seen


def painted(image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = GREEN) -> np.ndarray:
    return np.where(mask[..., None], np.uint8(colour), image)


def brushed(image: np.ndarray, coverage: np.ndarray, colour: tuple[int, int, int] = GREEN) -> np.ndarray:
    share = coverage[..., None] / np.float32(255)
    return np.rint(share * np.float32(colour) + (1 - share) * image).astype(np.uint8)


def stroke(height: int, width: int, seed: int, resample: Image.Resampling = Image.Resampling.BOX) -> np.ndarray:
    """Draw a thick line with round ends at eight times the size, and return how much of each pixel it covers."""
    rng, large = np.random.default_rng(seed), Image.new("L", (width * 8, height * 8))
    ends = [tuple(rng.uniform(0.1, 0.9, 2) * (width * 8, height * 8)) for _ in range(3)]
    radius, draw = float(rng.uniform(24, 64)), ImageDraw.Draw(large)
    draw.line(ends, 255, int(2 * radius), "curve")
    for x, y in ends:
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), 255)
    return np.array(large.resize((width, height), resample))


def tint(marked: np.ndarray, image: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = GREEN) -> int:
    """Return how many levels nearer to the marker the worst pixel is that stays in the picture."""
    before, after = (np.abs(part.astype(int) - colour).max(axis=2) for part in (image, marked))
    return int(np.where(mask, 0, before - after).max())


def box(height: int, width: int, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def refusal(image: np.ndarray, marking: Marking) -> str:
    with pytest.raises(BadImageError) as caught:
        find_marks(HERE, image, marking)
    text = str(caught.value)
    assert text.startswith("a.png: ")
    assert text.isprintable()
    return text


# The colour


@pytest.mark.parametrize(("text", "colour"), [("0,255,0", GREEN), ("#00ff00", GREEN), ("#FF00fF", MAGENTA)])
def test_colours_are_three_levels_or_six_digits(text, colour):
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["", "green", "0,255", "0,256,0", "0,-1,0", "0, 255, 0", "#0f0", "00ff00", "٠,255,0"])
def test_other_colours_are_refused_with_an_example(text):
    with pytest.raises(UserError, match=r"^--marker: .* is no colour; .*0,255,0.*#00ff00"):
        parse_colour(text)


# Exact marks


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 199),
    st.sampled_from([GREEN, MAGENTA]),
    st.lists(st.tuples(*[st.integers(0, 59)] * 2, *[st.integers(4, 30)] * 2), min_size=1, max_size=5),
    st.integers(0, 8),
)
def test_exactly_painted_rectangles_are_the_mask(seed, colour, rectangles, tolerance):
    image, mask = render(seed, 64, 72), np.zeros((64, 72), np.bool_)
    for top, left, height, width in rectangles:
        mask[min(top, 60) :, left:][:height, :width] = True
    marks = find_marks(HERE, painted(image, mask, colour), Marking(colour, tolerance, force=True))
    np.testing.assert_array_equal(marks.mask, mask)
    assert (marks.grown, marks.dropped) == (0, (0, 0))
    assert sum(region.pixels for region in marks.regions) == mask.sum()


def test_regions_have_boxes_and_pixels():
    mask = box(40, 60, 2, 3, 12, 23) | box(40, 60, 20, 30, 26, 38)
    marks = find_marks(HERE, painted(render(0, 40, 60), mask), Marking(GREEN))
    assert marks.regions == [Region(3, 2, 20, 10, 200), Region(30, 20, 8, 6, 48)]
    assert not marks.forced


def test_regions_that_touch_at_a_corner_are_one_and_a_border_ends_a_region():
    corner = box(40, 60, 0, 0, 10, 10) | box(40, 60, 10, 10, 20, 20)
    marks = find_marks(HERE, painted(render(1, 40, 60), corner), Marking(GREEN))
    np.testing.assert_array_equal(marks.mask, corner)
    assert marks.regions == [Region(0, 0, 20, 20, 200)]
    aslant = np.eye(40, 60, dtype=np.bool_)  # a line of a pixel, which no side connects
    assert find_marks(HERE, painted(render(1, 40, 60), aslant), Marking(GREEN)).regions == [Region(0, 0, 40, 40, 40)]


def test_tolerance_is_the_largest_difference_of_a_channel():
    image, mask = render(2, 40, 60), box(40, 60, 5, 5, 20, 20)
    off = painted(image, mask, (8, 247, 8))
    np.testing.assert_array_equal(find_marks(HERE, off, Marking(GREEN)).mask, mask)
    assert "the nearest is 8 levels away" in refusal(off, Marking(GREEN, tolerance=7))
    assert "no pixel of --marker 0,255,0 (--tolerance 0" in refusal(
        painted(image, mask, (0, 254, 0)), Marking(GREEN, 0)
    )


def test_small_regions_stay_in_the_picture_and_are_counted():
    mask, specks = box(40, 60, 5, 5, 20, 20), box(40, 60, 30, 30, 33, 35) | box(40, 60, 30, 50, 31, 51)
    image = painted(render(3, 40, 60), mask | specks)
    marks = find_marks(HERE, image, Marking(GREEN))
    np.testing.assert_array_equal(marks.mask, mask)
    assert marks.dropped == (2, 16)
    np.testing.assert_array_equal(find_marks(HERE, image, Marking(GREEN, min_region=1)).mask, mask | specks)
    assert "2 smaller ones; lower --min-region" in refusal(painted(render(3, 40, 60), specks), Marking(GREEN))


# Antialiased marks


@pytest.mark.parametrize("colour", [GREEN, MAGENTA])
@pytest.mark.parametrize("resample", [Image.Resampling.BOX, Image.Resampling.BILINEAR])
@pytest.mark.parametrize("seed", range(6))
def test_antialiased_stroke_leaves_no_tint(seed, resample, colour):
    image, coverage = render(seed, 96, 128), stroke(96, 128, seed, resample)
    marked = brushed(image, coverage, colour)
    marks = find_marks(HERE, marked, Marking(colour))
    assert tint(marked, image, marks.mask, colour) <= TINT
    assert marks.grown > 0
    reach = cv2.dilate((coverage > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert not (marks.mask & ~reach).any()  # and takes little of the picture


@pytest.mark.parametrize("seed", range(6))
def test_antialiased_line_and_shrunk_marks_leave_no_tint(seed):
    image = render(seed, 96, 128)
    lined = np.ascontiguousarray(image)
    cv2.line(lined, (10, 20 + seed * 9), (120, 80 - seed * 7), GREEN, 5 + seed, cv2.LINE_AA)
    assert tint(lined, image, find_marks(HERE, lined, Marking(GREEN)).mask) <= TINT
    large, mask = render(seed, 192, 256), stroke(192, 256, seed) > 127
    small, shrunk = (
        np.array(Image.fromarray(part).resize((128, 96), Image.Resampling.BICUBIC))
        for part in (large, painted(large, mask))
    )
    assert tint(shrunk, small, find_marks(HERE, shrunk, Marking(GREEN)).mask) <= TINT


def test_soft_side_of_a_box_is_enough_and_another_region_stays_hard():
    image, coverage = render(5, 64, 96), np.zeros((64, 96), np.uint8)
    coverage[10:40, 10:30], coverage[10:40, 30] = 255, 102  # one side only
    coverage[10:40, 60:80] = 255
    marked = brushed(image, coverage)
    marks = find_marks(HERE, marked, Marking(GREEN))
    assert tint(marked, image, marks.mask) <= TINT
    np.testing.assert_array_equal(marks.mask[:, 45:], coverage[:, 45:] > 0)


@pytest.mark.parametrize("seed", range(6))
def test_brush_with_a_soft_rim_is_followed_to_its_end(seed):
    image, hard = render(seed, 96, 128), stroke(96, 128, seed) > 127
    coverage = cv2.GaussianBlur(hard.astype(np.float32) * 255, (0, 0), 1)
    marked = brushed(image, coverage)
    assert tint(marked, image, find_marks(HERE, marked, Marking(GREEN)).mask) <= TINT


@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_jpeg_marks_are_found_with_the_tolerance_that_the_manual_names(seed, subsampling):
    image, mask = render(seed, 96, 128), stroke(96, 128, seed) > 127

    def compressed(picture: np.ndarray) -> np.ndarray:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=90, subsampling=subsampling)
        return np.array(Image.open(buffer))

    marks = find_marks(HERE, compressed(painted(image, mask)), Marking(GREEN, tolerance=64))
    assert (mask & ~marks.mask).sum() <= 2
    assert len(marks.regions) == 1
    reach = cv2.dilate(mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    assert not (marks.mask & ~reach).any()


# What is implausible


def foliage(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Draw noise of greens, few of them as pure as the marker."""
    rng = np.random.default_rng(seed)
    small = rng.integers((20, 60, 10), (120, 256, 90), (height // 3, width // 3, 3))
    return cv2.resize(small.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def test_naturally_green_picture_has_no_holes_of_its_own():
    image, mask = foliage(96, 128), box(96, 128, 20, 20, 50, 60)
    marks = find_marks(HERE, painted(image, mask), Marking(GREEN))
    np.testing.assert_array_equal(marks.mask, mask)
    assert "no pixel of --marker" in refusal(image, Marking(GREEN, tolerance=0))


def test_hundreds_of_regions_are_refused_with_their_number_and_remedies_unless_forced():
    image = render(0, 120, 160)
    for y, x in np.ndindex(10, 13):
        image[y * 12 : y * 12 + 5, x * 12 : x * 12 + 5] = GREEN
    text = refusal(image, Marking(GREEN))
    assert "130 regions of --marker 0,255,0 (--tolerance 8, --min-region 16), more than 64" in text
    assert all(option in text for option in ("lower --tolerance", "raise --min-region", "another --marker", "--force"))
    marks = find_marks(HERE, image, Marking(GREEN, force=True))
    assert (len(marks.regions), marks.forced) == (130, True)


def test_large_share_is_refused_unless_forced():
    image = painted(render(0, 40, 60), box(40, 60, 0, 0, 25, 60))
    text = refusal(image, Marking(GREEN))
    assert "62% of it" in text
    assert "more than 60%" in text
    assert find_marks(HERE, image, Marking(GREEN, force=True)).forced
    assert not find_marks(HERE, painted(render(0, 40, 60), box(40, 60, 0, 0, 24, 60)), Marking(GREEN)).forced


def test_picture_without_marks_is_refused_and_forced_it_has_none():
    image = render(0, 40, 60)
    assert "levels away; raise --tolerance, correct --marker" in refusal(image, Marking(GREEN))
    assert "is gray" in refusal(np.dstack([image[..., 0]] * 3), Marking(GREEN))
    marks = find_marks(HERE, image, Marking(GREEN, force=True))
    assert (marks.mask.any(), marks.regions, marks.forced) == (False, [], True)


def test_gray_marker_in_a_gray_picture_is_found():
    gray = np.full((40, 60, 3), 90, np.uint8)
    mask = box(40, 60, 5, 5, 20, 20)
    np.testing.assert_array_equal(find_marks(HERE, painted(gray, mask, (255,) * 3), Marking((255,) * 3)).mask, mask)


def test_erased_hole_is_no_mark_and_the_refusal_says_how_to_use_it():
    seen = ~box(40, 60, 5, 5, 20, 20)
    with pytest.raises(BadImageError, match=r"9% of it is clear.*--mask.*MASK_POLARITY=known"):
        find_marks(HERE, render(0, 40, 60), Marking(GREEN), seen)


def test_what_is_clear_is_not_marked():
    image, mask, clear = render(0, 40, 60), box(40, 60, 5, 5, 20, 20), box(40, 60, 25, 40, 40, 60)
    marks = find_marks(HERE, painted(image, mask | clear), Marking(GREEN), ~clear)
    np.testing.assert_array_equal(marks.mask, mask)
    assert marks.dropped == (0, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_pictures_of_few_pixels_are_found_or_refused(height, width, data):
    levels = data.draw(
        st.lists(st.sampled_from([0, 90, 255]), min_size=height * width * 3, max_size=height * width * 3)
    )
    image = np.array(levels, np.uint8).reshape(height, width, 3)
    marks = find_marks(HERE, image, Marking(GREEN, min_region=1, force=True))
    assert (marks.mask | (image != GREEN).any(axis=2)).all()
    assert marks.mask.sum() == sum(region.pixels for region in marks.regions)
    assert markers.grow(image, np.ones((height, width), np.bool_), GREEN).all()
