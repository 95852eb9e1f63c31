"""A second method, by one class and one row of the catalogue: everything around it works as for EdgeConnect."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edgeconnect.methods.build import build
from edgeconnect.methods.catalogue import METHODS

sys.path.insert(0, str(Path(__file__).parent))

import toy
from support import differing, log_of, random_batch, state_of, tiny_config

from edgeconnect.engine import Engine, inference, parameters
from edgeconnect.types import Progress

CPU = torch.device("cpu")
PHASES = "{fill: [{end: 4, lr: {painter: 0.01}, train: [painter]}, {end: 8, lr: {painter: 0.001, finisher: 0.1}}]}"
SETTINGS = {
    **{"METHOD": "toy", "TRAIN_FLIST": "scenes:8", "VAL_FLIST": "scenes:8-11", "MASK": "strokes", "INPUT_SIZE": 24},
    **{
        "BASE_CHANNELS": 4,
        "BATCH_SIZE": 2,
        "NUM_WORKERS": 0,
        "LOG_INTERVAL": 1,
        "SAVE_INTERVAL": 1,
        "EVAL_INTERVAL": 4,
    },
    **{"EMA_DECAY": 0.9, "SAMPLE_INTERVAL": 4, "PHASES": PHASES, "BEST_METRIC": "mae"},
}


def run(*arguments, **options):
    """Start the command line with the toy method, as a process of its own."""
    command = [sys.executable, toy.__file__, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
    )


def finish(process):
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return printed + said


def folder_of(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.yml").write_text("".join(f"{key}: {value}\n" for key, value in SETTINGS.items()))
    return folder


def leaves(value, name=""):
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in leaves(part, f"{name}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for i, part in enumerate(value) for k, v in leaves(part, f"{name}/{i}").items()}
    return {name: value}


def assert_same_saves(here, there):
    for file in ("Toy_painter.pth", "Toy_finisher.pth", "state.pth"):
        ours, theirs = (leaves(torch.load(folder / "saves/fill/0000008" / file)) for folder in (here, there))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            same = torch.equal(value, theirs[name]) if isinstance(value, torch.Tensor) else value == theirs[name]
            assert same, (file, name)


def test_trains_is_killed_resumes_completes_and_is_evaluated(tmp_path):
    whole = folder_of(tmp_path, "whole")
    finish(run("train", "--checkpoints", whole, "--no-check"))
    for killed_at in (2, 6):  # in either phase
        killed = killed_and_resumed(folder_of(tmp_path, f"killed_{killed_at}"), killed_at)
        assert_same_saves(whole, killed)
        for log in ("log_fill.csv", "log_fill_val.csv"):
            assert log_of(whole / log) == log_of(killed / log)
    with (whole / "log_fill.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows] == ["1"] * 4 + ["2"] * 4
    assert [row["lr"] for row in rows] == ["0.01"] * 4 + ["0.001"] * 4
    assert (whole / "saves/fill/best").exists()
    completed_and_evaluated(whole, tmp_path)


def killed_and_resumed(folder, killed_at):
    process = run("train", "--checkpoints", folder, "--no-check")
    deadline = time.monotonic() + 60
    while not (folder / f"saves/fill/{killed_at:07d}").is_dir() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    said = finish(run("train", "--checkpoints", folder, "--no-check"))
    assert "resumes at iteration" in said or "nothing to do" in said  # a fast machine may have ended before the kill
    return folder


def completed_and_evaluated(folder, tmp_path):
    image, mask = np.full((20, 28, 3), 90, np.uint8), np.zeros((20, 28), np.uint8)
    mask[5:12, 6:15] = 255
    for name, pixels in (("image", image), ("mask", mask)):
        (tmp_path / name).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name / "a.png"), pixels)
    places = ("--input", tmp_path / "image", "--mask", tmp_path / "mask")
    finish(run("test", "--checkpoints", folder, *places, "--output", tmp_path / "out"))
    done = cv2.imread(str(tmp_path / "out/a.png"))
    assert (done[mask == 0] == 90).all()
    assert done.shape == image.shape
    finish(
        run(
            "evaluate", "--checkpoints", folder, "--pictures", "scenes:8-11", "--masks", "strokes", "--methods", "telea"
        )
    )
    results = json.loads((folder / "evaluation/results.json").read_text())
    ours, telea = results["methods"]
    assert ours["name"] == f"{folder.name}:fill"
    assert ours["bins"]["all"]["psnr_rgb"]["n"] == telea["bins"]["all"]["psnr_rgb"]["n"] > 0
    assert list((folder / "evaluation/pictures").iterdir())
    assert not (folder / "evaluation/edges").exists()


# The contract


def method_of(**keys):
    torch.manual_seed(0)
    return build(tiny_config(**{"METHOD": "toy", "MODEL": "fill"} | keys), Engine(CPU).prepare)


def test_roles_that_do_not_learn_in_a_phase_stay_where_they_are():
    method = method_of()
    before = {name: state_of(network) for name, network in method.networks.items()}
    Engine(CPU).step(method, random_batch(), Progress(1, 0, ["painter"]))
    assert differing(before["painter"], method.painter.state_dict())
    assert not differing(before["finisher"], method.finisher.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_falls_on_one_batch(dtype):
    method, engine, batch = method_of(LR=0.01), Engine(CPU, dtype), random_batch()
    values = [float(engine.step(method, batch)["paint"]) for _ in range(30)]
    assert values[-1] < 0.9 * values[0]
    assert all(p.isfinite().all() for optimizer in method.optimizers.values() for p in parameters(optimizer))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (37, 53), (1, 1)])
def test_known_pixels_are_bit_identical_at_any_size(height, width):
    method, batch = method_of(), random_batch(2, height, width)
    with inference(method):
        merged = method.complete(batch).merged
    known = (batch.mask == 0).expand_as(batch.image)
    assert torch.equal(merged[known], batch.image[known])


@pytest.mark.parametrize(
    "networks", [{"painter": "Toy_painter.pth"}, {"painter": "a.pth", "finisher": "b.pth", "x": "c"}]
)
def test_networks_that_the_row_does_not_name_are_an_error_at_once(networks, monkeypatch):
    from dataclasses import replace

    from edgeconnect.methods.catalogue import Network

    row = METHODS["toy"]
    stage = replace(row.stages[0], networks={name: Network(file, "weights") for name, file in networks.items()})
    monkeypatch.setitem(METHODS, "toy", replace(row, stages=(stage,)))
    with pytest.raises(ValueError, match="its row in the catalogue names"):
        method_of()
