"""Pictures in coarse blocks, as faces and number plates are hidden."""

import cv2
import numpy as np
from numpy.typing import NDArray


def mosaic(image: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) with each square of `block` pixels, counted from the upper left corner, at its mean colour.

    Squares that the border cuts are completed by its last pixels.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // block), -(-width // block)
    whole = cv2.copyMakeBorder(image, 0, rows * block - height, 0, columns * block - width, cv2.BORDER_REPLICATE)
    means = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return means.repeat(block, axis=0).repeat(block, axis=1)[:height, :width]
