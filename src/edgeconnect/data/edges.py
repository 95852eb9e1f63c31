"""Gray pictures and their Canny edges."""

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2gray
from skimage.feature import canny

NO_EDGES = -1

Gray = NDArray[np.float64]


def to_gray(image: NDArray[np.uint8]) -> Gray:
    """Turn (H, W, 3) RGB into (H, W) in [0, 1]: 0.2125 R + 0.7154 G + 0.0721 B."""
    return np.asarray(rgb2gray(image), dtype=np.float64)


def draw_sigma(sigma: float, rng: np.random.Generator) -> float:
    """Return SIGMA, or for 0 one of 1, 2, 3, 4 at random."""
    return float(rng.integers(1, 5)) if sigma == 0 else sigma


def canny_edges(gray: Gray, sigma: float, known: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Return scikit-image's Canny edges, exactly 0 or 1, of (H, W) in [0, 1]; none for sigma -1.

    With `known`, (H, W) and False where pixels are missing, neither these pixels nor their rim make an edge.
    """
    if sigma == NO_EDGES:
        return np.zeros(gray.shape, dtype=np.float32)
    found: NDArray[np.bool_] = canny(gray, sigma=sigma, mask=known)  # type: ignore[no-untyped-call]
    return found.astype(np.float32)
