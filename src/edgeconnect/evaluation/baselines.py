"""Inpainting without learning, as OpenCV and scikit-image have it: what every learned method is compared with."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

Classical = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]
"""Fills (H, W, 3) where (H, W) is True."""

RADIUS = 3.0  # pixels around a point that it is filled from


def opencv(image: NDArray[np.uint8], mask: NDArray[np.bool_], method: int) -> NDArray[np.uint8]:
    """Fill by one of OpenCV's methods."""
    return np.asarray(cv2.inpaint(image, mask.astype(np.uint8), RADIUS, method), dtype=np.uint8)


def biharmonic(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill with the biharmonic function of the rim (Chui and Mhaskar 2010), in seconds where the hole is large."""
    from skimage.restoration import inpaint_biharmonic  # takes a second, which `--help` need not wait for

    if not mask.any() or mask.all():
        return image
    filled = inpaint_biharmonic(image, mask, channel_axis=2)
    return np.asarray((filled * 255).round().clip(0, 255).astype(np.uint8))


CLASSICAL: dict[str, Classical] = {
    "telea": partial(opencv, method=cv2.INPAINT_TELEA),  # fast marching (Telea, J. Graphics Tools 2004)
    "navier_stokes": partial(opencv, method=cv2.INPAINT_NS),  # smoothness moves inwards (Bertalmio et al., CVPR 2001)
    "biharmonic": biharmonic,
}
