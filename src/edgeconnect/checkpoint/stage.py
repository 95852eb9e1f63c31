"""How a stage begins, and what it leaves: its networks in the published files, its state beside them."""

import logging
import platform
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch

from edgeconnect import __version__, rng
from edgeconnect.atomic import copy_whole, keep_aside, sweep
from edgeconnect.checkpoint.published_format import FILES
from edgeconnect.checkpoint.saves import SAVES, STATE, Save, StageSaves, intact, owner
from edgeconnect.checkpoint.weights import (
    Contents,
    Source,
    is_readable,
    load_generator,
    load_network,
    published,
    read,
    sources,
)
from edgeconnect.config.file import dump, refuse_fixed
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.digest import fingerprint
from edgeconnect.errors import UserError, reason
from edgeconnect.types import Method, is_trained

NEEDED = {"step", "pictures", "optimizers", "config", "versions", "random"}
EARLIER = {"edge": (), "inpaint": (), "edge_inpaint": ("inpaint",), "joint": ("edge_inpaint", "inpaint", "edge")}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a stage begins: the step, the state to go on with (if any), and how it begins, for the user."""

    step: int
    state: Contents | None
    message: str


class Frozen(NamedTuple):
    """A network that is not trained: the iteration in its file, and the fingerprint of the file it came from."""

    iteration: int
    origin: str


class Checkpoints:
    """The saves of one stage in a run's folder, and the published files at its top, copies of the newest's."""

    def __init__(self, folder: Path, stage: str, keep: int = 2) -> None:
        self.folder, self.stage, self.keep = folder, stage, keep
        self.saves = StageSaves(folder, stage)
        self.frozen: dict[str, Frozen] = {}

    def begin(self, method: Method, config: Config, resume: str = "auto", init_from: Path | None = None) -> Start:
        """Load what the folder holds for this stage and tell where it goes on.

        A stage goes on from its own newest whole save, whatever later stages wrote. Without one it starts from the
        weights of `init_from` at 0, or from those that are there: at 0 where another stage made them, at the
        iteration they carry where they are published ones. With `resume` never, saves are put aside, and only
        earlier stages and published files count.
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
            file = FILES[name][0]
            iteration = load_network(save.path / file, name, network)
            if is_trained(network):
                self._agree(file, save)
            else:
                self.frozen[name] = Frozen(iteration, save.origins.get(file, ""))
                self._compare_frozen(file, save)
        for role, optimizer in method.optimizers.items():
            restore_optimizer(optimizer, state["optimizers"][role])
        changes += [
            f"{name} {was} -> {now}" for name, now in versions().items() if (was := state["versions"].get(name)) != now
        ]
        changes += ["--init-from is passed over: it begins a stage"] if init_from else []
        return Start(int(state["step"]), state, "; ".join([f"goes on at iteration {state['step']}", *changes]))

    def _agree(self, file: str, save: Save) -> None:
        """Compare a trained file at the top with the save that is gone on from; renew it where it is an older one's."""
        top = self.folder / file
        known = owner(self.folder, top) if top.is_file() else None
        if top.is_file() and known is None:
            if is_readable(top):
                raise UserError(
                    f"{top} was replaced since iteration {save.step} was saved; to train from it, add --resume never "
                    "once; to go on from the save, move it away"
                )
            log.warning("%s cannot be read; kept as %s, that of the save stands in", top, keep_aside(top).name)
        if known is None or known.path.parent == save.path.parent or known.written < save.written:
            copy_whole(save.path / file, top)

    def _compare_frozen(self, file: str, save: Save) -> None:
        top = self.folder / file
        if top.is_file() and fingerprint(top) not in (save.origins.get(file), save.files.get(file)):
            log.warning("%s is another one than stage %s began with; it goes on with its own", top, self.stage)

    def _load_frozen(self, method: Method, init_from: Path | None) -> None:
        frozen = {name: network for name, network in method.networks.items() if not is_trained(network)}
        found = sources(self.folder, frozen) | (sources(init_from, frozen) if init_from else {})
        for name, network in frozen.items():
            file = FILES[name][0]
            if name not in found:
                raise UserError(
                    f"{self.folder / file} does not exist; stage {self.stage} needs it: train it first (--model 1), "
                    "or copy a published one there"
                )
            load_generator(found[name], name, network)
            iteration = int(read(found[name].path, mmap=True).get("iteration", 0))
            self.frozen[name] = Frozen(iteration, fingerprint(found[name].path))

    def _initialize(self, method: Method, init_from: Path | None, counts_on: bool) -> Start:
        trained = [name for name, network in method.networks.items() if is_trained(network)]
        found = sources(init_from, trained) if init_from else self._left(trained, counts_on)
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

    def _left(self, names: Iterable[str], any_stage: bool) -> dict[str, Source]:
        """Find the weights at the top; those of this stage, or of a later one where it starts over, do not count.

        In their place come those of the stage that is trained before this one.
        """
        found: dict[str, Source] = {}
        for name in names:
            file = FILES[name][0]
            top = self.folder / file
            save = owner(self.folder, top) if top.is_file() else None
            counts = save is None or save.stage in EARLIER[self.stage] or (any_stage and save.stage != self.stage)
            source = sources(self.folder, [name]).get(name) if top.is_file() and counts else self._of_earlier(file)
            found |= {name: source} if source else {}
        return found

    def _of_earlier(self, file: str) -> Source | None:
        saves = (intact(self.folder / SAVES / stage) for stage in EARLIER[self.stage])
        return next((Source(save.path / file, save) for save in saves if save and save.trained(file)), None)

    def save(
        self, method: Method, step: int, pictures: int, config: Config, extra: Contents, best: bool = False
    ) -> None:
        """Write a save, copy its networks to the top, remove saves that are too many.

        `extra` (EMA, loss scale, ...) is stored beside what is the same for every run. Raises UserError where the
        disk is full or the folder read-only; the saves before stay as they are.
        """
        state = {
            "step": step,
            "pictures": pictures,
            "optimizers": {role: optimizer.state_dict() for role, optimizer in method.optimizers.items()},
            "config": config.flat(),
            "versions": versions(),
            "random": rng.states(),
        }
        iterations = {name: self.frozen[name].iteration if name in self.frozen else step for name in method.networks}
        networks = {name: net for name, net in method.networks.items() if name in self.frozen or is_trained(net)}
        contents = {FILES[name][0]: published(name, net, iterations[name]) for name, net in networks.items()}
        origins = {FILES[name][0]: frozen.origin for name, frozen in self.frozen.items()}
        with self.saves.write(step, origins) as part:
            write_files(part, contents | {STATE: state | extra})
            (part / CONFIG_FILE).write_text(dump(config), encoding="utf-8")
        if best:
            self.saves.mark_best(step)
        self._publish(self.saves.place / f"{step:07d}", contents.keys() - origins.keys(), origins)
        self.saves.prune(self.keep)

    def _publish(self, save: Path, trained: Iterable[str], frozen: Iterable[str]) -> None:
        """Copy networks to the top; what lies there and no save holds is kept under another name."""
        wanted = [*trained, *(file for file in frozen if not (self.folder / file).exists())]
        for top in (self.folder / file for file in wanted):
            if top.is_file() and owner(self.folder, top) is None:
                log.info("%s was there before: kept as %s", top, keep_aside(top).name)
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            list(pool.map(lambda file: copy_whole(save / file, self.folder / file), wanted))


def write_files(folder: Path, contents: Mapping[str, Contents]) -> None:
    """Serialise files side by side. Raises OSError where the disk does not take them."""

    def write(item: tuple[str, Contents]) -> None:
        with (folder / item[0]).open("wb") as file:
            torch.save(item[1], file)

    with ThreadPoolExecutor(len(contents)) as pool:
        try:
            list(pool.map(write, contents.items()))
        except RuntimeError as error:  # PyTorch's writer words what the system says in its own way
            raise error.__context__ if isinstance(error.__context__, OSError) else OSError(reason(error)) from error


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
