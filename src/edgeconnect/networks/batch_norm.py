"""Batch normalisation over all ranks of a run."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.distributed import mean_over_ranks, world_size
from edgeconnect.errors import UserError

PIXELS = (0, 2, 3)  # dimensions that a channel's statistics are taken over


class BatchNorm(nn.BatchNorm2d):
    """Normalise each channel of (B, C, H, W) over the whole batch, that of all ranks (arXiv:1502.03167).

    In training, the ranks of a run compute what one process with the whole batch would: outputs, gradients once they
    are averaged over the ranks, running statistics. Unlike `nn.SyncBatchNorm` on processors, too. Ranks must run their
    layers forward and backward in the same order. Statistics are float32 whatever the autocast. Evaluation takes the
    running statistics; names in the state dict are those of `nn.BatchNorm2d`. Raises UserError in training where
    there is a single value of each channel.
    """

    momentum: float
    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        if self.training and x.numel() // x.shape[1] * world_size() == 1:
            problem = f"batch normalisation of {x.shape[1]} channels has one value in each to take a mean of"
            raise UserError(f"{problem}; set BATCH_SIZE: 2 or more, or raise INPUT_SIZE").everywhere()
        if not self.training or world_size() == 1:
            return super().forward(x)
        y, mean, variance, count = _WholeBatchNorm.apply(x, self.weight, self.bias, self.eps)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        normalized: Tensor = y
        return normalized


class _WholeBatchNorm(torch.autograd.Function):
    """Normalise a rank's part; return it, and the whole batch's mean, variance (biased) and number of values, ().

    A rank's gradient is that of the sum of all ranks' losses, which averaging over the ranks makes that of their mean.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        dtype = torch.promote_types(x.dtype, torch.float32)
        variance, mean = torch.var_mean(x.to(dtype), PIXELS, correction=0)
        share, mean, square, variance = _averaged(x.numel() // x.shape[1], mean, mean.double().square(), variance)
        variance, mean = (variance + (square - mean.square()).clamp_min(0)).to(dtype), mean.to(dtype)
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), share)
        count = share * world_size()
        ctx.mark_non_differentiable(mean, variance, count)
        return F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse, share = ctx.saved_tensors
        gradient = gradients[0].to(mean.dtype)
        normalized = (x.to(mean.dtype) - channelwise(mean)) * channelwise(inverse)
        sums = torch.stack([(gradient * normalized).sum(PIXELS), gradient.sum(PIXELS)])
        along, level = mean_over_ranks(sums) / share.to(mean.dtype)
        slope = gradient - channelwise(level) - normalized * channelwise(along)
        return (slope * channelwise(weight * inverse)).to(x.dtype), sums[0], sums[1], None


def _averaged(count: int, *statistics: Tensor) -> list[Tensor]:
    """Return the ranks' mean count, (), and their statistics, (C,), averaged by their counts; one exchange, float64."""
    counts = torch.full_like(statistics[0], count, dtype=torch.float64)
    first, *others = mean_over_ranks(torch.stack([counts, *(count * statistic for statistic in statistics)]))
    return [first[0], *(other / first for other in others)]


def channelwise(values: Tensor) -> Tensor:
    """Shape (C,) so that it meets the channels of (B, C, H, W)."""
    return values.view(1, -1, 1, 1)
