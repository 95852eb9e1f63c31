"""Completions blended into their pictures, so that colours do not jump at the rim."""

import cv2
import numpy as np
from numpy.typing import NDArray

from edgeconnect.data.masks import Mask

RADIUS = 3  # pixels that Telea's method looks at
ERODED = 3  # pixels that OpenCV takes off a mask before it clones


def blended(image: NDArray[np.uint8], filled: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """Move the colours of a completion, (H, W, 3), to those of the known pixels at the hole's rim.

    `filled` is what a network painted, around the hole, too; its gradients are kept (Pérez et al., SIGGRAPH 2003).
    Where a hole meets the picture's border, Telea's filling stands in for known pixels (Iizuka et al., SIGGRAPH 2017,
    section 3.5). Without known pixels nothing changes. Known pixels come back bit for bit.
    """
    if mask.all() or not mask.any():
        return filled if mask.all() else image
    holes, margin = mask.astype(np.uint8), 2 * ERODED + 2
    telea = cv2.inpaint(image, holes, RADIUS, cv2.INPAINT_TELEA)
    around, inside = (
        cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REPLICATE) for picture in (telea, filled)
    )
    grown = cv2.dilate(np.pad(255 * holes, margin), np.ones((2 * ERODED + 3,) * 2, np.uint8))
    left, top, width, height = cv2.boundingRect(grown)
    middle = left + width // 2, top + height // 2  # else OpenCV would move what it clones
    cloned = cv2.seamlessClone(inside, around, grown, middle, cv2.NORMAL_CLONE)
    return np.where(mask[..., None], cloned[margin:-margin, margin:-margin], image)
