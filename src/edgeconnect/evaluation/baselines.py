"""Inpainting without learning, as OpenCV and scikit-image have it: what every learned method is compared with."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic

Classical = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]
RADIUS = 3.0  # pixels around a point that it is filled from


def telea(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill by fast marching (Telea, J. Graphics Tools 2004): (H, W, 3) where (H, W) `mask` is True."""
    return np.asarray(cv2.inpaint(image, mask.astype(np.uint8), RADIUS, cv2.INPAINT_TELEA), dtype=np.uint8)


def navier_stokes(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill by transporting smoothness inwards (Bertalmio et al., CVPR 2001): (H, W, 3) where `mask` is True."""
    return np.asarray(cv2.inpaint(image, mask.astype(np.uint8), RADIUS, cv2.INPAINT_NS), dtype=np.uint8)


def biharmonic(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Fill with the biharmonic function of the rim (Chui and Mhaskar 2010): (H, W, 3) where `mask` is True.

    Takes seconds for large holes; nothing known at all leaves the picture as it is.
    """
    if not mask.any() or mask.all():
        return image
    filled = inpaint_biharmonic(image, mask, channel_axis=2)
    return np.asarray((filled * 255).round().clip(0, 255).astype(np.uint8))


CLASSICAL: dict[str, Classical] = {"telea": telea, "navier_stokes": navier_stokes, "biharmonic": biharmonic}
