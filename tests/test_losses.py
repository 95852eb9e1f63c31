"""The terms of the objective against their formulas."""

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
