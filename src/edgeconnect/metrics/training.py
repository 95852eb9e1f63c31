"""The published program's running measures, on the device and without a sync."""

import torch
from torch import Tensor

from edgeconnect.types import Scalars, composite


def psnr_8bit(image: Tensor, completed: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of 8-bit truncated pictures, one mean squared error for the whole batch.

    Takes floats in [0, 1]. Identical pictures count as an error of one grey level in one value of the batch.
    """
    a, b = ((x.float() * 255).clamp(0, 255).trunc() for x in (image, completed))
    mse = (a - b).square().mean().clamp(min=1 / a.numel())
    return 20 * torch.log10(torch.full_like(mse, 255)) - 10 * torch.log10(mse)


def relative_mae(image: Tensor, completed: Tensor) -> Tensor:
    """Sum of absolute differences over the sum of the true picture; a black picture divides by one grey level."""
    return (image - completed).abs().sum() / image.sum().clamp(min=1 / 255)


def fidelity(image: Tensor, filled: Tensor, mask: Tensor) -> Scalars:
    """PSNR and relative MAE of the composite under the published columns' names; of a batch or of one picture."""
    merged = composite(image, filled.detach().clamp(0, 1), mask)
    return {"psnr": psnr_8bit(image, merged), "mae": relative_mae(image, merged)}


def edge_precision_recall(edge: Tensor, hallucinated: Tensor, mask: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Precision and recall of edges above the threshold inside the hole; 1 and 1 where neither has any."""
    true, found = edge * mask > threshold, hallucinated * mask > threshold
    hits, relevant, selected = (true & found).sum(), true.sum(), found.sum()
    empty = (relevant + selected) == 0
    one = torch.ones((), device=edge.device)
    return torch.where(empty, one, hits / (selected + 1e-8)), torch.where(empty, one, hits / (relevant + 1e-8))
