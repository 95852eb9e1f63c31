"""Metrics of 8-bit pictures, (H, W, 3), by scikit-image, and of edges; `definitions` says what each name means."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from skimage.color import rgb2gray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.morphology import thin

from edgeconnect.metrics.definitions import MASK, PSNR_CAP, obtainable

Picture = NDArray[np.uint8]
Samples = NDArray[np.float64]
"""Values in [0, 1]: (H, W, 3) in colour, (H, W) in gray, or those inside a hole alone."""

NOT_MEASURED = float("nan")
UNIFORM, GAUSSIAN = 51, 11  # sides of the windows of SSIM
IN_HOLE = "_hole"


def colour(picture: Picture) -> Samples:
    """Scale a picture to [0, 1]."""
    return picture / 255


def psnr(truth: Samples, completed: Samples) -> float:
    """Peak signal-to-noise ratio in dB, PSNR_CAP at the most."""
    if np.array_equal(truth, completed):
        return PSNR_CAP
    return min(PSNR_CAP, float(peak_signal_noise_ratio(truth, completed, data_range=1)))  # type: ignore[no-untyped-call]


def ssim_uniform51(truth: Samples, completed: Samples) -> float:
    """Structural similarity of gray pictures in a uniform window with sample covariance."""
    if min(truth.shape) < UNIFORM:
        return NOT_MEASURED
    return float(structural_similarity(truth, completed, win_size=UNIFORM, data_range=1))  # type: ignore[no-untyped-call]


def ssim_gauss11(truth: Samples, completed: Samples) -> float:
    """Structural similarity in a Gaussian window, mean of the channels (Wang et al. 2004)."""
    if min(truth.shape[:2]) < GAUSSIAN:
        return NOT_MEASURED
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(truth, completed, channel_axis=2, data_range=1, **window))  # type: ignore[no-untyped-call]


def mae_relative_sum(truth: Samples, completed: Samples) -> float:
    """Sum of the differences over the sum of both pictures, in [0, 1]."""
    return _relative(truth, completed, (truth + completed).sum())


def mae_over_image(truth: Samples, completed: Samples) -> float:
    """Sum of the differences over the sum of the true picture; unlike the training log's, nan for a black one."""
    return _relative(truth, completed, truth.sum())


def _relative(truth: Samples, completed: Samples, total: float) -> float:
    return float(np.abs(truth - completed).sum() / total) if total else NOT_MEASURED


def l1(truth: Samples, completed: Samples) -> float:
    """Mean absolute difference."""
    return float(np.abs(truth - completed).mean())


METRICS: dict[str, tuple[Callable[[Picture], Samples], Callable[[Samples, Samples], float]]] = {
    "psnr_gray": (rgb2gray, psnr),  # weighs the channels 0.2125, 0.7154, 0.0721, as the published program does
    "ssim_gray_uniform51": (rgb2gray, ssim_uniform51),
    "mae_relative_sum": (rgb2gray, mae_relative_sum),
    "psnr_rgb": (colour, psnr),
    "ssim_rgb_gauss11": (colour, ssim_gauss11),
    "mae_over_image": (colour, mae_over_image),
    "l1": (colour, l1),
}


def compute_metrics(
    truth: Picture, completed: Picture, mask: NDArray[np.bool_] | None = None, names: Sequence[str] = obtainable({MASK})
) -> dict[str, float]:
    """Return the named metrics of one completion; nan where one does not apply, as in a hole without (H, W) `mask`."""
    views = {view: (view(truth), view(completed)) for view in (colour, rgb2gray)}
    found = dict.fromkeys(names, NOT_MEASURED)
    for name in names:
        view, judge = METRICS[name.removesuffix(IN_HOLE)]
        a, b = views[view]
        if not name.endswith(IN_HOLE):
            found[name] = judge(a, b)
        elif mask is not None and mask.any():
            found[name] = judge(a[mask], b[mask])
    return found


class EdgeCounts(NamedTuple):
    """Edge pixels inside a hole; they are added up over pictures before they are divided, see `results.EDGE_SHARES`.

    So every edge pixel weighs alike; the precision and recall of the training log are averaged over pictures.
    """

    true_positives: int
    drawn: int
    wanted: int
    lines: int  # of what is drawn, what thinning leaves
    matched: int  # of these lines, as `count_matches` finds


def count_edges(wanted: NDArray[Any], drawn: NDArray[Any], mask: NDArray[np.bool_]) -> EdgeCounts:
    """Count the edge pixels, above one half, of one picture's hole.

    Edge maps are (H, W), 8-bit, bool, or floats in [0, 1]. What is drawn is thinned before it is matched.
    """
    true, found = (mask & (edge > (127.5 if edge.dtype == np.uint8 else 0.5)) for edge in (wanted, drawn))
    lines = thin(found)  # type: ignore[no-untyped-call]
    exact = int((true & found).sum()), int(found.sum()), int(true.sum())
    return EdgeCounts(*exact, int(lines.sum()), count_matches(true, lines))


def count_matches(wanted: NDArray[np.bool_], drawn: NDArray[np.bool_]) -> int:
    """Count the pixels of two edge maps, (H, W), that can be matched one to one, each with itself or a neighbour.

    As the Berkeley segmentation benchmark does it (Martin, Fowlkes and Malik, PAMI 2004), here with a tolerance of one
    pixel, also diagonally. A thick line matches a thin one no more often than the thin one has pixels.
    """
    numbers = np.full((wanted.shape[0] + 2, wanted.shape[1] + 2), -1, np.int32)
    numbers[1:-1, 1:-1][drawn] = np.arange(np.count_nonzero(drawn))
    near = sliding_window_view(numbers, (3, 3))[wanted].reshape(-1, 9)
    pairs = np.nonzero(near >= 0)[0].astype(np.int32), near[near >= 0]  # the only integers that SciPy 1.13 matches by
    graph = coo_array((np.ones(len(pairs[0])), pairs), shape=(len(near), np.count_nonzero(drawn)))
    return int(np.count_nonzero(maximum_bipartite_matching(graph.tocsr()) >= 0))
