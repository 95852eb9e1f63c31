"""A trained run that the tests of evaluations share and leave as it is."""

import shutil
from pathlib import Path

import pytest
from support import PLAIN, STAGES, TINY

from edgeconnect.cli import main


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run's folder with each of the four stages and moving averages."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    folder.mkdir()
    values = {"TRAIN_FLIST": "scenes:8", "VAL_FLIST": "scenes:8-11", "MASK": "strokes", "SIGMA": 1}
    values |= TINY | PLAIN | {"MAX_ITERS": 2, "EMA_DECAY": 0.9, "LR": 0.01, "MODE": 3, "MODEL": 4}
    (folder / "config.yml").write_text("".join(f"{name}: {value}\n" for name, value in values.items()))
    for stage in STAGES:
        assert main(["train", "--checkpoints", str(folder), "--model", stage, "--no-check"]) == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the run that may be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run"))
