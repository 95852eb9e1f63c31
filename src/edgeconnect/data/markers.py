"""Holes that are painted into a picture with one colour: found, their antialiased rims included, and judged."""

import re
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeconnect import images
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.data.masks import LARGE_HOLES, Mask
from edgeconnect.errors import BadImageError, UserError

TOLERANCE, MIN_REGION = 8, 16  # levels, pixels
MOST_REGIONS = 64  # more are probably colours of the picture itself
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)  # a pixel and its four neighbours
STEP = np.ones((5, 5), np.uint8)  # two pixels in all directions: what a soft rim grows by at a time
REACH = 8  # times that it grows at most: sixteen pixels
BEYOND = tuple(product((-4, -2, 0, 2, 4), repeat=2))  # where a pixel of a rim looks for the picture beyond
ALIGNED = 0.9  # cosine of the angle to the marker's direction, from which a change of colour is a blend
VISIBLE = 16.0  # levels towards the marker, likewise
SOFT_SHARE, SOFT_LEAST = 0.05, 4  # of a rim's pixels, which must be blends for the region to be antialiased
CHANCE = 3  # blends for each change away from the marker: fewer are texture

Picture = NDArray[np.uint8]
Points = tuple[NDArray[np.intp], ...]  # rows and columns


@dataclass(frozen=True)
class Marking:
    """How holes are marked: 8-bit RGB, the largest difference of a channel that counts as the same colour.

    Regions of fewer than `min_region` pixels stay in the picture; `force` takes what looks implausible, too.
    """

    colour: tuple[int, int, int]
    tolerance: int = TOLERANCE
    min_region: int = MIN_REGION
    force: bool = False

    def __str__(self) -> str:
        return ",".join(map(str, self.colour))


class Region(NamedTuple):
    """The box of a hole, and how many pixels of it are missing."""

    left: int
    top: int
    width: int
    height: int
    pixels: int


@dataclass(frozen=True)
class Marks:
    """What is marked: (H, W) True = missing, its connected regions, and what was judged on the way.

    `dropped` counts the regions that were too small, and their pixels; `grown` the pixels of antialiased rims.
    """

    mask: Mask
    regions: list[Region]
    dropped: tuple[int, int]
    grown: int
    forced: bool

    def report(self) -> dict[str, Any]:
        """Return what can be said of it in JSON."""
        height, width = self.mask.shape
        pixels = sum(region.pixels for region in self.regions)
        return {
            "width": width,
            "height": height,
            "pixels": pixels,
            "share": pixels / self.mask.size,
            "grown": self.grown,
            "dropped": dict(zip(("regions", "pixels"), self.dropped, strict=True)),
            "forced": self.forced,
            "regions": [region._asdict() for region in self.regions],
        }


class Marked(NamedTuple):
    """A marked picture: the (H, W, 3) RGB to complete, its alpha channel, (H, W), if it has one, and its marks."""

    image: Picture
    alpha: Picture | None
    marks: Marks


def parse_colour(text: str) -> tuple[int, int, int]:
    """Read a colour, `0,255,0` or `#00ff00`. Raises UserError for anything else."""
    if re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        red, green, blue = bytes.fromhex(text[1:])
        return red, green, blue
    if re.fullmatch(r"\d{1,3}(,\d{1,3}){2}", text, re.ASCII):
        red, green, blue = map(int, text.split(","))
        if max(red, green, blue) <= 255:
            return red, green, blue
    raise UserError(f"--marker: {text} is no colour; give red,green,blue from 0 to 255, as 0,255,0, or #00ff00")


def read_marked(marked: Path, original: Path, marking: Marking, max_pixels: int = MAX_PIXELS) -> Marked:
    """Decode a marked copy, find its marks, and take the pixels and alpha from the original, often the same file.

    Pixels that are wholly clear are not marked. Raises BadImageError where a file cannot be used, the marks are
    implausible, or the sizes differ.
    """
    copy, copy_alpha = images.read_with_alpha(marked, max_pixels)
    image, alpha = (copy, copy_alpha) if original == marked else images.read_with_alpha(original, max_pixels)
    if image.shape != copy.shape:
        sizes = [f"{part.shape[1]}x{part.shape[0]}" for part in (image, copy)]
        problem = f"the original is {sizes[0]}, its marked copy {marked} is {sizes[1]}"
        raise BadImageError(original, f"{problem}; mark a copy of the same size")
    return Marked(image, alpha, find_marks(marked, copy, marking, None if copy_alpha is None else copy_alpha > 0))


def find_marks(path: Path, image: Picture, marking: Marking, seen: Mask | None = None) -> Marks:
    """Find the holes of (H, W, 3) RGB: regions of the marker's colour, with their rims where these are antialiased.

    Pixels that touch at a corner belong together, so that a line of one pixel is one region, whatever its direction.
    Only what is `seen` counts. Raises BadImageError naming the file where the marks are implausible.
    """
    low, high = ([level + reach for level in marking.colour] for reach in (-marking.tolerance, marking.tolerance))
    close = np.not_equal(cv2.inRange(image, tuple(low), tuple(high)), 0)
    if seen is not None:
        close &= seen
    labels, found = _regions(close)
    kept = np.array([False, *(region.pixels >= marking.min_region for region in found)])
    core: Mask = kept[labels]
    regions = int(kept.sum())
    clear = 0.0 if seen is None else 1 - float(seen.mean())
    problem = _implausible(image, core, regions, len(found) - regions, marking, clear)
    if problem and not marking.force:
        raise BadImageError(path, problem)
    mask = grow(image, core, marking.colour)
    dropped = [region.pixels for region in _regions(close & ~mask)[1]]
    grown = int(mask.sum()) - int(core.sum())
    return Marks(mask, _regions(mask)[1], (len(dropped), sum(dropped)), grown, bool(problem))


def _regions(mask: Mask) -> tuple[NDArray[np.int32], list[Region]]:
    """Return the number of the region that each pixel belongs to, 0 outside, and the regions from number 1 on."""
    _, labels, measured, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    return labels.astype(np.int32, copy=False), [Region(*row) for row in measured[1:].tolist()]


def _implausible(image: Picture, core: Mask, regions: int, small: int, marking: Marking, clear: float) -> str:
    """Say why a picture is probably not marked as its user thinks, and what helps; nothing where it looks right."""
    named = f"--marker {marking} (--tolerance {marking.tolerance}, --min-region {marking.min_region})"
    as_it_is = "or write it as it is with --force"
    if not regions and clear:
        erased = "if the hole was erased, give it as --mask, too, with --set MASK_POLARITY=known in place of --marker"
        return f"no region of {named}, but {clear:.0%} of it is clear, which is no mark; {erased}, {as_it_is}"
    if not regions and small:
        return f"no region of {named}, {small} smaller ones; lower --min-region, raise --tolerance, {as_it_is}"
    if not regions and len(set(marking.colour)) > 1 and (image == image[..., :1]).all():
        return f"is gray, so nothing in it can be --marker {marking}; save the marked copy as RGB, {as_it_is}"
    if not regions:
        nearest = np.abs(np.subtract(image, marking.colour, dtype=np.int16)).max(axis=2).min()
        far = f"no pixel of {named}, the nearest is {nearest} levels away"
        return f"{far}; raise --tolerance, correct --marker, {as_it_is}"
    share, remedy = core.mean(), "mark with another --marker, or take it as it is with --force"
    own = "probably colours of the picture itself; lower --tolerance"
    if regions > MOST_REGIONS:
        return f"{regions} regions of {named}, more than {MOST_REGIONS}: {own}, raise --min-region, {remedy}"
    if share > LARGE_HOLES:
        return f"{share:.0%} of it is of {named}, more than {LARGE_HOLES:.0%}: {own}, {remedy}"
    return ""


def grow(image: Picture, mask: Mask, colour: tuple[int, int, int]) -> Mask:
    """Add the rims of antialiased regions; regions with a hard rim stay as they are.

    A region is antialiased where more than a few pixels of its rim are blends of the marker and the picture beyond. It
    grows by two pixels all around until that is no longer so, and likewise wherever a blend is left, as at tips.
    """
    grown = mask.copy()
    for _ in range(REACH):
        labels, _ = _regions(grown)
        (rows, columns), turns = _turns(image, grown, colour)
        beside = [_at(labels, rows + y, columns + x) for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1))]
        owners, counted = np.maximum.reduce(beside), partial(np.bincount, minlength=int(labels.max()) + 1)
        rim, blends, against = counted(owners), counted(owners[turns > 0]), counted(owners[turns < 0])
        soft = (blends >= np.maximum(SOFT_LEAST, SOFT_SHARE * rim)) & (blends > CHANCE * against)
        has_grown = counted(labels[grown & ~mask]) > 0
        tips = (turns > 0) & has_grown[owners]
        if not soft.any() and not tips.any():
            break
        rims = soft[labels]
        rims[rows[tips], columns[tips]] = True
        grown |= _dilated(rims, STEP)
    return grown


def _turns(image: Picture, mask: Mask, colour: tuple[int, int, int]) -> tuple[Points, NDArray[np.int8]]:
    """Return the pixels around a mask, with 1 for those that are blends of the marker and the picture beyond.

    The picture beyond is the mean of what lies near, at least three pixels away from the mask. -1 is as large a change
    from it in the opposite direction, which no brush makes: about as many 1 are chance. All others are 0.
    """
    rows, columns = points = (_dilated(mask, CROSS) & ~mask).nonzero()
    beyond = ~_dilated(mask, STEP)
    total, count = np.zeros((len(rows), 3), np.float32), np.zeros((len(rows), 1), np.float32)
    for y, x in BEYOND:
        is_picture = _at(beyond, rows + y, columns + x)[:, None]
        total += is_picture * _at(image, rows + y, columns + x)
        count += is_picture
    picture = total / count.clip(1)
    change, whole = image[points] - picture, np.subtract(colour, picture)
    towards, length = (change * whole).sum(axis=1), np.linalg.norm(whole, axis=1)
    needed = length * np.maximum(VISIBLE, ALIGNED * np.linalg.norm(change, axis=1))
    is_turned = (count[:, 0] > 0) & (np.abs(towards) > needed)
    return points, np.sign(towards * is_turned).astype(np.int8)


def _at(plane: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Any]:
    """Return what stands at some pixels, or beyond the border at the nearest ones inside."""
    height, width = plane.shape[:2]
    values: NDArray[Any] = plane[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return values


def _dilated(mask: Mask, shape: NDArray[np.uint8]) -> Mask:
    return cv2.dilate(mask.view(np.uint8), shape).view(np.bool_)
