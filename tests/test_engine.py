"""Devices, precision, and the one update."""

import numpy as np
import pytest
import torch
from support import FakeMethod, random_batch, tiny_config, tiny_method
from torch import nn

from edgeconnect import device
from edgeconnect.config.sections import RunConfig
from edgeconnect.device import choose_device, choose_precision, choose_threads, gpus_to_share, named_device
from edgeconnect.engine import Engine
from edgeconnect.errors import UserError
from edgeconnect.losses import hole_bce, hole_l1
from edgeconnect.types import Batch, Progress

CPU = torch.device("cpu")


def two_players():
    torch.manual_seed(0)
    networks = {role: nn.Linear(3, 1) for role in ("generator", "discriminator")}
    return networks, {role: torch.optim.SGD(net.parameters(), lr=1.0) for role, net in networks.items()}


def test_each_loss_moves_its_own_parameters_only():
    networks, optimizers = two_players()
    x = torch.ones(1, 3)
    both = networks["generator"](x).sum() * networks["discriminator"](x).sum()
    weights = {role: net.weight.detach().clone() for role, net in networks.items()}
    values = {role: net(x).detach() for role, net in networks.items()}
    Engine(CPU).update(optimizers, {"generator": both})
    assert torch.equal(networks["discriminator"].weight, weights["discriminator"])
    torch.testing.assert_close(networks["generator"].weight, weights["generator"] - values["discriminator"] * x)


def test_gradients_of_all_losses_come_before_any_step():
    networks, optimizers = two_players()
    x = torch.ones(1, 3)
    first = {role: net(x).detach() for role, net in networks.items()}
    weights = {role: net.weight.detach().clone() for role, net in networks.items()}
    product = [networks["generator"](x).sum() * networks["discriminator"](x).sum() for _ in range(2)]
    Engine(CPU).update(optimizers, dict(zip(("discriminator", "generator"), product, strict=True)))
    torch.testing.assert_close(networks["generator"].weight, weights["generator"] - first["discriminator"] * x)
    torch.testing.assert_close(networks["discriminator"].weight, weights["discriminator"] - first["generator"] * x)


def test_gradient_norm_is_clipped_per_optimizer():
    networks, optimizers = two_players()
    before = networks["generator"].weight.detach().clone()
    Engine(CPU, grad_clip=0.5).update(optimizers, {"generator": 1000 * networks["generator"](torch.ones(1, 3)).sum()})
    shift = (networks["generator"].weight - before).detach().flatten()
    moved = torch.cat([shift, networks["generator"].bias.grad])
    assert moved.norm() == pytest.approx(0.5, rel=1e-4)


def test_alternating_schemes_update_twice_under_loss_scaling():
    networks, optimizers = two_players()
    engine = Engine(CPU, torch.float16)
    for role in ("discriminator", "generator"):
        before = networks[role].weight.detach().clone()
        engine.update(optimizers, {role: networks[role](torch.ones(1, 3)).sum()})
        torch.testing.assert_close(networks[role].weight, before - 1)


def test_a_step_trains_the_method():
    method = FakeMethod()
    Engine(CPU).step(method, random_batch())
    assert method.network.value.item() != pytest.approx(0.2, abs=1e-6)


def test_bytes_become_the_same_floats_as_ever():
    levels, bits = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16), torch.tensor([[[[True, False]]]])
    gray = torch.rand(1, 1, 16, 16)
    placed = Engine(CPU).place(Batch(levels.expand(1, 3, 16, 16), gray, levels, bits, ["a"]))
    assert all(tensor.dtype == torch.float32 for tensor in placed[:4])
    assert torch.equal(placed.image, (levels.float() / 255).expand(1, 3, 16, 16))
    np.testing.assert_array_equal(placed.edge[0, 0], np.divide(levels[0, 0].numpy(), 255, dtype=np.float32))
    assert placed.gray is gray
    assert placed.mask.tolist() == [[[[1, 0]]]]
    assert placed.name == ["a"]
    again = Engine(CPU).place(placed)
    assert all(torch.equal(one, other) for one, other in zip(placed[:4], again[:4], strict=True))


def test_device_auto_is_the_processor_without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto", (0,)) == CPU
    with pytest.raises(UserError, match=r"cuda:3 is not there.*DEVICE: auto"):
        choose_device("cuda:3", (0,))


def test_device_auto_takes_the_first_gpu_listed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", (1,)) == torch.device("cuda", 1)
    assert choose_device("auto", ()) == CPU
    assert choose_device("cuda:1", (0,)) == torch.device("cuda", 1)


@pytest.mark.parametrize(("capability", "expected"), [((7, 0), torch.float32), ((8, 0), torch.bfloat16)])
def test_precision_auto_asks_what_the_gpu_computes_in(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert choose_precision("auto", torch.device("cuda")) == expected
    assert choose_precision("bf16", CPU) == torch.bfloat16


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
@pytest.mark.parametrize("has", [False, True])
def test_precision_auto_asks_what_the_processor_computes_in(monkeypatch, name, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, name: has})
    assert choose_precision("auto", CPU) == (torch.bfloat16 if has else torch.float32)


@pytest.mark.parametrize(("size", "batch", "threads"), [(64, 8, 1), (256, 2, 4), (0, 1, 16)])
def test_small_networks_get_fewer_threads(monkeypatch, size, batch, threads):
    monkeypatch.setattr(device, "threads_found", lambda: 16)
    settings = {"BASE_CHANNELS": 24 if size == 64 else 32, "INPUT_SIZE": size, "BATCH_SIZE": batch}
    assert choose_threads(tiny_config(**settings)) == threads
    assert choose_threads(tiny_config(**settings), training=False) == 16
    assert choose_threads(tiny_config(**settings, THREADS=3)) == 3


class Alternating:
    """Update one weight several times a step, each time at what the update before has made of it."""

    def __init__(self, updates, bad=()):
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.network.weight.data.fill_(1)
        self.networks = {"network": self.network}
        self.optimizers = {"generator": torch.optim.SGD(self.network.parameters(), lr=0.5)}
        self.stateful = {}
        self.updates, self.bad, self.losses = updates, bad, []

    def step(self, batch, update, progress):
        for number in range(self.updates):
            loss = self.network(torch.ones(1, 1)).float().sum()
            self.losses.append(float(loss.detach()))
            update({"generator": loss * (float("nan") if number in self.bad else 1)})
        return {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_update_of_a_step_sees_the_weights_that_the_one_before_left(dtype):
    method = Alternating(3)
    Engine(torch.device("cpu"), dtype).step(method, random_batch())
    assert method.losses == [1, 0.5, 0]


def test_refused_update_and_later_ones_of_its_step_move_nothing():
    method, engine = Alternating(3, bad=[1]), Engine(torch.device("cpu"))
    engine.step(method, random_batch())
    assert engine.refused == ["generator"]
    assert method.network.weight.item() == 0.5  # the first update did
    engine.step(Alternating(1), random_batch())
    assert not engine.refused


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_only_the_roles_of_a_phase_move(dtype):
    method = Alternating(1)
    Engine(torch.device("cpu"), dtype).step(method, random_batch(), Progress(1, 0, []))
    assert method.network.weight.item() == 1


def test_a_phase_whose_roles_rest_is_refused():
    method = tiny_method("edge", EDGE_BCE_LOSS_WEIGHT=1, EDGE_ADV_LOSS_WEIGHT=0, FM_LOSS_WEIGHT=0)
    with pytest.raises(UserError, match="PHASES: discriminator alone would learn nothing"):
        Engine(torch.device("cpu")).step(method, random_batch(), Progress(1, 0, ["discriminator"]))


class Holes:
    """Learn one brightness by a loss that is divided by the hole ratio of the whole batch."""

    def __init__(self, entropy=False):
        self.entropy = entropy
        self.network = torch.nn.Linear(1, 1, bias=False)
        self.network.weight.data.fill_(0.3)
        self.networks, self.stateful = {"network": self.network}, {}
        self.optimizers = {"generator": torch.optim.SGD(self.network.parameters(), lr=0.5)}
        self.sizes = []

    def step(self, batch, update, progress):
        self.sizes.append(len(batch.name))
        fake = self.network(torch.ones(1, 1)).expand_as(batch.image)
        loss = hole_l1(fake, batch.image, batch.hole_ratio)
        if self.entropy:
            loss = hole_bce(fake[:, :1], batch.edge, batch.mask, batch.hole_ratio, 2.0)
        update({"generator": loss})
        return {"loss": loss.detach()}


@pytest.mark.parametrize(("dtype", "entropy"), [(torch.float32, False), (torch.float16, False), (torch.float32, True)])
def test_step_in_parts_is_the_step_on_the_whole_batch(dtype, entropy):
    whole, parts = Holes(entropy), Holes(entropy)
    one, other = random_batch(4, seed=1), random_batch(4, seed=2)
    other.mask[:2] = 0
    other.mask[2:] = 1
    for batch in (one, other):
        expected = Engine(CPU, dtype).step(whole, batch)
        found = Engine(CPU, dtype, accumulation=2).step(parts, batch)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(parts.network.weight, whole.network.weight)
    assert (whole.sizes, parts.sizes) == ([4, 4], [2, 2, 2, 2])


def test_bad_part_of_a_step_moves_nothing():
    method, batch = Holes(), random_batch(4)
    batch.image[3] = float("nan")
    engine = Engine(CPU, accumulation=2)
    scalars = engine.step(method, batch)
    assert engine.refused == ["generator"]
    assert scalars["loss"].isnan()
    assert method.network.weight.item() == pytest.approx(0.3)


def test_method_that_updates_twice_a_step_is_not_accumulated():
    with pytest.raises(UserError, match=r"GRAD_ACCUMULATION: 2 .* set it to 1"):
        Engine(CPU, accumulation=2).step(Alternating(2), random_batch())


def test_each_rank_of_a_machine_has_its_gpu(monkeypatch, caplog):
    monkeypatch.setattr("edgeconnect.device.world_size", lambda: 2)
    for name, value in {"RANK": 3, "LOCAL_RANK": 1, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    assert named_device(RunConfig(gpu=(0,))) == ("auto", (1,))
    assert named_device(RunConfig(gpu=(2, 5))) == ("auto", (5,))
    assert named_device(RunConfig(gpu=(2, 5), device="cuda")) == ("cuda:5", (5,))
    assert named_device(RunConfig(gpu=())) == ("auto", ())
    with pytest.raises(UserError, match="DEVICE: cuda:1 is one GPU for 2 ranks"):
        named_device(RunConfig(device="cuda:1"))


def test_several_gpus_are_trained_on_where_all_are_there(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert gpus_to_share(RunConfig(gpu=(0, 2))) == 2
    assert gpus_to_share(RunConfig(gpu=(1,))) == 1
    assert gpus_to_share(RunConfig(gpu=(0, 2), device="cpu")) == 1
    assert not caplog.text
    assert gpus_to_share(RunConfig(gpu=(0, 3))) == 1
    assert "GPU: [0, 3]" in caplog.text


def test_missing_gpu_of_device_auto_is_not_mended_by_device_auto(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", (1,)) == torch.device("cuda:1")
    with pytest.raises(UserError, match="cuda:7 is not there") as caught:
        choose_device("auto", (7,))
    assert "DEVICE: auto" not in str(caught.value)
    assert "GPU" in str(caught.value)


@pytest.fixture
def quick_compiler(monkeypatch):
    """Trace the networks as COMPILE does, but generate no code, which takes minutes."""
    real = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda network: real(network, backend="aot_eager"))


@pytest.mark.filterwarnings("ignore:The .grad attribute")
def test_compiled_networks_train_as_others_do_and_keep_their_names(quick_compiler):
    found = []
    for compiling in (False, True):
        engine = Engine(CPU, compiling=compiling)
        method = tiny_method("edge", engine)
        scalars = [engine.step(method, random_batch()) for _ in range(2)]
        found.append((scalars, {name: network.state_dict() for name, network in method.networks.items()}))
    torch.testing.assert_close(*found)


def test_compiler_that_is_not_there_is_one_line(monkeypatch):
    def broken(graph, inputs):
        raise FileNotFoundError("g++")

    real = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda network: real(network, backend=broken))
    engine = Engine(CPU, compiling=True)
    method = tiny_method("edge", engine)
    with pytest.raises(UserError, match="COMPILE"):
        engine.step(method, random_batch())


def test_free_memory_is_some_and_not_all():
    assert 2**20 < device.free_memory() < 2**50
