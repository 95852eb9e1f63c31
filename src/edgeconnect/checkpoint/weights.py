"""Network weights: which file of a run's folder they come from, and how they are read and written."""

import logging
import os
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgeconnect.checkpoint.published_format import from_published, refuse_misfit, to_published
from edgeconnect.checkpoint.saves import RECORD, SAVES, STATE, Save, every_save, intact, owner, places, read_save
from edgeconnect.digest import file_digest
from edgeconnect.errors import UserError, reason
from edgeconnect.methods.catalogue import Network, Stage

Contents = dict[str, Any]
Newest = Callable[[Path], Save | None]  # the newest whole save in a stage's folder

log = logging.getLogger(__name__)


class Source(NamedTuple):
    """A file to read a network from, and the save that it belongs to, if any."""

    path: Path
    save: Save | None


class LoadedWeights(NamedTuple):
    """Where the weights of a network that completes pictures came from; files put there by hand have no stage."""

    file: str
    digest: str  # of the file that holds what was loaded
    averaged: bool  # the moving average, not the last weights
    stage: str = ""
    iteration: int = 0

    def __str__(self) -> str:
        place = f"stage {self.stage}, iteration {self.iteration}" if self.stage else f"iteration {self.iteration}"
        return f"{self.file} ({place}{', moving average' if self.averaged else ''})"


def read(path: Path, mmap: bool = False) -> Contents:
    """Read one checkpoint file; nothing in it is executed. Raises UserError naming the file.

    `mmap` leaves tensors on the disk until they are used; files of PyTorch before 1.6 are no archives and are read.
    """
    if not path.is_file():
        there = "is no file, or a link to none; put the file there" if os.path.lexists(path) else "does not exist"
        raise UserError(f"{path} {there}")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except Exception as error:  # torch.load raises whatever the damage makes it
        raise UserError(f"{path} is no readable checkpoint ({reason(error)}); restore it from a copy") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} is no checkpoint: it holds a {type(data).__name__}")
    return data


def is_readable(path: Path) -> bool:
    """Return whether a file is a checkpoint at all."""
    try:
        read(path, mmap=True)
    except UserError:
        return False
    return True


def put_by_hand(folder: Path, file: str) -> Path | None:
    """Return a file at the top of a run's folder, readable or not, that no stage here trained; None where none is."""
    top = folder / file
    if (folder / RECORD).is_file() or not os.path.lexists(top) or (top.is_file() and owner(folder, top)):
        return None
    return top


def trained_source(folder: Path, network: Network, stages: Sequence[str], newest: Newest = intact) -> Source | None:
    """Find a trained network to begin with, in a run's folder or in a save.

    1. A file put there by hand, readable or not; reading it says why it cannot be used.
    2. The newest save of the first of `stages` that trained it.
    3. The file at the top, if one of `stages` trained it in a former run.
    4. Where no stage here trained it, the newest copy of a stage that keeps it frozen.

    To look at a save is to read all of it: give several networks one cached `newest`. Raises UserError for a save that
    is damaged.
    """
    if (folder / RECORD).is_file():
        held = _whole(folder)
        return Source(folder / network.file, held) if network.file in held.files else None
    top = folder / network.file
    if put_by_hand(folder, network.file):
        return Source(top, None)
    for save in filter(None, (newest(folder / SAVES / stage) for stage in stages)):
        if save.trains(network.file):
            return Source(save.path / network.file, save)
    former = owner(folder, top) if top.is_file() else None
    if former and former.stage in stages:
        return Source(top, former)
    saves = every_save(folder)
    if any(save.trains(network.file) for save in saves):
        return None
    keep = dict.fromkeys(save.path.parent for save in saves if network.file in save.origins)
    copies = [save for save in map(newest, keep) if save and network.file in save.origins]
    latest = max(copies, key=lambda save: save.written, default=None)
    return Source(latest.path / network.file, None) if latest else None


def _whole(folder: Path) -> Save:
    """Read a save that is given in place of a run's folder. Raises UserError where it is damaged."""
    save = read_save(folder)
    problem = save.damage()
    if problem:
        raise UserError(f"{folder}: {problem}; use another save")
    return save


def _save_of(folder: Path, stage: Stage) -> Save | None:
    if not (folder / RECORD).is_file():
        return intact(folder / SAVES / stage.name)
    save = _whole(folder)
    if save.stage != stage.name:
        raise UserError(f"{folder} is a save of stage {save.stage}, not of {stage.name}; give --model {save.stage}")
    return save


def _missing(folder: Path, file: str, stage: Stage) -> UserError:
    others = filter(None, (intact(place) for place in places(folder) if ".old-" not in place.name))
    there = ", ".join(f"{save.stage} ({save.step})" for save in others)
    if there:
        remedy = f"name one with --model, or train this one (--model {stage.number})"
        return UserError(f"{folder} holds no save of stage {stage.name}; there are saves of {there}: {remedy}")
    return UserError(f"{folder / file} does not exist; train it, or copy a published {file} there")


def load_completing(
    folder: Path, stage: Stage, networks: Mapping[str, nn.Module], use_ema: bool = True
) -> list[LoadedWeights]:
    """Fill those of `networks` that complete pictures in a stage, and return what each was filled with.

    They are those of its newest whole save, but files at the top that no save here wrote, such as published ones, come
    first. A save may be given in place of a run's folder. Raises UserError where one is missing, naming the stages that
    have saves.
    """
    save, loaded = _save_of(folder, stage), []
    for name in filter(networks.__contains__, stage.completing):
        network = stage.networks[name]
        top = put_by_hand(folder, network.file)
        if save and network.file in save.files and not (top and _is_preferred(top, save)):
            source = Source(save.path / network.file, save)
        elif top:
            source = Source(top, None)
        else:
            raise _missing(folder, network.file, stage)
        iteration, averaged = load_averaged(source, name, network, networks[name], use_ema)
        loaded.append(described(source, network, iteration, averaged))
    return loaded


def _is_preferred(top: Path, save: Save) -> bool:
    """Return whether a file put at the top by hand completes in place of a save's: a readable one, and another."""
    if not is_readable(top):
        log.warning("%s cannot be read: it does not count", top)
        return False
    if file_digest(top) in (save.origins.get(top.name), save.files[top.name]):
        return False
    log.warning("%s was put there by hand: it is used, not that of iteration %d", top, save.step)
    return True


def described(source: Source, network: Network, iteration: int, averaged: bool = False) -> LoadedWeights:
    """Describe what a network was filled with; `iteration` is that in its file."""
    step, stage = (source.save.step, source.save.stage) if source.save else (iteration, "")
    held = source.save.path / STATE if source.save and averaged else source.path
    return LoadedWeights(network.file, file_digest(held), averaged, stage, step)


def load_averaged(
    source: Source, name: str, network: Network, module: nn.Module, use_ema: bool = True
) -> tuple[int, bool]:
    """Fill a network from the moving average saved with its file, or from the file where there is no average.

    Returns the iteration in the file, and whether it was the average.
    """
    iteration = load_network(source.path, network, module)
    average: Mapping[str, Tensor] = {}
    if use_ema and source.save:
        average = read(source.save.path / STATE, mmap=True).get("ema", {}).get("shadow", {}).get(name, {})
    if average:
        fill(module, average, source.path)
    return iteration, bool(average)


def load_network(path: Path, network: Network, module: nn.Module) -> int:
    """Fill one network from its published file; return the iteration stored there, 0 where none is.

    Raises UserError where the file is missing, damaged, of another architecture, or holds numbers that are not finite.
    """
    data = read(path)
    state, iteration = data.get(network.entry), data.get("iteration", 0)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise UserError(f"{path} has no entry `{network.entry}` of tensors: give the file that training wrote")
    if not isinstance(iteration, int) or not 0 <= iteration < 2**53:
        raise UserError(f"{path}: its iteration is {iteration!r}, no whole number of 0 or more; restore it from a copy")
    fill(module, from_published(state, network.alias), path)
    return iteration


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state; raise UserError in the name of its file where it does not fit or is not finite."""
    refuse_misfit(path, module.state_dict(), state)
    try:
        broken = next((name for name, value in state.items() if not value.isfinite().all()), None)
        module.load_state_dict(state)
    except (RuntimeError, TypeError) as error:  # tensors of a kind that no network has, such as sparse ones
        raise UserError(f"{path} holds no weights ({reason(error)}); restore it from a copy") from error
    if broken:
        raise UserError(f"{path}: {broken} holds nan or infinity; use an earlier save, or a copy")


def published(network: Network, module: nn.Module, step: int) -> Contents:
    """Arrange a network as the published program reads it; files that complete pictures carry the iteration."""
    iteration = {"iteration": step} if network.completes else {}
    return iteration | {network.entry: to_published(module.state_dict(), network.alias)}
