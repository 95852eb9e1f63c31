"""Measures of 8-bit pictures, (H, W, 3); each name tells its definition (docs/numerics.md)."""

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

Picture = NDArray[np.uint8]
PSNR_CAP = 100.0  # dB; identical pictures would be infinite


def psnr_rgb(truth: Picture, completed: Picture) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, in dB, 100 at the most."""
    if np.array_equal(truth, completed):
        return PSNR_CAP
    return min(PSNR_CAP, float(peak_signal_noise_ratio(truth, completed, data_range=255)))  # type: ignore[no-untyped-call]


def ssim_gauss11(truth: Picture, completed: Picture) -> float:
    """Structural similarity in an 11x11 Gaussian window of sigma 1.5, mean of the channels (Wang et al. 2004)."""
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        truth,
        completed,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def l1_hole(truth: Picture, completed: Picture, mask: NDArray[np.bool_]) -> float:
    """Mean absolute difference inside the hole, in [0, 1]; 0 without a hole."""
    if not mask.any():
        return 0.0
    return float(np.abs(truth[mask].astype(np.float64) - completed[mask]).mean() / 255)


def measure(truth: Picture, completed: Picture, mask: NDArray[np.bool_]) -> dict[str, float]:
    """Return every measure of one completion by name."""
    return {
        "psnr_rgb": psnr_rgb(truth, completed),
        "ssim_gauss11": ssim_gauss11(truth, completed),
        "l1_hole": l1_hole(truth, completed, mask),
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Average each measure over the pictures."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
