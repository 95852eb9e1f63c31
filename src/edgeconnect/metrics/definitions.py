"""What each metric is: the one source of names, arrows and legends in every table."""

from collections.abc import Iterable
from typing import NamedTuple

MASK, EDGES, NETWORK = "mask", "edges", "network"
TOLERANT = "_1px"
PSNR_CAP = 100.0  # dB; identical pictures would be infinite


class Definition(NamedTuple):
    """One metric; `needs` holds what it takes besides two pictures, MASK, EDGES or NETWORK."""

    what: str
    unit: str
    higher_is_better: bool
    needs: frozenset[str] = frozenset()
    cap: float = float("inf")  # values there are capped ones

    @property
    def arrow(self) -> str:
        """Point to where better is."""
        return "↑" if self.higher_is_better else "↓"


def _edge_shares(of: str, found: str, again: str) -> dict[str, Definition]:
    """Define precision, recall and F1 of edge pixels, exact and with a tolerance."""
    exact = {
        f"{of}_precision": f"share of {found} in the holes that are true ones",
        f"{of}_recall": f"share of the true edge pixels in the holes that are {again}",
        f"{of}_f1": f"harmonic mean of {of}_precision and {of}_recall",
    }
    matched = "lines thinned, pixels matched one to one, up to one apart, as Martin, Fowlkes and Malik (PAMI 2004) do"
    tolerant = {name + TOLERANT: f"{name}, {matched}" for name in exact}
    return {name: Definition(what, "", True, frozenset({MASK, EDGES})) for name, what in (exact | tolerant).items()}


HOLE = frozenset({MASK})
DEFINITIONS = {  # in the order of tables, the published program's first
    "psnr_gray": Definition("published script's PSNR: gray", "dB", True, cap=PSNR_CAP),
    "ssim_gray_uniform51": Definition(
        "published script's SSIM: gray, uniform 51x51 window, sample covariance; no side below 51", "", True
    ),
    "mae_relative_sum": Definition(
        "published script's MAE: sum of |a - b| over sum of a + b, gray; not of two black pictures", "", False
    ),
    "psnr_rgb": Definition("PSNR over all pixels and RGB channels", "dB", True, cap=PSNR_CAP),
    "ssim_rgb_gauss11": Definition(
        "SSIM, Gaussian 11x11 window of sigma 1.5, mean of the RGB channels; no side below 11", "", True
    ),
    "mae_over_image": Definition(
        "training log's MAE: sum of |a - b| over sum of the true a, RGB; not of a black picture", "", False
    ),
    "l1": Definition("mean of |a - b|, RGB in [0, 1]", "", False),
    "psnr_rgb_hole": Definition("PSNR over the hole's pixels and channels", "dB", True, HOLE, PSNR_CAP),
    "mae_relative_sum_hole": Definition("mae_relative_sum, both sums inside the hole", "", False, HOLE),
    "mae_over_image_hole": Definition("mae_over_image, both sums inside the hole", "", False, HOLE),
    "l1_hole": Definition("mean of |a - b| inside the hole, RGB in [0, 1]", "", False, HOLE),
    **_edge_shares("edge", "the edge pixels drawn", "drawn"),
    **_edge_shares("canny", "Canny's edge pixels of the completed picture", "Canny's of the completed one, too"),
    "lpips_alex": Definition("LPIPS 0.1 by AlexNet; no side below 31", "", False, frozenset({NETWORK})),
    "lpips_vgg": Definition("LPIPS 0.1 by VGG-16; no side below 16", "", False, frozenset({NETWORK})),
    "lpips_squeeze": Definition("LPIPS 0.1 by SqueezeNet 1.1; no side below 17", "", False, frozenset({NETWORK})),
}
LPIPS = tuple(name for name, definition in DEFINITIONS.items() if NETWORK in definition.needs)


def obtainable(having: Iterable[str] = ()) -> tuple[str, ...]:
    """Name the metrics that two pictures and what is at hand, such as MASK, allow."""
    return tuple(name for name, definition in DEFINITIONS.items() if definition.needs <= set(having))
