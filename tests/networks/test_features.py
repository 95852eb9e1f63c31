"""The feature network: torchvision's layers, weights from wherever, and one line where they cannot be had."""

import gc
import hashlib
import http.server
import io
import logging
import math
import os
import pickle
import re
import socket
import threading
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import SqueezeNet1_1_Weights, VGG16_Weights, VGG19_Weights, squeezenet1_1, vgg19
from torchvision.transforms.functional import normalize

from edgeconnect.config.sections import known_keys
from edgeconnect.errors import UserError
from edgeconnect.networks.features import FEATURE_NETS, Features, imagenet_normalized, load_features

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
CONTENT, STYLE = FEATURE_NETS["vgg19"][:2]
LAYERS = {**CONTENT, **STYLE}
load_vgg = partial(load_features, "vgg19")


def constant_state(prefix: str = "features.", whole: bool = False) -> dict[str, Tensor]:
    """Return every tensor of torchvision's vgg19 with a value of its own; each is one number on disk."""
    with torch.device("meta"):
        network = vgg19(weights=None)
    shapes = network.state_dict() if whole else network.features.state_dict(prefix=prefix)
    return {name: torch.tensor(n / 100).expand(shape.shape) for n, (name, shape) in enumerate(shapes.items())}


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def assert_holds(network: Features, state: dict[str, Tensor]) -> None:
    assert len(network.state_dict()) == 28
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


# The network


@pytest.mark.parametrize(
    ("name", "style"),
    [("vgg19", ["relu2_2", "relu3_4", "relu4_4", "relu5_2"]), ("vgg16", ["relu2_2", "relu3_3", "relu4_3", "relu5_2"])],
)
def test_layers_are_those_that_torchvision_names(name, style):
    with torch.device("meta"):
        features = models.get_model(name, weights=None).features
    index, block, convolution = {}, 1, 0
    for n, layer in enumerate(features):
        convolution += isinstance(layer, nn.Conv2d)
        if isinstance(layer, nn.ReLU):
            index[f"relu{block}_{convolution}"] = n
        if isinstance(layer, nn.MaxPool2d):
            index[f"pool{block}"] = n
            block, convolution = block + 1, 0
    net = FEATURE_NETS[name]
    assert list(net.content) == ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert list(net.style) == style
    assert list(net.pools) == ["pool1", "pool2", "pool3"]
    assert list(net.contextual) == ["relu3_2", "relu4_2"]
    layers = {**net.content, **net.style, **net.pools, **net.contextual}
    assert {name: index[name] for name in layers} == layers


def stride_of(layers):
    strides = [layer.stride for layer in layers if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    return math.prod(stride if isinstance(stride, int) else stride[0] for stride in strides)


@pytest.mark.parametrize(
    ("name", "strides"), [("vgg19", [2, 4, 8]), ("vgg16", [2, 4, 8]), ("squeezenet1_1", [4, 8, 16])]
)
def test_every_network_serves_every_method(name, strides):
    net, network = FEATURE_NETS[name], load_features(name, "random")
    assert known_keys()["FEATURE_NET"].metadata["parser"](name) == name
    for layers in (net.content, net.style, net.pools, net.contextual):
        found = network(torch.rand(1, 3, 48, 48), layers)
        assert set(found) == set(layers)
        assert all(features.isfinite().all() for features in found.values())
    assert [stride_of(network.features[: index + 1]) for index in net.pools.values()] == strides
    assert [stride_of(network.features[: index + 1]) for index in net.contextual.values()] == [4, 8]
    assert all(isinstance(network.features[index], nn.MaxPool2d) for index in net.pools.values())


def test_normalised_pictures_are_torchvisions():
    x = torch.rand(2, 3, 4, 5, requires_grad=True)
    found = imagenet_normalized(x)
    torch.testing.assert_close(found, normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    found.sum().backward()
    assert x.grad.isfinite().all()


@pytest.fixture(scope="module")
def network() -> Features:
    return load_vgg("random")


def test_features_are_those_of_torchvisions_own_layers(network):
    with torch.device("meta"):
        reference = vgg19(weights=None).features[:32]
    reference = reference.to_empty(device="cpu")
    reference.load_state_dict(network.features.state_dict())
    x = torch.rand((2, 3, 36, 21), generator=torch.Generator().manual_seed(0))
    found, y = network(x, LAYERS), x
    assert set(found) == set(LAYERS)
    for n, layer in enumerate(reference):
        y = layer(y.clone())
        for name in (name for name, index in LAYERS.items() if index == n):
            torch.testing.assert_close(found[name], y, msg=name)  # another memory layout, another order of sums
    assert found["relu5_2"].shape == (2, 512, 2, 1)
    assert found["relu5_2"].std() > 0.01


def test_only_the_layers_asked_for_are_returned(network):
    found = network(torch.rand(1, 3, 16, 16), CONTENT)
    assert list(found) == list(CONTENT)
    assert all((value >= 0).all() for value in found.values())


def test_pictures_are_not_normalised(network):
    zero = network(torch.zeros(1, 3, 16, 16), {"relu1_1": 1})["relu1_1"]
    bias = network.features[0].bias.relu().reshape(1, -1, 1, 1)
    assert torch.equal(zero, bias.expand_as(zero))


def test_network_is_frozen_but_lets_gradients_through(network):
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    sum(value.sum() for value in network(x, LAYERS).values()).backward()
    assert x.grad.abs().sum() > 0


# Random weights


def test_random_weights_are_seeded_and_leave_the_global_generator_alone(network, caplog):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING, "edgeconnect.networks.features"):
        again = load_vgg("random")
    assert torch.equal(torch.get_rng_state(), before)
    assert_holds(again, network.state_dict())
    assert "VGG_WEIGHTS random" in caplog.text
    assert "untrained" in caplog.text


# Weights from a file


@pytest.mark.parametrize("whole", [True, False])
def test_file_may_hold_the_whole_vgg19_or_its_features_alone(tmp_path, whole):
    state = constant_state(whole=whole)
    assert ("classifier.6.bias" in state) == whole
    network = load_vgg(str(saved(tmp_path / "vgg.pth", state)))
    assert_holds(network, state)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_file_may_be_in_the_format_of_old_releases(tmp_path):
    state = constant_state()
    torch.save(state, tmp_path / "vgg.pth", _use_new_zipfile_serialization=False)
    assert_holds(load_vgg(str(tmp_path / "vgg.pth")), state)


def one_line(caught: pytest.ExceptionInfo, *parts: object) -> None:
    text = str(caught.value)
    assert text.startswith("VGG_WEIGHTS")
    assert "\n" not in text
    for part in parts:
        assert str(part) in text


def refused(path: Path, *parts: object) -> None:
    with pytest.raises(UserError) as caught:
        load_vgg(str(path))
    one_line(caught, path, *parts)


@pytest.mark.parametrize("name", ["gone.pth", "Imagenet", "."])
def test_path_that_is_no_file_is_refused_with_the_words_that_are(tmp_path, name):
    refused(tmp_path / name, "does not exist; write imagenet, random, or the path of a state dict")


def test_weights_that_do_not_fit_are_named(tmp_path):
    wrong = constant_state() | {"features.5.weight": torch.zeros(1, 1, 3, 3)}
    refused(saved(tmp_path / "a.pth", wrong), "features.5.weight", "torchvision's vgg19")
    missing = {name: value for name, value in constant_state().items() if name != "features.28.bias"}
    refused(saved(tmp_path / "b.pth", missing), "features.28.bias")
    refused(saved(tmp_path / "c.pth", {}), "features.0.weight")
    refused(saved(tmp_path / "d.pth", {"state_dict": constant_state()}), "features.0.weight")


@pytest.mark.parametrize("value", [3, None, "text", [1.0]])
def test_entries_that_are_no_tensors_are_refused(tmp_path, value):
    refused(saved(tmp_path / "a.pth", constant_state() | {"features.0.weight": value}), "features.0.weight")


@pytest.mark.parametrize("content", [[1, 2], torch.zeros(3), "text"])
def test_file_that_holds_something_else_is_refused(tmp_path, content):
    refused(saved(tmp_path / "a.pth", content), f"holds a {type(content).__name__}, not a state dict")


def bytes_of(state: dict[str, Tensor], zipped: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def damaged() -> dict[str, bytes]:
    zipped, old = (bytes_of(constant_state(), kind) for kind in (True, False))
    return {
        "empty": b"",
        "text": b"<!DOCTYPE html>\n<html>not found</html>\n",
        "zeros": bytes(4096),
        "cut": zipped[: len(zipped) // 2],
        "cut-old-early": old[:60],
        "cut-old-middle": old[: len(old) // 2],
        "cut-old-late": old[:-10],
        "zip-of-something-else": b"PK\x05\x06" + bytes(18),
        "plain-pickle": pickle.dumps({"features.0.weight": [1.0]}),
    }


@pytest.mark.parametrize("kind", damaged())
def test_damaged_file_is_refused(tmp_path, kind):
    (tmp_path / "a.pth").write_bytes(damaged()[kind])
    refused(tmp_path / "a.pth")


class Hostile:
    """What an attacker puts into a file: a call, made when it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_file_is_refused_and_executes_nothing(tmp_path, zipped):
    state = constant_state() | {"note": Hostile(tmp_path / "executed")}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "a.pth", "is no state dict")
    assert not (tmp_path / "executed").exists()


def test_hostile_plain_pickle_is_refused_and_executes_nothing(tmp_path):
    (tmp_path / "a.pth").write_bytes(pickle.dumps(Hostile(tmp_path / "executed"), protocol=2))
    refused(tmp_path / "a.pth", "is no state dict")
    assert not (tmp_path / "executed").exists()


# Weights from the net


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Let torch's cache be a folder of the test's own, and return where downloads go."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path / "hub"))
    yield tmp_path / "hub/checkpoints"
    torch.hub.set_dir(before)
    gc.collect()  # urllib leaves the sockets of failed requests to the garbage collector


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path):
    """Serve a folder; yield it with its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_weights_are_downloaded_once_and_kept(cache, served):
    folder, address = served
    state = constant_state(whole=True)
    data = bytes_of(state, zipped=True)
    name = f"vgg19-{hashlib.sha256(data).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(data)
    assert_holds(load_vgg("imagenet", f"{address}/{name}"), state)
    assert (cache / name).read_bytes() == data
    (folder / name).unlink()
    assert_holds(load_vgg("imagenet", f"{address}/{name}"), state)


def download_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        load_vgg("imagenet", url)
    one_line(caught, url, "give the path of a downloaded copy")


def test_download_of_another_content_is_refused_and_not_kept(cache, served):
    folder, address = served
    (folder / "vgg19-00000000.pth").write_bytes(bytes_of(constant_state(), zipped=True))
    download_refused(f"{address}/vgg19-00000000.pth")
    assert not list(cache.iterdir())


def test_weights_that_are_not_there_are_refused_with_the_remedy(cache, served):
    download_refused(f"{served[1]}/vgg19-00000000.pth")


def test_address_that_nobody_answers_is_refused_with_the_remedy(cache):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        download_refused(f"http://127.0.0.1:{unused.getsockname()[1]}/vgg19-00000000.pth")


def test_answer_that_is_not_http_is_refused_with_the_remedy(cache):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"nonsense\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            download_refused(f"http://127.0.0.1:{server.getsockname()[1]}/vgg19-00000000.pth")
        finally:
            thread.join()


@pytest.mark.parametrize("content", [b"", b"half a file", bytes(1000)], ids=["empty", "text", "zeros"])
def test_damaged_copy_in_the_cache_is_refused_with_the_remedy(cache, content):
    cache.mkdir(parents=True)
    (cache / "vgg19-00000000.pth").write_bytes(content)
    download_refused("http://127.0.0.1:9/vgg19-00000000.pth")


def test_published_weights_carry_their_hash():
    assert re.search(r"-[0-9a-f]{8}\.pth$", VGG19_Weights.IMAGENET1K_V1.url)


# SqueezeNet


def test_squeezenet_returns_the_layers_asked_for_and_takes_torchvisions_state(tmp_path):
    whole = squeezenet1_1(weights=None)
    network = load_features("squeezenet1_1", str(saved(tmp_path / "squeeze.pth", whole.state_dict())))
    x, net = torch.rand(1, 3, 48, 32), FEATURE_NETS["squeezenet1_1"]
    found = network(x, {**net.content, **net.style})
    torch.testing.assert_close(found["fire9"], whole.features(x))
    assert set(found) == {"relu1", *(f"fire{n}" for n in range(2, 10))}


def test_weights_of_another_network_are_refused(tmp_path):
    path = saved(tmp_path / "squeeze.pth", squeezenet1_1(weights=None).state_dict())
    with pytest.raises(UserError, match="FEATURE_NET"):
        load_vgg(str(path))


def test_urls_are_torchvisions():
    weights = {"vgg19": VGG19_Weights, "vgg16": VGG16_Weights, "squeezenet1_1": SqueezeNet1_1_Weights}
    assert {name: net.url for name, net in FEATURE_NETS.items()} == {
        name: of.IMAGENET1K_V1.url for name, of in weights.items()
    }
