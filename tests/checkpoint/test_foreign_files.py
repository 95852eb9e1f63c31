"""Checkpoints from elsewhere: PyTorch's old format, and files that are hostile or damaged in any way."""

import io
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from support import PLAIN, TINY

from edgeconnect.config.file import load
from edgeconnect.config.sections import RunConfig

STAGES = {1: "edge", 2: "inpaint", 3: "edge_inpaint", 4: "joint"}


def rewrite(path, change=None, **options):
    """Write a checkpoint again, changed or in another format."""
    contents = torch.load(path, weights_only=True)
    torch.save(change(contents) if change else contents, path, **options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run with two stages and their moving averages."""
    from edgeconnect.cli import main

    folder = tmp_path_factory.mktemp("foreign") / "run"
    folder.mkdir()
    values = {"TRAIN_FLIST": "scenes:4", "MASK": "strokes", "SIGMA": 1, "MAX_ITERS": 1} | TINY | PLAIN
    (folder / "config.yml").write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
    for stage in (1, 2, 3):
        assert main(["train", "--checkpoints", str(folder), "--model", str(stage), "--no-check"]) == 0
    assert main(["scenes", "--output", str(folder.parent), "--count", "1", "--size", "32", "--masks", "0.2-0.3"]) == 0
    return folder


@pytest.fixture
def old(trained, tmp_path):
    """Return a folder as the published weights of 2019 come: four files of PyTorch before 1.6, and a configuration."""
    folder = tmp_path / "old"
    folder.mkdir()
    shutil.copy(trained / "config.yml", folder)
    for file in trained.glob("*Model_*.pth"):
        shutil.copy(file, folder)
        rewrite(folder / file.name, _use_new_zipfile_serialization=False)
    return folder


def completed(command, trained, folder, out, *options):
    places = ("--input", trained.parent / "images", "--mask", trained.parent / "masks", "--output", out)
    code, said = command("test", "--checkpoints", folder, *places, *options)
    assert code == 0, said
    return (out / "scene_000000.png").read_bytes()


@pytest.mark.parametrize("stage", STAGES)
def test_old_files_train_on_at_every_stage(stage, old, command):
    code, said = command("train", "--model", stage, "--checkpoints", old, "--set", "MAX_ITERS=3", "--no-check")
    assert code == 0, said
    assert (old / f"saves/{STAGES[stage]}/0000003").is_dir()
    code, said = command("train", "--model", stage, "--checkpoints", old, "--set", "MAX_ITERS=4", "--no-check")
    assert code == 0, said
    assert "resumes at iteration 3" in said


@pytest.mark.parametrize("stage", STAGES)
def test_old_files_complete_like_new_ones(stage, old, trained, tmp_path, command):
    new = shutil.copytree(old, tmp_path / "new")
    for file in new.glob("*.pth"):
        rewrite(file)
    pictures = [
        completed(command, trained, folder, tmp_path / folder.name / "out", "--model", stage) for folder in (old, new)
    ]
    assert pictures[0] == pictures[1]


def test_old_files_are_evaluated_and_begin_other_runs(old, tmp_path, run_folder, command):
    code, said = command(
        *("evaluate", "--checkpoints", old, "--pictures", "scenes:2", "--masks", "strokes", "--methods", "none"),
        *("--output", tmp_path / "report"),
    )
    assert code == 0, said
    assert json.loads((tmp_path / "report/results.json").read_text())["methods"][0]["bins"]["all"]["psnr_rgb"]["n"]
    run = run_folder("other", MAX_ITERS=1)
    code, said = command("train", "--model", 3, "--checkpoints", run, "--init-from", old)
    assert code == 0, said
    assert "starts from the weights in InpaintingModel_gen.pth" in said


def test_old_file_over_a_trained_one_completes_and_is_asked_about_in_training(trained, old, tmp_path, command):
    run = shutil.copytree(trained, tmp_path / "mixed", symlinks=True)
    shutil.copy(old / "InpaintingModel_gen.pth", run)
    rewrite(
        run / "InpaintingModel_gen.pth",
        lambda found: {"iteration": 9, "generator": {name: 2 * value for name, value in found["generator"].items()}},
        _use_new_zipfile_serialization=False,
    )
    before = completed(command, trained, trained, tmp_path / "before")
    assert completed(command, trained, run, tmp_path / "after") != before
    code, said = command("train", "--model", 3, "--checkpoints", run, "--set", "MAX_ITERS=2")
    assert code == 2
    assert "InpaintingModel_gen.pth was replaced" in said
    assert not list(run.glob("*.old-*"))


def test_test_and_evaluate_refuse_a_stage_that_was_never_trained(trained, tmp_path, command):
    for name in ("test", "evaluate"):
        places = ("--input", trained.parent / "images", "--mask", trained.parent / "masks")
        items = ("--pictures", "scenes:2", "--masks", "strokes", "--methods", "none")
        code, said = command(
            *(name, "--checkpoints", trained, "--model", 4, "--output", tmp_path / name),
            *(places if name == "test" else items),
        )
        assert code == 2
        assert "joint" in said
        assert not (tmp_path / name).exists()


# Hostile files


class Marker:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def saved(contents):
    data = io.BytesIO()
    torch.save(contents, data)
    return data.getvalue()


def state(change):
    def made(good):
        weights = dict(good["generator"])
        return saved({"iteration": 1, "generator": change(weights) or weights})

    return made


def first(weights):
    return next(name for name in weights if name.endswith("weight"))


HOSTILE = {
    "empty": lambda good: b"",
    "text": lambda good: b"<html>404</html>",
    "zip of nothing": lambda good: b"PK\x05\x06" + bytes(18),
    "half a file": lambda good: saved(good)[: len(saved(good)) // 2],
    "zeros": lambda good: bytes(4096),
    "plain pickle": lambda good: pickle.dumps({"generator": {}}),
    "list": lambda good: saved([1, 2]),
    "number": lambda good: saved(3),
    "other entry": lambda good: saved({"model": good["generator"]}),
    "no tensors": lambda good: saved({"generator": {"a": 1}}),
    "names that are none": lambda good: saved({"generator": {3: torch.zeros(1)}}),
    "nested": lambda good: saved({"generator": {"a": {"b": torch.zeros(1)}}}),
    "iteration of text": lambda good: saved(good | {"iteration": "many"}),
    "negative iteration": lambda good: saved(good | {"iteration": -1}),
    "huge iteration": lambda good: saved(good | {"iteration": 10**30}),
    "fractional iteration": lambda good: saved(good | {"iteration": 0.5}),
    "nan": state(lambda weights: weights | {first(weights): weights[first(weights)] * float("nan")}),
    "infinity": state(lambda weights: weights | {first(weights): weights[first(weights)] / 0}),
    "integers": state(lambda weights: weights | {first(weights): weights[first(weights)].int()}),
    "complex numbers": state(lambda weights: weights | {first(weights): weights[first(weights)] * 1j}),
    "sparse": state(lambda weights: weights | {first(weights): weights[first(weights)].to_sparse()}),
    "other shapes": state(lambda weights: {name: value[..., :1] for name, value in weights.items()}),
    "missing layer": state(lambda weights: {name: weights[name] for name in list(weights)[1:]}),
    "another network": state(lambda _: {f"{part}coder.side.weight": torch.ones(1, 1, 1, 1) for part in ("en", "de")}),
    "layer too many": state(lambda weights: weights | {"extra.weight": torch.zeros(3)}),
    "empty tensors": state(lambda weights: {name: torch.zeros(0) for name in weights}),
    "huge on the meta device": state(lambda weights: weights | {first(weights): torch.empty(10**9, device="meta")}),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("use", ["test", "train", "resume"])
def test_hostile_checkpoints_are_one_line_and_cost_nothing(name, use, trained, tmp_path, command):
    run = tmp_path / "run"
    good = torch.load(trained / "InpaintingModel_gen.pth", weights_only=True)
    if use == "resume":  # a whole save as far as its record says
        from edgeconnect.digest import file_digest

        shutil.copytree(trained, run, symlinks=True)
        target = run / "saves/inpaint/0000001/InpaintingModel_gen.pth"
        target.write_bytes(HOSTILE[name](good))
        record = json.loads((target.parent / "save.json").read_text())
        record["files"]["InpaintingModel_gen.pth"] = file_digest(target)
        (target.parent / "save.json").write_text(json.dumps(record))
    else:
        run.mkdir()
        shutil.copy(trained / "config.yml", run)
        (run / "InpaintingModel_gen.pth").write_bytes(HOSTILE[name](good))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.p*") if path.is_file()}
    places = ("--input", trained.parent / "images", "--mask", trained.parent / "masks", "--output", tmp_path / "out")
    code, said = command(
        *("test" if use == "test" else "train", "--model", 2, "--checkpoints", run),
        *(places if use == "test" else ("--set", "MAX_ITERS=2", "--no-check")),
    )
    assert code == 2, said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "Traceback" not in said
    assert len(errors[0]) < 500
    assert not (tmp_path / "out").exists()
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.p*") if path.is_file()}
    assert {path: data for path, data in after.items() if path in before} == before


def test_nothing_in_a_checkpoint_runs(trained, tmp_path, command):
    marker = tmp_path / "executed"
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(trained / "config.yml", run)
    for data in (
        pickle.dumps({"generator": Marker(str(marker))}),
        saved({"generator": np.zeros(3), "x": Marker(str(marker))}),
    ):
        (run / "InpaintingModel_gen.pth").write_bytes(data)
        code, _ = command("test", "--model", 2, "--checkpoints", run, "--input", "a.png", "--mask", "b.png")
        assert code == 2
    assert not marker.exists()


@pytest.mark.parametrize("part", ["train", "optimizers", "random", "ema", "best"])
@pytest.mark.parametrize("value", [3, "text", [1], {"x": 1}, {"generator": {}}])
def test_hostile_states_are_one_line(part, value, trained, tmp_path, command):
    from edgeconnect.digest import file_digest

    run = shutil.copytree(trained, tmp_path / "run", symlinks=True)
    place = run / "saves/inpaint/0000001"
    rewrite(place / "state.pth", lambda found: found | {part: value})
    record = json.loads((place / "save.json").read_text())
    record["files"]["state.pth"] = file_digest(place / "state.pth")
    (place / "save.json").write_text(json.dumps(record))
    code, said = command(
        "train", "--model", 2, "--checkpoints", run, "--set", "MAX_ITERS=2", "--set", "EMA_DECAY=0.5", "--no-check"
    )
    assert "Traceback" not in said
    assert code == 2 or part == "ema"  # averages of networks that there are not mean nothing


def test_export_is_what_test_py_uses(trained, tmp_path, command):
    run = shutil.copytree(trained, tmp_path / "run", symlinks=True)
    given = ("--set", "MAX_ITERS=3", "--set", "EMA_DECAY=0.9", "--set", "THREADS=1")
    code, said = command("train", "--checkpoints", run, "--model", 3, *given)
    assert code == 0, said
    code, said = command("export", "--checkpoints", run, "--output", tmp_path / "shared")
    assert code == 0, said
    assert {path.name for path in (tmp_path / "shared").iterdir()} == {
        *("EdgeModel_gen.pth", "InpaintingModel_gen.pth", "config.yml", "provenance.json")
    }
    ours = completed(command, trained, run, tmp_path / "ours")
    assert completed(command, trained, tmp_path / "shared", tmp_path / "shared_out") == ours
    assert completed(command, trained, run, tmp_path / "last", "--no-ema") != ours
    shared = load(tmp_path / "shared/config.yml").config
    assert (shared.run.threads, shared.run.num_workers) == (RunConfig().threads, RunConfig().num_workers)
    assert not any("/" in str(value) for value in shared.flat().values())
    said = json.loads((tmp_path / "shared/provenance.json").read_text())
    assert said["stage"] == "edge_inpaint"
    assert any("moving average" in name for name in said)
    assert command("export", "--checkpoints", run, "--output", tmp_path / "shared")[0] == 2
