"""Counts of edge pixels, which precision and recall are made of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class EdgeCounts:
    """Edge pixels inside a hole; they are added up over pictures before they are divided, see `results.EDGE_SHARES`.

    So every edge pixel weighs alike; the precision and recall of the training log are averaged over pictures.
    """

    true_positives: int
    drawn: int
    wanted: int


def count_edges(wanted: NDArray[Any], drawn: NDArray[Any], mask: NDArray[np.bool_]) -> EdgeCounts:
    """Count the edge pixels, above one half, of one picture's hole.

    Edge maps are (H, W), 8-bit, bool, or floats in [0, 1].
    """
    true, found = (mask & (edge > (127.5 if edge.dtype == np.uint8 else 0.5)) for edge in (wanted, drawn))
    return EdgeCounts(*(int(np.count_nonzero(pixels)) for pixels in (true & found, found, true)))
