"""Networks of globally and locally consistent image completion (Iizuka et al., SIGGRAPH 2017, tables 1 and 2)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from edgeconnect.networks.global_local import ContextDiscriminator, branch, conv_block, decoder, painted

GLOBAL, LOCAL = (1, 2, 4, 8, 8, 8), (1, 2, 4, 8, 8)  # widths of the branches' layers, over that of the first
FEATURES = 16  # of a branch, over the width of its first layer: 1024
GRAY = 0.5


class CompletionNetwork(nn.Module):
    """Paint on a picture whose hole is filled, and its mask; 64 channels are the published network.

    `mean_colour`, (3,), is what its user fills holes with: part of the state dict, so that checkpoints keep that of the
    training set. It begins as a gray.
    """

    mean_colour: Tensor

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean_colour", torch.full((3,), GRAY))
        self.layers = nn.Sequential(
            conv_block(4, channels, 5),
            conv_block(channels, 2 * channels, 3, stride=2),
            conv_block(2 * channels, 2 * channels, 3),
            conv_block(2 * channels, 4 * channels, 3, stride=2),
            *decoder(channels),
        )

    def forward(self, filled: Tensor, mask: Tensor) -> Tensor:
        """Paint (B, 3, H, W) in [0, 1] everywhere, on pictures of any height and width."""
        return painted(self.layers, torch.cat([filled, mask], dim=1))


def context_discriminator(size: int, local_size: int, channels: int = 64) -> ContextDiscriminator:
    """Build the discriminator of pictures and patches of these sides; 256, 128 and 64 channels are the published."""
    whole, local = (judging(widths, side, channels) for widths, side in ((GLOBAL, size), (LOCAL, local_size)))
    return ContextDiscriminator(whole, local, FEATURES * channels)


def judging(widths: tuple[int, ...], side: int, channels: int) -> nn.Sequential:
    """Build a branch that halves its input by 5x5 convolutions of these widths."""
    sizes = [3, *(width * channels for width in widths)]
    layers: list[nn.Module] = [conv_block(ins, outs, 5, stride=2) for ins, outs in pairwise(sizes)]
    return branch(layers, side, len(widths), sizes[-1], FEATURES * channels)
