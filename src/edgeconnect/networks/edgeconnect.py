"""Generators and discriminator of EdgeConnect (arXiv:1901.00212, section 3 and appendix A).

Layer positions give the published state-dict names (`encoder.1`, `middle.0.conv_block.1`, ...).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.networks.dilation import DilatedConv2d
from edgeconnect.networks.normalization import InstanceNorm, laid_out, spectral_norm

SMALLEST = 3  # features a side that a dilated 3x3 kernel needs
FIRST, LEVEL, LAST = 4, 3, 2  # layers of the encoder before its first halving, of a halving or doubling, at the end


def normalized(layer: nn.Conv2d | nn.ConvTranspose2d, spectral: bool) -> tuple[nn.Module, nn.Module]:
    """Follow a layer by instance normalisation; `spectral` also normalises its weight."""
    return spectral_norm(layer) if spectral else layer, InstanceNorm()


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions, the first dilated, to the input; no activation after the sum."""

    def __init__(self, channels: int, dilation: int, spectral: bool) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(dilation),
            *normalized(DilatedConv2d(channels, channels, 3, dilation=dilation, bias=not spectral), spectral),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            *normalized(nn.Conv2d(channels, channels, 3, bias=not spectral), spectral),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        residual: Tensor = self.conv_block(x)
        return x + residual


class Generator(nn.Module):
    """Halve the picture, pass dilated residual blocks, enlarge it again.

    Takes (B, in_channels, H, W) of any height and width, returns (B, out_channels, H, W) before the last
    activation. 64 channels, 8 blocks and 2 halvings are the published network. With `skips` the decoder sees the
    encoder's maps of its own size, too (U-Net, arXiv:1505.04597).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        base: int = 64,
        blocks: int = 8,
        spectral: bool = False,
        halvings: int = 2,
        skips: bool = False,
    ) -> None:
        super().__init__()
        self.skips, self.stride = skips, 2**halvings
        widths = [base * 2**level for level in range(halvings + 1)]
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normalized(nn.Conv2d(in_channels, base, 7), spectral),
            nn.ReLU(inplace=True),
        )
        for fine, coarse in pairwise(widths):
            halving = nn.Conv2d(fine, coarse, 4, stride=2, padding=1)
            self.encoder.extend([*normalized(halving, spectral), nn.ReLU(inplace=True)])
        self.middle = nn.Sequential(*(ResidualBlock(widths[-1], 2, spectral) for _ in range(blocks)))
        self.decoder = nn.Sequential()
        for coarse, fine in pairwise(reversed(widths)):
            seen = 2 * coarse if skips and coarse < widths[-1] else coarse
            doubling = nn.ConvTranspose2d(seen, fine, 4, stride=2, padding=1)
            self.decoder.extend([*normalized(doubling, spectral), nn.ReLU(inplace=True)])
        self.decoder.extend([nn.ReflectionPad2d(3), nn.Conv2d(2 * base if skips else base, out_channels, 7)])
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Pad to what the halvings need, generate, crop back."""
        height, width = x.shape[-2:]
        smallest, stride = SMALLEST * self.stride, self.stride
        right, bottom = (max(smallest, -(-side // stride) * stride) - side for side in (width, height))
        if right or bottom:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        return self.generate(laid_out(x))[..., :height, :width]

    def generate(self, x: Tensor) -> Tensor:
        """Encode, transform, decode (B, in_channels, H, W) whose sides the halvings divide."""
        if not self.skips:
            y: Tensor = self.decoder(self.middle(self.encoder(x)))
            return y
        maps = [self.encoder[:FIRST](x)]
        for start in range(FIRST, len(self.encoder), LEVEL):
            maps.append(self.encoder[start : start + LEVEL](maps[-1]))
        x = self.middle(maps.pop())
        for start in range(0, len(self.decoder) - LAST, LEVEL):
            x = torch.cat([self.decoder[start : start + LEVEL](x), maps.pop()], dim=1)
        y = self.decoder[-LAST:](x)
        return y


class Discriminator(nn.Module):
    """Score overlapping 70x70 patches (PatchGAN); returns the five feature maps, the last being the scores.

    Takes (B, in_channels, H, W) with sides of 32 or more. The scores are logits: the loss applies the sigmoid,
    so that autocast may not (a difference from the published code without effect on the numbers).
    """

    def __init__(self, in_channels: int, base: int = 64) -> None:
        super().__init__()

        def conv(channels: int, filters: int, stride: int) -> nn.Module:
            return spectral_norm(nn.Conv2d(channels, filters, 4, stride, padding=1, bias=False))

        self.conv1 = nn.Sequential(conv(in_channels, base, 2), nn.LeakyReLU(0.2, inplace=True))
        self.conv2 = nn.Sequential(conv(base, 2 * base, 2), nn.LeakyReLU(0.2, inplace=True))
        self.conv3 = nn.Sequential(conv(2 * base, 4 * base, 2), nn.LeakyReLU(0.2, inplace=True))
        self.conv4 = nn.Sequential(conv(4 * base, 8 * base, 1), nn.LeakyReLU(0.2, inplace=True))
        self.conv5 = nn.Sequential(conv(8 * base, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the maps after conv1 ... conv5."""
        x, maps = laid_out(x), []
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4, self.conv5):
            x = layer(x)
            maps.append(x)
        return maps


def initialize(network: nn.Module) -> None:
    """Start weights at N(0, 0.02) and biases at 0; layers under spectral norm keep PyTorch's own weights."""
    for layer in convolutions(network):
        if not nn.utils.parametrize.is_parametrized(layer, "weight"):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """Return the convolutions of a network, in their order."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
