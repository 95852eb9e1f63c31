"""How a stage begins, resumes, and what its saves hold."""

import contextlib
import errno
import io
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from support import differing, random_batch, state_of, tiny_config, tiny_method

from edgeconnect.checkpoint.published_format import to_published
from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.checkpoint.weights import load_completing, read
from edgeconnect.engine import Engine
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import EDGECONNECT
from edgeconnect.methods.edgeconnect import STAGES as STAGES_OF
from edgeconnect.rng import RandomState
from edgeconnect.training.state import Optimizers, TrainState
from edgeconnect.types import is_trained

CPU = torch.device("cpu")


FILES = {name: (network.file, network.entry) for name, network in EDGECONNECT.stage("joint").networks.items()}


def method_of(stage, seed=0, **keys):
    return tiny_method(stage, seed=seed, **keys)


def parts_of(method):
    """Return what a trainer has saved besides the networks, as far as these tests look at it."""
    parts = {"train": TrainState(), "optimizers": Optimizers(method.optimizers), "random": RandomState()}
    return parts | {"ema": Plain({}), "method": Plain({})}


class Plain:
    def __init__(self, state):
        self.state = state

    def state_dict(self):
        return self.state


def checkpoints_of(folder, stage, keep=3, **keys):
    return Checkpoints(folder, tiny_config(MODEL=stage, KEEP_CHECKPOINTS=keep, **keys))


def save(folder, stage, step=5, seed=0, extra=None, keep=3, best=False, **keys):
    method = method_of(stage, seed, **keys)
    Engine(CPU).step(method, random_batch())
    parts = parts_of(method) | {name: Plain(state) for name, state in (extra or {}).items()}
    checkpoints_of(folder, stage, keep, **keys).save(method.networks, step, parts, best)
    return method


def begin(folder, stage, method, resume="auto", init_from=None, **keys):
    return checkpoints_of(folder, stage, **keys).begin(method.networks, resume, init_from)


def load_generators(folder, method, use_ema=True):
    """Load what completes pictures with the stage of a method."""
    stage = next(name for name, kind in STAGES_OF.items() if type(method) is kind)
    return load_completing(folder, EDGECONNECT.stage(stage), method.networks, use_ema)


def place(folder, stage, step):
    return folder / "saves" / stage / f"{step:07d}"


def equal(one, other):
    return all(not differing(state_of(one.networks[name]), state_of(other.networks[name])) for name in one.networks)


def cut(path):
    """Truncate a file in place, as a disk does: every name of it is affected."""
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("stage", ["edge", "inpaint", "joint"])
def test_saved_stage_continues_with_weights_optimisers_and_step(stage, tmp_path):
    saved, loaded = save(tmp_path, stage, extra={"scaler": {}}), method_of(stage, seed=1)
    start = begin(tmp_path, stage, loaded)
    assert (start.step, start.state["scaler"]) == (5, {})
    assert start.state["config"] == tiny_config(MODEL=stage).flat()
    assert set(start.state["versions"]) == {"edgeconnect", "python", "torch", "torchvision", "numpy"}
    assert equal(saved, loaded)
    Optimizers(loaded.optimizers).load_state_dict(start.state["optimizers"])
    for role, optimizer in saved.optimizers.items():
        ours, theirs = optimizer.state_dict()["state"], loaded.optimizers[role].state_dict()["state"]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[i]["exp_avg_sq"], theirs[i]["exp_avg_sq"]) for i in ours)


def test_files_hold_exactly_the_published_entries(tmp_path):
    save(tmp_path, "joint")
    for file, entry in FILES.values():
        assert set(read(tmp_path / file)) == ({"iteration", entry} if entry == "generator" else {entry})
    names = {file for file, _ in FILES.values()}
    assert {path.name for path in tmp_path.iterdir()} == names | {"saves"}
    assert {path.name for path in place(tmp_path, "joint", 5).iterdir()} == names | {
        *("state.pth", "config.yml", "save.json")
    }


def test_save_is_a_runs_folder_in_itself(tmp_path):
    edge = save(tmp_path, "edge")
    stage = method_of("edge_inpaint", seed=4)
    begin_and_save(tmp_path, "edge_inpaint", stage, 3, resume="never")
    alone = method_of("edge_inpaint", seed=9)
    load_generators(place(tmp_path, "edge_inpaint", 3), alone)
    for name in ("edge_generator", "inpaint_generator"):
        assert not differing(state_of(stage.networks[name]), alone.networks[name].state_dict())
    assert not differing(state_of(edge.networks["edge_generator"]), alone.networks["edge_generator"].state_dict())


def begin_and_save(folder, stage, method, *steps, resume="auto", init_from=None):
    checkpoints = checkpoints_of(folder, stage)
    start = checkpoints.begin(method.networks, resume, init_from)
    for step in steps:
        checkpoints.save(method.networks, step, parts_of(method))
    return start


def test_files_at_the_top_are_copies_of_the_newest_saves(tmp_path):
    begin_and_save(tmp_path, "edge", method_of("edge"), 1, 2, 3)
    for file in ("EdgeModel_gen.pth", "EdgeModel_dis.pth"):
        assert (tmp_path / file).read_bytes() == (place(tmp_path, "edge", 3) / file).read_bytes()
        assert not (tmp_path / file).samefile(place(tmp_path, "edge", 3) / file)


def test_published_file_copied_over_the_one_at_the_top_damages_no_save(tmp_path):
    begin_and_save(tmp_path, "edge", method_of("edge"), 1, 2)
    other = save(tmp_path / "other", "edge", seed=9)
    top = tmp_path / "EdgeModel_gen.pth"
    with top.open("r+b") as file:  # as `cp` does
        file.truncate()
        file.write((tmp_path / "other/EdgeModel_gen.pth").read_bytes())
    with pytest.raises(UserError, match=r"was replaced since iteration 2 was saved"):
        begin(tmp_path, "edge", method_of("edge"))
    loaded = method_of("edge", seed=3)
    load_generators(tmp_path, loaded)
    assert not differing(state_of(other.networks["edge_generator"]), loaded.networks["edge_generator"].state_dict())
    top.unlink()
    assert begin(tmp_path, "edge", method_of("edge")).step == 2


def test_damaged_frozen_generator_costs_one_save(tmp_path):
    save(tmp_path, "edge")
    begin_and_save(tmp_path, "edge_inpaint", method_of("edge_inpaint"), 1, 2, resume="never")
    cut(place(tmp_path, "edge_inpaint", 2) / "EdgeModel_gen.pth")
    assert begin(tmp_path, "edge_inpaint", method_of("edge_inpaint")).step == 1


def test_saving_a_step_again_keeps_one_of_the_two(tmp_path, monkeypatch):
    checkpoints, methods = checkpoints_of(tmp_path, "edge"), [method_of("edge", seed=seed) for seed in (1, 2)]
    checkpoints.save(methods[0].networks, 1, parts_of(methods[0]))
    rename = Path.rename

    def refuse(self, target):
        if Path(target) == place(tmp_path, "edge", 1) and ".replaced" not in self.name:
            raise OSError(5, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(UserError, match="Input/output"):
        checkpoints.save(methods[1].networks, 1, parts_of(methods[1]))
    monkeypatch.setattr(Path, "rename", rename)
    method = method_of("edge", seed=3)
    assert begin(tmp_path, "edge", method).step == 1
    assert equal(methods[0], method)
    place(tmp_path, "edge", 1).rename(tmp_path / "saves/edge/.0000001.replaced")  # killed between two renames
    assert begin(tmp_path, "edge", method).step == 1


def test_generators_that_complete_together_were_trained_together(tmp_path):
    first = save(tmp_path, "edge", step=1)
    begin_and_save(tmp_path, "edge_inpaint", method_of("edge_inpaint"), 1, resume="never")
    save(tmp_path, "edge", step=2, seed=9)
    loaded = method_of("edge_inpaint", seed=5)
    load_generators(tmp_path, loaded)
    assert not differing(state_of(first.networks["edge_generator"]), loaded.networks["edge_generator"].state_dict())


def test_stage_that_ended_while_it_published_is_published_by_the_next_start(tmp_path, monkeypatch):
    save(tmp_path, "edge")
    save(tmp_path, "inpaint")
    joint = method_of("joint", seed=6)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "_publish", lambda *_: None)
        begin_and_save(tmp_path, "joint", joint, 4)
    begin(tmp_path, "joint", method_of("joint"))
    loaded = method_of("joint", seed=7)
    load_generators(tmp_path, loaded)
    for name in ("edge_generator", "inpaint_generator"):
        assert not differing(state_of(joint.networks[name]), loaded.networks[name].state_dict())


def test_starting_over_takes_nothing_of_later_stages(tmp_path):
    for stage in ("edge", "inpaint"):
        save(tmp_path, stage)
    begin_and_save(tmp_path, "edge_inpaint", method_of("edge_inpaint"), 1)
    for stage in ("edge", "inpaint"):
        assert begin(tmp_path, stage, method_of(stage), "never").message == "starts afresh"
    save(tmp_path, "inpaint", step=3)
    assert begin(tmp_path, "edge_inpaint", method_of("edge_inpaint"), "never").message == (
        "starts from the weights of stage inpaint"
    )


def test_configuration_in_a_save_may_be_edited(tmp_path):
    begin_and_save(tmp_path, "edge", method_of("edge"), 1)
    with (place(tmp_path, "edge", 1) / "config.yml").open("a") as file:
        file.write("# mine\n")
    assert begin(tmp_path, "edge", method_of("edge")).step == 1


def test_copied_run_goes_on(tmp_path):
    begin_and_save(tmp_path / "one", "edge", method_of("edge"), 1, 2)
    shutil.copytree(tmp_path / "one", tmp_path / "other", symlinks=True)
    assert begin(tmp_path / "other", "edge", method_of("edge")).step == 2


def test_other_versions_are_said(tmp_path, monkeypatch):
    from edgeconnect.checkpoint import stage

    begin_and_save(tmp_path, "edge", method_of("edge"), 1)
    now = stage.versions()
    monkeypatch.setattr(stage, "versions", lambda: now | {"torch": "9.9"})
    assert begin(tmp_path, "edge", method_of("edge")).message.endswith(f"torch {now['torch']} -> 9.9")


def test_number_of_saves_kept_and_the_best_is(tmp_path):
    checkpoints = checkpoints_of(tmp_path, "edge", keep=2)
    method = method_of("edge")
    for step in range(1, 6):
        checkpoints.save(method.networks, step, parts_of(method), best=step == 2)
    names = sorted(path.name for path in (tmp_path / "saves/edge").glob("[!.]*"))
    assert names == ["0000002", "0000004", "0000005", "best"]
    assert (tmp_path / "saves/edge/best").resolve() == place(tmp_path, "edge", 2)
    everything = checkpoints_of(tmp_path / "all", "edge", keep=0)
    for step in range(1, 5):
        everything.save(method.networks, step, parts_of(method))
    assert len(list((tmp_path / "all/saves/edge").iterdir())) == 4


def test_learning_rate_is_the_configurations_after_resuming(tmp_path):
    save(tmp_path, "edge", LR=1e-4)
    loaded = method_of("edge", LR=1e-5)
    start = begin(tmp_path, "edge", loaded, LR=1e-5)
    assert loaded.optimizers["generator"].param_groups[0]["lr"] == 1e-5
    assert start.message == "resumes at iteration 5; LR 0.0001 -> 1e-05"


@pytest.mark.parametrize(("key", "value", "was"), [("BASE_CHANNELS", 8, 4), ("GAN_LOSS", "hinge", "nsgan")])
def test_changed_architecture_or_objective_is_refused_by_its_key(key, value, was, tmp_path):
    save(tmp_path, "edge")
    with pytest.raises(UserError, match=f"iteration 5, cannot continue with {key} {was} -> {value}; set what it had"):
        begin(tmp_path, "edge", method_of("edge", **{key: value}), **{key: value})


def test_empty_folder_starts_afresh(tmp_path):
    start = begin(tmp_path, "inpaint", method_of("inpaint"))
    assert (start.step, start.state) == (0, None)
    with pytest.raises(UserError, match=r"--resume must: .* holds no save of stage inpaint"):
        begin(tmp_path, "inpaint", method_of("inpaint"), "must")


def test_next_stage_starts_at_zero_from_the_former_ones_weights(tmp_path):
    save(tmp_path, "edge", step=7)
    former = save(tmp_path, "inpaint", step=9)
    method = method_of("edge_inpaint", seed=3)
    start = begin(tmp_path, "edge_inpaint", method)
    assert (start.step, start.state) == (0, None)
    assert "of stage inpaint" in start.message
    assert not differing(
        state_of(former.networks["inpaint_generator"]), method.networks["inpaint_generator"].state_dict()
    )


def published_only(folder, stage, step):
    """Leave what a user who downloads published weights has."""
    method = save(folder / "elsewhere", stage, step=step)
    for file in (folder / "elsewhere").glob("*_gen.pth"):
        (folder / file.name).write_bytes(file.read_bytes())
    return method


def test_published_files_go_on_at_the_iteration_they_carry_and_are_kept(tmp_path):
    published = published_only(tmp_path, "inpaint", 1234)
    original = (tmp_path / "InpaintingModel_gen.pth").read_bytes()
    method = method_of("inpaint", seed=1)
    start = begin_and_save(tmp_path, "inpaint", method, 1235)
    assert start.step == 1234
    assert "started afresh: InpaintingModel_dis.pth" in start.message
    assert not differing(
        state_of(published.networks["inpaint_generator"]), method.networks["inpaint_generator"].state_dict()
    )
    assert (tmp_path / "InpaintingModel_gen.old-1.pth").read_bytes() == original
    assert not (tmp_path / "InpaintingModel_gen.old-2.pth").exists()


def test_stage_goes_on_from_its_own_weights_after_a_later_stage_replaced_the_files(tmp_path):
    save(tmp_path, "edge")
    own = save(tmp_path, "inpaint", step=10)
    save(tmp_path, "edge_inpaint", step=4, seed=1)
    later = (tmp_path / "InpaintingModel_gen.pth").read_bytes()
    method = method_of("inpaint", seed=2)
    assert begin(tmp_path, "inpaint", method).step == 10
    assert equal(own, method)
    assert (tmp_path / "InpaintingModel_gen.pth").read_bytes() == later  # until it saves


def test_weights_that_no_stage_here_wrote_are_not_passed_over(tmp_path):
    save(tmp_path, "inpaint", step=10)
    foreign = method_of("inpaint", seed=5)
    path = tmp_path / "InpaintingModel_gen.pth"
    path.unlink()
    torch.save({"iteration": 7, "generator": to_published(foreign.networks["inpaint_generator"].state_dict())}, path)
    with pytest.raises(UserError, match=r"InpaintingModel_gen\.pth was replaced since iteration 10.*--resume never"):
        begin(tmp_path, "inpaint", method_of("inpaint"))
    method = method_of("inpaint")
    assert begin(tmp_path, "inpaint", method, "never").step == 0
    assert not differing(
        state_of(foreign.networks["inpaint_generator"]), method.networks["inpaint_generator"].state_dict()
    )
    assert place(tmp_path, "inpaint.old-1", 10).is_dir()


def test_never_starts_over_and_keeps_the_former_saves(tmp_path):
    save(tmp_path, "edge", step=10)
    method = method_of("edge", seed=3)
    before = {name: state_of(network) for name, network in method.networks.items()}
    assert begin(tmp_path, "edge", method, "never") == begin(tmp_path, "edge", method, "never")
    assert all(not differing(before[name], method.networks[name].state_dict()) for name in before)
    assert read(place(tmp_path, "edge.old-1", 10) / "EdgeModel_gen.pth")["iteration"] == 10


def test_init_from_takes_weights_alone_and_only_to_begin(tmp_path):
    other, run = tmp_path / "other", tmp_path / "run"
    given = save(other, "inpaint", step=500)
    method = method_of("inpaint", seed=3)
    start = begin_and_save(run, "inpaint", method, 1, init_from=other)
    assert (start.step, start.state) == (0, None)
    assert equal(given, method)
    again = begin(run, "inpaint", method_of("inpaint"), init_from=other)
    assert again.step == 1
    assert "--init-from does not count" in again.message
    with pytest.raises(UserError, match="holds no generators of stage inpaint; give a folder with InpaintingModel_gen"):
        begin(tmp_path / "new", "inpaint", method_of("inpaint"), init_from=tmp_path)


def test_frozen_generator_of_another_folder_comes_along(tmp_path):
    other, run = tmp_path / "other", tmp_path / "run"
    edge = save(other, "edge")
    save(other, "inpaint")
    begin_and_save(run, "edge_inpaint", method_of("edge_inpaint", seed=3), 1, init_from=other)
    loaded = method_of("edge_inpaint", seed=8)
    load_generators(run, loaded)
    assert not differing(state_of(edge.networks["edge_generator"]), loaded.networks["edge_generator"].state_dict())


def test_stage_keeps_the_frozen_generator_that_it_began_with(tmp_path, caplog):
    edge = save(tmp_path, "edge", step=1)
    begin_and_save(tmp_path, "edge_inpaint", method_of("edge_inpaint"), 1, resume="never")
    save(tmp_path, "edge", step=2, seed=9)
    method = method_of("edge_inpaint", seed=4)
    begin(tmp_path, "edge_inpaint", method)
    assert "EdgeModel_gen.pth is another one than stage edge_inpaint began with" in caplog.text
    assert not differing(state_of(edge.networks["edge_generator"]), method.networks["edge_generator"].state_dict())


@pytest.mark.parametrize("file", ["state.pth", "InpaintingModel_gen.pth", "InpaintingModel_dis.pth", "save.json"])
def test_damaged_newest_save_gives_way_to_the_one_before(file, tmp_path, caplog):
    first = method_of("inpaint", seed=1)
    begin_and_save(tmp_path, "inpaint", first, 1, 2)
    cut(place(tmp_path, "inpaint", 2) / file)
    loaded, method = method_of("inpaint", seed=5), method_of("inpaint", seed=6)
    load_generators(tmp_path, loaded)
    assert not differing(state_of(first.networks["inpaint_generator"]), state_of(loaded.networks["inpaint_generator"]))
    assert begin(tmp_path, "inpaint", method).step == 1
    assert file in caplog.text
    assert "kept as 0000002.damaged" in caplog.text
    assert equal(first, method)
    assert (tmp_path / "saves/inpaint/0000002.damaged").is_dir()
    top, saved = tmp_path / "InpaintingModel_gen.pth", place(tmp_path, "inpaint", 1) / "InpaintingModel_gen.pth"
    assert top.read_bytes() == saved.read_bytes()


def test_flipped_bit_is_noticed(tmp_path):
    begin_and_save(tmp_path, "edge", method_of("edge"), 1, 2)
    path = place(tmp_path, "edge", 2) / "EdgeModel_dis.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert begin(tmp_path, "edge", method_of("edge")).step == 1


def test_all_saves_damaged_is_an_error_that_loses_nothing(tmp_path):
    begin_and_save(tmp_path, "edge", method_of("edge"), 1, 2)
    for step in (1, 2):
        cut(place(tmp_path, "edge", step) / "state.pth")
    for _ in range(2):
        with pytest.raises(UserError, match=r"0000002: state.pth is cut off.*no save of stage edge is whole.*never"):
            begin(tmp_path, "edge", method_of("edge"))
    assert {path.name for path in (tmp_path / "saves/edge").iterdir()} == {"0000001", "0000002"}
    assert begin(tmp_path, "edge", method_of("edge"), "never").step == 0


def test_stage_that_starts_over_begins_where_it_began(tmp_path):
    save(tmp_path, "edge")
    former = save(tmp_path, "inpaint", step=9)
    begin_and_save(tmp_path, "edge_inpaint", method_of("edge_inpaint", seed=3), 1)
    save(tmp_path / "other", "inpaint", seed=7)
    method = method_of("edge_inpaint", seed=4)
    start = begin(tmp_path, "edge_inpaint", method, "never")
    assert (start.step, start.message) == (0, "starts from the weights of stage inpaint")
    for name in ("inpaint_generator", "inpaint_discriminator"):
        assert not differing(state_of(former.networks[name]), method.networks[name].state_dict())
    assert (tmp_path / "saves/edge_inpaint.old-1/0000001").is_dir()


def test_damaged_copy_at_the_top_is_replaced(tmp_path, caplog):
    saved = save(tmp_path, "edge")
    top = tmp_path / "EdgeModel_gen.pth"
    data = top.read_bytes()
    top.unlink()
    top.write_bytes(data[:100])
    method = method_of("edge", seed=2)
    assert begin(tmp_path, "edge", method).step == 5
    assert "that of the save stands in" in caplog.text
    assert equal(saved, method)
    assert top.read_bytes() == data
    assert (tmp_path / "EdgeModel_gen.old-1.pth").read_bytes() == data[:100]


class Dies(BaseException):
    """What a kill looks like from inside."""


@pytest.mark.parametrize("after", range(12))
def test_run_that_dies_while_it_saves_has_one_whole_save_or_the_other(after, tmp_path, monkeypatch):
    methods = [method_of("joint", seed=seed) for seed in (1, 2)]
    begin_and_save(tmp_path, "joint", methods[0], 1)
    calls = []

    def counted(name):
        real = getattr(os, name)

        def call(*arguments, **keywords):
            if len(calls) >= after:
                raise Dies
            calls.append(name)
            return real(*arguments, **keywords)

        return call

    with monkeypatch.context() as patch:
        for name in ("fsync", "rename", "replace"):
            patch.setattr(os, name, counted(name))
        with contextlib.suppress(Dies):
            checkpoints_of(tmp_path, "joint").save(methods[1].networks, 2, parts_of(methods[1]))
    reader = method_of("joint", seed=7)
    load_generators(tmp_path, reader)
    generators = ("edge_generator", "inpaint_generator")
    assert any(
        all(not differing(state_of(reader.networks[n]), state_of(method.networks[n])) for n in generators)
        for method in methods
    ), "a mixture of two saves"
    method = method_of("joint", seed=8)
    start = begin(tmp_path, "joint", method)
    assert equal(methods[start.step - 1], method)
    assert not list(tmp_path.rglob(".*.part"))


def test_full_disk_costs_no_save(tmp_path, monkeypatch):
    begin_and_save(tmp_path, "edge", method_of("edge"), 1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda self, mode="r", **more: (
            Full() if self.name == "state.pth" and mode == "wb" else real(self, mode, **more)
        ),
    )
    with pytest.raises(
        UserError, match=r"saves/edge/0000002: cannot be written \(No space left on device\); nothing was"
    ):
        checkpoints_of(tmp_path, "edge").save(method_of("edge").networks, 2, parts_of(method_of("edge")))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_state_without_what_it_needs_is_named(tmp_path):
    save(tmp_path, "edge")
    from edgeconnect.digest import file_digest

    path = place(tmp_path, "edge", 5)
    torch.save({"step": 1}, path / "state.pth")
    record = json.loads((path / "save.json").read_text())
    record["files"]["state.pth"] = file_digest(path / "state.pth")
    (path / "save.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"state\.pth is no training state: it lacks config, optimizers"):
        begin(tmp_path, "edge", method_of("edge"))


def test_stage_with_frozen_edges_needs_a_trained_edge_generator(tmp_path):
    with pytest.raises(UserError, match=r"EdgeModel_gen\.pth does not exist.*--model 1"):
        begin(tmp_path, "edge_inpaint", method_of("edge_inpaint"))


@pytest.mark.parametrize(("key", "before", "after"), [("PREFILL", "white", "harmonic"), ("PREFILL_EDGES", 0, 1)])
def test_frozen_generator_that_saw_other_holes_is_refused(tmp_path, key, before, after):
    surface = {"PREFILL": "harmonic"} if key == "PREFILL_EDGES" else {}
    save(tmp_path, "edge", **surface)
    keys = surface | {key: after}
    with pytest.raises(UserError, match=f"was trained with {key} {before}, edge_inpaint has {after}"):
        begin(tmp_path, "edge_inpaint", method_of("edge_inpaint", **keys), **keys)


def test_frozen_generator_of_an_export_is_judged_by_the_configuration_beside_it(tmp_path):
    exported, keys = tmp_path / "exported", {"PREFILL": "harmonic"}
    exported.mkdir()
    for stage, file in (("edge", "EdgeModel_gen.pth"), ("inpaint", "InpaintingModel_gen.pth")):
        save(tmp_path / "run", stage, **keys)
        shutil.copy(tmp_path / "run" / file, exported)
    (exported / "config.yml").write_text("PREFILL: harmonic\n")
    begin(tmp_path / "like", "edge_inpaint", method_of("edge_inpaint", **keys), init_from=exported, **keys)
    keys["PREFILL_EDGES"] = 1
    with pytest.raises(UserError, match="was trained with PREFILL_EDGES 0"):
        begin(tmp_path / "other", "edge_inpaint", method_of("edge_inpaint", **keys), init_from=exported, **keys)


def test_frozen_network_at_the_top_is_never_written(tmp_path):
    save(tmp_path, "edge")
    before = (tmp_path / "EdgeModel_gen.pth").read_bytes()
    method = method_of("edge_inpaint", seed=2)
    assert not is_trained(method.networks["edge_generator"])
    begin_and_save(tmp_path, "edge_inpaint", method, 1, resume="never")
    assert (tmp_path / "EdgeModel_gen.pth").read_bytes() == before


def test_removal_of_a_save_that_was_interrupted_is_finished_by_the_next_start(tmp_path, monkeypatch):
    checkpoints, method = checkpoints_of(tmp_path, "edge", keep=2), method_of("edge")
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    for step in (1, 2, 3):
        checkpoints.save(method.networks, step, parts_of(method))
    monkeypatch.undo()
    assert len(list((tmp_path / "saves/edge").glob(".*"))) == 1
    begin(tmp_path, "edge", method_of("edge"))
    assert not list((tmp_path / "saves/edge").glob(".*"))
