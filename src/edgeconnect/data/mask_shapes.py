"""Masks of every shape, drawn for training and for files: (H, W) arrays, True = missing."""

import math
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeconnect.data.masks import Mask


class Pixels(NamedTuple):
    """How many pixels may be missing, both ends included."""

    least: int
    most: int


Generator = Callable[[int, int, np.random.Generator, Pixels], Mask]
Canvas = NDArray[np.uint8]  # (H, W), 1 = drawn
Numbers = NDArray[np.int32]  # whole ones

MARGIN = 50 / 512  # of the sides, which the interior half of the masks of arXiv:1804.07723 keeps known
STRAIGHT_STROKE = 0.16  # of the shorter side, the widest of MASK 7: 40 pixels of 256
WIDEST_STROKE = 0.17  # of the shorter side, of MASK 8
LONGEST_STROKE = 45  # points
MOST_STROKES = 300  # what so many leave is filled from their rims
SPECK = 0.04  # of the hole, or of a tenth of the picture: no stroke is begun for less
MOST_BOXES = 5
SIZES = 2**32  # between nothing and all: finer than a pixel of any picture


def pixel_range(height: int, width: int, ratio: tuple[float, float]) -> Pixels:
    """Return the whole numbers of pixels in a range of hole ratios, or the nearest one to a range that holds none."""
    bounds = [share * height * width for share in ratio]
    least, most = math.ceil(bounds[0] - 1e-6), math.floor(bounds[1] + 1e-6)
    return Pixels(least, most) if least <= most else Pixels(round(bounds[0]), round(bounds[0]))


def draw(
    kind: str, height: int, width: int, rng: np.random.Generator, pixels: Pixels, touches_border: bool | None = None
) -> Mask:
    """Draw a mask with so many missing pixels: anywhere (None), at the border (True), or away from it (False).

    Call `reaches` first: where it returns False, drawing may not end.
    """
    if touches_border is False:
        top, left = margins(height, width)
        room = (height - 2 * top) * (width - 2 * left)
        inner = INTERIOR[kind](height - 2 * top, width - 2 * left, rng, Pixels(pixels.least, min(pixels.most, room)))
        return np.pad(inner, ((top, top), (left, left)))
    while True:
        mask = GENERATORS[kind](height, width, rng, pixels)
        if not touches_border or at_border(mask):
            return mask


def reaches(kind: str, height: int, width: int, pixels: Pixels, touches_border: bool | None = None) -> bool:
    """Return whether a kind can have so many missing pixels; only some can keep to the border or away from it."""
    if touches_border is False:
        top, left = margins(height, width)
        return kind in INTERIOR and pixels.least <= (height - 2 * top) * (width - 2 * left)
    if kind == "half":
        return any(pixels.least <= height * side <= pixels.most for side in (width // 2, width - width // 2))
    return touches_border is None or kind in INTERIOR


def at_border(mask: Mask) -> bool:
    """Return whether a pixel of the outermost rows or columns is missing."""
    return bool(mask[[0, -1]].any() or mask[:, [0, -1]].any())


def margins(height: int, width: int) -> tuple[int, int]:
    """Return how many rows and columns on each side stay known in an interior mask."""
    return math.ceil(MARGIN * height), math.ceil(MARGIN * width)


def block(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Draw a rectangle of a quarter of the area at a random place (MASK 1)."""
    top, left = rng.integers(0, height - height // 2 + 1), rng.integers(0, width - width // 2 + 1)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[top : top + height // 2, left : left + width // 2] = True
    return mask


def rectangle(height: int, width: int, rng: np.random.Generator, sides: tuple[float, float]) -> Mask:
    """Draw a rectangle at a random place, each side a share of the picture's between `sides` (MASK 13)."""
    rows, columns = (max(1, round(side * rng.uniform(*sides))) for side in (height, width))
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[top : top + rows, left : left + columns] = True
    return mask


def half(height: int, width: int, rng: np.random.Generator, pixels: Pixels | None = None) -> Mask:
    """Draw the left or the right half (MASK 2), or the one that has so many pixels: those of an odd width differ."""
    mask = np.zeros((height, width), dtype=np.bool_)
    middle = width // 2
    mask[:, slice(0, middle) if rng.random() < 0.5 else slice(middle, width)] = True
    wrong = pixels and not pixels.least <= np.count_nonzero(mask) <= pixels.most
    return half(height, width, rng, pixels) if wrong else mask


def strokes(height: int, width: int, rng: np.random.Generator, pixels: Pixels) -> Mask:
    """Draw strokes of straight pieces, each of one width, until so many pixels are missing (MASK 7).

    The aim is uniform in the range, so that many masks fill it evenly.
    """
    aim = int(rng.integers(pixels.least, pixels.most + 1))
    canvas = np.zeros((height, width), dtype=np.uint8)
    brush = max(1.0, STRAIGHT_STROKE * min(height, width))
    while np.count_nonzero(canvas) < aim:
        drawn = _stroke(canvas, rng, brush, aim, pixels.most)
        if np.array_equal(drawn, canvas):
            brush /= 2  # the last gap wants a finer one
        if brush < 0.5:
            drawn = _topped_up(canvas, rng, aim)
        canvas = drawn
    return canvas > 0


def _stroke(canvas: Canvas, rng: np.random.Generator, brush: float, aim: int, high: int) -> Canvas:
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


def _topped_up(canvas: Canvas, rng: np.random.Generator, aim: int) -> Canvas:
    """Grow the strokes by the pixels still missing, those nearest to them first."""
    distance = cv2.distanceTransform(1 - canvas, cv2.DIST_L2, 3).ravel() + rng.uniform(0, 0.5, canvas.size)
    distance[canvas.ravel() > 0] = np.inf
    grown = canvas.copy()
    grown.ravel()[np.argsort(distance)[: max(0, aim - np.count_nonzero(canvas))]] = 1
    return grown


def irregular(
    height: int, width: int, rng: np.random.Generator, pixels: Pixels, inside: bool = False, holes: Mask | None = None
) -> Mask:
    """Draw winding strokes of changing width, beside given holes, in the manner of arXiv:1804.07723 (MASK 8).

    The last one ends where the aim is met, or the rims of all grow by the few pixels that are short. `inside` strokes
    turn before the border, others run across it. Theirs come from the motion in videos, these from a random walk.
    """
    aim = int(rng.integers(pixels.least, pixels.most + 1))
    mask = np.zeros((height, width), dtype=np.bool_) if holes is None else holes.copy()
    for _ in range(MOST_STROKES):
        gap = aim - int(np.count_nonzero(mask))
        if gap <= SPECK * min(aim, mask.size / 10):
            break
        brush = min(WIDEST_STROKE * min(height, width), 0.6 * math.sqrt(gap))  # what is small is a stroke, too, no dot
        line, widths = _winding(height, width, rng, brush, inside)
        mask.ravel()[_new_pixels(mask, line, widths, gap)] = True
    if np.count_nonzero(mask) >= pixels.least:
        return mask
    return _topped_up(mask.astype(np.uint8), rng, aim) > 0


def _winding(height: int, width: int, rng: np.random.Generator, brush: float, inside: bool) -> tuple[Numbers, Numbers]:
    """Return a line's points (N, 2), x before y, and the widths (N,) on the way to each; borders throw it back."""
    steps = np.arange(rng.integers(10, LONGEST_STROKE))
    thickness = max(1.0, brush * rng.uniform(0.3, 1.0))
    swing, pace, swelling = rng.uniform(0.05, 0.35), rng.uniform(0.1, 0.45), rng.uniform(0.1, 0.4)
    phases, jitter = rng.uniform(0, 2 * np.pi, 2), rng.normal(0, (0.12, 0.04), (len(steps), 2)).T
    bends = swing * np.sin(pace * steps + phases[0]) + jitter[0]
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(bends)
    widths = thickness * (0.75 + 0.25 * np.sin(swelling * steps + phases[1]) + jitter[1])
    gap = thickness / 2 + 1 if inside else -thickness / 2  # between the line and the border
    axes = []
    for side, direction in ((width, np.cos(angles)), (height, np.sin(angles))):
        room = max(1.0, side - 1 - 2 * gap)
        free = rng.uniform(0, room) + np.cumsum(max(1.0, 0.35 * thickness) * direction)
        axes.append(min(gap, (side - 1) / 2) + room - np.abs(free % (2 * room) - room))
    return np.rint(np.stack(axes, 1)).astype(np.int32), np.maximum(1, np.rint(widths)).astype(np.int32)


def _new_pixels(mask: Mask, line: Numbers, widths: Numbers, count: int) -> NDArray[np.intp]:
    """Return where in the flat picture the first `count` pixels lie that a stroke adds to a mask, or all if fewer."""
    order = np.zeros(mask.shape, dtype=np.uint8)  # the piece of the stroke, from 1, that comes there first
    for piece in range(len(line) - 1, 0, -1):  # the earliest is drawn last and stays
        cv2.line(order, line[piece - 1].tolist(), line[piece].tolist(), piece, int(widths[piece]))
    order[mask] = 0
    places = np.flatnonzero(order)
    if len(places) <= count:
        return places
    pieces = order.ravel()[places].astype(np.intp)
    rows, columns = np.divmod(places, mask.shape[1])
    start_x, start_y = line[pieces - 1].T
    return places[np.lexsort((np.hypot(columns - start_x, rows - start_y), pieces))[:count]]


def boxes(height: int, width: int, rng: np.random.Generator, pixels: Pixels) -> Mask:
    """Grow one to five rectangles, which may overlap, until the range is met (MASK 9)."""
    count = int(rng.integers(1, MOST_BOXES + 1))
    middles = rng.uniform(0, 1, (count, 2))
    stretch = np.exp(rng.uniform(-0.5, 0.5, count))
    extents = rng.uniform(0.4, 1.0, (count, 1)) * np.stack((stretch, 1 / stretch), 1)
    extents /= extents.min(1).max()  # the largest covers the picture at size 1 from any middle

    def rectangles(size: float) -> Mask:
        mask = np.zeros((height, width), dtype=np.bool_)
        starts, ends = (np.rint((middles + sign * size * extents) * (height, width)) for sign in (-1, 1))
        for (top, left), (bottom, right) in zip(np.maximum(0, starts).astype(int), ends.astype(int), strict=True):
            mask[top:bottom, left:right] = True
        return mask

    return _sized(rectangles, rng, pixels)


def centre(height: int, width: int, rng: np.random.Generator, pixels: Pixels) -> Mask:
    """Draw a centred rectangle of the picture's proportions (MASK 10)."""

    def rectangle(size: float) -> Mask:
        rows, columns = round(size * height), round(size * width)
        top, left = (height - rows) // 2, (width - columns) // 2
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[top : top + rows, left : left + columns] = True
        return mask

    return _sized(rectangle, rng, pixels)


def border(height: int, width: int, rng: np.random.Generator, pixels: Pixels) -> Mask:
    """Draw the same share of the picture at one to four of its sides: outpainting (MASK 11)."""
    sides = rng.permutation(4)[: rng.integers(1, 5)]
    up, down, left, right = (int(side in sides) for side in range(4))

    def frame(size: float) -> Mask:
        rows, columns = round(size * height), round(size * width)
        mask = np.ones((height, width), dtype=np.bool_)
        mask[up * rows : height - down * rows, left * columns : width - right * columns] = False
        return mask

    return _sized(frame, rng, pixels)


def _sized(shape: Callable[[float], Mask], rng: np.random.Generator, pixels: Pixels) -> Mask:
    """Return a shape of the size in [0, 1] that meets the range; where sizes leap over it, add part of the leap."""
    aim = int(rng.integers(pixels.least, pixels.most + 1))
    smaller = bisect_left(range(1, SIZES), aim, key=lambda step: int(np.count_nonzero(shape(step / SIZES))))
    below, above = shape(smaller / SIZES), shape((smaller + 1) / SIZES)
    if np.count_nonzero(above) <= pixels.most:
        return above
    gap = max(0, pixels.least - np.count_nonzero(below))
    below.ravel()[np.flatnonzero(above & ~below)[:gap]] = True
    return below


def mixture(height: int, width: int, rng: np.random.Generator, pixels: Pixels) -> Mask:
    """Draw any other kind that reaches the range, or strokes beside boxes (MASK 12)."""
    kinds = [kind for kind in GENERATORS if kind != "mixture" and reaches(kind, height, width, pixels)]
    chosen = int(rng.integers(len(kinds) + 1))
    if chosen < len(kinds):
        return GENERATORS[kinds[chosen]](height, width, rng, pixels)
    aim = int(rng.integers(pixels.least, pixels.most + 1))
    part = boxes(height, width, rng, Pixels(aim // 3, 2 * aim // 3))
    return irregular(height, width, rng, pixels, holes=part)


_KINDS: tuple[Generator, ...] = (strokes, irregular, boxes, half, centre, border, mixture)
GENERATORS = {kind.__name__: kind for kind in _KINDS}
INTERIOR: dict[str, Generator] = {"irregular": partial(irregular, inside=True), "boxes": boxes}
