"""A run's folder: the history of its starts, and the configuration that speaks for it."""

import json
from collections.abc import Sequence
from pathlib import Path

from edgeconnect.atomic import explained
from edgeconnect.checkpoint.saves import RECORD, read_save
from edgeconnect.config import file as config_file
from edgeconnect.config.file import Loaded, Override, scalar
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.provenance import provenance

HISTORY = "history.jsonl"
OF_THIS_USE = (  # keys that config.yml decides also after a training; lists too, where it names any
    *("MODE", "MODEL", "DEVICE", "GPU", "NUM_WORKERS", "DEBUG", "VERBOSE", "RAW_EDGES"),
    *("ON_BAD_IMAGE", "BAD_IMAGE_LIMIT", "MAX_PIXELS"),
)


def record_start(
    folder: Path, config: Config, iteration: int, phase: int, changes: Sequence[str], given: Sequence[str]
) -> None:
    """Append a line to the history: when, by which command and code, what `--set` gave, what changed since the save."""
    values = config.flat()
    line = provenance() | {"stage": config.stage.name, "iteration": iteration, "phase": phase + 1}
    line |= {"set": {key: scalar(values[key]) for key in given}, "changes": list(changes)}
    path = folder / HISTORY
    with explained(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def folder_config(folder: Path, overrides: Sequence[Override] = (), by_model: bool = False) -> Loaded:
    """Read the configuration that completes pictures with a run, or with a save given in place of its folder.

    What the stage was last trained with counts (`resolved_<stage>.yml`), and config.yml for lists, devices and the
    like; then `overrides`, as for `config.file.load`. MODEL is the method's completing stage, a save's own, or with
    `by_model` that of config.yml, unless an override names it.
    """
    path = folder / CONFIG_FILE
    file = path if path.is_file() else None
    if (folder / RECORD).is_file():
        overrides = [(f"{folder / RECORD}", f"MODEL={read_save(folder).stage}"), *overrides]
    now = config_file.load(file, overrides, completing=not by_model)
    resolved = folder / f"resolved_{now.config.stage.name}.yml"
    if not resolved.is_file():
        return now
    present, trained = (config_file.load(source).config.flat() for source in (file, resolved))
    lists = [key for key, value in present.items() if key.endswith("_FLIST") and value]
    kept = {key: value for key, value in trained.items() if key not in (*OF_THIS_USE, *lists, *now.config.row.unread)}
    usual = config_file.build({"METHOD": now.config.run.method}).flat()
    both = [key for key in kept if file and key in present and key in usual]  # sections are those of one METHOD
    differing = [key for key in both if present[key] != kept[key] and present[key] != usual[key]]
    counts = "in training, which counts; --set changes it"
    notes = [f"{path}: {key} was {scalar(kept[key])} {counts}" for key in differing]
    given = [(str(resolved), f"{key}={scalar(value)}") for key, value in kept.items()]
    loaded = config_file.load(file, [*given, *overrides], completing=not by_model)
    return Loaded(loaded.config, (*loaded.notes, *notes))
