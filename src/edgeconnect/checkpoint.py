"""How a stage begins, and what it leaves: its networks in the published files, its state beside them."""

import logging
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from edgeconnect import __version__, randomness
from edgeconnect.config import dump, refuse_fixed
from edgeconnect.errors import UserError, reason
from edgeconnect.published import FILES
from edgeconnect.saves import STATE, Save, StageSaves, newest_with, owner
from edgeconnect.settings import CONFIG_FILE, Config
from edgeconnect.storage import fingerprint, free_name, link, sweep
from edgeconnect.types import Method, is_trained
from edgeconnect.weights import Contents, Source, load_generator, load_network, published, read, sources

RESUME = ("auto", "never", "must")
NEEDED = {"step", "pictures", "optimizers", "config", "random"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a stage begins: the step, the state to go on with (if any), and how it begins, for the user."""

    step: int
    state: Contents | None
    message: str


class Checkpoints:
    """The saves of one stage in a run's folder, and the published files at its top that are linked to the newest."""

    def __init__(self, folder: Path, stage: str, keep: int = 2) -> None:
        self.folder, self.stage, self.keep = folder, stage, keep
        self.saves = StageSaves(folder, stage)
        self.last: Path | None = None
        self.frozen: dict[str, int] = {}  # iterations of the networks that are not trained
        self.origins: dict[str, str] = {}  # fingerprints of the files that they came from

    def begin(self, method: Method, config: Config, resume: str = "auto", init_from: Path | None = None) -> Start:
        """Load what the folder holds for this stage and tell where it goes on.

        A stage goes on from its own newest intact save, whatever later stages wrote. Without one, or with `resume`
        never, it starts from the weights of `init_from` at 0, or from those that are there: at 0 where another stage
        made them, at the iteration they carry where they are published ones.
        Raises UserError where `resume` is must and there is no save, where the configuration does not fit the save,
        where a frozen network is missing, or where weights that no stage here wrote lie at the top.
        """
        sweep(self.folder)
        if resume == "never":
            self.saves.put_aside()
        save = self.saves.newest()
        if save:
            return self._resume(method, config, save, init_from)
        if resume == "must":
            raise UserError(f"--resume must: {self.folder} holds no save of stage {self.stage}; name the run's folder")
        self._load_frozen(method, init_from)
        return self._initialize(method, init_from, counts_on=resume == "auto")

    def _resume(self, method: Method, config: Config, save: Save, init_from: Path | None) -> Start:
        state = read(save.path / STATE)
        lacking = NEEDED - state.keys()
        if lacking:
            raise UserError(f"{save.path / STATE} is no training state: it lacks {', '.join(sorted(lacking))}")
        changes = refuse_fixed(state["config"], config.flat(), f"stage {self.stage}, saved at iteration {save.step},")
        for name, network in method.networks.items():
            iteration = load_network(save.path / FILES[name][0], name, network)
            self._agree(name, save, is_trained(network))
            if not is_trained(network):
                self.frozen[name] = iteration
        for role, optimizer in method.optimizers.items():
            restore_optimizer(optimizer, state["optimizers"][role])
        self.last, self.origins = save.path, dict(save.origins)
        passed_over = ["--init-from is passed over: it begins a stage"] if init_from else []
        notes = "; ".join(["", *changes, *passed_over])
        return Start(int(state["step"]), state, f"goes on at iteration {state['step']}{notes}")

    def _agree(self, name: str, save: Save, trained: bool) -> None:
        """Compare the file at the top with the save that is gone on from; renew it where it is the save's."""
        file = FILES[name][0]
        top = self.folder / file
        known = owner(self.folder, top) if top.is_file() else save
        if not trained:
            if top.is_file() and save.origins.get(file) not in (None, fingerprint(top)):
                log.warning("%s is another one than stage %s began with; it goes on with its own", top, self.stage)
        elif known and known.path.parent == save.path.parent:
            link(save.path / file, top)
        elif known is None:
            try:
                read(top)
            except UserError as error:
                log.warning("%s; replaced by that of the save", error)
                link(save.path / file, top)
                return
            raise UserError(
                f"{top} was replaced since iteration {save.step} was saved; to train from it, add --resume never; to "
                "go on from the save, move it away"
            )

    def _load_frozen(self, method: Method, init_from: Path | None) -> None:
        frozen = {name: network for name, network in method.networks.items() if not is_trained(network)}
        found = (sources(init_from, frozen) if init_from else {}) | sources(self.folder, frozen)
        for name, network in frozen.items():
            file = FILES[name][0]
            if name not in found:
                raise UserError(
                    f"{self.folder / file} does not exist; stage {self.stage} needs it: train it first (--model 1), "
                    "or copy a published one there"
                )
            load_generator(found[name], name, network)
            self.frozen[name] = int(read(found[name].path, mmap=True).get("iteration", 0))
            self.origins[file] = fingerprint(found[name].path)

    def _initialize(self, method: Method, init_from: Path | None, counts_on: bool) -> Start:
        trained = [name for name, network in method.networks.items() if is_trained(network)]
        found = sources(init_from, trained) if init_from else self._left_by_others(trained)
        leader = next((name for name in reversed(trained) if name in found and name.endswith("generator")), None)
        if leader is None and (found or init_from):
            where = f"{init_from or self.folder}: holds {'discriminators without' if found else 'no'} generators"
            raise UserError(f"{where} of stage {self.stage}; give a folder with {FILES[trained[0]][0]}")
        if leader is None:
            return Start(0, None, "starts afresh")
        steps = {name: load_network(source.path, name, method.networks[name]) for name, source in found.items()}
        former = found[leader].save
        step = steps[leader] if counts_on and not (former or init_from) else 0
        origin = f"of stage {former.stage}" if former else f"in {found[leader].path.name}, iteration {steps[leader]}"
        origin += f" of {init_from}" if init_from else ""
        fresh = [FILES[name][0] for name in trained if name not in found]
        lacking = f"; not there and started afresh: {', '.join(fresh)}" if fresh else ""
        return Start(step, None, f"starts from the weights {origin}{lacking}")

    def _left_by_others(self, names: list[str]) -> dict[str, Source]:
        """Find the weights that other stages or the user left, not those of this stage that were put aside."""
        found = sources(self.folder, names)
        for name, (path, intact) in list(found.items()):
            save = intact or owner(self.folder, path)
            if save and save.stage.split(".")[0] == self.stage:
                other = newest_with(self.folder, path.name, besides=self.stage)
                found |= {name: Source(other.path / path.name, other)} if other else {}
                if other is None:
                    del found[name]
        return found

    def save(
        self, method: Method, step: int, pictures: int, config: Config, extra: Contents, best: bool = False
    ) -> None:
        """Write a save, link the published files at the top to it, remove saves that are too many.

        `extra` (EMA, loss scale, ...) is stored beside what is the same for every run. Raises UserError where the
        disk is full or the folder read-only; the saves before stay as they are.
        """
        state = {
            "step": step,
            "pictures": pictures,
            "optimizers": {role: optimizer.state_dict() for role, optimizer in method.optimizers.items()},
            "config": config.flat(),
            "versions": versions(),
            "random": randomness.states(),
        }
        trained = {name: network for name, network in method.networks.items() if is_trained(network)}
        with self.saves.write(step, self.origins) as part:
            contents = {FILES[name][0]: published(name, network, step) for name, network in trained.items()}
            write_files(part, contents | {STATE: state | extra})
            for name, iteration in self.frozen.items():
                self._keep_frozen(part, name, method.networks[name], iteration)
            (part / CONFIG_FILE).write_text(dump(config), encoding="utf-8")
        save = self.saves.place / f"{step:07d}"
        for file in contents:
            self._publish(save / file)
        for file in (FILES[name][0] for name in self.frozen):
            if not (self.folder / file).exists():  # it came from --init-from
                link(save / file, self.folder / file)
        self.last = save
        if best:
            self.saves.mark_best(step)
        self.saves.prune(self.keep)

    def _keep_frozen(self, part: Path, name: str, network: nn.Module, iteration: int) -> None:
        """Add a frozen network: linked to the last save's, as it never changes."""
        file = FILES[name][0]
        if self.last and (self.last / file).is_file():
            link(self.last / file, part / file)
        else:
            write_files(part, {file: published(name, network, iteration)})

    def _publish(self, source: Path) -> None:
        """Link a file to the top; what lies there and no save holds is kept under another name."""
        top = self.folder / source.name
        twin = self.last / source.name if self.last else None
        ours = twin is not None and twin.exists() and top.exists() and top.samefile(twin)
        if top.is_file() and not ours and owner(self.folder, top) is None:
            aside = free_name(top)
            log.info("%s was there before: kept as %s", top, aside.name)
            link(top, aside)
        link(source, top)


def write_files(folder: Path, contents: Mapping[str, Contents]) -> None:
    """Serialise files side by side. Raises OSError where the disk does not take them."""

    def write(item: tuple[str, Contents]) -> None:
        with (folder / item[0]).open("wb") as file:
            torch.save(item[1], file)

    with ThreadPoolExecutor(len(contents)) as pool:
        try:
            list(pool.map(write, contents.items()))
        except RuntimeError as error:  # PyTorch's writer reports a full disk in its own words
            raise OSError(reason(error)) from error


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
