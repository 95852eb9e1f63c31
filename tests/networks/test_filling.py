"""What holes are filled with."""

import numpy as np
import pytest
import torch
from skimage.restoration import inpaint_biharmonic

from edgeconnect.config.sections import BIHARMONIC, HARMONIC
from edgeconnect.data import mask_shapes
from edgeconnect.data.sources import draw_scene
from edgeconnect.networks import filling
from edgeconnect.networks.filling import prefilled

SURFACES = (HARMONIC, BIHARMONIC)


def random_hole(height, width, share, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(2, 3, height, width, generator=rng), (
        torch.rand(2, 1, height, width, generator=rng) < share
    ) * 1.0


@pytest.mark.parametrize("kind", SURFACES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (37, 53), (64, 64)])
@pytest.mark.parametrize("share", [0, 0.3, 0.99, 1])
def test_known_pixels_stay_and_the_rest_is_near_them(kind, height, width, share):
    image, mask = random_hole(height, width, share)
    filled = prefilled(image, mask, kind)
    known = (mask == 0).expand_as(image)
    assert torch.equal(filled[known], image[known])
    assert filled.isfinite().all()
    assert -1 < filled.min() <= filled.max() < 2
    assert kind == BIHARMONIC or 0 <= filled.min() <= filled.max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", SURFACES)
def test_a_slope_continues_through_the_hole(kind):
    slope = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:44, 20:44] = 1
    assert (prefilled(slope, mask, kind) - slope).abs().max() < 0.05


def test_a_biharmonic_surface_comes_to_the_exact_one(monkeypatch):
    monkeypatch.setattr(filling, "CONJUGATE_STEPS", 200)
    picture = draw_scene(7, 64)
    hole = mask_shapes.draw("strokes", 64, 64, np.random.default_rng(0), mask_shapes.pixel_range(64, 64, (0.1, 0.12)))
    image = torch.from_numpy(picture.transpose(2, 0, 1)[None]).double() / 255
    filled = prefilled(image, torch.from_numpy(hole[None, None]).double(), BIHARMONIC)
    exact = inpaint_biharmonic(picture, hole, channel_axis=2)
    error = np.abs(filled[0].numpy().transpose(1, 2, 0) - exact)[hole]
    assert error.mean() < 0.002


@pytest.mark.parametrize("kind", ["white", *SURFACES])
def test_what_lies_in_the_hole_is_not_seen(kind):
    image, mask = random_hole(40, 40, 0.5)
    assert torch.equal(prefilled(image, mask, kind), prefilled(image * (1 - mask), mask, kind))


def test_white_is_the_published_filling():
    image, mask = random_hole(8, 8, 0.5)
    assert torch.equal(prefilled(image, mask, "white"), image * (1 - mask) + mask)
