"""Generators and discriminator."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils.parametrize import is_parametrized

from edgeconnect.networks.edgeconnect import Discriminator, Generator, convolutions


def test_edge_generator_has_spectral_norm_on_all_but_the_last_convolution():
    *normed, last = convolutions(Generator(3, 1, 4, 2, spectral=True))
    assert all(is_parametrized(layer, "weight") for layer in normed)
    assert not is_parametrized(last)
    assert not any(is_parametrized(layer) for layer in convolutions(Generator(4, 3, 4, 2)))


def test_residual_convolutions_lose_their_bias_under_spectral_norm():
    for spectral in (True, False):
        blocks = convolutions(Generator(3, 1, 4, 2, spectral).middle)
        assert [layer.bias is None for layer in blocks] == [spectral] * 4
        assert [layer.dilation[0] for layer in blocks] == [2, 1, 2, 1]


def test_weights_start_at_a_fiftieth_and_biases_at_zero():
    torch.manual_seed(0)
    for layer in convolutions(Generator(4, 3, 32, 1)):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not layer.bias.any()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (12, 12), (33, 47), (64, 64)])
@pytest.mark.parametrize(("halvings", "skips"), [(2, False), (2, True), (1, True), (3, False)])
def test_generators_take_any_size(height, width, halvings, skips):
    network = Generator(3, 2, 4, 1, halvings=halvings, skips=skips)
    assert network(torch.rand(2, 3, height, width)).shape == (2, 2, height, width)


def test_discriminator_returns_five_maps_and_patch_scores():
    shapes = [tuple(found.shape) for found in Discriminator(3)(torch.rand(1, 3, 256, 256))]
    assert shapes == [(1, 64, 128, 128), (1, 128, 64, 64), (1, 256, 32, 32), (1, 512, 31, 31), (1, 1, 30, 30)]


def test_one_power_iteration_per_training_forward_and_none_in_evaluation():
    network, x = Discriminator(3, 4), torch.rand(1, 3, 32, 32)
    vectors = network.conv2[0].parametrizations.weight[0]
    with torch.no_grad():
        vectors._u.normal_()
    before = vectors._u.clone(), vectors._v.clone()
    network.eval()(x)
    assert torch.equal(vectors._u, before[0])
    network.train()(x)
    u = F.normalize(network.conv2[0].parametrizations.weight.original.flatten(1) @ before[1], dim=0)
    torch.testing.assert_close(vectors._u, u)
