"""Dilated convolutions whose gradients are right in every layout."""

import torch
from torch import Tensor, nn

from edgeconnect.networks.normalization import laid_out

BLOCK = 16  # channels that oneDNN computes at once


class DilatedConv2d(nn.Conv2d):
    """`nn.Conv2d` with a dilation, in bfloat16 on processors, too.

    There the gradient of its weight is wrong or not finite for channels-last tensors whose channels are no whole number
    of blocks (PyTorch 2.15.0, docs/numerics.md). Such tensors are copied into the other layout, and the result back.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, ...)."""
        if x.device.type != "cpu" or self.in_channels % BLOCK == 0 or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        return laid_out(super().forward(x.contiguous()))
