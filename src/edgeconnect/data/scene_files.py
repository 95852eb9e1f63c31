"""Write built-in scenes, and masks for them, as PNG."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeconnect.config import validators
from edgeconnect.data import mask_shapes
from edgeconnect.data.mask_files import LARGEST_SEED, checked_size, memory_explained, refuse_outside
from edgeconnect.data.scenes import render
from edgeconnect.data.sources import LAST_SCENE, MOST_SCENES, scene_name
from edgeconnect.errors import UserError
from edgeconnect.images import write_png

log = logging.getLogger(__name__)


def write_scenes(folder: Path, first: int, count: int, size: Sequence[int], ratio: str | None, seed: int) -> None:
    """Write `images/scene_000000.png` ... and, with a range of hole ratios (`0.2-0.4`), `masks/` of the same names.

    Raises UserError where a number makes no sense.
    """
    height, width = checked_size(size)
    refuse_outside("--count", count, 1, MOST_SCENES)
    refuse_outside("--first", first, 0, LAST_SCENE)
    refuse_outside("--seed", seed, 0, LARGEST_SEED)
    try:
        span = validators.span(ratio) if ratio else None
    except ValueError as error:
        raise UserError(f"--masks: {ratio!r} {error}") from None
    for number in range(first, first + count):
        with memory_explained():
            scene = render(number, height, width, seed)
        write_png(folder / "images" / f"{scene_name(number)}.png", scene)
        if span:
            pixels = mask_shapes.pixel_range(height, width, span)
            mask = mask_shapes.strokes(height, width, np.random.default_rng((seed, number)), pixels)
            write_png(folder / "masks" / f"{scene_name(number)}.png", mask.astype(np.uint8) * 255)
    log.info("scenes written to %s: %d", folder, count)
