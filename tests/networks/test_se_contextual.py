"""The networks of SE-ResNet completion against what the source text says of them."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from state_layouts import frozen, layout_of
from torch import nn

from edgeconnect.networks.glcic import CompletionNetwork
from edgeconnect.networks.normalization import laid_out
from edgeconnect.networks.se_contextual import Generator, SEResidualBlock, SqueezeExcitation, context_discriminator


def published():
    with torch.device("meta"):
        return Generator(), context_discriminator()


def learned(network):
    return sum(parameter.numel() for parameter in network.parameters())


def block(ins, outs, projected):
    """Count the parameters of a block: two convolutions with norms, gates, and a projection with its norm."""
    gates = outs * (outs // 16) * 2 + outs // 16 + outs
    return 9 * ins * outs + 9 * outs**2 + 4 * outs + gates + (ins * outs + 2 * outs if projected else 0)


def test_parameters_are_those_of_the_layers():
    generator, discriminator = published()
    with torch.device("meta"):
        plain = CompletionNetwork()
    count = learned(plain) - 25 * 64  # no mask
    for ins, outs in ((64, 128), (128, 256)):
        count += block(ins, outs, projected=True) - (9 * ins * outs + 2 * outs)
    assert learned(generator) == count == 6_857_979
    blocks = block(256, 512, projected=True) + 2 * block(512, 512, projected=False)
    count = 2048 + 1 + 2 * blocks
    for widths, side in (((3, 64, 128, 256), 10), ((3, 128, 256), 12)):
        count += sum(25 * ins * outs + 2 * outs for ins, outs in pairwise(widths))
        count += (512 * side**2 + 1) * 1024
    assert learned(discriminator) == count == 156_218_241


def test_states_are_frozen():
    found = dict(zip(("generator", "discriminator"), map(layout_of, published()), strict=True))
    assert found == frozen("se_contextual")


def test_channels_are_weighed_by_their_means():
    layer, x = SqueezeExcitation(32, 16), torch.rand(2, 32, 5, 4)
    shrink, grow = (one for one in layer.gate if isinstance(one, nn.Linear))
    weights = torch.sigmoid(grow(F.relu(shrink(x.mean((2, 3))))))
    assert shrink.out_features == 2
    torch.testing.assert_close(layer(x), x * weights.reshape(2, 32, 1, 1))


@pytest.mark.parametrize(("ins", "outs", "stride", "projected"), [(8, 8, 1, 0), (8, 8, 2, 1), (8, 16, 1, 1)])
def test_block_adds_its_input_projected_where_the_shape_changes(ins, outs, stride, projected):
    layer, x = SEResidualBlock(ins, outs, stride), torch.randn(2, ins, 9, 8)
    assert isinstance(layer.shortcut, nn.Identity) == (not projected)
    y = layer(x)
    assert y.shape == (2, outs, -(-9 // stride), -(-8 // stride))
    torch.testing.assert_close(y, F.relu(layer.residual(x) + layer.shortcut(x)))


def test_projection_is_a_strided_convolution_whose_gradient_can_be_had():
    layer, x = SEResidualBlock(8, 16, 2), laid_out(torch.randn(4, 8, 65, 64)).requires_grad_()
    strided = F.conv2d(x, layer.shortcut[1].weight, stride=2)
    torch.testing.assert_close(layer.shortcut[:2](x), strided)
    layer(x).square().mean().backward()  # PyTorch 2.15.0 dies of this, were it one convolution
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 9), (32, 32), (33, 47)])
def test_generator_takes_any_size_and_returns_a_picture(height, width):
    painted = Generator(2)(torch.rand(2, 3, height, width))
    assert painted.shape == (2, 3, height, width)
    assert 0 <= painted.min() <= painted.max() <= 1


@pytest.mark.parametrize(("size", "local_size"), [(64, 32), (50, 17), (32, 16)])
def test_discriminator_judges_a_picture_with_its_patch(size, local_size):
    network = context_discriminator(size, local_size, 2)
    picture, patch = torch.rand(3, 3, size, size), torch.rand(3, 3, local_size, local_size)
    scores = network(picture, patch)
    assert scores.shape == (3, 1)
    assert not torch.equal(network(picture, patch.flip(0)), scores)
    assert not torch.equal(network(picture.flip(0), patch), scores)
