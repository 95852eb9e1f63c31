"""Saving and loading a run: the published files, and one file of training state per stage beside them.

`<stage>_state.pth` holds all that a stage goes on from: its networks, optimisers, EMA, step, configuration, versions,
and the digests of the published files written with it, so that weights which the user has put there since are noticed.
"""

import io
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeconnect import __version__
from edgeconnect.errors import UserError, reason
from edgeconnect.published import FILES, from_published, refuse_misfit, to_published
from edgeconnect.storage import digest, digest_of, write_whole
from edgeconnect.types import Method, is_trained

Contents = dict[str, Any]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a stage begins: the step, the state to go on with (if any), and how it begins, for the user."""

    step: int
    state: Contents | None
    message: str


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


def read_state(path: Path, mmap: bool = False) -> Contents:
    """Read a `<stage>_state.pth`."""
    state = read(path, mmap)
    lacking = {"stage", "step", "pictures", "digests", "networks", "optimizers"} - state.keys()
    if lacking:
        raise UserError(f"{path} is no training state: it lacks {', '.join(sorted(lacking))}; restore or remove it")
    return state


def load_network(folder: Path, name: str, network: nn.Module) -> int:
    """Fill one network from its published file; return the iteration stored there, 0 where none is.

    Raises UserError where the file is missing, damaged or of another architecture.
    """
    file, entry = FILES[name]
    data = read(folder / file)
    if not isinstance(data.get(entry), dict):
        raise UserError(f"{folder / file} has no entry `{entry}`: it is no {entry} of EdgeConnect")
    fill(network, from_published(data[entry]), folder / file)
    return int(data.get("iteration", 0))


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load a state, refusing one of another architecture in the name of its file."""
    refuse_misfit(path, network.state_dict(), state)
    network.load_state_dict(state)


def load_generator(folder: Path, name: str, network: nn.Module, use_ema: bool = True) -> bool:
    """Fill a generator that completes pictures: from the moving average saved with its file, where there is one.

    Returns whether it was the average.
    """
    file = folder / FILES[name][0]
    load_network(folder, name, network)
    state = owner(folder, file) if use_ema else None
    average = (state or {}).get("ema", {}).get("shadow", {}).get(name)
    if average:
        fill(network, average, file)
    return bool(average)


def load_generators(folder: Path, method: Method, use_ema: bool = True) -> list[str]:
    """Fill the generators of a method for completing pictures; return the files whose EMA weights were taken."""
    generators = {name: network for name, network in method.networks.items() if name.endswith("generator")}
    for name in generators:
        if not (folder / FILES[name][0]).is_file():
            file = FILES[name][0]
            raise UserError(f"{folder / file} does not exist; train it, or copy a published {file} there")
    return [FILES[name][0] for name, network in generators.items() if load_generator(folder, name, network, use_ema)]


def owner(folder: Path, file: Path) -> Contents | None:
    """Return the training state that a file was saved with, if there is one; unreadable states are skipped."""
    mark = digest(file)
    for path in sorted(folder.glob("*_state.pth")):
        try:
            state = read_state(path, mmap=True)
        except UserError as error:
            log.warning("skipped: %s", error)
            continue
        if mark in state["digests"].get(file.name, ()):
            return state
    return None


class Checkpoints:
    """The checkpoint files of one stage in a run's folder."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage, self.path = folder, stage, folder / f"{stage}_state.pth"

    def begin(self, method: Method) -> Start:
        """Load what the folder holds for this stage and tell where it goes on.

        A stage goes on from its own state, whatever later stages wrote. Without one it starts from the weights that
        are there: at 0 where another stage made them, at the iteration they carry where they are published ones.
        Raises UserError where a frozen network is missing, or weights that no stage here wrote lie beside the state.
        """
        self._load_frozen(method)
        trained = [name for name, network in method.networks.items() if is_trained(network)]
        if self.path.is_file():
            return self._resume(method, trained)
        present = [name for name in trained if (self.folder / FILES[name][0]).is_file()]
        if not present:
            return Start(0, None, "starts afresh")
        iterations = {name: load_network(self.folder, name, method.networks[name]) for name in present}
        leader = next((name for name in reversed(trained) if name in present and name.endswith("generator")), None)
        if leader is None:
            raise UserError(f"{self.folder}: holds discriminators without generators; move them, or restore the rest")
        file = FILES[leader][0]
        former = owner(self.folder, self.folder / file)
        step = 0 if former else iterations[leader]
        origin = f"of stage {former['stage']}" if former else f"in {file}, iteration {step}"
        fresh = [FILES[name][0] for name in trained if name not in present]
        lacking = f"; not there and started afresh: {', '.join(fresh)}" if fresh else ""
        return Start(step, None, f"starts from the weights {origin}{lacking}")

    def _load_frozen(self, method: Method) -> None:
        for name, network in method.networks.items():
            if not is_trained(network):
                file = self.folder / FILES[name][0]
                if not file.is_file():
                    raise UserError(
                        f"{file} does not exist; stage {self.stage} needs it: train it first (--model 1), "
                        "or copy a published one there"
                    )
                load_generator(self.folder, name, network)

    def _resume(self, method: Method, trained: list[str]) -> Start:
        state = read_state(self.path)
        for name in trained:
            file = self.folder / FILES[name][0]
            if file.is_file() and owner(self.folder, file) is None:
                raise UserError(
                    f"{file} was replaced since {self.path.name} was saved at iteration {state['step']}; "
                    f"remove {self.path} to train from the former, or move the former away to go on"
                )
            fill(method.networks[name], state["networks"][name], self.path)
        for role, optimizer in method.optimizers.items():
            restore_optimizer(optimizer, state["optimizers"][role])
        return Start(int(state["step"]), state, f"goes on at iteration {state['step']}")

    def save(self, method: Method, step: int, pictures: int, config: Mapping[str, Any], extra: Contents) -> None:
        """Write the state, then the trained networks in the published format.

        The state knows the files that it is about to replace, too, so that a run which dies in between goes on.
        `extra` (EMA, loss scale, ...) is stored beside what is the same for every run. Raises UserError where the
        disk is full or the folder read-only.
        """
        trained = {name: network for name, network in method.networks.items() if is_trained(network)}
        contents = {FILES[name][0]: published_bytes(name, network, step) for name, network in trained.items()}
        present = {file: self.folder / file for file in contents if (self.folder / file).is_file()}
        state = {
            "stage": self.stage,
            "step": step,
            "pictures": pictures,
            "digests": {
                file: [digest_of(data), *([digest(present[file])] if file in present else [])]
                for file, data in contents.items()
            },
            "networks": {name: network.state_dict() for name, network in trained.items()},
            "optimizers": {role: optimizer.state_dict() for role, optimizer in method.optimizers.items()},
            "config": dict(config),
            "versions": versions(),
        }
        write_whole(self.path, _bytes(state | extra))
        for file, data in contents.items():
            write_whole(self.folder / file, data)


def published_bytes(name: str, network: nn.Module, step: int) -> bytes:
    """Serialise a network as the published program reads it."""
    _, entry = FILES[name]
    iteration = {"iteration": step} if entry == "generator" else {}
    return _bytes(iteration | {entry: to_published(network.state_dict())})


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Contents) -> None:
    """Take an optimiser's moments over, but not its settings: LR and the betas are the configuration's."""
    settings = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, kept in zip(optimizer.param_groups, settings, strict=True):
        group.update(kept)


def versions() -> dict[str, str]:
    """Name what computed this run."""
    return {
        "edgeconnect": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchvision": version("torchvision"),
        "numpy": version("numpy"),
    }


def _bytes(contents: Contents) -> bytes:
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()
