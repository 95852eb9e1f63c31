"""Items: where their edges come from, what they cost, and what they draw from the generator."""

import numpy as np
import pytest
import torch
from skimage.feature import canny

from edgeconnect.config.sections import TRAIN, DataConfig
from edgeconnect.data import edges
from edgeconnect.data.dataset import InpaintingDataset
from edgeconnect.data.edges import to_gray
from edgeconnect.data.items import make_item
from edgeconnect.data.scenes import render
from edgeconnect.types import in_floats

IMAGE = render(1, 40, 56)
MASK = np.zeros((40, 56), np.bool_)
MASK[8:30, 12:40] = True
EXTERNAL = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8)


def item(rng=None, true_edges=True, external=None, with_edges=True, **keys):
    return make_item(
        image=IMAGE,
        mask=MASK,
        name="a",
        config=DataConfig(**({"sigma": 1.0} | keys)),
        rng=rng or np.random.default_rng(0),
        true_edges=true_edges,
        external=external,
        with_edges=with_edges,
    )


def edge(*args, **keys):
    return in_floats(item(*args, **keys).edge)[0, 0].numpy()


@pytest.fixture
def no_canny(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("Canny ran")

    monkeypatch.setattr(edges, "canny_edges", refuse)


def test_true_edges_are_those_of_the_whole_picture():
    np.testing.assert_array_equal(edge(), canny(to_gray(IMAGE), sigma=1.0))


def test_other_edges_are_those_of_the_known_pixels():
    found = edge(true_edges=False)
    np.testing.assert_array_equal(found, canny(to_gray(IMAGE), sigma=1.0, mask=~MASK))
    assert found.any()
    assert not found[MASK].any()


def test_known_edges_as_in_use_are_those_of_the_damaged_picture_around_the_true_ones():
    found = edge(known_edges="damaged")
    np.testing.assert_array_equal(found[MASK], edge()[MASK])
    np.testing.assert_array_equal(found[~MASK], edge(true_edges=False)[~MASK])
    assert not np.array_equal(found, edge())
    np.testing.assert_array_equal(edge(true_edges=False, known_edges="damaged"), edge(true_edges=False))


@pytest.mark.parametrize("true_edges", [False, True])
def test_external_edges_take_their_place_thinned_where_asked(true_edges):
    scaled = EXTERNAL.astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(edge(true_edges=true_edges, external=EXTERNAL, nms=False), scaled)
    thin = edge(true_edges=true_edges)
    np.testing.assert_array_equal(edge(true_edges=true_edges, external=EXTERNAL), scaled * thin)


@pytest.mark.usefixtures("no_canny")
@pytest.mark.parametrize("external", [None, EXTERNAL])
def test_without_edges_canny_does_not_run_and_the_map_is_empty(external):
    bare = item(with_edges=False, external=external)
    assert not bare.edge.any()
    assert bare.edge.shape == bare.mask.shape


def test_without_edges_everything_else_stays_the_same():
    keys = {"train_flist": "scenes:4", "input_size": 32, "mask": "strokes", "sigma": 0.0}
    full, bare = (InpaintingDataset(DataConfig(**keys), TRAIN, 1, needs_edges=needs) for needs in (True, False))
    for epoch in range(1, 4):
        for index in range(4):
            one, other = full[epoch, index], bare[epoch, index]
            assert not other.edge.any()
            assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("image", "gray", "mask"))


@pytest.mark.usefixtures("no_canny")
def test_no_edge_file_is_asked_for_where_no_edges_are_needed():
    keys = {"train_flist": "scenes:2", "input_size": 32, "mask": "strokes", "edge": "external"}
    assert not InpaintingDataset(DataConfig(**keys), TRAIN, 1, needs_edges=False)[1, 0].edge.any()


def test_a_batch_maps_its_tensors_and_keeps_its_names():
    batch = item()
    flipped = batch.map(lambda tensor: tensor.flip(-1))
    assert flipped.name == ["a"]
    assert all(torch.equal(one.flip(-1), other) for one, other in zip(batch[:4], flipped[:4], strict=True))
