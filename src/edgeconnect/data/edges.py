"""Gray pictures and their Canny edges."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray
from skimage.feature import canny

NO_EDGES = -1
REPEATED = 1 << 20  # pixels of the largest pictures whose like is expected to come again

Gray = NDArray[np.float64]


def to_gray(image: NDArray[np.uint8]) -> Gray:
    """Turn (H, W, 3) RGB into (H, W) in [0, 1]: 0.2125 R + 0.7154 G + 0.0721 B."""
    return np.asarray(rgb2gray(image), dtype=np.float64)


def draw_sigma(sigma: float, rng: np.random.Generator) -> float:
    """Return SIGMA, or for 0 one of 1, 2, 3, 4 at random."""
    return float(rng.integers(1, 5)) if sigma == 0 else sigma


def canny_edges(gray: Gray, sigma: float, known: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Return scikit-image's Canny edges of (H, W) in [0, 1]; none for sigma -1.

    With `known`, (H, W) and False where pixels are missing, neither these pixels nor their rim make an edge.
    """
    if sigma == NO_EDGES:
        return np.zeros(gray.shape, dtype=np.bool_)
    if known is None and gray.size <= REPEATED:  # sigma 0 and another mode: it is smoothed already; same bits
        smooth = gaussian_filter(gray, sigma, mode="constant") / _seen(*gray.shape, sigma)
        found = canny(smooth, sigma=0, mode="nearest")  # type: ignore[no-untyped-call]
    else:
        found = canny(gray, sigma=sigma, mask=known)  # type: ignore[no-untyped-call]
    return np.asarray(found, dtype=np.bool_)


@lru_cache(maxsize=4)  # as many as SIGMA 0 draws
def _seen(height: int, width: int, sigma: float) -> Gray:
    """Return which part of a pixel's smoothing lies inside the picture: Canny divides by it, a fifth of its time."""
    inside = gaussian_filter(np.ones((height, width)), sigma, mode="constant")
    return np.asarray(inside + np.finfo(np.float64).eps)
