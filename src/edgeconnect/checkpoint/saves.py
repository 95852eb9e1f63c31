"""The saves of a run's folder: complete folders of their own; the newest is copied to where the published files lie.

`saves/<stage>/<iteration>/` holds the networks in the published format (frozen ones, too), `state.pth`, `config.yml`,
and `save.json` with the digest of each network and state. It appears by one rename, so there never is half a
save, nor files of two.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeconnect.atomic import beside_of, discard, explained, free_name, keep_aside, sweep, whole_folder
from edgeconnect.digest import damage, file_digest
from edgeconnect.errors import UserError, reason

SAVES, RECORD, STATE, BEST, DAMAGED = "saves", "save.json", "state.pth", "best", ".damaged"
CHECKED = ".pth"  # the other files may be edited

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Save:
    """One complete save; `origins` are digests of the files that frozen networks were read from."""

    path: Path
    stage: str
    step: int
    written: int
    files: Mapping[str, str]
    origins: Mapping[str, str]

    def trains(self, file: str) -> bool:
        """Return whether the stage trained the network in a file; frozen ones came from elsewhere."""
        return file in self.files and file not in self.origins

    def damage(self) -> str:
        """Return what is wrong with it; empty where every file is as it was written."""
        if not self.files:
            return f"{RECORD} is missing or damaged"
        return next(filter(None, (damage(self.path / file, digest) for file, digest in self.files.items())), "")


def read_save(path: Path) -> Save:
    """Read a save's record; one without a readable record has no files."""
    try:
        record: dict[str, Any] = json.loads((path / RECORD).read_text("utf-8"))
        counts = (int(record["step"]), int(record["written"]))
        return Save(path, str(record["stage"]), *counts, dict(record["files"]), dict(record["origins"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Save(path, path.parent.name, int(path.name) if path.name.isdecimal() else 0, 0, {}, {})


def saves_in(place: Path) -> list[Save]:
    """List the saves in `saves/<stage>`, oldest first."""
    numbered = (path for path in place.glob("*") if path.name.isdecimal() and path.is_dir())
    return [read_save(path) for path in sorted(numbered, key=lambda path: int(path.name))]


def places(folder: Path) -> list[Path]:
    """List the `saves/<stage>` of a run's folder, and those of former runs (`<stage>.old-1`)."""
    return sorted(path for path in (folder / SAVES).glob("*") if path.is_dir())


def newest_intact(place: Path) -> tuple[Save | None, list[tuple[Save, str]]]:
    """Return the newest save that is whole, and newer ones with what is wrong with them."""
    damaged: list[tuple[Save, str]] = []
    for save in reversed(saves_in(place)):
        problem = save.damage()
        if not problem:
            return save, damaged
        damaged.append((save, problem))
    return None, damaged


def intact(place: Path) -> Save | None:
    """Return the newest save that is whole; newer damaged ones are logged and skipped."""
    save, damaged = newest_intact(place)
    for broken, why in damaged:
        log.warning("%s: %s; skipped for the save before it", broken.path, why)
    return save


def every_save(folder: Path) -> list[Save]:
    """List the saves of all stages of a run's folder, the newest of each first, with damaged ones and former runs'."""
    whole = [save for place in places(folder) for save in reversed(saves_in(place))]
    return whole + [read_save(path) for place in places(folder) for path in place.glob(f"*{DAMAGED}")]


def owner(folder: Path, file: Path) -> Save | None:
    """Return the save that a published file in a run's folder is a copy of, if there is one.

    A save that holds the network frozen does not count: that file was put there by hand, or came with --init-from.
    """
    saves, digest = every_save(folder), file_digest(file)
    own = (save for save in saves if file.name not in save.origins)
    return next((save for save in own if _digest_of(save, file.name) == digest), None)


def is_held(folder: Path, file: Path, verified: Path) -> bool:
    """Return whether a save owns a file and holds it whole, so that nothing is lost where the file is replaced.

    The saves in the folder `verified` are taken to be whole: to look at them would make every save slower.
    """
    save = owner(folder, file)
    if save is None or (save.path.parent == verified and save.path.name.isdecimal()):
        return save is not None
    return file.name in save.files and not damage(save.path / file.name, save.files[file.name])


def _digest_of(save: Save, file: str) -> str | None:
    """Return the digest of a file when the save was written, or of the file as it is where the record is lost."""
    if save.files or not (save.path / file).is_file():
        return save.files.get(file)
    return file_digest(save.path / file)


class StageSaves:
    """The saves of one stage, as the run that writes them sees them."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.place, self.stage = folder / SAVES / stage, stage
        self._remover = ThreadPoolExecutor(1)  # removing takes a fifth of a save's time; the process ends after it
        self._removals: list[Future[None]] = []

    def newest(self) -> Save | None:
        """Return the newest save that is whole, and take damaged ones out of the numbering.

        Raises UserError where there are saves, and all are damaged.
        """
        sweep(self.place)
        save, damaged = newest_intact(self.place)
        if damaged and save is None:
            newest, why = damaged[0]
            remedy = "restore one from a copy, start the stage over with --resume never, or"
            remedy += f" move {self.place} out of the run to begin with the weights at its top, if there are any"
            raise UserError(f"{newest.path}: {why}; no save of stage {self.stage} is whole: {remedy}")
        for broken, why in damaged:
            aside = broken.path.with_suffix(DAMAGED)
            aside = free_name(aside) if aside.exists() else aside
            log.warning("%s: %s; kept as %s", broken.path, why, aside.name)
            with explained(broken.path):
                broken.path.rename(aside)
        return save

    def rename_former(self) -> None:
        """Keep the saves of a former run under another name."""
        if saves_in(self.place):
            log.info("the former saves are kept in %s", keep_aside(self.place))

    @contextmanager
    def write(self, step: int, origins: Mapping[str, str]) -> Iterator[Path]:
        """Give a folder to write a save's files to; it becomes `<iteration>` when all of them are on the disk."""
        with whole_folder(self.place / f"{step:07d}") as part:
            yield part
            files = {file.name: file_digest(file) for file in sorted(part.glob(f"*{CHECKED}"))}
            record = {"stage": self.stage, "step": step, "written": time.time_ns(), "files": files}
            text = json.dumps(record | {"origins": dict(origins)}, indent=1)
            (part / RECORD).write_text(text + "\n", encoding="utf-8")

    def mark_best(self, step: int) -> None:
        """Let `best` point to a save."""
        link, beside = self.place / BEST, beside_of(self.place / BEST)
        discard(beside)
        try:
            beside.symlink_to(f"{step:07d}")
            beside.replace(link)
        except OSError as error:
            log.warning("%s: not set to iteration %d (%s)", link, step, reason(error))

    def prune(self, keep: int) -> None:
        """Remove all saves but the newest ones and the best; 0 keeps all. The removal itself is not waited for."""
        best = (self.place / BEST).resolve()
        wait(self._removals)  # no pile of them where removing is slower than saving
        self._removals.clear()
        for save in saves_in(self.place)[:-keep] if keep else ():
            if save.path.resolve() != best:
                doomed = beside_of(save.path)
                with explained(save.path):
                    save.path.rename(doomed)
                self._removals.append(self._remover.submit(shutil.rmtree, doomed, ignore_errors=True))
