"""What a hole is filled with before a network sees it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from edgeconnect.config.sections import HARMONIC
from edgeconnect.types import composite

SMOOTHINGS = 4  # steps towards the harmonic surface at each size; more gain 0.1 dB on faces


def prefilled(image: Tensor, mask: Tensor, kind: str) -> Tensor:
    """Fill the holes of (B, C, H, W) as PREFILL says: white, or harmonic."""
    return harmonic(image, mask) if kind == HARMONIC else image * (1 - mask) + mask


def harmonic(image: Tensor, mask: Tensor) -> Tensor:
    """Fill holes with a smooth surface through their rims, the same for any device; without known pixels, with 0.

    `image` is (B, C, H, W), `mask` (B, 1, H, W) with 1 = missing; known pixels return bit for bit. Coarse pictures of
    the known pixels' means fill the fine ones (push and pull, Gortler et al., SIGGRAPH 1996); after each enlargement a
    few Jacobi steps approach the solution of Laplace's equation.
    """
    known = 1 - mask
    height, width = image.shape[-2:]
    if height == width == 1:
        return image * known
    even = (0, width % 2, 0, height % 2)
    weights = F.avg_pool2d(F.pad(known, even), 2)
    means = F.avg_pool2d(F.pad(image * known, even), 2) / torch.where(weights > 0, weights, torch.ones_like(weights))
    coarse = harmonic(means, (weights == 0).to(mask.dtype))
    filled = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")[..., :height, :width]
    for _ in range(SMOOTHINGS):
        around = F.pad(composite(image, filled, mask), (1, 1, 1, 1), mode="replicate")
        rows = around[..., :-2, 1:-1] + around[..., 2:, 1:-1]
        filled = (rows + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]) / 4
    return composite(image, filled, mask)
