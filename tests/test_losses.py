"""The terms of the objective against their formulas."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from edgeconnect import losses


@pytest.mark.parametrize("real", [True, False])
def test_adversarial_losses_are_the_published_ones(real):
    scores = torch.tensor([[-2.0, 0.5, 3.0]])
    target = torch.full_like(scores, float(real))
    sign = -1 if real else 1
    expected = {
        "nsgan": F.binary_cross_entropy(torch.sigmoid(scores), target),
        "lsgan": (torch.sigmoid(scores) - target).square().mean(),
        "hinge": F.relu(1 + sign * scores).mean(),
    }
    for kind, value in expected.items():
        torch.testing.assert_close(losses.adversarial_loss(scores, real, kind), value)


def test_discriminator_averages_and_generator_wants_to_be_real():
    real, fake = torch.tensor([2.0]), torch.tensor([-1.0])
    for kind in ("nsgan", "lsgan", "hinge"):
        both = losses.adversarial_loss(real, True, kind) + losses.adversarial_loss(fake, False, kind)
        torch.testing.assert_close(losses.discriminator_loss(real, fake, kind), both / 2)
    torch.testing.assert_close(losses.generator_loss(fake, "hinge"), torch.tensor(1.0))
    torch.testing.assert_close(losses.generator_loss(fake, "nsgan"), losses.adversarial_loss(fake, True, "nsgan"))


def test_gram_correlates_channels_in_float32():
    features = torch.rand(2, 3, 4, 5)
    expected = torch.einsum("bihw,bjhw->bij", features, features) / 60
    torch.testing.assert_close(losses.gram(features), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert losses.gram(features.bfloat16()).dtype == torch.float32


def test_feature_distances_sum_over_layers_and_spare_the_real_picture():
    fake = [torch.rand(1, 2, 3, 3, requires_grad=True) for _ in range(2)]
    real = [torch.rand(1, 2, 3, 3, requires_grad=True) for _ in range(2)]
    for distance in (losses.feature_distance(fake, real), losses.style_distance(fake, real)):
        distance.backward()
        assert all(map_.grad is None for map_ in real)
        assert all(map_.grad is not None for map_ in fake)
    expected = sum((f - r).abs().mean() for f, r in zip(fake, real, strict=True))
    torch.testing.assert_close(losses.feature_distance(fake, real), expected)


def test_hole_l1_is_divided_by_the_hole_ratio_of_the_batch_or_of_each_picture():
    fake, real, mask = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    mask[0, :, :2] = 1
    torch.testing.assert_close(losses.hole_l1(fake, real, mask.mean()), (fake - real).abs().mean() / 0.25)
    torch.testing.assert_close(losses.hole_l1(fake, real, torch.zeros(())), (fake - real).abs().mean())
    each = (fake - real).abs().mean(dim=(1, 2, 3))
    found = losses.hole_l1(fake, real, mask.mean(dim=(1, 2, 3)))  # the second picture has no hole
    torch.testing.assert_close(found, (each[0] / 0.5 + each[1]) / 2)


def test_hole_bce_is_the_weighted_cross_entropy_of_the_holes_pixels():
    logits, edge, mask = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).float(), torch.zeros(2, 1, 4, 4)
    mask[0, :, :2] = 1
    drawn = torch.sigmoid(logits)
    each = -(2 * edge * drawn.log() + (1 - edge) * (1 - drawn).log())
    found = losses.hole_bce(logits, edge, mask, mask.mean(), 2.0)
    torch.testing.assert_close(found, (each * mask).sum() / mask.sum())
    assert losses.hole_bce(logits, edge, mask * 0, torch.zeros(()), 2.0) == 0


def random_hole(size=(2, 1, 6, 7)):
    return (torch.rand(size) > 0.6).float()


def test_hole_mse_is_the_mean_over_the_holes_values():
    fake, real, mask = torch.rand(2, 3, 6, 7), torch.rand(2, 3, 6, 7), random_hole()
    inside = mask.expand_as(fake) > 0
    torch.testing.assert_close(losses.hole_mse(fake, real, mask, mask.mean()), F.mse_loss(fake[inside], real[inside]))
    assert losses.hole_mse(fake, real, 0 * mask, torch.zeros(())) == 0


def test_region_l1_of_hole_and_rest_add_up_to_the_whole():
    fake, real, mask = torch.rand(2, 3, 6, 7), torch.rand(2, 3, 6, 7), random_hole()
    hole, valid = (losses.region_l1(fake, real, region) for region in (mask, 1 - mask))
    torch.testing.assert_close(hole, ((fake - real).abs() * mask).sum() / fake.numel())
    torch.testing.assert_close(hole + valid, F.l1_loss(fake, real))


def test_total_variation_compares_neighbours_that_are_both_in_the_region():
    picture, region, total = torch.rand(2, 3, 5, 4), random_hole((2, 1, 5, 4)), 0.0
    for n, i, j in torch.cartesian_prod(*map(torch.arange, (2, 5, 4))).tolist():
        for k, m in ((i + 1, j), (i, j + 1)):
            if k < 5 and m < 4 and region[n, 0, i, j] and region[n, 0, k, m]:
                total += (picture[n, :, i, j] - picture[n, :, k, m]).abs().sum().item()
    assert losses.total_variation(picture, region).item() == pytest.approx(total / picture.numel(), rel=1e-5)
    assert losses.total_variation(picture, 0 * region) == 0


def cosine_distance(one, other):
    norms = math.sqrt(sum(value**2 for value in one)) * math.sqrt(sum(value**2 for value in other))
    return 1 - sum(a * b for a, b in zip(one, other, strict=True)) / norms


def contextual_by_definition(fake, real, bandwidth, epsilon):
    """Compute -log CX of (C, H, W) pair by pair, as source document 002 writes it (eq. 7 to 12)."""
    ours, theirs = (features.flatten(1).T.tolist() for features in (fake, real))
    mean = [sum(column) / len(theirs) for column in zip(*theirs, strict=True)]
    ours, theirs = ([[v - m for v, m in zip(one, mean, strict=True)] for one in many] for many in (ours, theirs))
    table = []
    for one in ours:
        row = [cosine_distance(one, other) for other in theirs]
        weights = [math.exp((1 - distance / (min(row) + epsilon)) / bandwidth) for distance in row]
        table.append([weight / sum(weights) for weight in weights])
    return -math.log(sum(max(column) for column in zip(*table, strict=True)) / len(theirs))


def random_features(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2)]


@pytest.fixture
def in_double(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(losses, "ROWS", 5)


@pytest.mark.parametrize(("bandwidth", "epsilon"), [(0.5, 1e-5), (0.1, 1e-2)])
def test_contextual_loss_is_its_definition(bandwidth, epsilon, in_double):
    fake, real = random_features(2, 4, 3, 5)
    expected = [contextual_by_definition(f, r, bandwidth, epsilon) for f, r in zip(fake, real, strict=True)]
    found = losses.contextual_loss(fake, real, bandwidth, epsilon)
    assert found.item() == pytest.approx(sum(expected) / 2, rel=1e-12)


def test_gradient_of_the_contextual_loss_is_its_own(in_double):
    fake, real = random_features(2, 3, 4, 3)
    assert torch.autograd.gradcheck(lambda x: losses.contextual_loss(x, real), [fake.requires_grad_()])
    loss = losses.contextual_loss(fake, real)
    first, again = (torch.autograd.grad(loss, fake, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)


def test_contextual_loss_is_small_for_the_same_features_elsewhere():
    fake, real = (features.float() for features in random_features(1, 16, 8, 8))
    moved = real.roll((3, 2), (2, 3)).requires_grad_()
    same = losses.contextual_loss(moved, real)
    assert same < 0.01 < losses.contextual_loss(fake, real)
    same.backward()
    assert moved.grad.isfinite().all()


def test_contextual_loss_takes_a_regular_grid_of_many_positions():
    fake, real = (features.float() for features in random_features(1, 8, 9, 10))
    every_third = losses.contextual_loss(fake[..., ::3, ::3], real[..., ::3, ::3])
    assert torch.equal(losses.contextual_loss(fake, real, most=12), every_third)
    assert not torch.equal(losses.contextual_loss(fake, real, most=90), every_third)


def test_contextual_loss_is_float32_under_autocast():
    fake, real = (features.float() for features in random_features(1, 64, 8, 8))
    expected = losses.contextual_loss(fake.bfloat16(), real.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(losses.contextual_loss(fake.bfloat16(), real.bfloat16()), expected)
    assert expected.dtype == torch.float32


@pytest.mark.parametrize("which", ["fake", "real", "both", "parts"])
def test_contextual_loss_of_constant_regions_is_finite(which):
    fake, real = (features.float() for features in random_features(2, 16, 8, 8))
    constant = torch.full_like(real, 0.1)
    fake, real = constant if which in ("fake", "both") else fake, constant if which in ("real", "both") else real
    if which == "parts":
        fake[..., :5], real[..., 3:] = 0.3, 0.7
    fake = fake.clone().requires_grad_()
    loss = losses.contextual_loss(fake, real)
    loss.backward()
    assert loss.isfinite()
    assert fake.grad.isfinite().all()
    assert fake.grad.abs().max() < 100


MEMORY = """
import resource, torch
from edgeconnect import losses
torch.set_num_threads(1)
fake, real = torch.rand(1, 256, 64, 64, requires_grad=True), torch.rand(1, 256, 64, 64)
small = fake[..., :8, :8].detach().requires_grad_()
losses.contextual_loss(small, real[..., :8, :8]).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
losses.contextual_loss(fake, real).backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_contextual_loss_of_large_features_fits_into_memory():
    environment = os.environ | {"PYTHONPATH": str(Path(losses.__file__).parents[1])}
    command = [sys.executable, "-c", MEMORY]
    kilobytes = int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert kilobytes < 2**20 / 4  # a quarter of a GiB; the square of the positions alone has 64 MB
