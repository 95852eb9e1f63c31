"""A run's folder: the history of its starts, and the configuration that speaks for it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeconnect.atomic import explained
from edgeconnect.checkpoint.saves import RECORD, read_save
from edgeconnect.config import file as config_file
from edgeconnect.config.file import Loaded, scalar
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.provenance import provenance

HISTORY = "history.jsonl"
NOT_OF_THE_WEIGHTS = ("MODE", "MODEL", "METHOD", "DEVICE", "GPU", "NUM_WORKERS")

Override = tuple[str, str]
"""Where it was written, and `KEY=VALUE`."""


def record_start(
    folder: Path, config: Config, iteration: int, phase: int, changes: Sequence[str], given: Sequence[str]
) -> None:
    """Append a line to the history: when, by which command and code, what `--set` gave, what changed since the save."""
    values = config.flat()
    line = {
        **provenance(),
        "stage": config.stage.name,
        "iteration": iteration,
        "phase": phase + 1,
        "set": {key: scalar(values[key]) for key in given},
        "changes": list(changes),
    }
    path = folder / HISTORY
    with explained(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def history(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the starts of a run, the first one first; lines that were cut off are left out."""
    path = folder / HISTORY
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            yield dict(json.loads(line))
        except ValueError:
            continue


def folder_config(folder: Path, overrides: Sequence[Override] = (), by_model: bool = False) -> Loaded:
    """Read the configuration that completes pictures with a run, or with a save given in place of its folder.

    1. config.yml of the folder; 2. what `--set` gave when the stage was last trained; 3. `overrides`. MODEL is the
    method's completing stage, a save's own, with `by_model` that of config.yml, unless an override names it.
    """
    path = folder / CONFIG_FILE
    file = path if path.is_file() else None
    if (folder / RECORD).is_file():
        overrides = [(f"{folder / RECORD}", f"MODEL={read_save(folder).stage}"), *overrides]
    stage = config_file.load(file, overrides, completing=not by_model).config.stage.name
    return config_file.load(file, [*_given_in_training(folder, stage), *overrides], completing=not by_model)


def _given_in_training(folder: Path, stage: str) -> list[Override]:
    starts = [start for start in history(folder) if start.get("stage") == stage]
    if starts:
        where = f"{folder / HISTORY}, last start of {stage}"
        return [(where, f"{key}={value}") for key, value in dict(starts[-1].get("set", {})).items()]
    resolved = folder / f"resolved_{stage}.yml"  # all that runs of version 0.1 left of it
    if not resolved.is_file():
        return []
    values = config_file.load(resolved).config.flat()
    kept = {key: value for key, value in values.items() if key not in NOT_OF_THE_WEIGHTS and not key.endswith("_FLIST")}
    return [(str(resolved), f"{key}={scalar(value)}") for key, value in kept.items()]
