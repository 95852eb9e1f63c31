"""Masks that are read from files: (H, W) arrays, True = missing."""

import filecmp
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.errors import BadImageError, UserError

Mask = NDArray[np.bool_]
Gray = NDArray[np.uint8]
LARGE_HOLES = 0.6
MIDDLE = range(16, 192)  # grays of pictures; soft rims and JPEG make few of them
BRIGHT = range(16, 240)  # those of a bright picture, too, which as a mask is nearly all hole
GRAY_SHARE, GRAY_LEVELS = 0.25, 32  # of a picture's pixels, and how many levels one in 2,000 pixels has each
DIM = 32  # levels: what JPEG leaves beside a hole is less
RIM = 0.01  # of a mask's shorter side, at least four pixels: what is dim so near to a hole is its soft rim
PART_SHARE = 0.01  # of a hole's pixels, which may be dim and no rim
BLACK_AND_WHITE = "give a mask of black and white"


def binarize(gray: Gray, threshold: int, polarity: str) -> Mask:
    """Return what is missing: pixels brighter than the threshold or, where white means `known`, all others."""
    bright: Mask = gray > threshold
    return bright if polarity == "hole" else ~bright


def read_mask(
    path: Path, threshold: int, polarity: str, max_pixels: int = MAX_PIXELS, picture: Path | None = None
) -> Gray:
    """Decode a mask to (H, W) gray, still to be resized and binarized.

    Where part of it is clear, what is not is white and the rest black, whatever its colours.
    Raises BadImageError where it marks nothing, everything or part of what it shows, or is a picture, such as the
    `picture` that it belongs to.
    """
    gray, strongest, alpha = images.read_planes(path, max_pixels)
    opaque: Mask = alpha > 0
    if not opaque.all() and opaque.any():
        if polarity == "hole" and is_picture(gray[opaque]):
            erased = f"if its clear pixels are the hole, {_setting('MASK_POLARITY', 'known')}"
            problem = f"is a picture with an alpha channel; {erased}, else mark the hole in one colour"
            raise BadImageError(path, problem, "gray-mask")
        gray = np.where(opaque, np.uint8(255), np.uint8(0))
    else:
        if not opaque.any():
            gray = strongest = np.zeros_like(gray)
        if picture and is_same_file(path, picture):
            raise BadImageError(path, f"is the picture itself; {BLACK_AND_WHITE}", "gray-mask")
        refuse_dark(path, gray, threshold)
        refuse_in_part(path, gray, strongest, threshold, polarity)
    ratio = binarize(gray, threshold, polarity).mean()
    if ratio == 0:
        raise BadImageError(path, "marks nothing as missing; mark the hole, or take it off the list", "no-hole")
    if ratio == 1:
        other = _setting("MASK_POLARITY", "known" if polarity == "hole" else "hole")
        remedy = f"leave part of it known, or, if white means the opposite, {other}"
        raise BadImageError(path, f"marks the whole picture as missing; {remedy}", "all-hole")
    return gray


def refuse_dark(path: Path, gray: Gray, threshold: int) -> None:
    """Raise BadImageError for a mask that has marks, all of them too dark to count."""
    if 0 < gray.max() <= threshold:
        dark = f"no pixel of this mask exceeds MASK_THRESHOLD {threshold}, the brightest is {gray.max()}"
        raise BadImageError(path, f"{dark}; mark holes with 255, or set MASK_THRESHOLD to less", "dark-mask")


def refuse_in_part(path: Path, gray: Gray, strongest: Gray, threshold: int, polarity: str) -> None:
    """Raise BadImageError where much is gray or coloured and is neither hole nor a hole's rim.

    A MASK_THRESHOLD that takes every gray for a mark is kept to, unless the hole is as large as a picture makes it.
    """
    hole = binarize(gray, threshold, polarity)
    white, every = (255, 0) if polarity == "hole" else (0, 254)
    remedy = _setting("MASK_THRESHOLD", every)
    is_large = hole.mean() > LARGE_HOLES
    if is_picture(gray, BRIGHT if is_large else MIDDLE) and (is_large or abs(threshold - every) >= MIDDLE.start):
        problem = f"is largely gray, as a picture is; {BLACK_AND_WHITE}"
        raise BadImageError(path, f"{problem}, or, where gray marks the hole, {remedy}", "gray-mask")
    dim = (cv2.absdiff(strongest, np.full_like(gray, 255 - white)) > DIM) & ~hole
    most = PART_SHARE * np.count_nonzero(hole)
    if np.count_nonzero(dim) > most:
        reach = 2 * max(4, round(RIM * min(gray.shape))) + 1
        dim &= cv2.dilate(hole.view(np.uint8), np.ones((reach, reach), np.uint8)) == 0
    if np.count_nonzero(dim) > most:
        problem = f"{dim.mean():.1%} of it is marked in gray or a colour that is no hole by MASK_THRESHOLD {threshold}"
        raise BadImageError(path, f"{problem}; mark holes in black and white, or {remedy}", "in-part")


def _setting(key: str, value: object) -> str:
    """Say how a setting is changed, of all commands that read masks."""
    return f"set {key}: {value} (--set {key}={value}; metrics.py: --{key.lower().replace('_', '-')} {value})"


def is_picture(gray: Gray, between: range = MIDDLE) -> bool:
    """Return whether grays, of any shape, are a picture's: many of them, of many levels, between black and white."""
    counts = cv2.calcHist([gray.reshape(1, -1)], [0], None, [256], [0, 256])[between.start : between.stop]
    enough = max(1, gray.size // 2000)
    return bool(counts.sum() > GRAY_SHARE * gray.size and np.count_nonzero(counts >= enough) > GRAY_LEVELS)


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, or to the same bytes."""
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def refuse_large_holes(ratios: list[float], key: str) -> None:
    """Raise UserError where masks are probably inverted: a median hole ratio above 0.6."""
    median = float(np.median(ratios))
    if median > LARGE_HOLES:
        known = "if white is what is known, set MASK_POLARITY: known (or --set MASK_POLARITY=known)"
        large = "if holes are meant to be that large, set ALLOW_LARGE_HOLES: 1"
        raise UserError(f"{key}: the masks' median hole ratio is {median:.2f}; {known}; {large}")
