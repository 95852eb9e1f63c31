"""Write built-in scenes, and masks for them, as PNG."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeconnect.config import validators
from edgeconnect.data import mask_shapes
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError
from edgeconnect.images import write_png

log = logging.getLogger(__name__)


def write_scenes(folder: Path, first: int, count: int, size: Sequence[int], ratio: str | None, seed: int) -> None:
    """Write `images/scene_000000.png` ... and, with a hole ratio such as `0.2-0.4`, `masks/` of the same names."""
    if count < 1 or first < 0 or seed < 0 or len(size) > 2 or min(size) < 16:
        raise UserError("scenes: --count is at least 1, --first and --seed are at least 0, --size is 16 or more")
    height, width = size[0], size[-1]
    try:
        span = validators.span(ratio) if ratio else None
    except ValueError as error:
        raise UserError(f"--masks: {ratio!r} {error}") from None
    for index in range(first, first + count):
        name = f"scene_{index:06d}.png"
        write_png(folder / "images" / name, render(index, height, width, seed))
        if span:
            pixels = mask_shapes.pixel_range(height, width, span)
            mask = mask_shapes.strokes(height, width, np.random.default_rng((seed, index)), pixels)
            write_png(folder / "masks" / name, mask.astype(np.uint8) * 255)
    log.info("%d scenes written to %s", count, folder)
