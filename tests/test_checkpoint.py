"""Checkpoint files: the published ones, and the state beside them."""

import pickle

import pytest
import torch
from support import differing, random_batch, state_of, tiny_config

from edgeconnect.checkpoint import Checkpoints, load_generators, load_network, read
from edgeconnect.engine import Engine
from edgeconnect.errors import UserError
from edgeconnect.methods import METHODS
from edgeconnect.published import FILES, to_published
from edgeconnect.storage import write_whole
from edgeconnect.types import is_trained

CPU = torch.device("cpu")


def method_of(stage, seed=0, **keys):
    torch.manual_seed(seed)
    return METHODS[stage](tiny_config(**keys), Engine(CPU).prepare)


def save(folder, stage, step=5, seed=0, extra=None, **keys):
    method = method_of(stage, seed, **keys)
    Engine(CPU).step(method, random_batch())
    Checkpoints(folder, stage).save(method, step, 2 * step, {"SEED": seed}, extra or {})
    return method


@pytest.mark.parametrize("stage", ["edge", "inpaint", "joint"])
def test_saved_stage_continues_with_weights_optimisers_and_step(stage, tmp_path):
    saved, loaded = save(tmp_path, stage, extra={"scaler": {}}), method_of(stage, seed=1)
    start = Checkpoints(tmp_path, stage).begin(loaded)
    assert (start.step, start.state["config"], start.state["scaler"]) == (5, {"SEED": 0}, {})
    assert set(start.state["versions"]) == {"edgeconnect", "python", "torch", "torchvision", "numpy"}
    for name, network in saved.networks.items():
        assert not differing(state_of(network), loaded.networks[name].state_dict())
    for role, optimizer in saved.optimizers.items():
        ours, theirs = optimizer.state_dict()["state"], loaded.optimizers[role].state_dict()["state"]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[i]["exp_avg_sq"], theirs[i]["exp_avg_sq"]) for i in ours)


def test_files_hold_exactly_the_published_entries(tmp_path):
    save(tmp_path, "joint")
    for file, entry in FILES.values():
        assert set(read(tmp_path / file)) == ({"iteration", entry} if entry == "generator" else {entry})
    names = {file for file, _ in FILES.values()}
    assert {path.name for path in tmp_path.iterdir()} == names | {"joint_state.pth"}


def test_learning_rate_is_the_configurations_after_resuming(tmp_path):
    save(tmp_path, "edge", LR=1e-4)
    loaded = method_of("edge", LR=1e-5)
    Checkpoints(tmp_path, "edge").begin(loaded)
    assert loaded.optimizers["generator"].param_groups[0]["lr"] == 1e-5


def test_empty_folder_starts_afresh(tmp_path):
    start = Checkpoints(tmp_path, "inpaint").begin(method_of("inpaint"))
    assert (start.step, start.state) == (0, None)


def test_next_stage_starts_at_zero_from_the_former_ones_weights(tmp_path):
    save(tmp_path, "edge", step=7)
    former = save(tmp_path, "inpaint", step=9)
    method = method_of("edge_inpaint", seed=3)
    start = Checkpoints(tmp_path, "edge_inpaint").begin(method)
    assert (start.step, start.state) == (0, None)
    assert "of stage inpaint" in start.message
    assert not differing(
        state_of(former.networks["inpaint_generator"]), method.networks["inpaint_generator"].state_dict()
    )


def test_published_files_go_on_at_the_iteration_they_carry(tmp_path):
    save(tmp_path, "inpaint", step=1234)
    (tmp_path / "inpaint_state.pth").unlink()
    (tmp_path / "InpaintingModel_dis.pth").unlink()
    start = Checkpoints(tmp_path, "inpaint").begin(method_of("inpaint"))
    assert start.step == 1234
    assert "started afresh: InpaintingModel_dis.pth" in start.message


def test_stage_goes_on_from_its_own_weights_after_a_later_stage_replaced_the_files(tmp_path):
    save(tmp_path, "edge")
    own = save(tmp_path, "inpaint", step=10)
    save(tmp_path, "edge_inpaint", step=4, seed=1)
    method = method_of("inpaint", seed=2)
    assert Checkpoints(tmp_path, "inpaint").begin(method).step == 10
    for name, network in own.networks.items():
        assert not differing(state_of(network), method.networks[name].state_dict())


def test_weights_that_no_stage_here_wrote_are_not_passed_over(tmp_path):
    save(tmp_path, "inpaint", step=10)
    foreign = method_of("inpaint", seed=5).networks["inpaint_generator"]
    torch.save({"iteration": 0, "generator": to_published(foreign.state_dict())}, tmp_path / "InpaintingModel_gen.pth")
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth was replaced since inpaint_state\.pth.*remove"):
        Checkpoints(tmp_path, "inpaint").begin(method_of("inpaint"))


@pytest.mark.parametrize("written", [0, 1])
def test_run_that_died_between_two_files_goes_on(written, tmp_path, monkeypatch):
    save(tmp_path, "inpaint", step=5)
    from edgeconnect import checkpoint

    names = []

    def dies(path, data):
        if len(names) > written:
            raise KeyboardInterrupt
        names.append(path.name)
        write_whole(path, data)

    monkeypatch.setattr(checkpoint, "write_whole", dies)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, "inpaint", step=6, seed=1)
    assert names[0] == "inpaint_state.pth"
    assert Checkpoints(tmp_path, "inpaint").begin(method_of("inpaint")).step == 6


def test_state_of_another_kind_and_damaged_states_are_named_or_skipped(tmp_path, caplog):
    save(tmp_path, "inpaint")
    torch.save({"step": 1}, tmp_path / "inpaint_state.pth")
    with pytest.raises(UserError, match=r"inpaint_state\.pth is no training state: it lacks digests"):
        Checkpoints(tmp_path, "inpaint").begin(method_of("inpaint"))
    (tmp_path / "inpaint_state.pth").write_bytes(b"cut off")
    assert load_generators(tmp_path, method_of("inpaint")) == []
    assert "skipped" in caplog.text


def test_stage_with_frozen_edges_needs_a_trained_edge_generator(tmp_path):
    with pytest.raises(UserError, match=r"EdgeModel_gen\.pth does not exist.*--model 1"):
        Checkpoints(tmp_path, "edge_inpaint").begin(method_of("edge_inpaint"))


def test_frozen_network_is_never_written(tmp_path):
    save(tmp_path, "edge")
    before = (tmp_path / "EdgeModel_gen.pth").read_bytes()
    method = method_of("edge_inpaint", seed=2)
    assert not is_trained(method.networks["edge_generator"])
    Checkpoints(tmp_path, "edge_inpaint").save(method, 1, 2, {}, {})
    assert (tmp_path / "EdgeModel_gen.pth").read_bytes() == before


@pytest.mark.parametrize(
    ("keys", "remedy"),
    [
        ({"BASE_CHANNELS": 8}, "set BASE_CHANNELS: 4, RESIDUAL_BLOCKS: 1"),
        ({"RESIDUAL_BLOCKS": 3}, "RESIDUAL_BLOCKS: 1"),
    ],
)
def test_other_architecture_is_refused_with_the_settings_that_fit(keys, remedy, tmp_path):
    save(tmp_path, "edge")
    with pytest.raises(UserError, match=r"EdgeModel_gen\.pth: ") as caught:
        load_network(tmp_path, "edge_generator", method_of("edge", **keys).networks["edge_generator"])
    assert remedy in str(caught.value)


def test_edge_weights_under_the_inpainting_name_are_refused(tmp_path):
    save(tmp_path, "edge")
    (tmp_path / "EdgeModel_gen.pth").rename(tmp_path / "InpaintingModel_gen.pth")
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth: .*it is another kind of network"):
        load_generators(tmp_path, method_of("inpaint"))


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth does not exist"):
        load_generators(tmp_path, method_of("inpaint"))
    save(tmp_path, "inpaint")
    path = tmp_path / "InpaintingModel_gen.pth"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth is no readable checkpoint"):
        load_generators(tmp_path, method_of("inpaint"))


class Hostile:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def test_pickles_in_checkpoints_are_not_executed(tmp_path):
    marker = tmp_path / "executed"
    (tmp_path / "InpaintingModel_gen.pth").write_bytes(pickle.dumps({"generator": Hostile(marker)}))
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_generators(tmp_path, method_of("inpaint"))
    torch.save({"generator": Hostile(marker)}, tmp_path / "InpaintingModel_gen.pth")
    with pytest.raises(UserError, match="no readable checkpoint"):
        load_generators(tmp_path, method_of("inpaint"))
    assert not marker.exists()


def test_averaged_weights_complete_pictures_where_they_belong_to_the_file(tmp_path):
    method = method_of("inpaint")
    average = {key: value + 1 for key, value in state_of(method.networks["inpaint_generator"]).items()}
    extra = {"ema": {"updates": 1, "shadow": {"inpaint_generator": average}}}
    Checkpoints(tmp_path, "inpaint").save(method, 1, 2, {}, extra)
    loaded = method_of("inpaint", seed=1)
    assert load_generators(tmp_path, loaded) == ["InpaintingModel_gen.pth"]
    assert not differing(average, loaded.networks["inpaint_generator"].state_dict())
    assert load_generators(tmp_path, loaded, use_ema=False) == []
    assert not differing(
        state_of(method.networks["inpaint_generator"]), loaded.networks["inpaint_generator"].state_dict()
    )
    torch.save(
        {"iteration": 3, **{"generator": torch.load(tmp_path / "InpaintingModel_gen.pth")["generator"]}},
        tmp_path / "InpaintingModel_gen.pth",
    )
    assert load_generators(tmp_path, loaded) == []
