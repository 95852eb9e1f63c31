"""Instance and spectral normalisation in few passes over memory."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

EPSILON = 1e-5  # as nn.InstanceNorm2d
SMALLEST_NORM = 1e-12
FIRST_ITERATIONS = 15


def laid_out(x: Tensor) -> Tensor:
    """Return a network's input, (B, C, H, W), channels last on processors; convolutions and norms keep that layout."""
    return x.contiguous(memory_format=torch.channels_last) if x.device.type == "cpu" else x


class InstanceNorm(nn.Module):
    """Normalise each channel of each picture to mean 0 and variance 1; (B, C, H, W) of any floating type.

    Statistics are taken in float32. On processors channels-last tensors stay as they are; `nn.InstanceNorm2d` copies
    them twice, and its gradient is wrong there for a batch of one (docs/numerics.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        if x.device.type == "cpu" and x.is_contiguous(memory_format=torch.channels_last):
            normalized: Tensor = _PictureNorm.apply(x)
            return normalized
        return F.instance_norm(x, eps=EPSILON)


class _PictureNorm(torch.autograd.Function):
    """Batch normalisation of one picture after the other, whose kernels read channels-last tensors as they are."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        count, channels = x.shape[:2]
        dtype = torch.promote_types(x.dtype, torch.float32)
        scale, shift = torch.ones(channels, dtype=dtype), torch.zeros(channels, dtype=dtype)
        normalized, (means, inverses) = torch.empty_like(x), torch.empty(2, count, channels, dtype=dtype)
        for one, out, mean, inverse in zip(torch.split(x, 1), torch.split(normalized, 1), means, inverses, strict=True):
            torch.ops.aten.native_batch_norm.out(
                *(one, scale, shift, None, None, True, 0.0, EPSILON), out=out, save_mean=mean, save_invstd=inverse
            )
        ctx.save_for_backward(x, means, inverses)
        return normalized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, means, inverses = ctx.saved_tensors
        gradient, scale = laid_out(gradients[0]), torch.ones_like(means[0])
        parts = [
            torch.ops.aten.native_batch_norm_backward(
                one, of, scale, None, None, mean, inverse, True, EPSILON, [True, False, False]
            )[0]
            for one, of, mean, inverse in zip(torch.split(gradient, 1), torch.split(x, 1), means, inverses, strict=True)
        ]
        return torch.cat(parts) if len(parts) > 1 else parts[0]


def spectral_norm(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Normalise a layer's weight from now on; it keeps the names that PyTorch's spectral norm gives to its state."""
    norm = SpectralNorm(layer.weight, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)
    return parametrize.register_parametrization(layer, "weight", norm)


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value (arXiv:1802.05957), in float32 whatever the autocast.

    One power iteration at each use in training mode, none in eval mode; `dim` is that of the output channels.
    """

    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__()
        self.dim = dim
        matrix = self.matrix(weight.detach())
        u, v = (matrix.new_empty(side).normal_(0, 1) for side in matrix.shape)
        self.register_buffer("_u", F.normalize(u, dim=0, eps=SMALLEST_NORM))
        self.register_buffer("_v", F.normalize(v, dim=0, eps=SMALLEST_NORM))
        for _ in range(FIRST_ITERATIONS):
            self.iterate(matrix)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return a row for each output channel."""
        return weight.transpose(0, self.dim).flatten(1)

    def iterate(self, matrix: Tensor) -> Tensor:
        """Improve the left, then the right singular vector; return the singular value."""
        left = matrix @ self._v
        torch.div(left, left.norm().clamp_min(SMALLEST_NORM), out=self._u)
        right = self._u @ matrix
        value: Tensor = right.norm().clamp_min(SMALLEST_NORM)
        torch.div(right, value, out=self._v)
        return value

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight, normalised."""
        with torch.autocast(weight.device.type, enabled=False):
            with torch.no_grad():
                matrix = self.matrix(weight)
                value = self.iterate(matrix) if self.training else self._u @ (matrix @ self._v)
            normalized: Tensor = _Divided.apply(weight, value, self._u, self._v, self.dim)
            return normalized

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take a weight that is set as it is."""
        return weight


class _Divided(torch.autograd.Function):
    """A weight over its singular value, whose gradient is that of u' W v."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, value: Tensor, u: Tensor, v: Tensor, dim: int) -> Tensor:
        normalized, ctx.dim = weight / value, dim
        ctx.save_for_backward(normalized, value, u.clone(), v.clone())  # the vectors move in place
        return normalized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        normalized, value, u, v = ctx.saved_tensors
        gradient = gradients[0]
        along = torch.dot(gradient.reshape(-1), normalized.reshape(-1))
        by_channel = gradient.transpose(0, ctx.dim)
        moved = torch.addr(by_channel.flatten(1), u, v * -along).div_(value)
        return moved.view(by_channel.shape).transpose(0, ctx.dim), None, None, None, None
