"""Generators and discriminator of EdgeConnect (arXiv:1901.00212, section 3 and appendix A).

Layer positions give the published state-dict names (`encoder.1`, `middle.0.conv_block.1`, ...).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.config.sections import INSTANCE, NONE, SPECTRAL
from edgeconnect.networks.normalization import InstanceNorm, laid_out, spectral_norm

STRIDE = 4  # the generators halve the picture twice
SMALLEST = 12  # a dilated 3x3 kernel needs 3 features a side at quarter size


def normalized(layer: nn.Conv2d | nn.ConvTranspose2d, norm: str) -> tuple[nn.Module, nn.Module]:
    """Follow a layer by instance normalisation, or by nothing; `spectral` also normalises its weight."""
    return spectral_norm(layer) if norm == SPECTRAL else layer, nn.Identity() if norm == NONE else InstanceNorm()


class ResidualBlock(nn.Module):
    """Add two 3x3 convolutions, the first dilated, to the input; no activation after the sum."""

    def __init__(self, channels: int, dilation: int, norm: str) -> None:
        super().__init__()
        bias = norm != SPECTRAL
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(dilation),
            *normalized(nn.Conv2d(channels, channels, 3, dilation=dilation, bias=bias), norm),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            *normalized(nn.Conv2d(channels, channels, 3, bias=bias), norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (B, C, H, W)."""
        residual: Tensor = self.conv_block(x)
        return x + residual


class Generator(nn.Module):
    """Encode to a quarter of the size, pass dilated residual blocks, decode.

    Takes (B, in_channels, H, W) of any height and width, returns (B, out_channels, H, W) before the last
    activation. 64 channels and 8 blocks are the published network; `norm` is instance, spectral (both) or none. With
    `skips` the decoder sees the encoder's maps of its own size, too (U-Net, arXiv:1505.04597).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        base: int = 64,
        blocks: int = 8,
        norm: str = INSTANCE,
        skips: bool = False,
    ) -> None:
        super().__init__()
        self.skips = skips
        seen = 2 if skips else 1
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normalized(nn.Conv2d(in_channels, base, 7), norm),
            nn.ReLU(inplace=True),
            *normalized(nn.Conv2d(base, 2 * base, 4, stride=2, padding=1), norm),
            nn.ReLU(inplace=True),
            *normalized(nn.Conv2d(2 * base, 4 * base, 4, stride=2, padding=1), norm),
            nn.ReLU(inplace=True),
        )
        self.middle = nn.Sequential(*(ResidualBlock(4 * base, 2, norm) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            *normalized(nn.ConvTranspose2d(4 * base, 2 * base, 4, stride=2, padding=1), norm),
            nn.ReLU(inplace=True),
            *normalized(nn.ConvTranspose2d(seen * 2 * base, base, 4, stride=2, padding=1), norm),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(3),
            nn.Conv2d(seen * base, out_channels, 7),
        )
        initialize(self, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Pad to what two halvings need, generate, crop back."""
        height, width = x.shape[-2:]
        right, bottom = (max(SMALLEST, -(-side // STRIDE) * STRIDE) - side for side in (width, height))
        if right or bottom:
            x = F.pad(x, (0, right, 0, bottom), mode="replicate")
        y: Tensor = self.connected(laid_out(x)) if self.skips else self.decoder(self.middle(self.encoder(laid_out(x))))
        return y[..., :height, :width]

    def connected(self, x: Tensor) -> Tensor:
        """Generate with skip connections from full and half size."""
        full = self.encoder[:4](x)
        half = self.encoder[4:7](full)
        decoded = self.decoder[:3](self.middle(self.encoder[7:](half)))
        decoded = self.decoder[3:6](torch.cat([decoded, half], dim=1))
        y: Tensor = self.decoder[6:](torch.cat([decoded, full], dim=1))
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


def initialize(generator: Generator, norm: str) -> None:
    """Start weights at N(0, 0.02) and biases at 0; layers under spectral norm keep PyTorch's own weights.

    Without a norm, weights start as He et al. have them (arXiv:1502.01852), and residual blocks as the identity (Zhang
    et al., arXiv:1901.09321): deep networks would not learn otherwise.
    """
    for layer in convolutions(generator):
        if norm == NONE:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif not nn.utils.parametrize.is_parametrized(layer, "weight"):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if norm == NONE:
        for block in generator.middle:
            nn.init.zeros_(convolutions(block)[-1].weight)


def convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """Return the convolutions of a network, in their order."""
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
