"""Masks that are read from files: (H, W) arrays, True = missing."""

import numpy as np
from numpy.typing import NDArray

from edgeconnect.errors import UserError

Mask = NDArray[np.bool_]
LARGE_HOLES = 0.6


def binarize(gray: NDArray[np.uint8], threshold: int, polarity: str) -> Mask:
    """Return what is missing: pixels brighter than the threshold or, where white means `known`, all others."""
    bright: Mask = gray > threshold
    return bright if polarity == "hole" else ~bright


def refuse_large_holes(ratios: list[float], key: str) -> None:
    """Raise UserError where masks are probably inverted: a median hole ratio above 0.6."""
    median = float(np.median(ratios))
    if median > LARGE_HOLES:
        known = "if white is what is known, set MASK_POLARITY: known (or --set MASK_POLARITY=known)"
        large = "if holes are meant to be that large, set ALLOW_LARGE_HOLES: 1"
        raise UserError(f"{key}: the masks' median hole ratio is {median:.2f}; {known}; {large}")
