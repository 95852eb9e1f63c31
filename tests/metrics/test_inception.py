"""The extractor: the package's network on whatever weights, and one line where they cannot be had."""

import gc
import hashlib
import logging
import socket
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from inceptions import random_state, saved
from pytorch_fid import inception
from torch.nn import functional as F

from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError
from edgeconnect.metrics.inception import Inception

CPU = torch.device("cpu")
PICTURES = [render(n, 48, 40) for n in range(2)]
URL = "http://127.0.0.1:9/weights-00000000.pth"
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def state():
    return random_state()


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("weights") / "inception.pth", state)


@pytest.fixture(autouse=True)
def cache(tmp_path):
    """Let torch's cache be a folder of the test's own."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub/checkpoints"
    torch.hub.set_dir(before)
    gc.collect()  # urllib leaves the sockets of failed requests to the garbage collector


@pytest.fixture(scope="module")
def by_package(state):
    """Return what the package makes of two pictures, which it resizes itself, by the number of features."""
    with mock.patch.object(inception, "load_state_dict_from_url", return_value=dict(state)):
        network = inception.InceptionV3([0, 1, 2, 3]).eval()
    with torch.inference_mode():
        maps = [F.adaptive_avg_pool2d(block, 1)[..., 0, 0].numpy() for block in network(batch(PICTURES))]
    return {features.shape[1]: features for features in maps}


def batch(pictures):
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().float().div(255)


def features(extractor, pictures):
    return extractor.features(torch.cat([extractor.resized(picture) for picture in pictures]))


@pytest.mark.parametrize("dims", [64, 192, 768, 2048])
def test_features_are_the_packages_bit_for_bit(by_package, weights, dims):
    found = features(Inception(str(weights), dims, CPU), PICTURES)
    assert found.shape == (2, dims)
    assert np.array_equal(found, by_package[dims])
    assert found.std() > 0.01


def test_pictures_of_different_sizes_share_a_batch(weights):
    extractor = Inception(str(weights), 64, CPU)
    pictures = [render(0, 48, 40), render(1, 33, 310), render(2, 299, 299)]
    together, alone = features(extractor, pictures), [features(extractor, [picture])[0] for picture in pictures]
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


def test_resizing_one_by_one_changes_no_bit():
    extractor, pictures = Inception("", 64, CPU), [render(n, 57, 83) for n in range(3)]
    together = F.interpolate(batch(pictures), size=(299, 299), mode="bilinear", align_corners=False)
    assert torch.equal(torch.cat([extractor.resized(picture) for picture in pictures]), together)
    assert 0 <= together.min() <= together.max() <= 1


def test_network_is_frozen_and_the_packages_loader_stays_its_own(weights):
    loader = inception.load_state_dict_from_url
    network = Inception(str(weights), 64, CPU).network
    assert inception.load_state_dict_from_url is loader
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_name_holds_the_hash_of_the_weights_and_others_than_the_published_are_told(tmp_path, caplog):
    path = tmp_path / "any.pth"
    path.write_bytes(b"weights")
    with caplog.at_level(logging.WARNING, "edgeconnect"):
        name = Inception(str(path), 64, CPU).name
    assert name == f"pytorch-fid-inception-v3 sha256:{hashlib.sha256(b'weights').hexdigest()}"
    assert f"--weights: {path} is not what {inception.FID_WEIGHTS_URL} holds: scores compare only" in caplog.text
    path.write_bytes(b"other weights")
    assert Inception(str(path), 64, CPU).name != name


def test_published_weights_carry_their_hash():
    assert inception.FID_WEIGHTS_URL.endswith("-6726825d.pth")
    assert Inception("", 64, CPU).url == inception.FID_WEIGHTS_URL


def refused(extractor: Inception, *parts: object) -> None:
    with pytest.raises(UserError) as caught:
        assert extractor.network
    text = str(caught.value)
    assert "\n" not in text
    for part in ("--weights", *parts):
        assert str(part) in text


@pytest.mark.parametrize("name", ["gone.pth", "."])
def test_path_that_is_no_file_is_refused(tmp_path, name):
    refused(Inception(str(tmp_path / name), 64, CPU), tmp_path / name, "does not exist")


def test_weights_that_do_not_fit_are_named(state, tmp_path):
    name, last = "Mixed_5b.branch_pool.conv.weight", "fc.bias"
    misshaped = state | {name: torch.zeros(1)}
    missing = {key: value for key, value in state.items() if key != last}
    for n, (wrong, said) in enumerate(((misshaped, name), (missing, last), ({}, "Conv2d_1a_3x3.conv.weight"))):
        path = saved(tmp_path / f"{n}.pth", wrong)
        refused(Inception(str(path), 64, CPU), path, said, inception.FID_WEIGHTS_URL)


@pytest.mark.parametrize("content", [b"", b"half a file", bytes(1000)], ids=["empty", "text", "zeros"])
def test_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    refused(Inception(str(path), 64, CPU), path, "is no state dict")


# Weights from the net


def test_address_that_nobody_answers_is_refused_with_the_remedy(cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/weights-00000000.pth"
        refused(Inception("", 64, CPU, url), url, "could not be loaded")
    assert not list(cache.glob("*.pth"))


def test_copy_in_torchs_cache_serves_if_its_hash_is_right(cache, weights):
    cache.mkdir(parents=True)
    digest = Inception(str(weights), 64, CPU).name.rpartition(":")[2]
    url = f"http://127.0.0.1:9/weights-{digest[:8]}.pth"
    Path(cache / Path(url).name).symlink_to(weights)
    extractor = Inception("", 64, CPU, url)
    assert extractor.name.endswith(digest)
    assert extractor.network


def test_damaged_copy_in_torchs_cache_is_refused(cache, weights):
    cache.mkdir(parents=True)
    Path(cache / Path(URL).name).symlink_to(weights)
    with pytest.raises(UserError, match=r"weights-00000000\.pth is not what .* holds; delete it, or give another"):
        assert Inception("", 64, CPU, URL).name
