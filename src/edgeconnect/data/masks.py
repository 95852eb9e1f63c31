"""Masks that are drawn, not read: (H, W) arrays, True = missing."""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeconnect.errors import UserError

Mask = NDArray[np.bool_]
LARGE_HOLES = 0.6
WIDEST_STROKE = 0.16  # of the shorter side: 40 pixels of 256


class Pixels(NamedTuple):
    """How many pixels may be missing, both ends included."""

    least: int
    most: int


def wanted(height: int, width: int, ratio: tuple[float, float]) -> Pixels:
    """Return the whole numbers of pixels in a range of hole ratios, or the nearest one to a range that holds none."""
    bounds = [share * height * width for share in ratio]
    least, most = math.ceil(bounds[0] - 1e-6), math.floor(bounds[1] + 1e-6)
    return Pixels(least, most) if least <= most else Pixels(round(bounds[0]), round(bounds[0]))


def binarize(gray: NDArray[np.uint8], threshold: int, polarity: str) -> Mask:
    """Call missing what is brighter than the threshold, or what is not, where white means `known`."""
    bright: Mask = gray > threshold
    return bright if polarity == "hole" else ~bright


def block(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Take a quarter of the area out at a random place (MASK 1)."""
    top, left = rng.integers(0, height - height // 2 + 1), rng.integers(0, width - width // 2 + 1)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[top : top + height // 2, left : left + width // 2] = True
    return mask


def half(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Take the left or the right half out (MASK 2)."""
    mask = np.zeros((height, width), dtype=np.bool_)
    middle = width // 2
    mask[:, slice(0, middle) if rng.random() < 0.5 else slice(middle, width)] = True
    return mask


def strokes(height: int, width: int, rng: np.random.Generator, ratio: tuple[float, float]) -> Mask:
    """Draw strokes of straight pieces, each of one width, until the hole ratio is in the wanted range (MASK 7).

    The aim is uniform in the range, so that many masks fill it evenly. A range too narrow to hold a whole number of
    pixels takes the nearest.
    """
    low, high = wanted(height, width, ratio)
    aim = int(rng.integers(low, high + 1))
    canvas = np.zeros((height, width), dtype=np.uint8)
    brush = max(1.0, WIDEST_STROKE * min(height, width))
    while np.count_nonzero(canvas) < aim:
        drawn = _stroke(canvas, rng, brush, aim, high)
        if np.array_equal(drawn, canvas):
            brush /= 2  # the last gap wants a finer one
        if brush < 0.5:
            drawn = topped_up(canvas, rng, aim)
        canvas = drawn
    return canvas > 0


def _stroke(
    canvas: NDArray[np.uint8], rng: np.random.Generator, brush: float, aim: int, high: int
) -> NDArray[np.uint8]:
    """Draw one winding line; stop at the aim, and before a segment that would pass the upper bound."""
    height, width = canvas.shape
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.8, 0.8)
    thickness = max(1, int(rng.uniform(0.3, 1.0) * brush))
    for _ in range(int(rng.integers(3, 12))):
        length = rng.uniform(0.05, 0.2) * min(height, width) + thickness / 2
        angle += bend + rng.normal(0, 0.35)
        to_x, to_y = x + length * np.cos(angle), y + length * np.sin(angle)
        trial = canvas.copy()
        cv2.line(trial, (int(x), int(y)), (int(to_x), int(to_y)), 1, thickness)
        cv2.circle(trial, (int(to_x), int(to_y)), thickness // 2, 1, -1)
        if np.count_nonzero(trial) > high:
            break
        canvas, x, y = trial, to_x, to_y
        if np.count_nonzero(canvas) >= aim or not (0 <= x < width and 0 <= y < height):
            break
    return canvas


def topped_up(canvas: NDArray[np.uint8], rng: np.random.Generator, aim: int) -> NDArray[np.uint8]:
    """Grow the strokes by the pixels still missing, those nearest to them first."""
    distance = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, 3).ravel() + rng.uniform(0, 0.5, canvas.size)
    distance[canvas.ravel() > 0] = np.inf
    grown = canvas.ravel().copy()
    grown[np.argsort(distance)[: max(0, aim - np.count_nonzero(canvas))]] = 1
    return grown.reshape(canvas.shape)


def refuse_large_holes(ratios: list[float], key: str) -> None:
    """Raise UserError where masks are probably inverted: a median hole ratio above 0.6."""
    median = float(np.median(ratios))
    if median > LARGE_HOLES:
        raise UserError(
            f"{key}: the masks' median hole ratio is {median:.2f}; if white marks what is known, set "
            "MASK_POLARITY: known (or --set MASK_POLARITY=known); if holes are meant to be that large, "
            "set ALLOW_LARGE_HOLES: 1"
        )
