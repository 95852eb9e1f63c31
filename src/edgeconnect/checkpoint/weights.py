"""Networks and their published files, at the top of a run's folder and in its saves."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgeconnect.checkpoint.published_format import FILES, from_published, refuse_misfit, to_published
from edgeconnect.checkpoint.saves import STATE, Save, intact, newest_with, owner
from edgeconnect.errors import UserError, reason
from edgeconnect.types import Method

Contents = dict[str, Any]

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """A file to read a network from, and the save that it belongs to, if any."""

    path: Path
    save: Save | None


def read(path: Path, mmap: bool = False) -> Contents:
    """Read one checkpoint file; nothing in it is executed. Raises UserError naming the file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # torch.load raises whatever the damage makes it
        raise UserError(f"{path} is no readable checkpoint ({reason(error)}); restore it from a copy") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} is no checkpoint: it holds a {type(data).__name__}")
    return data


def sources(folder: Path, names: Iterable[str]) -> dict[str, Source]:
    """Find the files to read networks from; those that are nowhere are left out.

    What a stage here saved is read from its newest whole save, even while the files at the top are being replaced.
    Generators that complete pictures together come from one save where the last of `names` belongs to one that holds
    all of them: the ones that were trained together. What somebody put there is read as it is.
    """
    wanted = list(names)
    newest: dict[Path, Save | None] = {}
    found = {name: source for name in wanted if (source := _source(folder, FILES[name][0], newest))}
    leader = found[wanted[-1]].save if wanted and wanted[-1] in found else None
    for name, (path, save) in list(found.items()):
        if leader and save and save != leader and path.name in leader.files:
            found[name] = Source(leader.path / path.name, leader)
            if save.written > leader.written:
                log.info(
                    "%s of stage %s is newer than stage %s, which has its own", path.name, save.stage, leader.stage
                )
    return found


def _source(folder: Path, file: str, newest: dict[Path, Save | None]) -> Source | None:
    """Find one file; `newest` remembers the newest whole save of each stage, so that all are of one moment."""
    top = folder / file
    save = owner(folder, top) if top.is_file() else None
    if save and save.path != folder:
        place = save.path.parent
        if place not in newest:
            newest[place] = intact(place)
        save = newest[place]
        return Source(save.path / file, save) if save else Source(top, None)
    if save or (top.is_file() and is_readable(top)):
        return Source(top, save)
    last = newest_with(folder, file)
    if last and top.is_file():
        log.warning("%s cannot be read; that of %s stands in", top, last.path)
    return Source(last.path / file, last) if last else Source(top, None) if top.is_file() else None


def is_readable(path: Path) -> bool:
    """Tell whether a file is a checkpoint at all."""
    try:
        read(path, mmap=True)
    except UserError:
        return False
    return True


def load_network(path: Path, name: str, network: nn.Module) -> int:
    """Fill one network from its published file; return the iteration stored there, 0 where none is.

    Raises UserError where the file is missing, damaged or of another architecture.
    """
    entry = FILES[name][1]
    data = read(path)
    state, iteration = data.get(entry), data.get("iteration", 0)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path} has no entry `{entry}` of tensors: it is no {entry} of EdgeConnect")
    if not isinstance(iteration, int) or iteration < 0:
        raise UserError(f"{path}: its iteration is {iteration!r}, no whole number of 0 or more; restore it from a copy")
    fill(network, from_published(state), path)
    return iteration


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state, refusing one of another architecture in the name of its file."""
    refuse_misfit(path, network.state_dict(), state)
    network.load_state_dict(state)


def load_generator(source: Source, name: str, network: nn.Module, use_ema: bool = True) -> bool:
    """Fill a generator that completes pictures: from the moving average saved with its file, where there is one.

    Returns whether it was the average.
    """
    load_network(source.path, name, network)
    if not use_ema or source.save is None:
        return False
    average = read(source.save.path / STATE, mmap=True).get("ema", {}).get("shadow", {}).get(name)
    if average:
        fill(network, average, source.path)
    return bool(average)


def load_generators(folder: Path, method: Method, use_ema: bool = True) -> list[str]:
    """Fill the generators of a method for completing pictures; return the files whose EMA weights were taken."""
    generators = {name: network for name, network in method.networks.items() if name.endswith("generator")}
    found = sources(folder, generators)
    for name in generators:
        if name not in found:
            file = FILES[name][0]
            raise UserError(f"{folder / file} does not exist; train it, or copy a published {file} there")
    return [FILES[name][0] for name in generators if load_generator(found[name], name, generators[name], use_ema)]


def published(name: str, network: nn.Module, step: int) -> Contents:
    """Arrange a network as the published program reads it."""
    entry = FILES[name][1]
    iteration = {"iteration": step} if entry == "generator" else {}
    return iteration | {entry: to_published(network.state_dict())}
