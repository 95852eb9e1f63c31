import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from edgeconnect.networks.normalization import InstanceNorm, laid_out, spectral_norm

SHAPES = [(1, 24, 16, 16), (2, 8, 33, 31), (3, 5, 2, 3), (2, 1, 8, 8)]


def reference(x, gradient):
    x = x.detach().double().requires_grad_()
    centred = x - x.mean((2, 3), keepdim=True)
    y = centred / (x.var((2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    return y, torch.autograd.grad(y, x, gradient.double())[0]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)]
)
@pytest.mark.parametrize("layout", [laid_out, torch.Tensor.contiguous])
def test_instance_norm_and_its_gradient_equal_their_definition(shape, dtype, tolerance, layout):
    generator = torch.Generator().manual_seed(0)
    x, gradient = ((torch.randn(shape, generator=generator) * 3 + 5).to(dtype) for _ in range(2))
    x = layout(x).requires_grad_()
    y = InstanceNorm()(x)
    expected, slope = reference(x, gradient)
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)
    if (dtype, layout) != (torch.bfloat16, torch.Tensor.contiguous):  # PyTorch's own, less precise
        found = torch.autograd.grad(y, x, gradient)[0]
        torch.testing.assert_close(found.double(), slope, rtol=tolerance, atol=tolerance)


def test_instance_norm_keeps_the_layout():
    x = laid_out(torch.rand(2, 4, 5, 6)).requires_grad_()
    y = InstanceNorm()(x)
    y.square().sum().backward()
    assert y.is_contiguous(memory_format=torch.channels_last)
    assert x.grad.is_contiguous(memory_format=torch.channels_last)


def layers(kind):
    torch.manual_seed(3)
    ours = spectral_norm(kind(6, 4, 3))
    torch.manual_seed(3)
    return ours, parametrizations.spectral_norm(kind(6, 4, 3))


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_spectral_norm_equals_pytorchs(kind):
    ours, theirs = layers(kind)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    x = torch.rand(2, 6, 8, 8)
    for training in (True, True, False):
        y, expected = ours.train(training)(x), theirs.train(training)(x)
        torch.testing.assert_close(y, expected)
        for layer, output in ((ours, y), (theirs, expected)):
            layer.zero_grad()
            output.square().sum().backward()
        for found, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-4)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_spectral_norm_is_computed_in_float32_under_autocast():
    ours, _ = layers(nn.Conv2d)
    x = torch.rand(1, 6, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.weight.dtype == torch.float32
        assert ours(x).dtype == torch.bfloat16


def test_a_network_judges_twice_between_two_moves_of_its_weights():
    ours, _ = layers(nn.Conv2d)
    first, second = (ours(torch.rand(1, 6, 8, 8)).sum() for _ in range(2))
    (first + second).backward()  # vectors that moved in place meanwhile must not matter
    assert ours.parametrizations.weight.original.grad.isfinite().all()
