"""Fixtures that several test modules share."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import PARITY, PLAIN, SHARED, TINY
from torchvision.models.vgg import cfgs, make_layers

from edgeconnect.cli import main

sys.path.insert(0, str(PARITY))
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as shells start what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # as nohup starts it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
torch.set_num_threads(1)  # tiny networks gain nothing from more, and pytest runs in two processes

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def shared() -> Path:
    """Return the folder of research data that is not part of the project."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the research data in ../shared/data")
    return SHARED


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with full-size published checkpoints and VGG weights, filled deterministically."""
    from weights import fill

    folder = tmp_path_factory.mktemp("published")
    for name, shapes in json.loads((PARITY / "manifest.json").read_text()).items():
        state = fill({key: tuple(shape) for key, shape in shapes.items()})
        kind = "generator" if name.endswith("gen") else "discriminator"
        iteration = {"iteration": 0} if kind == "generator" else {}
        torch.save(iteration | {kind: state}, folder / f"{name}.pth")
    layers = make_layers(cfgs["E"]).state_dict()
    torch.save(fill({f"features.{key}": tuple(value.shape) for key, value in layers.items()}), folder / "vgg.pth")
    return folder


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a run's folder with a tiny configuration."""

    def make(name: str = "run", **keys: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        values = {"TRAIN_FLIST": "scenes:8", "VAL_FLIST": "scenes:8-11", "MASK": "strokes", "SIGMA": 1} | TINY | PLAIN
        (folder / "config.yml").write_text("".join(f"{k}: {v}\n" for k, v in (values | keys).items()))
        return folder

    return make


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command and returns its exit code and what it wrote to stderr."""

    def call(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, capsys.readouterr().err

    return call
