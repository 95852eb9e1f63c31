"""Networks of completion by SE-ResNet and contextual loss.

The source text gives no table of layers. These are those of `glcic` with its stated changes: squeeze-excitation blocks
in place of the generator's two plain down-samplings, fewer and other layers in the discriminator; kernels are GLCIC's.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.networks.batch_norm import BatchNorm
from edgeconnect.networks.glcic import FEATURES
from edgeconnect.networks.global_local import ContextDiscriminator, branch, conv_block, decoder, painted

REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Weigh each channel by what all channels are on average (arXiv:1709.01507, section 3)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = max(channels // reduction, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, squeezed),
            nn.ReLU(inplace=True),
            nn.Linear(squeezed, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        weights: Tensor = self.gate(x)
        return x * weights[..., None, None]


class SEResidualBlock(nn.Module):
    """Add two 3x3 convolutions, their channels weighed, to the input, and rectify (arXiv:1709.01507, figure 3)."""

    def __init__(self, channels: int, filters: int, stride: int = 1, reduction: int = REDUCTION) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_block(channels, filters, 3, stride),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
            BatchNorm(filters),
            SqueezeExcitation(filters, reduction),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or channels != filters:
            every = nn.AvgPool2d(1, stride)  # oneDNN's gradient of a strided 1x1 convolution crashes, channels last
            self.shortcut = nn.Sequential(every, nn.Conv2d(channels, filters, 1, bias=False), BatchNorm(filters))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to (B, filters, H / stride, W / stride), rounded up."""
        return F.relu(self.shortcut(x) + self.residual(x))


class Generator(nn.Module):
    """Paint on a picture whose hole is filled; it sees no mask. 64 channels are those of the source text."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_block(3, channels, 5),
            SEResidualBlock(channels, 2 * channels, stride=2),
            conv_block(2 * channels, 2 * channels, 3),
            SEResidualBlock(2 * channels, 4 * channels, stride=2),
            *decoder(channels),
        )

    def forward(self, filled: Tensor) -> Tensor:
        """Paint (B, 3, H, W) in [0, 1] everywhere, on pictures of any height and width."""
        return painted(self.layers, filled)


def context_discriminator(size: int = 160, local_size: int = 96, channels: int = 64) -> ContextDiscriminator:
    """Build the discriminator of pictures and patches of these sides; the defaults are those of the source text."""
    first, features = conv_block(3, channels, 5, stride=2), FEATURES * channels
    whole = branch([first, *judging(channels, channels)], size, 4, 8 * channels, features)
    local = branch(judging(3, channels), local_size, 3, 8 * channels, features)
    return ContextDiscriminator(whole, local, features)


def judging(ins: int, channels: int) -> list[nn.Module]:
    """List the layers of both branches; the global one has another before."""
    return [
        conv_block(ins, 2 * channels, 5, stride=2),
        conv_block(2 * channels, 4 * channels, 5, stride=2),
        SEResidualBlock(4 * channels, 8 * channels, stride=2),
        SEResidualBlock(8 * channels, 8 * channels),
        SEResidualBlock(8 * channels, 8 * channels),
    ]
