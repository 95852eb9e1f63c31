"""Saving and loading a run: the published files, and one file of training state per stage beside them.

`<stage>_state.pth` holds optimisers, EMA, step, configuration, versions and the digests of the files it belongs to,
so that weights which another stage, or the user, has replaced since are never mistaken for it.
"""

import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeconnect import __version__
from edgeconnect.errors import UserError, reason
from edgeconnect.published import FILES, from_published, refuse_misfit, to_published
from edgeconnect.storage import digest, write_whole
from edgeconnect.types import Method, is_trained

Contents = dict[str, Any]


@dataclass(frozen=True)
class Start:
    """Where a stage begins: the step, the state to go on with (if any), and what the user should know."""

    step: int
    state: Contents | None
    message: str


def read(path: Path) -> Contents:
    """Read one checkpoint file; nothing in it is executed. Raises UserError naming the file."""
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the damage makes it
        raise UserError(f"{path} is no readable checkpoint ({reason(error)}); restore it from a copy") from error
    if not isinstance(data, dict):
        raise UserError(f"{path} is no checkpoint: it holds a {type(data).__name__}")
    return data


def load_network(folder: Path, name: str, network: nn.Module) -> int:
    """Fill one network from its published file; return the iteration stored there, 0 where none is.

    Raises UserError where the file is missing, damaged or of another architecture.
    """
    file, entry = FILES[name]
    data = read(folder / file)
    if not isinstance(data.get(entry), dict):
        raise UserError(f"{folder / file} has no entry `{entry}`: it is no {entry} of EdgeConnect")
    state = from_published(data[entry])
    refuse_misfit(folder / file, network.state_dict(), state)
    network.load_state_dict(state)
    return int(data.get("iteration", 0))


def load_generators(folder: Path, method: Method, use_ema: bool = True) -> list[str]:
    """Fill the generators of a method for completing pictures; return the files whose EMA weights were taken."""
    averaged = []
    for name, network in method.networks.items():
        if not name.endswith("generator"):
            continue
        file = folder / FILES[name][0]
        if not file.is_file():
            raise UserError(f"{file} does not exist; train it, or copy a published checkpoint to {folder}")
        load_network(folder, name, network)
        average = (owner(folder, file) or {}).get("ema", {}).get("shadow", {}).get(name) if use_ema else None
        if average:
            network.load_state_dict(average)
            averaged.append(file.name)
    return averaged


def owner(folder: Path, file: Path) -> Contents | None:
    """Return the training state that was saved together with a file, if it still belongs to it."""
    states = [read(path) for path in sorted(folder.glob("*_state.pth"))]
    mark = digest(file) if states else None
    return next((state for state in states if state.get("digests", {}).get(file.name) == mark), None)


class Checkpoints:
    """The checkpoint files of one stage in a run's folder."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage, self.path = folder, stage, folder / f"{stage}_state.pth"

    def begin(self, method: Method, max_iters: int) -> Start:
        """Load what the folder holds for this stage and tell where it goes on.

        A stage without a state of its own starts from the weights that are there: at 0 where another stage made them,
        at the iteration they carry where they are published ones. Raises UserError where a frozen network is missing
        or the state does not belong to the weights.
        """
        self._load_frozen(method)
        trained = [name for name, network in method.networks.items() if is_trained(network)]
        if self.path.is_file():
            return self._resume(method, trained, max_iters)
        present = [name for name in trained if (self.folder / FILES[name][0]).is_file()]
        if not present:
            return Start(0, None, f"stage {self.stage}: starts afresh")
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
        return Start(step, None, f"stage {self.stage}: starts from the weights {origin}{lacking}")

    def _load_frozen(self, method: Method) -> None:
        for name, network in method.networks.items():
            if not is_trained(network):
                file = self.folder / FILES[name][0]
                if not file.is_file():
                    raise UserError(
                        f"{file} does not exist; stage {self.stage} needs it: train it first (--model 1), "
                        "or copy a published one there"
                    )
                load_network(self.folder, name, network)

    def _resume(self, method: Method, trained: list[str], max_iters: int) -> Start:
        state = read(self.path)
        step = int(state["step"])
        if all(state["digests"].get(FILES[name][0]) == self._digest(name) for name in trained):
            for name in trained:
                load_network(self.folder, name, method.networks[name])
            for role, optimizer in method.optimizers.items():
                restore_optimizer(optimizer, state["optimizers"][role])
            return Start(step, state, f"stage {self.stage}: continues at iteration {step}")
        if step >= max_iters:
            return Start(step, None, f"stage {self.stage}: ended at iteration {step}; other weights replaced its own")
        raise UserError(
            f"{self.path} (iteration {step}) does not belong to the weights beside it, which another stage wrote or "
            f"somebody replaced; remove it to train stage {self.stage} from those weights anew"
        )

    def _digest(self, name: str) -> str | None:
        file = self.folder / FILES[name][0]
        return digest(file) if file.is_file() else None

    def save(self, method: Method, step: int, config: Mapping[str, Any], extra: Contents) -> None:
        """Write the trained networks in the published format, then the state that belongs to them.

        `extra` (EMA, loss scale, ...) is stored beside what is the same for every run. Raises UserError where the
        disk is full or the folder read-only.
        """
        digests = {}
        for name, network in method.networks.items():
            if is_trained(network):
                file, entry = FILES[name]
                iteration = {"iteration": step} if entry == "generator" else {}
                write_whole(self.folder / file, _bytes(iteration | {entry: to_published(network.state_dict())}))
                digests[file] = digest(self.folder / file)
        state = {
            "stage": self.stage,
            "step": step,
            "digests": digests,
            "optimizers": {role: optimizer.state_dict() for role, optimizer in method.optimizers.items()},
            "config": dict(config),
            "versions": versions(),
        }
        write_whole(self.path, _bytes(state | extra))


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
