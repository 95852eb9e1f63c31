"""Precision and recall of drawn edges, from counts that add up over pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.5


@dataclass(frozen=True)
class EdgeCounts:
    """Edge pixels inside holes, of any number of pictures; `empty` of them have no edge there, drawn or wanted.

    Precision and recall of the sums weigh every edge pixel alike; the running measures of the training log, which
    average over pictures, do not. nan where nothing was drawn or wanted.
    """

    true_positives: int = 0
    drawn: int = 0
    wanted: int = 0
    pictures: int = 0
    empty: int = 0

    def __add__(self, other: "EdgeCounts") -> "EdgeCounts":
        """Add the counts of other pictures."""
        return EdgeCounts(
            self.true_positives + other.true_positives,
            self.drawn + other.drawn,
            self.wanted + other.wanted,
            self.pictures + other.pictures,
            self.empty + other.empty,
        )

    def measures(self) -> dict[str, float]:
        """Return `edge_precision`, `edge_recall` and `edge_f1`."""
        return {
            "edge_precision": _share(self.true_positives, self.drawn),
            "edge_recall": _share(self.true_positives, self.wanted),
            "edge_f1": _share(2 * self.true_positives, self.drawn + self.wanted),
        }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def count_edges(
    wanted: NDArray[Any], drawn: NDArray[Any], mask: NDArray[np.bool_], threshold: float = THRESHOLD
) -> EdgeCounts:
    """Count the edge pixels of one picture's hole; edge maps are (H, W), 8-bit, bool, or floats in [0, 1]."""
    true, found = _marked(wanted, threshold) & mask, _marked(drawn, threshold) & mask
    hits, n_found, n_true = (int(np.count_nonzero(pixels)) for pixels in (true & found, found, true))
    return EdgeCounts(hits, n_found, n_true, pictures=1, empty=int(n_found == n_true == 0))


def _marked(edge: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    return np.asarray(edge > threshold * (255 if edge.dtype == np.uint8 else 1))
