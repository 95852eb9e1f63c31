"""What holes are filled with."""

import pytest
import torch

from edgeconnect.networks.filling import harmonic, prefilled


def random_hole(height, width, share, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, height, width, generator=rng), (
        torch.rand(2, 1, height, width, generator=rng) < share
    ) * 1.0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (37, 53), (64, 64)])
@pytest.mark.parametrize("share", [0, 0.3, 0.99, 1])
def test_known_pixels_stay_and_the_rest_is_a_colour(height, width, share):
    image, mask = random_hole(height, width, share)
    filled = harmonic(image, mask)
    known = (mask == 0).expand_as(image)
    assert torch.equal(filled[known], image[known])
    assert filled.isfinite().all()
    assert 0 <= filled.min() <= filled.max() <= 1 + 1e-6


def test_a_slope_continues_through_the_hole():
    slope = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 20:44] = 1
    assert (harmonic(slope, mask) - slope).abs().max() < 0.05


def test_what_lies_in_the_hole_is_not_seen():
    image, mask = random_hole(40, 40, 0.5)
    for kind in ("white", "harmonic"):
        assert torch.equal(prefilled(image, mask, kind), prefilled(image * (1 - mask), mask, kind))


def test_white_is_the_published_filling():
    image, mask = random_hole(8, 8, 0.5)
    assert torch.equal(prefilled(image, mask, "white"), image * (1 - mask) + mask)
