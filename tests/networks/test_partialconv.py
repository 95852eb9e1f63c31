"""Partial convolutions against their equations, and the U-Net of them."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from state_layouts import frozen, layout_of
from torch import nn

from edgeconnect.networks.batch_norm import BatchNorm
from edgeconnect.networks.partialconv import Partial, PartialConv, PartialUNet, enlarged, levels_for

ENCODER = [(3, 64, 7), (64, 128, 5), (128, 256, 5), (256, 512, 3), *[(512, 512, 3)] * 4]
DECODER = [*[(1024, 512, 3)] * 4, (768, 256, 3), (384, 128, 3), (192, 64, 3), (67, 3, 3)]


def partial_inputs(channels, seed=0, height=9, width=8):
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for count in channels:
        features = torch.randn(2, count, height, width, generator=generator, dtype=torch.float64)
        valid = (torch.rand(2, 1, height, width, generator=generator) > 0.7).double()
        valid[:, :, :5, :4] = 0  # some windows see nothing
        inputs.append(Partial(features, valid))
    return inputs


def partial_conv(channels, kernel=3, stride=1, bias=True):
    torch.manual_seed(1)
    layer = PartialConv(sum(channels), 3, kernel, stride, bias).double()
    if bias:
        nn.init.normal_(layer.bias)
    return layer


def by_definition(layer, inputs):
    """Convolve pixel by pixel, each channel with a mask of its own."""
    kernel, stride = layer.conv.kernel_size[0], layer.conv.stride[0]
    pad = [kernel // 2] * 4
    x = F.pad(torch.cat([features for features, _ in inputs], 1), pad)
    m = F.pad(torch.cat([valid.expand_as(features) for features, valid in inputs], 1), pad)
    places = [range(0, side - kernel + 1, stride) for side in x.shape[-2:]]
    y = torch.zeros(len(x), layer.conv.out_channels, *map(len, places), dtype=x.dtype)
    valid = torch.zeros(len(x), 1, *map(len, places), dtype=x.dtype)
    for n, (row, top), (column, left) in itertools.product(range(len(x)), *map(enumerate, places)):
        seen, known = (part[n, :, top : top + kernel, left : left + kernel] for part in (x, m))
        if known.sum() > 0:
            valid[n, 0, row, column] = 1
            for out, weight in enumerate(layer.conv.weight.detach()):
                value = (weight * seen * known).sum() * known.numel() / known.sum()
                y[n, out, row, column] = value + (0 if layer.bias is None else layer.bias[out].detach())
    return y, valid


@pytest.mark.parametrize("channels", [(2,), (2, 3)])
@pytest.mark.parametrize(("kernel", "stride", "bias"), [(3, 1, True), (3, 2, False), (5, 2, True), (7, 1, True)])
def test_partial_convolution_is_its_definition(channels, kernel, stride, bias):
    layer, inputs = partial_conv(channels, kernel, stride, bias), partial_inputs(channels)
    found, (expected, valid) = layer(*inputs), by_definition(layer, inputs)
    torch.testing.assert_close(found.features, expected)
    assert torch.equal(found.valid, valid)
    assert 0 < valid.sum() < valid.numel() or kernel == 7


def test_all_valid_is_a_plain_convolution_inside_the_border():
    layer, x = partial_conv([2], kernel=5), torch.randn(1, 2, 12, 11, dtype=torch.float64)
    found = layer(Partial(x, torch.ones_like(x[:, :1])))
    plain = F.conv2d(x, layer.conv.weight, layer.bias, padding=2)
    torch.testing.assert_close(found.features[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2])
    assert found.valid.all()
    assert not torch.isclose(found.features, plain)[..., 0, 0].all()  # what is beyond the border is missing


def test_all_missing_is_zero_and_stays_missing():
    layer, x = partial_conv([2]), torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    found = layer(Partial(x, torch.zeros_like(x[:, :1])))
    assert not found.features.any()
    assert not found.valid.any()
    found.features.square().sum().backward()
    assert all(value.grad.isfinite().all() for value in (x, *layer.parameters()))


def test_gradients_are_those_of_the_definition():
    layer = partial_conv((1, 2), stride=2)
    features, masks = zip(*partial_inputs((1, 2), height=5, width=6), strict=True)

    def run(*features):
        return layer(*map(Partial, features, masks)).features

    assert torch.autograd.gradcheck(run, [feature.requires_grad_() for feature in features])
    assert not any(mask.requires_grad for mask in layer(*map(Partial, features, masks))[1:])


def test_published_network_has_the_layers_of_the_appendix():
    with torch.device("meta"):
        network = PartialUNet(8)
    layers = [layer for layer in network.modules() if isinstance(layer, PartialConv)]
    convolutions = [layer.conv for layer in layers]
    assert [(one.in_channels, one.out_channels, one.kernel_size[0]) for one in convolutions] == ENCODER + DECODER
    assert [one.stride[0] for one in convolutions] == [2] * 8 + [1] * 8
    norms = [layer.num_features for layer in network.modules() if isinstance(layer, BatchNorm)]
    assert norms == [outs for _, outs, _ in ENCODER[1:] + DECODER[:-1]]
    assert [layer.bias is not None for layer in layers] == [True, *[False] * 14, True]
    count = 64 + 3 + 2 * sum(norms) + sum(ins * outs * kernel**2 for ins, outs, kernel in ENCODER + DECODER)
    assert sum(parameter.numel() for parameter in network.parameters()) == count == 32_859_796
    assert {"network": layout_of(network)} == frozen("partialconv")


@pytest.mark.parametrize(("size", "levels"), [(512, 8), (256, 7), (160, 6), (32, 4), (2, 1)])
def test_levels_go_with_the_size(size, levels):
    assert levels_for(size) == levels


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 16), (13, 21)])
def test_network_takes_any_size(height, width):
    mask = torch.zeros(2, 1, height, width)
    mask[..., : height // 2, :] = 1
    network = PartialUNet(3, 2).eval()
    assert network(torch.rand(2, 3, height, width), mask).shape == (2, 3, height, width)


def test_what_lies_beyond_the_picture_is_missing():
    network, image, mask = PartialUNet(3, 2).eval(), torch.rand(1, 3, 13, 21), torch.zeros(1, 1, 13, 21)
    mask[..., 3:6, 4:9] = 1
    canvas = F.pad(image, (0, 3, 0, 3), value=0.7), F.pad(mask, (0, 3, 0, 3), value=1.0)
    torch.testing.assert_close(network(image, mask), network(*canvas)[..., :13, :21])


@pytest.mark.parametrize("training", [True, False])
def test_what_is_in_the_hole_does_not_matter(training):
    network, image, mask = PartialUNet(3, 2).train(training), torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    mask[..., 3:9, 4:12] = 1
    inside = torch.where(mask > 0, torch.rand(2, 3, 16, 16), image)
    assert torch.equal(network(image, mask), network(inside, mask))
    assert not torch.equal(network(image, mask), network(image, 0 * mask))
    assert network(image, torch.ones_like(mask)).isfinite().all()


def test_masks_have_one_channel_however_many_the_features_have():
    below = enlarged(Partial(torch.rand(1, 8, 2, 2), torch.tensor([[[[0.0, 1], [1, 0]]]])))
    assert below.valid[0, 0].tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert PartialConv(8, 16, 3)(below).valid.shape == (1, 1, 4, 4)


def test_frozen_norms_of_the_encoder_keep_their_statistics():
    network, image, mask = PartialUNet(3, 2).train(), torch.rand(2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    network.freeze_encoder_norms()
    before = {name: value.clone() for name, value in network.state_dict().items() if "running" in name}
    network(image, mask).square().mean().backward()
    moved = {name for name, value in before.items() if not torch.equal(network.state_dict()[name], value)}
    assert moved == {name for name in before if name.startswith("decoder")}
    assert network.encoder[1].norm.weight.grad is not None
    network.freeze_encoder_norms(False)
    assert all(layer.training for layer in network.modules())


def test_network_computes_in_bfloat16_and_returns_float32():
    network, mask = PartialUNet(3, 4), torch.zeros(2, 1, 16, 16)
    mask[..., 3:9, 4:12] = 1
    image = torch.rand(2, 3, 16, 16)
    expected = network(image, mask)
    with torch.autocast("cpu", torch.bfloat16):
        painted = network(image, mask)
        assert network.encoder[0](Partial(image, 1 - mask)).features.dtype == torch.bfloat16
    assert painted.dtype == torch.float32
    assert (painted - expected).abs().mean() < 0.1 * expected.abs().mean()
