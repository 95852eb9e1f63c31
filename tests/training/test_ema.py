"""The moving average of the generators."""

import pytest
import torch
from support import FakeMethod, differing, state_of, tiny_config, tiny_method

from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.engine import Engine
from edgeconnect.training.ema import EMA
from edgeconnect.training.trainer import Trainer


def test_average_follows_the_formula():
    method = FakeMethod()
    ema = EMA(method.networks, 0.9)
    expected = method.network.value.item()
    for n in range(1, 60):
        with torch.no_grad():
            method.network.value.fill_(n)
        ema.update()
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    assert ema.shadow["inpaint_generator"]["value"].item() == pytest.approx(expected, rel=1e-5)


def test_averages_are_applied_for_a_while_and_taken_back():
    method = FakeMethod()
    ema = EMA(method.networks, 0.5)
    ema.shadow["inpaint_generator"]["value"].fill_(7)
    with ema.applied():
        assert method.network.value.item() == 7
    assert method.network.value.item() == pytest.approx(0.2)


def test_switched_off_it_keeps_nothing():
    ema = EMA(FakeMethod().networks, 0)
    ema.update()
    assert ema.state_dict()["shadow"] == {}
    with ema.applied():
        pass


@pytest.mark.parametrize(("stage", "averaged"), [("edge_inpaint", ["inpaint"]), ("joint", ["edge", "inpaint"])])
def test_only_trained_generators_are_averaged(stage, averaged, tmp_path):
    config, method = tiny_config(MODEL=stage, EMA_DECAY=0.9), tiny_method(stage)
    trainer = Trainer(method, Engine(torch.device("cpu")), Checkpoints(tmp_path, config), None, config)
    assert list(trainer.ema.shadow) == [f"{name}_generator" for name in averaged]


def test_spectral_norm_vectors_are_taken_over_and_state_round_trips():
    method = tiny_method("edge")
    ema, other = EMA(method.networks, 0.9), EMA(method.networks, 0.9)
    with torch.no_grad():
        for value in method.networks["edge_generator"].state_dict().values():
            value.add_(1)
    ema.update()
    shadow, network = ema.shadow["edge_generator"], state_of(method.networks["edge_generator"])
    assert not [key for key in differing(shadow, network) if key.endswith(("._u", "._v"))]
    assert "decoder.7.weight" in differing(shadow, network)
    other.load_state_dict(ema.state_dict())
    assert not differing(other.shadow["edge_generator"], shadow)
    assert other.updates == 1


def test_running_statistics_are_averaged_with_the_weights():
    method = tiny_method("glcic")
    ema = EMA(method.networks, 0.5)
    name = next(key for key in ema.shadow["generator"] if key.endswith("running_var"))
    statistics = method.networks["generator"].get_buffer(name)
    ema.shadow["generator"][name].fill_(1)
    statistics.fill_(3)
    ema.update()
    decay = 2 / 11
    assert torch.allclose(ema.shadow["generator"][name], torch.full_like(statistics, decay + (1 - decay) * 3))
