"""LPIPS against the package itself and against its formula written once more."""

import pickle
import re
import warnings

import lpips
import numpy as np
import pytest
import torch
from support import SHARED
from torch.nn import functional as F
from torchvision.models import AlexNet_Weights, SqueezeNet1_1_Weights, VGG16_Weights, alexnet, squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from edgeconnect.commands.metrics import NETWORKS
from edgeconnect.data.scenes import render
from edgeconnect.errors import UserError
from edgeconnect.metrics.definitions import DEFINITIONS
from edgeconnect.metrics.perceptual import BACKBONES, load_lpips

TAPS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29), "squeeze": (1, 4, 7, 9, 10, 11, 12)}
SQUEEZENET = SHARED / "weights/squeezenet1_1_features.pth"


def features(name: str) -> torch.nn.Sequential:
    """Torchvision's layers, filled as untrained networks are."""
    if name == "vgg":
        layers = make_layers(cfgs["D"])
    else:
        layers = {"alex": alexnet, "squeeze": squeezenet1_1}[name](weights=None).features
    rng = torch.Generator().manual_seed(7)
    for parameter in layers.parameters():
        deviation = (2 / max(1, parameter[0].numel())) ** 0.5
        parameter.data = torch.randn(parameter.shape, generator=rng) * deviation
    return layers


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """State dicts by network, the file of one that holds `features.*` alone."""
    folder = tmp_path_factory.mktemp("backbones")
    for name in BACKBONES:
        state = {f"features.{key}": value for key, value in features(name).state_dict().items()}
        torch.save(state, folder / f"{name}.pth")
    return {name: folder / f"{name}.pth" for name in BACKBONES}


def pictures(size: int = 2, height: int = 40, width: int = 53) -> tuple[np.ndarray, np.ndarray]:
    truth = np.stack([render(i, 64, 64)[:height, :width] for i in range(size)])
    off = np.random.default_rng(0).integers(-30, 31, truth.shape)
    return truth, (truth + off).clip(0, 255).astype(np.uint8)


def by_formula(name: str, truth: np.ndarray, completed: np.ndarray) -> list[float]:
    """Distances as Zhang et al. define them, eq. 1."""
    folder = lpips.__path__[0]
    heads = torch.load(f"{folder}/weights/v0.1/{name}.pth", map_location="cpu", weights_only=True)
    mean, deviation = (torch.tensor(x)[:, None, None] for x in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    a, b = (
        ((torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1) - mean).double() / deviation for x in (truth, completed)
    )
    total, layers = torch.zeros(len(a)), features(name).double()
    for index, layer in enumerate(layers[: TAPS[name][-1] + 1]):
        a, b = layer(a), layer(b)
        if index in TAPS[name]:
            apart = (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square()
            head = heads[f"lin{TAPS[name].index(index)}.model.1.weight"].double()
            total = total + F.conv2d(apart, head).mean((1, 2, 3))
    return total.tolist()


@pytest.mark.parametrize("name", BACKBONES)
def test_distances_are_those_of_the_formula(name, weights):
    truth, completed = pictures()
    measured = load_lpips(name, str(weights[name]))(truth, completed)
    assert measured == pytest.approx(by_formula(name, truth, completed), rel=1e-4)
    assert min(measured) > 1e-4


def by_package(package: lpips.LPIPS, truth: np.ndarray, completed: np.ndarray) -> list[float]:
    a, b = (torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1 for x in (truth, completed))
    with torch.no_grad():
        return package(a, b).flatten().tolist()


@pytest.mark.parametrize("name", ["alex", "squeeze"])
def test_distances_are_those_of_the_package(name, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        package = lpips.LPIPS(net=name, pnet_rand=True, verbose=False)
    trunk = {k: v for k, v in package.state_dict().items() if k.startswith("net.")}
    state = {re.sub(r"net\.slice\d", "features", key): value for key, value in trunk.items()}
    torch.save(state | {"classifier.1.weight": torch.zeros(3)}, tmp_path / "network.pth")
    found = load_lpips(name, str(tmp_path / "network.pth"))(*pictures())
    assert found == pytest.approx(by_package(package, *pictures()), rel=1e-6)


@pytest.mark.skipif(not SQUEEZENET.is_file(), reason=f"needs torchvision's trained features in {SQUEEZENET}")
def test_trained_features_measure_what_the_package_measures_with_them():
    with warnings.catch_warnings(action="ignore"):
        package = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    trained = torch.load(SQUEEZENET, weights_only=True)
    for number in range(1, 8):
        for place, layer in getattr(package.net, f"slice{number}").named_children():
            head = f"features.{place}."
            layer.load_state_dict({k.removeprefix(head): v for k, v in trained.items() if k.startswith(head)})
    found = load_lpips("squeeze", str(SQUEEZENET))(*pictures())
    assert found == pytest.approx(by_package(package, *pictures()), rel=1e-6)
    assert all(0.01 < distance < 1 for distance in found)


def test_loading_prints_fetches_and_draws_nothing(weights, monkeypatch, capfd):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)
    before = torch.get_rng_state()
    measurer = load_lpips("vgg", str(weights["vgg"]))
    measurer(*pictures(1))
    assert torch.equal(before, torch.get_rng_state())
    assert capfd.readouterr() == ("", "")
    assert not measurer.network.training


def test_a_batch_is_its_pictures_and_identical_ones_are_0_apart(weights):
    truth, completed = pictures(3)
    measurer = load_lpips("alex", str(weights["alex"]))
    alone = [measurer(truth[i : i + 1], completed[i : i + 1])[0] for i in range(3)]
    assert measurer(truth, completed) == pytest.approx(alone, rel=1e-5)
    assert measurer(truth, truth) == [0, 0, 0]
    assert measurer(completed, truth) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_pictures_too_small_for_the_network_are_not_measured(name, weights):
    measurer, side = load_lpips(name, str(weights[name])), BACKBONES[name].smallest
    assert np.isfinite(measurer(*pictures(2, side, side))).all()
    for height, width in ((side - 1, 60), (60, side - 1)):
        assert np.isnan(measurer(*pictures(2, height, width))).tolist() == [True, True]


def test_weights_come_from_torchvisions_own_address():
    assert BACKBONES["alex"].url == AlexNet_Weights.IMAGENET1K_V1.url
    assert BACKBONES["vgg"].url == VGG16_Weights.IMAGENET1K_V1.url
    assert BACKBONES["squeeze"].url == SqueezeNet1_1_Weights.IMAGENET1K_V1.url


def test_every_network_is_an_option_and_defined():
    assert tuple(BACKBONES) == NETWORKS
    for name, backbone in BACKBONES.items():
        assert f"no side below {backbone.smallest}" in DEFINITIONS[f"lpips_{name}"].what


def test_weights_that_cannot_be_fetched_are_one_line_that_says_what_to_fetch(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("no\nroute")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(UserError, match=rf"{BACKBONES['alex'].url} .*no route.* --weights") as caught:
        load_lpips("alex")
    assert "\n" not in str(caught.value)


class Trap:
    def __reduce__(self):
        return print, ("trapped",)


def test_files_that_do_not_hold_the_weights_are_named(tmp_path, weights, capfd):
    vgg, alex = (torch.load(weights[name], weights_only=True) for name in ("vgg", "alex"))
    cases = {
        "vgg.pth": (vgg, r"no features\.0\.weight of shape \(64, 3, 11, 11\)"),
        "cut.pth": (dict(list(alex.items())[:-1]), r"no features\.10\.bias of shape \(256,\)"),
        "wrapped.pth": ({"state_dict": alex}, r"no features\.0\.weight"),
        "list.pth": ([1], "holds a list, not a state dict"),
    }
    for name, (content, problem) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(UserError, match=f"--weights: .*{name}.* {problem}.*{BACKBONES['alex'].url}"):
            load_lpips("alex", str(tmp_path / name))
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap()))
    for name, problem in (("trap.pth", "is no state dict"), ("none.pth", "does not exist")):
        with pytest.raises(UserError, match=f"{name} {problem}.*{BACKBONES['alex'].url}"):
            load_lpips("alex", str(tmp_path / name))
    assert "trapped" not in capfd.readouterr().out
