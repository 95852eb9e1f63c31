"""Pictures in coarse blocks, as faces and number plates are hidden."""

import cv2
import numpy as np
from numpy.typing import NDArray


def mosaic(image: NDArray[np.uint8], block: int, top: int = 0, left: int = 0) -> NDArray[np.uint8]:
    """Return (H, W, 3) with each square of `block` pixels at its mean colour; one begins in row `top`, column `left`.

    Squares that the border cuts are completed by its last pixels.
    """
    above, before = -top % block, -left % block
    height, width = image.shape[0] + above, image.shape[1] + before
    rows, columns = -(-height // block), -(-width // block)
    below, behind = rows * block - height, columns * block - width
    whole = cv2.copyMakeBorder(image, above, below, before, behind, cv2.BORDER_REPLICATE)
    means = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return means.repeat(block, axis=0).repeat(block, axis=1)[above:height, before:width]
