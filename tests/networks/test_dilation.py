"""Dilated convolutions in bfloat16."""

import pytest
import torch

from edgeconnect.networks.dilation import DilatedConv2d
from edgeconnect.networks.normalization import laid_out, spectral_norm


@pytest.mark.parametrize("dilation", [2, 4])
@pytest.mark.parametrize("channels", [8, 24, 40, 48, 56, 88])
def test_weight_gradient_in_bfloat16_is_that_of_float32(channels, dilation):
    """24, 40: not finite with `nn.Conv2d`; 56, 88: half of it wrong."""
    torch.manual_seed(0)
    layer, x = DilatedConv2d(channels, channels, 3, dilation=dilation), torch.randn(4, channels, 24, 24)
    gradient = torch.randn(4, channels, 24 - 2 * dilation, 24 - 2 * dilation)
    found = []
    for enabled in (True, False):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = layer(laid_out(x).requires_grad_())
        assert y.is_contiguous(memory_format=torch.channels_last)
        (y.float() * gradient).sum().backward()
        found.append(layer.weight.grad.clone())
    assert (found[0] - found[1]).norm() < 0.01 * found[1].norm()


def test_names_in_the_state_are_those_of_a_convolution_also_with_spectral_norm():
    assert DilatedConv2d(8, 8, 3, dilation=2).state_dict().keys() == torch.nn.Conv2d(8, 8, 3).state_dict().keys()
    layer = spectral_norm(DilatedConv2d(24, 24, 3, dilation=2))
    with torch.autocast("cpu", torch.bfloat16):
        layer(laid_out(torch.randn(2, 24, 9, 9))).float().square().sum().backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()
