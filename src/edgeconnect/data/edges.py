"""Gray pictures and their Canny edges."""

import contextlib
import hashlib
import logging
import zlib
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray
from skimage.feature import canny

from edgeconnect.atomic import beside_of, discard
from edgeconnect.errors import reason

NO_EDGES = -1
DRAWN_BY = [f"{name} {version(name)}" for name in ("scikit-image", "scipy")]
REPEATED = 1 << 20  # pixels of the largest pictures whose like is expected to come again

Gray = NDArray[np.float64]
Edges = NDArray[np.bool_]

log = logging.getLogger(__name__)


def to_gray(image: NDArray[np.uint8]) -> Gray:
    """Turn (H, W, 3) RGB into (H, W) in [0, 1]: 0.2125 R + 0.7154 G + 0.0721 B."""
    return np.asarray(rgb2gray(image), dtype=np.float64)


def draw_sigma(sigma: float, rng: np.random.Generator) -> float:
    """Return SIGMA, or for 0 one of 1, 2, 3, 4 at random."""
    return float(rng.integers(1, 5)) if sigma == 0 else sigma


def canny_edges(gray: Gray, sigma: float, known: NDArray[np.bool_] | None = None) -> Edges:
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


class EdgeCache:
    """Canny's maps of whole pictures, a bit for a pixel, in a folder that processes and runs may share.

    A map's name says all that it depends on: pixels, sigma, versions. One that is damaged is drawn anew.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.is_writable = folder, True

    def edges(self, image: NDArray[np.uint8], gray: Gray, sigma: float) -> Edges:
        """Return `canny_edges` of a picture, (H, W, 3), whose gray is given: read, or else drawn and kept."""
        made_of = (*DRAWN_BY, sigma, image.shape)
        name = hashlib.sha256(repr(made_of).encode() + image.tobytes()).hexdigest()
        path = self.folder / name[:2] / name
        with contextlib.suppress(OSError):
            check, bits = (data := path.read_bytes())[:4], data[4:]
            if check == _check(bits) and len(bits) == -(-gray.size // 8):
                found = np.unpackbits(np.frombuffer(bits, np.uint8), count=gray.size)
                return found.view(np.bool_).reshape(gray.shape)
        drawn = canny_edges(gray, sigma)
        if self.is_writable:
            self._keep(path, np.packbits(drawn).tobytes())
        return drawn

    def _keep(self, path: Path, bits: bytes) -> None:
        """Write a map; where the system refuses, say so once and keep no more."""
        beside = beside_of(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(_check(bits) + bits)
            beside.replace(path)  # without waiting for the disk: what a crash damages is noticed
        except OSError as error:
            if path.is_file():  # another thread or machine was quicker
                return
            self.is_writable = False
            log.warning("EDGE_CACHE: %s cannot be written (%s); edges are drawn every time", path, reason(error))
        finally:
            discard(beside)


def _check(bits: bytes) -> bytes:
    return zlib.crc32(bits).to_bytes(4, "little")
