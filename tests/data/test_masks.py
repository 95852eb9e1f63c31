"""Masks from files: what counts as missing, what marks nothing or part or is a picture, and what looks inverted."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgeconnect.data import mask_shapes, masks
from edgeconnect.data.scenes import render
from edgeconnect.errors import BadImageError, UserError

HOLE = np.zeros((80, 96), np.bool_)
HOLE[20:50, 30:60] = True
WHITE = HOLE.astype(np.uint8) * 255
PICTURE = render(10, 80, 96)
KNOWN = {"polarity": "known"}


def layer(colour: tuple[int, ...] | np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return RGBA of one colour, or of a picture."""
    return np.dstack([np.broadcast_to(np.uint8(colour), (*alpha.shape, 3)), alpha.astype(np.uint8)])


def read(
    path: Path, mask: np.ndarray | Image.Image, threshold: int = 127, polarity: str = "hole", **options
) -> np.ndarray:
    """Save a mask and return what it marks."""
    (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)
    return masks.binarize(masks.read_mask(path, threshold, polarity, **options), threshold, polarity)


def palette(labels: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(labels.astype(np.uint8)).copy()
    picture.putpalette([level for colour in colours for level in colour])
    return picture


def classes(*whites: object) -> np.ndarray:
    """Mark the hole in stripes of several grays or colours."""
    stripes = np.zeros((*HOLE.shape, *np.shape(whites[0])), np.uint8)
    for number, white in enumerate(whites):
        stripes[20 + 30 * number // len(whites) : 20 + 30 * (number + 1) // len(whites), 30:60] = white
    return stripes


MARKS = {  # a mask, and how it is read where that is not the usual way
    "white": (WHITE, {}),
    "gray above the threshold": (WHITE // 255 * 200, {}),
    "one bit": (HOLE, {}),
    "white in alpha": (layer((255, 255, 255), HOLE * 255), {}),
    "red strokes": (layer((204, 50, 50), HOLE * 255), {}),
    "black strokes": (layer((0, 0, 0), HOLE * 255), {}),
    "faint strokes": (layer((204, 50, 50), HOLE * 76), {}),
    "strokes of two colours": (np.dstack([classes((255, 0, 0), (0, 0, 9)), HOLE * np.uint8(255)]), {}),
    "gray strokes on clear": (np.dstack([WHITE // 255 * np.uint8(90), WHITE]), {}),
    "alpha that is full everywhere": (np.dstack([WHITE] * 3 + [np.full_like(WHITE, 255)]), {}),
    "alpha that is clear nowhere": (np.dstack([WHITE] * 3 + [np.full_like(WHITE, 254) + HOLE]), {}),
    "palette with transparency": (palette(HOLE, (9, 9, 9), (200, 0, 0)), {}),
    "clear hole": (layer((0, 0, 0), ~HOLE * 255), KNOWN),
    "erased hole": (layer(PICTURE, ~HOLE * 255), KNOWN),
    "black hole": (255 - WHITE, KNOWN),
    "red": (classes((255, 0, 0)), {"threshold": 0}),
    "classes": (classes(1, 15, 200), {"threshold": 0}),
    "dark classes that are known": (255 - classes(1, 15, 200), KNOWN | {"threshold": 254}),
}


@pytest.mark.parametrize("name", MARKS)
def test_mask_marks_by_alpha_where_part_is_clear_and_else_by_brightness(tmp_path, name):
    mask, options = MARKS[name]
    if name == "palette with transparency":
        mask.info["transparency"] = 0
    np.testing.assert_array_equal(read(tmp_path / "m.png", mask, **options), HOLE)


REFUSED = {  # a mask, how it is read, the code, and parts of the message
    "black": (np.zeros_like(WHITE), {}, "no-hole", "marks nothing"),
    "white and known": (np.full_like(WHITE, 255), KNOWN, "no-hole", "marks nothing"),
    "all clear": (layer((255, 255, 255), np.zeros_like(WHITE)), {}, "no-hole", "marks nothing"),
    "all white": (np.full_like(WHITE, 255), {}, "all-hole", "whole picture.*MASK_POLARITY"),
    "black and known": (np.zeros_like(WHITE), KNOWN, "all-hole", "whole picture.*MASK_POLARITY"),
    "0 and 1": (HOLE.astype(np.uint8), {}, "dark-mask", "MASK_THRESHOLD 127.* is 1"),
    "0 and 1 in 16 bits": (HOLE.astype(np.uint16), {}, "deep-samples", "from 0 to 1, and white is 65535"),
    "red": (classes((255, 0, 0)), {}, "dark-mask", "brightest is 76"),
    "red and green": (classes((255, 0, 0), (0, 255, 0)), {}, "in-part", "MASK_THRESHOLD: 0"),
    "blue and white": (classes((0, 0, 255), (255, 255, 255)), {}, "in-part", "MASK_THRESHOLD: 0"),
    "class palette": (palette(classes(1, 2), (0, 0, 0), (128, 0, 0), (192, 128, 128)), {}, "in-part", "4.*%"),
    "grays of which one counts": (classes(100, 255), {}, "in-part", "MASK_THRESHOLD: 0"),
    "classes and known": (255 - classes(100, 255), KNOWN, "in-part", "MASK_THRESHOLD: 254"),
    "wide soft rim": (cv2.GaussianBlur(WHITE, (0, 0), 6), {}, "in-part", "MASK_THRESHOLD: 0"),
    "picture": (PICTURE, {}, "gray-mask", "black and white"),
    "picture and known": (PICTURE, KNOWN, "gray-mask", "black and white"),
    "picture where all gray counts": (PICTURE, {"threshold": 0}, "gray-mask", "black and white"),
    "very bright picture": (PICTURE // 4 + 175, {}, "gray-mask", "black and white"),
    "bright picture": (PICTURE // 2 + 100, {}, "gray-mask", "black and white"),
    "gradient": (np.tile(np.linspace(0, 255, 96).astype(np.uint8), (80, 1)), {}, "gray-mask", "MASK_THRESHOLD: 0"),
    "cut-out": (layer(PICTURE, ~HOLE * 255), {}, "gray-mask", "alpha.*MASK_POLARITY: known"),
    "object cut out": (layer(PICTURE, HOLE * 255), {}, "gray-mask", "alpha.*one colour"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mask_that_marks_nothing_everything_or_part_or_is_a_picture_is_refused(tmp_path, name):
    mask, options, code, message = REFUSED[name]
    with pytest.raises(BadImageError, match=message) as caught:
        read(tmp_path / "m.png", mask, **options)
    assert str(caught.value).startswith(f"{tmp_path / 'm.png'}: ")
    assert (caught.value.code, str(caught.value).isprintable()) == (code, True)


def test_picture_is_not_its_own_mask_whatever_it_shows_or_is_called(tmp_path):
    Image.fromarray(WHITE).save(tmp_path / "a.png")
    for name in ("a.png", "copy.png"):
        with pytest.raises(BadImageError, match="is the picture itself"):
            read(tmp_path / name, WHITE, picture=tmp_path / "a.png")
    Image.fromarray(WHITE).save(tmp_path / "a.bmp")
    read(tmp_path / "m.png", WHITE, picture=tmp_path / "a.bmp")
    erased = layer(PICTURE, ~HOLE * 255)
    np.testing.assert_array_equal(read(tmp_path / "b.png", erased, picture=tmp_path / "b.png", **KNOWN), HOLE)


def as_jpeg(mask: np.ndarray, quality: int, mode: str) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(mask).convert(mode).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


@pytest.mark.parametrize("kind", ["irregular", "strokes"])
def test_rims_of_jpeg_resizing_and_antialiasing_are_no_fault(tmp_path, kind):
    share = mask_shapes.Pixels(int(0.05 * 256**2), int(0.5 * 256**2))
    drawn = [mask_shapes.draw(kind, 256, 256, np.random.default_rng(n), share).astype(np.uint8) * 255 for n in range(3)]
    for mask in drawn:
        sides = [Image.fromarray(mask).resize((side, side), Image.Resampling.BILINEAR) for side in (128, 384, 1024)]
        jpegs = [as_jpeg(mask, quality, mode) for quality in (40, 75, 95) for mode in ("L", "RGB")]
        for number, made in enumerate([*sides, *jpegs, cv2.GaussianBlur(mask, (0, 0), 1)]):
            for polarity in ("hole", "known"):
                worst = made if polarity == "hole" else 255 - np.asarray(made)
                found = read(tmp_path / "m.png", worst, polarity=polarity)
                assert number < 3 or (found != (mask > 127)).mean() < 0.02


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
