"""Edge maps: Canny, or files thinned by it."""

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.feature import canny

NO_EDGES = -1

Gray = NDArray[np.float64]


def to_gray(image: NDArray[np.uint8]) -> Gray:
    """Turn (H, W, 3) RGB into (H, W) in [0, 1]: 0.2125 R + 0.7154 G + 0.0721 B."""
    return np.asarray(rgb2gray(image), dtype=np.float64)


def canny_edges(
    gray: Gray, sigma: float, rng: np.random.Generator, known: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return scikit-image's Canny edges, exactly 0 or 1, of (H, W) in [0, 1].

    Sigma 0 draws it from 1, 2, 3, 4; -1 means no edges. `known` (True outside the hole) is given at test time, so
    that neither the hole's content nor its rim makes an edge.
    """
    if sigma == NO_EDGES:
        return np.zeros(gray.shape, dtype=np.float32)
    chosen = float(rng.integers(1, 5)) if sigma == 0 else sigma
    found: NDArray[np.bool_] = canny(gray, sigma=chosen, mask=known)  # type: ignore[no-untyped-call]
    return found.astype(np.float32)


def as_edges(drawn: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Turn an edge map of 0 to 255 into [0, 1]."""
    return np.divide(drawn, 255, dtype=np.float32)


def thinned(external: NDArray[np.uint8], thin: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep of an external edge map, (H, W) in 0 to 255, what Canny also finds (NMS 1)."""
    return as_edges(external) * thin
