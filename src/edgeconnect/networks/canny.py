"""Canny's edges of batches, where the batches are: what scikit-image finds in single pictures (data/edges.py)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

WEAK, STRONG = 0.1, 0.2  # scikit-image's thresholds of the gradient
TRUNCATE = 4  # a Gaussian's radius in sigmas, as in SciPy
LINKED = 16  # pixels that a weak edge is followed from a strong one


def canny_edges(gray: Tensor, sigma: float) -> Tensor:
    """Return the edges, 0 or 1, of (B, 1, H, W) in [0, 1], in the same shape (Canny, PAMI 1986).

    They differ from scikit-image's where a weak edge leads farther than `LINKED` pixels, or a float32 decides.
    """
    across, down = gradient(smoothed(gray.float(), sigma))
    strength = torch.hypot(across, down)
    weak = (is_crest(strength, across, down) & (strength >= WEAK)).to(gray.dtype)
    edges = weak * (strength >= STRONG)
    for _ in range(LINKED):
        edges = weak * spread(edges)
    return edges


def spread(edges: Tensor) -> Tensor:
    """Let edges or a mask, 0 or 1, grow by a pixel around; maximum pooling takes ten times as long on processors."""
    around = F.pad(edges, (1, 1, 1, 1))
    rows = torch.maximum(torch.maximum(around[..., :-2], around[..., 1:-1]), around[..., 2:])
    return torch.maximum(torch.maximum(rows[..., :-2, :], rows[..., 1:-1, :]), rows[..., 2:, :])


def smoothed(gray: Tensor, sigma: float) -> Tensor:
    """Smooth by a Gaussian that counts nothing beyond the border."""
    radius, (height, width) = math.floor(TRUNCATE * sigma + 0.5), gray.shape[-2:]
    bell = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(-radius, radius + 1)]

    def blurred(plane: Tensor) -> Tensor:  # a convolution might compute in TF32 in training, and not in use
        around, zero = F.pad(plane, (radius, radius, radius, radius)), torch.zeros_like(plane[..., :1, :1])
        rows = sum((weight * around[..., start : start + width] for start, weight in enumerate(bell)), zero)
        return sum((weight * rows[..., start : start + height, :] for start, weight in enumerate(bell)), zero)

    return blurred(gray) / blurred(torch.ones_like(gray[:1]))


def gradient(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Return Sobel's derivatives to the right and downwards."""
    around = F.pad(plane, (1, 1, 1, 1), mode="replicate")
    right = around[..., 2:] - around[..., :-2]
    below = around[..., 2:, :] - around[..., :-2, :]
    across = right[..., :-2, :] + 2 * right[..., 1:-1, :] + right[..., 2:, :]
    return across, below[..., :-2] + 2 * below[..., 1:-1] + below[..., 2:]


def is_crest(strength: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """Tell where no neighbour along the gradient is stronger; a neighbour between two pixels is a mix of both.

    Pixels of the border, beyond which nothing is known, are none.
    """
    height, width = strength.shape[-2:]
    padded = F.pad(strength, (1, 1, 1, 1))

    def neighbour(y: int, x: int) -> Tensor:
        return padded[..., 1 + y : 1 + y + height, 1 + x : 1 + x + width]

    flat = across.abs() >= down.abs()  # more to the side than up or down
    steep = torch.where(flat, down, across).abs() / torch.where(flat, across, down).abs().clamp(min=1e-9)
    same = across * down >= 0  # to the right and down, or to the left and up
    crest = torch.ones_like(flat)
    for sign in (1, -1):
        straight = torch.where(flat, neighbour(0, sign), neighbour(sign, 0))
        turned = torch.where(flat, neighbour(-sign, sign), neighbour(sign, -sign))
        oblique = torch.where(same, neighbour(sign, sign), turned)
        crest &= strength >= torch.lerp(straight, oblique, steep)
    inside = torch.zeros_like(flat)
    inside[..., 1:-1, 1:-1] = True
    return crest & inside
