"""How a stage begins, and what it leaves: its networks in the published files, its state beside them."""

import functools
import logging
import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from edgeconnect import __version__
from edgeconnect.atomic import copy_whole, keep_aside, sweep
from edgeconnect.checkpoint import weights
from edgeconnect.checkpoint.saves import SAVES, STATE, Save, StageSaves, every_save, intact, is_held, owner
from edgeconnect.config import file as config_file
from edgeconnect.config.file import dump, refuse_fixed, scalar
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.digest import file_digest
from edgeconnect.errors import UserError, reason
from edgeconnect.types import Stateful

NEEDED = ("config", "optimizers", "random", "train", "versions")
OF_TRAIN = ("step", "pictures", "passed_over", "data")  # where earlier versions kept these, at the top of the state

Networks = Mapping[str, nn.Module]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Where a stage begins: the step, the state to continue with (if any), and how it begins, for the user."""

    step: int
    state: weights.Contents | None
    message: str
    changes: tuple[str, ...] = ()  # in configuration and versions since the save, as `LR 0.0001 -> 1e-05`
    is_fresh: bool = False  # no weights were there to begin with


class Frozen(NamedTuple):
    """A network that is not trained: the iteration in its file, and the digest of the file it came from."""

    iteration: int
    origin: str


class Checkpoints:
    """The saves of one stage in a run's folder, and the published files at its top, copies of the newest's."""

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder, self.config, self.row, self.stage = folder, config, config.row, config.stage
        self.saves = StageSaves(folder, self.stage.name)
        self.frozen: dict[str, Frozen] = {}

    def begin(self, networks: Networks, resume: str = "auto", init_from: Path | None = None) -> Start:
        """Load the networks of this stage and return where it continues.

        1. A stage continues from its own newest whole save, whatever later stages wrote.
        2. Without one it starts at iteration 0 from the weights of `init_from`, or from a stage before it.
        3. Published files that somebody put into the folder come before those; they continue at their iteration.

        With `resume` never, the stage's saves are renamed and do not count.
        Raises UserError where `resume` is must and there is no save, where the configuration does not fit the save,
        where a file that is to be used cannot be, where files that no save here wrote lie over those of the save, and
        where a generator would start afresh beside a trained one, which only `resume` never allows.
        """
        sweep(self.folder)
        if resume == "never":
            self.saves.rename_former()
        save = self.saves.newest()
        if save:
            return self._resume(networks, save, init_from)
        if resume == "must":
            raise UserError(f"--resume must: {self.folder} holds no save of stage {self.stage.name}; name its folder")
        newest = functools.cache(intact)
        for name in self.stage.frozen:
            self._load_frozen(name, networks[name], init_from, newest)
        return self._initialize(networks, init_from, newest, resume)

    def _resume(self, networks: Networks, save: Save, init_from: Path | None) -> Start:
        state = current_layout(weights.read(save.path / STATE))
        lacking = [name for name in NEEDED if not isinstance(state.get(name), dict)]
        if lacking:
            raise UserError(f"{save.path / STATE} is no training state: it lacks {', '.join(lacking)}")
        what = f"stage {self.stage.name}, saved at iteration {save.step},"
        changes = refuse_fixed(state["config"], self.config.flat(), what)
        for name, network in self.stage.networks.items():
            iteration = weights.load_network(save.path / network.file, network, networks[name])
            if name in self.stage.frozen:
                self.frozen[name] = Frozen(iteration, save.origins.get(network.file, ""))
                top = self.folder / network.file
                if top.is_file() and file_digest(top) not in (save.origins.get(top.name), save.files.get(top.name)):
                    log.warning("%s is another one than stage %s began with; it keeps its own", top, save.stage)
            else:
                self._compare_trained(network.file, save)
        was = state["versions"]
        changes += [f"{name} {was[name]} -> {now}" for name, now in versions().items() if was.get(name, now) != now]
        said = [f"resumes at iteration {save.step}", *changes]
        said += ["--init-from does not count: it begins a stage"] if init_from else []
        return Start(save.step, state, "; ".join(said), tuple(changes))

    def _compare_trained(self, file: str, save: Save) -> None:
        """Compare a trained file at the top with the save that is resumed; renew it where it is an older one's."""
        top = self.folder / file
        known = owner(self.folder, top) if top.is_file() else None
        if known is None and weights.is_readable(top):
            remedy = "to train from it, add --resume never once; to continue from the save, move it away"
            raise UserError(f"{top} was replaced since iteration {save.step} was saved; {remedy}")
        if known is None and os.path.lexists(top):
            log.warning("%s cannot be read; that of the save stands in", top)
        if known is None or known.path.parent == save.path.parent or known.written < save.written:
            self._put_at_top(save.path / file)

    def _load_frozen(self, name: str, module: nn.Module, init_from: Path | None, newest: weights.Newest) -> None:
        network, trainers = self.stage.networks[name], self.row.trainers_of(name)
        places = [init_from, self.folder] if init_from else [self.folder]
        found = (weights.trained_source(place, network, trainers, newest) for place in places)
        source = next(filter(None, found), None)
        if source is None:
            top = self.folder / network.file
            remedy = f"train it first (--model {self.row.stage(trainers[0]).number}), or copy a published one there"
            raise UserError(f"{top} does not exist; stage {self.stage.name} needs it: {remedy}")
        self._refuse_other_prefill(source)
        iteration, _ = weights.load_averaged(source, name, network, module)
        self.frozen[name] = Frozen(iteration, file_digest(source.path))

    def _refuse_other_prefill(self, source: weights.Source) -> None:
        """Raise UserError where a frozen network was trained to see other holes, which its shape does not tell.

        Its save says so, or the configuration beside it, as of an export; the run's own is no witness.
        """
        beside = source.save.path if source.save else source.path.parent
        if beside == self.folder or not (beside / CONFIG_FILE).is_file():
            return
        was, now = config_file.load(beside / CONFIG_FILE).config.flat(), self.config.flat()
        for key in ("PREFILL", "PREFILL_EDGES"):
            if was[key] != now[key]:
                have = f"{key} {scalar(was[key])}, {self.stage.name} has {scalar(now[key])}"
                problem = f"{beside}: {source.path.name} was trained with {have}"
                raise UserError(f"{problem}; set {key}: {scalar(was[key])}, or train another one")

    def _initialize(self, networks: Networks, init_from: Path | None, newest: weights.Newest, resume: str) -> Start:
        """Begin with weights for the networks that learn: from `init_from`, or of a stage before this one."""
        trained = self.stage.trained
        found = {}
        for name in trained:
            stages = list(self.stage.starts_from)
            if init_from:
                stages = [self.stage.name, *stages, *self.row.trainers_of(name)]
            source = weights.trained_source(init_from or self.folder, self.stage.networks[name], stages, newest)
            if source:
                found[name] = source
        self._refuse_half(found, init_from, resume)
        leader = next((name for name in reversed(trained) if name in found and name in self.stage.completing), None)
        if leader is None:
            return Start(0, None, "starts afresh", is_fresh=True)
        rows = self.stage.networks
        steps = {name: weights.load_network(at.path, rows[name], networks[name]) for name, at in found.items()}
        former = found[leader].save
        step = steps[leader] if resume == "auto" and not (former or init_from) else 0
        origin = f"of stage {former.stage}" if former else f"in {found[leader].path.name}, iteration {steps[leader]}"
        origin += f" of {init_from}" if init_from else ""
        fresh = [self.stage.networks[name].file for name in trained if name not in found]
        lacking = f"; not there and started afresh: {', '.join(fresh)}" if fresh else ""
        return Start(step, None, f"starts from the weights {origin}{lacking}")

    def _refuse_half(self, found: Mapping[str, weights.Source], init_from: Path | None, resume: str) -> None:
        """Raise UserError where a generator would start afresh although weights of the stage's networks are there."""
        rows, stage = self.stage.networks, self.stage.name
        lacking = [name for name in self.stage.completing if name not in (*found, *self.frozen)]
        if not lacking:
            return
        files, held = (", ".join(rows[name].file for name in names) for names in (lacking, (*self.frozen, *found)))
        if init_from:
            what = f"holds {held}, but not all" if found else "holds no"
            raise UserError(f"{init_from}: {what} generators of stage {stage}; give a folder with {files}")
        if resume == "never":
            return
        others = (save for save in every_save(self.folder) if ".old-" not in save.path.parent.name)
        later = next((save.path for save in others if save.trains(rows[lacking[0]].file)), None)
        afresh = f"stage {stage} would begin afresh (--resume never does so)"
        if later and not any(self.folder.glob(f"{SAVES}/{stage}.old-*")):  # whose user has said that it starts over
            raise UserError(f"{later} holds {files}, which {afresh}; begin with it by --init-from {later}")
        if held:
            first = self.row.stage(self.row.trainers_of(lacking[0])[0])
            remedy = f"train it first (--model {first.number}), or" if first.name != stage else "better"
            remedy += " copy a published one there"
            raise UserError(f"{self.folder} holds {held}, but not {files}, which {afresh}; {remedy}")

    def save(self, networks: Networks, step: int, parts: Mapping[str, Stateful], best: bool = False) -> None:
        """Write a save: the networks, and the state of every part of the training by its name.

        Then copies the networks to the top and removes saves that are too many. Raises UserError where the disk is
        full or the folder read-only; the saves before stay as they are.
        """
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {"config": self.config.flat(), "versions": versions()}
        # a stage that was never begun has read no frozen network: there is nothing of it to keep
        known = [*self.frozen, *self.stage.trained]
        kept = {name: row for name, row in self.stage.networks.items() if name in known}
        iterations = {name: self.frozen[name].iteration if name in self.frozen else step for name in kept}
        contents = {row.file: weights.published(row, networks[name], iterations[name]) for name, row in kept.items()}
        origins = {self.stage.networks[name].file: frozen.origin for name, frozen in self.frozen.items()}
        with self.saves.write(step, origins) as part:
            write_files(part, contents | {STATE: state})
            (part / CONFIG_FILE).write_text(dump(self.config), encoding="utf-8")
        if best:
            self.saves.mark_best(step)
        self._publish(self.saves.place / f"{step:07d}", list(contents))
        self.saves.prune(self.config.log.keep_checkpoints)

    def _publish(self, save: Path, files: list[str]) -> None:
        """Copy networks to the top; frozen ones where none is, unless a stage here trains them."""
        saves = every_save(self.folder)
        trained = {file for file in files if any(save.trains(file) for save in saves)}
        own = {self.stage.networks[name].file for name in self.stage.trained}
        wanted = [file for file in files if file in own or not (file in trained or os.path.lexists(self.folder / file))]
        with ThreadPoolExecutor(max(1, len(wanted))) as pool:
            list(pool.map(lambda file: self._put_at_top(save / file), wanted))

    def _put_at_top(self, source: Path) -> None:
        """Copy a save's file to the top; what lies there is kept under another name, unless a save holds it whole."""
        top = self.folder / source.name
        if os.path.lexists(top) and not (top.is_file() and is_held(self.folder, top, self.saves.place)):
            log.info("%s was there before: kept as %s", top, keep_aside(top).name)
        copy_whole(source, top)


def current_layout(state: weights.Contents) -> weights.Contents:
    """Rearrange the state of a save that version 0.1 wrote before its parts had names."""
    if "step" not in state:
        return state
    train = {name: state[name] for name in OF_TRAIN if name in state}
    train["evaluation_pending"] = state.get("owed", False)
    best = state.get("best")
    return state | {"train": train, "method": {}, "best": {"best": best, "config": state["config"]} if best else {}}


def write_files(folder: Path, contents: Mapping[str, weights.Contents]) -> None:
    """Serialise files side by side. Raises OSError where the disk does not take them."""

    def write(item: tuple[str, weights.Contents]) -> None:
        with (folder / item[0]).open("wb") as file:
            torch.save(item[1], file)

    with ThreadPoolExecutor(len(contents)) as pool:
        try:
            list(pool.map(write, contents.items()))
        except RuntimeError as error:  # PyTorch's writer words what the system says in its own way
            raise error.__context__ if isinstance(error.__context__, OSError) else OSError(reason(error)) from error


def versions() -> dict[str, str]:
    """Name what computed this run."""
    of_libraries = {name: version(name) for name in ("torchvision", "numpy")}
    python = platform.python_version()
    return {"edgeconnect": __version__, "python": python, "torch": str(torch.__version__)} | of_libraries
