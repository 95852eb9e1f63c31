"""Phases: which iteration belongs to which, at which rates, and what learns."""

import pytest
import torch
from support import tiny_config, tiny_method

from edgeconnect.config.file import dump, load
from edgeconnect.errors import UserError
from edgeconnect.training.phases import Phase, phase_at, phases_of, set_rates

ROLES = ["generator", "discriminator"]


def phases(**keys):
    config = tiny_config(**keys)
    return phases_of(config.optim, config.stage.name, ROLES)


def test_without_phases_there_is_one_at_lr():
    assert phases(LR=1e-3, MAX_ITERS=7) == [Phase(7, {"generator": 1e-3, "discriminator": 1e-3 * 0.1})]


def test_rates_take_the_place_of_lr_and_roles_left_out_do_not_learn():
    text = "{edge: [{end: 10, lr: 1e-4}, {end: 20, lr: {discriminator: 0.5}, train: [discriminator]}, {end: 30}]}"
    found = phases(PHASES=text, LR=1e-3, D2G_LR=0.1)
    assert [phase.end for phase in found] == [10, 20, 30]
    assert found[0].rates == {"generator": 1e-4, "discriminator": pytest.approx(1e-5)}
    assert found[1].rates == {"discriminator": 0.5}
    assert found[2].rates == {"generator": 1e-3, "discriminator": pytest.approx(1e-4)}
    assert [phase_at(found, step) for step in (1, 10, 11, 20, 21, 30, 31)] == [0, 0, 1, 1, 2, 2, 2]


def test_max_iters_ends_a_stage_and_other_stages_have_one_phase():
    assert [phase.end for phase in phases(PHASES="{edge: [{end: 10}, {end: 20}, {end: 30}]}", MAX_ITERS=12)] == [10, 12]
    assert [phase.end for phase in phases(PHASES="{joint: [{end: 10}]}", MAX_ITERS=12)] == [12]


def test_rates_fall_along_half_a_cosine_in_each_phase_and_rise_at_the_start():
    first, second = phases(PHASES="{edge: [{end: 8}, {end: 12, lr: 0.5}]}", LR=1, LR_SCHEDULE="cosine", LR_WARM_UP=2)
    found = [first.rates_at(step)["generator"] for step in (1, 2, 5, 8)]
    assert found == pytest.approx([0.5, 0.9619397662556434, 0.5, 0.03806023374435663])
    assert [second.rates_at(step)["generator"] for step in (9, 11)] == pytest.approx([0.5, 0.25])
    assert second.rates_at(13)["generator"] == pytest.approx(0)
    assert first.rates_at(5)["discriminator"] == pytest.approx(0.05)


def test_rates_are_set():
    optimizers = tiny_method("edge").optimizers
    set_rates(optimizers, {"generator": 0.25})
    assert optimizers["generator"].param_groups[0]["lr"] == 0.25
    assert optimizers["discriminator"].param_groups[0]["lr"] == pytest.approx(1e-5)
    assert all(isinstance(optimizer, torch.optim.Optimizer) for optimizer in optimizers.values())


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("3", "PHASES"),
        ("{edge: 3}", "PHASES"),
        ("{edge: []}", "PHASES"),
        ("{edge: [{lr: 1}]}", "end"),
        ("{edge: [{end: 0}]}", "PHASES"),
        ("{edge: [{end: 5}, {end: 5}]}", "edge"),
        ("{edge: [{end: 5, rate: 1}]}", "rate"),
        ("{edge: [{end: 5, lr: fast}]}", "PHASES"),
        ("{edge: [{end: 5, train: []}]}", "train"),
        ("{edges: [{end: 5}]}", "edges"),
    ],
)
def test_mistakes_name_the_key(text, named):
    with pytest.raises(UserError, match="PHASES") as caught:
        tiny_config(PHASES=text)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_roles_are_named():
    for text in ("{edge: [{end: 5, train: [painter]}]}", "{edge: [{end: 5, lr: {painter: 1}}]}"):
        with pytest.raises(UserError, match="painter"):
            phases(PHASES=text)


def test_phases_are_written_and_read_back(tmp_path):
    config = tiny_config(PHASES="{1: [{end: 5, lr: {generator: 1e-5}, train: generator}], joint: [{end: 2e3}]}")
    (tmp_path / "config.yml").write_text(dump(config))
    assert load(tmp_path / "config.yml").config == config
    assert list(config.optim.phases) == ["edge", "joint"]
