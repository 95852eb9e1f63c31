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


def owner(folder: Path, file: Path) -> Save | None:
    """Return the save that a published file in a run's folder is a copy of, if there is one.

    A folder that is a save in itself owns what lies in it.
    """
    saves = [save for place in places(folder) for save in reversed(saves_in(place))]
    saves += [read_save(path) for place in places(folder) for path in place.glob(f"*{DAMAGED}")]
    if (folder / RECORD).is_file():
        saves.append(read_save(folder))
    digest = file_digest(file)
    return next((save for save in saves if _digest_of(save, file.name) == digest), None)


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

        A damaged save before which there was none counts as none. Raises UserError where all of several are damaged.
        """
        sweep(self.place)
        save, damaged = newest_intact(self.place)
        first = len(damaged) == 1 and not list(self.place.glob(f"*{DAMAGED}"))
        if damaged and save is None and not first:
            newest, why = damaged[0]
            remedy = "restore one from a copy, or start it over with --resume never"
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
