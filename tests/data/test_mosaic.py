"""Mosaics: their blocks, who draws them, and who sees them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import random_batch, tiny_method

from edgeconnect.config.sections import MOSAIC, DataConfig
from edgeconnect.data.items import collate, make_item
from edgeconnect.data.mosaic import mosaic
from edgeconnect.data.scenes import render
from edgeconnect.engine import inference
from edgeconnect.types import composite

IMAGE = render(1, 40, 56)
MASK = np.zeros((40, 56), np.bool_)
MASK[8:30, 12:40] = True


def item(whole=True, seed=0, **keys):
    config = DataConfig(**({"corruption": MOSAIC} | keys))
    return make_item(IMAGE, MASK, "a", config, np.random.default_rng(seed), true_edges=True, whole=whole)


def shown(batch):
    return batch.mosaic[0].numpy().transpose(1, 2, 0)


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.tuples(*2 * [st.integers(0, 11)]), st.integers(0, 99)
)
def test_each_block_has_one_colour_and_a_whole_one_its_mean(height, width, block, place, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    blocks = mosaic(picture, block, *place)
    assert blocks.shape == picture.shape
    for top in range(place[0] % block - block, height, block):
        for left in range(place[1] % block - block, width, block):
            square = np.s_[max(top, 0) : top + block, max(left, 0) : left + block]
            part, truth = blocks[square], picture[square]
            if not part.size:
                continue
            assert (part == part[0, 0]).all()
            if part.shape[:2] == (block, block):
                assert np.abs(part[0, 0] - truth.mean((0, 1))).max() <= 0.51


def test_blocks_are_drawn_from_the_range_and_the_seed():
    made = [[mosaic(IMAGE, n, top, left) for top in range(n) for left in range(n)] for n in range(3, 7)]
    drawn = [shown(item(seed=seed, mosaic_block=(3, 6))) for seed in range(40)]
    found = [[any(np.array_equal(one, each) for each in of_size) for of_size in made] for one in drawn]
    assert np.all(np.sum(found, axis=1) == 1)
    assert np.any(found, axis=0).all()
    assert np.array_equal(drawn[0], shown(item(mosaic_block=(3, 6))))


def test_a_picture_that_is_not_whole_shows_its_blocks_itself():
    assert np.array_equal(shown(item(whole=False)), IMAGE)
    assert item(corruption="hole").mosaic is None


def test_a_mosaic_goes_wherever_its_picture_goes():
    batch = collate([item(), item(seed=1)])
    assert batch.mosaic.shape == batch.image.shape
    flipped = batch.map(lambda tensor: tensor.flip(-1))
    assert torch.equal(flipped.mosaic.flip(-1), batch.mosaic)
    assert torch.equal(batch.split(2)[1].mosaic, item(seed=1).mosaic)
    assert collate([item(corruption="hole")]).mosaic is None


@pytest.mark.parametrize("keys", [{}, {"PREFILL": "harmonic"}])
@pytest.mark.parametrize("stage", ["edge", "inpaint"])
def test_generators_see_the_mosaic_in_the_hole_and_nothing_of_the_truth(stage, keys, monkeypatch):
    batch, seen = random_batch(), []
    blocks = torch.rand_like(batch.image)
    method = tiny_method(stage, CORRUPTION=MOSAIC, **keys)
    channels = 1 if stage == "edge" else 3
    monkeypatch.setattr(method.generator, "forward", lambda x: seen.append(x[:, :channels]) or x[:, :channels])
    with inference(method):
        method.complete(batch._replace(mosaic=blocks))
    weights = torch.tensor([0.2125, 0.7154, 0.0721]).view(1, 3, 1, 1)
    hint = (blocks * weights).sum(1, keepdim=True) if stage == "edge" else blocks
    known = batch.gray if stage == "edge" else batch.image
    torch.testing.assert_close(seen[0], composite(known, hint, batch.mask))
