"""Partial convolutions and their U-Net (Liu et al., ECCV 2018, arXiv:1804.07723).

Inside this file masks are the paper's, 1 = valid. `PartialUNet.forward` takes those of everywhere else, 1 = missing.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.networks.batch_norm import BatchNorm, channelwise
from edgeconnect.networks.normalization import laid_out

KERNELS = 7, 5, 5  # of the encoder's first layers; all others are 3
WIDEST = 8  # layers are never wider than this many times the first
SLOPE = 0.2


class Partial(NamedTuple):
    """Features of which some pixels are known."""

    features: Tensor  # (B, C, H, W)
    valid: Tensor  # (B, 1, H, W), exactly 0 or 1, float32; of all channels alike


class PartialConv(nn.Module):
    """Convolve what is valid: W (X * M) window / sum(M) + b where the window has a valid value, else 0 (eq. 1 and 2).

    Zero padding of half a kernel counts as missing. Weights start as He et al. propose, the bias at 0.
    """

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        self.bias = nn.Parameter(torch.zeros(filters)) if bias else None

    def forward(self, *inputs: Partial) -> Partial:
        """Take one or more inputs of `channels` in all; each has one mask, whatever its channels."""
        with torch.no_grad():
            share = self.valid_share(inputs)
            valid = (share > 0).to(share.dtype)
            scale = valid / torch.where(share > 0, share, 1)
        x = self.conv(torch.cat([features * mask.to(features.dtype) for features, mask in inputs], dim=1))
        x = x * scale.to(x.dtype)
        if self.bias is not None:
            x = x + channelwise(self.bias).to(x.dtype) * valid.to(x.dtype)
        return Partial(x, valid)

    def valid_share(self, inputs: tuple[Partial, ...]) -> Tensor:
        """Return sum(M) / window, (B, 1, H, W) in [0, 1]."""
        known = torch.stack([features.shape[1] * mask for features, mask in inputs]).sum(0) / self.conv.in_channels
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        return F.avg_pool2d(known, kernel, stride, kernel // 2)


class PartialLayer(nn.Module):
    """A partial convolution, batch normalisation, and a ReLU of some slope; without the norm, it has a bias."""

    def __init__(
        self, channels: int, filters: int, kernel: int = 3, stride: int = 1, slope: float = 0.0, norm: bool = True
    ) -> None:
        super().__init__()
        self.conv = PartialConv(channels, filters, kernel, stride, bias=not norm)
        self.norm = BatchNorm(filters) if norm else nn.Identity()
        self.activation = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)

    def forward(self, *inputs: Partial) -> Partial:
        """Treat one or more inputs as their concatenation."""
        features, valid = self.conv(*inputs)
        return Partial(self.activation(self.norm(features)), valid)


class PartialUNet(nn.Module):
    """Halve the picture at each of the `levels`, then enlarge it beside the encoder's maps (section 3.2, appendix A).

    8 levels at 512x512 and 64 channels are the published network, see `levels_for`. With `hinted`, it sees a second
    picture beside, of which all is valid, such as one with a mosaic in the hole.
    """

    def __init__(self, levels: int, channels: int = 64, hinted: bool = False) -> None:
        super().__init__()
        self.stride = 2**levels
        widths = [6 if hinted else 3, *(channels * min(2**level, WIDEST) for level in range(levels))]
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level in range(levels):
            kernel = KERNELS[level] if level < len(KERNELS) else 3
            self.encoder.append(PartialLayer(widths[level], widths[level + 1], kernel, stride=2, norm=level > 0))
        for level in reversed(range(1, levels)):
            self.decoder.append(PartialLayer(widths[level + 1] + widths[level], widths[level], slope=SLOPE))
        self.decoder.append(PartialConv(widths[1] + widths[0], 3, 3))

    def forward(self, image: Tensor, mask: Tensor, hint: Tensor | None = None) -> Tensor:
        """Paint (B, 3, H, W), not bounded, float32, around `mask`, 1 = missing; height and width may be any.

        What the halvings need at the right and bottom is missing, too.
        """
        height, width = image.shape[-2:]
        beyond = 0, -width % self.stride, 0, -height % self.stride
        pictures = [(image, 1 - mask)] if hint is None else [(image, 1 - mask), (hint, torch.ones_like(mask))]
        maps = [[Partial(F.pad(laid_out(features), beyond), F.pad(valid, beyond)) for features, valid in pictures]]
        for layer in self.encoder:
            maps.append([layer(*maps[-1])])
        (below,) = maps.pop()
        for layer in self.decoder:
            below = layer(enlarged(below), *maps.pop())
        return below.features.float()[..., :height, :width]

    def freeze_encoder_norms(self, frozen: bool = True) -> None:
        """Normalise the encoder by its running statistics, and leave those alone, until the next `train()`.

        For fine-tuning (section 4.1): holes falsify the statistics. Scales and shifts go on learning.
        """
        for norm in self.encoder.modules():
            if isinstance(norm, BatchNorm):
                norm.train(self.training and not frozen)


def enlarged(below: Partial) -> Partial:
    """Double the size, nearest neighbour."""
    features, valid = (F.interpolate(tensor, scale_factor=2.0, mode="nearest") for tensor in below)
    return Partial(features, valid)


def levels_for(size: int) -> int:
    """Return how many levels pictures of a size are published with: 8 for 512, 7 for 256; at least one."""
    return max(size.bit_length() - 2, 1)
