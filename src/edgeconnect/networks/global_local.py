"""What the globally and locally consistent methods share (Iizuka et al., SIGGRAPH 2017, section 3).

The paper does not say how weights start: they keep PyTorch's own start. Layers before a batch normalisation have no
bias, which would change no output.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeconnect.networks.batch_norm import BatchNorm
from edgeconnect.networks.dilation import DilatedConv2d
from edgeconnect.networks.normalization import laid_out

STRIDE = 4  # the completion networks halve the picture twice
DILATIONS = 2, 4, 8, 16


def conv_block(channels: int, filters: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Convolve, normalise, rectify; zero padding keeps the size, or halves it, rounded up."""
    padding = kernel // 2 * dilation
    convolution = DilatedConv2d if dilation > 1 else nn.Conv2d
    layer = convolution(channels, filters, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(layer, BatchNorm(filters), nn.ReLU(inplace=True))


def deconv_block(channels: int, filters: int) -> nn.Sequential:
    """Double the size by a transposed 4x4 convolution, normalise, rectify."""
    layer = nn.ConvTranspose2d(channels, filters, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(layer, BatchNorm(filters), nn.ReLU(inplace=True))


def decoder(channels: int) -> nn.Sequential:
    """Make 3 logits a pixel of 4 * `channels` features at a quarter of the size (table 1, from the sixth layer on)."""
    fine, middle, deep, last = channels, 2 * channels, 4 * channels, max(channels // 2, 1)
    return nn.Sequential(
        *(conv_block(deep, deep, 3) for _ in range(2)),
        *(conv_block(deep, deep, 3, dilation=dilation) for dilation in DILATIONS),
        *(conv_block(deep, deep, 3) for _ in range(2)),
        deconv_block(deep, middle),
        conv_block(middle, middle, 3),
        deconv_block(middle, fine),
        conv_block(fine, last, 3),
        nn.Conv2d(last, 3, 3, padding=1),
    )


def painted(layers: nn.Module, x: Tensor) -> Tensor:
    """Run (B, C, H, W) of any height and width through a completion network's layers; (B, 3, H, W) in [0, 1], float32.

    The input is replicated at its right and bottom to whole multiples of 4, the output cropped.
    """
    height, width = x.shape[-2:]
    right, bottom = -width % STRIDE, -height % STRIDE
    if right or bottom:
        x = F.pad(x, (0, right, 0, bottom), mode="replicate")
    logits: Tensor = layers(laid_out(x))
    return torch.sigmoid(logits.float())[..., :height, :width]


class ContextDiscriminator(nn.Module):
    """Judge a picture and a patch of it around its hole together (section 3.3).

    Takes pictures and patches, (B, 3, side, side), each of the side that its branch is made for, and returns scores
    (B, 1). They are logits: the loss applies the sigmoid.
    """

    def __init__(self, whole: nn.Module, local: nn.Module, features: int) -> None:
        super().__init__()
        self.whole, self.local = whole, local
        self.head = nn.Linear(2 * features, 1)

    def forward(self, picture: Tensor, patch: Tensor) -> Tensor:
        """Concatenate what the branches see, (B, features) each, and judge that."""
        seen = torch.cat([self.whole(laid_out(picture)), self.local(laid_out(patch))], dim=1)
        scores: Tensor = self.head(seen)
        return scores


def branch(layers: list[nn.Module], side: int, halvings: int, filters: int, features: int) -> nn.Sequential:
    """Follow the layers of a branch by its fully connected one; `filters` channels are what they end in.

    The paper names no activation behind the fully connected layer. Here it is rectified: two layers in a row would be
    one.
    """
    rest = -(-side // 2**halvings)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters * rest * rest, features), nn.ReLU(inplace=True))
