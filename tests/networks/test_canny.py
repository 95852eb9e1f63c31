"""Canny's edges of batches."""

import numpy as np
import pytest
import torch

from edgeconnect.data import edges
from edgeconnect.data.sources import draw_scene
from edgeconnect.networks import canny
from edgeconnect.networks.canny import canny_edges, spread


@pytest.mark.parametrize("sigma", [1, 2])
@pytest.mark.parametrize("side", [64, 128])
def test_edges_are_those_of_scikit_image(monkeypatch, sigma, side):
    monkeypatch.setattr(canny, "LINKED", 64)
    gray = np.stack([edges.to_gray(draw_scene(number, side)) for number in range(8)])
    expected = np.stack([edges.canny_edges(picture, sigma) for picture in gray])
    found = canny_edges(torch.from_numpy(gray[:, None]), sigma)[:, 0].numpy() > 0
    assert (found != expected).mean() < 1e-3
    assert (found & expected).sum() > 0.99 * max(found.sum(), expected.sum())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 9), (3, 3), (31, 5)])
def test_pictures_of_any_size_have_edges_of_zeros_and_ones_away_from_the_border(height, width):
    found = canny_edges(torch.rand(2, 1, height, width), 1)
    assert found.shape == (2, 1, height, width)
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    assert found.sum() == found[..., 1:-1, 1:-1].sum()


def test_half_precision_around_it_changes_nothing():
    gray = torch.rand(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = canny_edges(gray, 1)
    assert torch.equal(found, canny_edges(gray, 1))


def test_spreading_reaches_all_eight_neighbours_and_stays_inside():
    mask, wanted = torch.zeros(2, 1, 1, 7, 6)
    mask[..., 3, 2], wanted[..., 2:5, 1:4] = 1, 1
    mask[..., 0, 5], wanted[..., :2, 4:] = 1, 1
    assert torch.equal(spread(mask), wanted)
