"""Globally and locally consistent completion: its networks against tables 1 and 2."""

import math

import pytest
import torch
from state_layouts import frozen, layout_of
from torch import nn

from edgeconnect.networks.batch_norm import BatchNorm
from edgeconnect.networks.glcic import CompletionNetwork, context_discriminator

HALF = 0.5
TABLE_1 = [  # kernel, dilation, stride, outputs
    (5, 1, 1, 64),
    (3, 1, 2, 128),
    (3, 1, 1, 128),
    (3, 1, 2, 256),
    (3, 1, 1, 256),
    (3, 1, 1, 256),
    (3, 2, 1, 256),
    (3, 4, 1, 256),
    (3, 8, 1, 256),
    (3, 16, 1, 256),
    (3, 1, 1, 256),
    (3, 1, 1, 256),
    (4, 1, HALF, 128),
    (3, 1, 1, 128),
    (4, 1, HALF, 64),
    (3, 1, 1, 32),
    (3, 1, 1, 3),
]
TABLE_2 = {"whole": (256, [64, 128, 256, 512, 512, 512]), "local": (128, [64, 128, 256, 512, 512])}


def published():
    with torch.device("meta"):
        return CompletionNetwork(), context_discriminator(256, 128)


def learned(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_completion_network_has_the_layers_of_table_1():
    layers = [layer for layer in published()[0].modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    strides = [HALF if isinstance(layer, nn.ConvTranspose2d) else layer.stride[0] for layer in layers]
    found = [(layer.kernel_size[0], layer.dilation[0], stride) for layer, stride in zip(layers, strides, strict=True)]
    assert [(*sizes, layer.out_channels) for sizes, layer in zip(found, layers, strict=True)] == TABLE_1


def test_parameters_are_those_of_the_tables():
    completion, discriminator = published()
    count, ins = 3, 4  # of the last layer's bias
    for kernel, _, _, outs in TABLE_1:
        norm = 2 * outs if outs > 3 else 0
        count, ins = count + kernel**2 * ins * outs + norm, outs
    assert learned(completion) == count == 6_069_155
    count = 2048 + 1
    for side, widths in TABLE_2.values():
        ins = 3
        for outs in widths:
            side, count, ins = side // 2, count + 25 * ins * outs + 2 * outs, outs
        count += (side**2 * ins + 1) * 1024
    assert learned(discriminator) == count == 45_060_225


def test_states_are_frozen():
    found = dict(zip(("completion", "discriminator"), map(layout_of, published()), strict=True))
    assert found == frozen("glcic")


@pytest.mark.parametrize(("network", "number"), list(zip(published(), [17, 11], strict=True)))
def test_batch_norm_and_relu_follow_every_convolution_but_the_last(network, number):
    layers = [layer for layer in network.modules() if not list(layer.children())]
    places = [n for n, layer in enumerate(layers) if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    followed = [list(map(type, layers[n + 1 : n + 3])) == [BatchNorm, nn.ReLU] for n in places]
    assert followed == [n < len(TABLE_1) - 1 for n in range(number)]
    assert [layers[n].bias is None for n in places] == followed


def field(low, high):
    """Return the inputs that an interval of outputs along one side sees, by table 1."""
    for kernel, dilation, stride, _ in reversed(TABLE_1):
        if stride == HALF:  # an input reaches the outputs 2i - 1 to 2i + 2
            low, high = math.ceil((low - 2) / 2), (high + 1) // 2
        else:
            reach = kernel // 2 * dilation
            low, high = low * stride - reach, high * stride + reach
    return low, high


@pytest.mark.parametrize("pixel", [160, 161, 162, 163])
def test_receptive_field_is_that_of_the_tables_layers(pixel):
    network = CompletionNetwork(1).double().eval()
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    x = torch.ones(1, 4, 320, 320, dtype=torch.float64, requires_grad=True)
    network.layers(x)[0, 0, pixel, pixel].backward()
    rows = x.grad[0, 0].any(dim=1).nonzero()
    low, high = field(pixel, pixel)
    assert (rows.min(), rows.max()) == (low, high)
    assert high - low + 1 in (299, 303)  # the paper says 307, where a transposed convolution sees 3 inputs, not 2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 9), (32, 32), (33, 47)])
def test_completion_takes_any_size_and_returns_a_picture(height, width):
    painted = CompletionNetwork(2)(torch.rand(2, 3, height, width), torch.ones(2, 1, height, width))
    assert painted.shape == (2, 3, height, width)
    assert 0 <= painted.min() <= painted.max() <= 1


def test_completion_is_float32_under_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert CompletionNetwork(2)(torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16)).dtype == torch.float32


@pytest.mark.parametrize(("size", "local_size"), [(64, 32), (50, 17), (32, 16)])
def test_discriminator_judges_a_picture_with_its_patch(size, local_size):
    network = context_discriminator(size, local_size, 2)
    picture, patch = torch.rand(3, 3, size, size), torch.rand(3, 3, local_size, local_size)
    scores = network(picture, patch)
    assert scores.shape == (3, 1)
    assert not torch.equal(network(picture, patch.flip(0)), scores)
    assert not torch.equal(network(picture.flip(0), patch), scores)
