"""The saves of a run's folder: complete folders of their own, the newest linked to where the published files lie.

`saves/<stage>/<iteration>/` holds the networks in the published format (frozen ones, too), `state.pth`, `config.yml`,
and `save.json` with the fingerprint of each: a run's folder in itself, to complete pictures with or to start from.
It appears by one rename, so there never is half a save, nor files of two.
"""

import json
import logging
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeconnect.errors import UserError, reason
from edgeconnect.storage import damage, discard, explained, fingerprint, free_name, sweep, whole_folder

SAVES, RECORD, STATE, BEST, DAMAGED = "saves", "save.json", "state.pth", "best", ".damaged"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Save:
    """One complete save."""

    path: Path
    step: int
    files: Mapping[str, str]
    origins: Mapping[str, str]

    @property
    def stage(self) -> str:
        """Name the stage that wrote it; one that was put aside is called like `edge.old-1`."""
        return self.path.parent.name

    def damage(self) -> str:
        """Say what is wrong with it; nothing where every file is as it was written."""
        if not self.files:
            return f"{RECORD} is missing or damaged"
        return next(filter(None, (damage(self.path / file, mark) for file, mark in self.files.items())), "")


def read_save(path: Path) -> Save:
    """Read a save's record; one without a readable record has no files."""
    try:
        record: dict[str, Any] = json.loads((path / RECORD).read_text("utf-8"))
        return Save(path, int(record["step"]), dict(record["files"]), dict(record["origins"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Save(path, int(path.name) if path.name.isdecimal() else 0, {}, {})


def saves_in(place: Path) -> list[Save]:
    """List the saves in `saves/<stage>`, oldest first."""
    numbered = (path for path in place.glob("*") if path.name.isdecimal() and path.is_dir())
    return [read_save(path) for path in sorted(numbered, key=lambda path: int(path.name))]


def places(folder: Path) -> list[Path]:
    """List the `saves/<stage>` of a run's folder."""
    return sorted(path for path in (folder / SAVES).glob("*") if path.is_dir())


def newest_intact(place: Path) -> Save | None:
    """Return the newest save that is whole; newer ones that are not are said to be passed over."""
    for save in reversed(saves_in(place)):
        problem = save.damage()
        if not problem:
            return save
        log.warning("%s: %s; passed over for the save before it", save.path, problem)
    return None


def owner(folder: Path, file: Path) -> Save | None:
    """Return the save that a published file in a run's folder belongs to, if there is one.

    A folder that is a save in itself owns what lies in it.
    """
    saves = [save for place in places(folder) for save in reversed(saves_in(place))]
    saves += [read_save(path) for place in places(folder) for path in place.glob(f"*{DAMAGED}")]
    if (folder / RECORD).is_file():
        saves.append(read_save(folder))
    mark = fingerprint(file)
    return next((save for save in saves if save.files.get(file.name) == mark or _same(save, file)), None)


def _same(save: Save, file: Path) -> bool:
    """Tell a linked file even after both its names were damaged."""
    twin = save.path / file.name
    return twin.exists() and twin.samefile(file)


class StageSaves:
    """The saves of one stage, as the run that writes them sees them."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.place = folder / SAVES / stage

    def newest(self) -> Save | None:
        """Return the newest intact save, and take damaged ones out of the numbering.

        A damaged save before which there was none counts as none. Raises UserError where all of several are damaged.
        """
        sweep(self.place)
        damaged: list[tuple[Save, str]] = []
        for save in reversed(saves_in(self.place)):
            problem = save.damage()
            if not problem:
                for broken, why in damaged:
                    self._set_aside(broken, why)
                return save
            damaged.append((save, problem))
        if len(damaged) == 1 and not list(self.place.glob(f"*{DAMAGED}")):
            self._set_aside(*damaged[0])  # the first save ever: what it held is done again in no more than it took
        elif damaged:
            newest, why = damaged[0]
            raise UserError(
                f"{newest.path}: {why}; no save of stage {self.place.name} is intact: restore one from a copy, or "
                "start over with --resume never"
            )
        return None

    def _set_aside(self, save: Save, why: str) -> None:
        aside = save.path.with_suffix(DAMAGED)
        aside = free_name(aside) if aside.exists() else aside
        log.warning("%s: %s; kept as %s", save.path, why, aside.name)
        with explained(save.path):
            save.path.rename(aside)

    def put_aside(self) -> None:
        """Keep the saves of a former run under another name."""
        if saves_in(self.place):
            aside = free_name(self.place)
            log.info("the former saves are kept in %s", aside)
            with explained(self.place):
                self.place.rename(aside)

    @contextmanager
    def write(self, step: int, origins: Mapping[str, str]) -> Iterator[Path]:
        """Give a folder to write a save's files to; it becomes `<iteration>` when all of them are on the disk.

        `origins` are fingerprints of the files that frozen networks were read from.
        """
        with whole_folder(self.place / f"{step:07d}") as part:
            yield part
            files = {file.name: fingerprint(file) for file in sorted(part.iterdir())}
            record = {"stage": self.place.name, "step": step, "files": files, "origins": dict(origins)}
            (part / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def mark_best(self, step: int) -> None:
        """Let `best` point to a save."""
        link, beside = self.place / BEST, self.place / f".{BEST}.part"
        discard(beside)
        try:
            beside.symlink_to(f"{step:07d}")
            beside.replace(link)
        except OSError as error:
            log.warning("%s: not set to iteration %d (%s)", link, step, reason(error))

    def prune(self, keep: int) -> None:
        """Remove all saves but the newest ones and the best; 0 keeps all."""
        best = (self.place / BEST).resolve()
        for save in saves_in(self.place)[:-keep] if keep else ():
            if save.path.resolve() != best:
                doomed = save.path.with_name(f".{save.path.name}.part")
                with explained(save.path):
                    save.path.rename(doomed)
                # A fifth of a save's time, and nobody needs to wait for it.
                threading.Thread(target=shutil.rmtree, args=(doomed, True), daemon=True).start()


def newest_with(folder: Path, file: str, besides: str = "") -> Save | None:
    """Return the save written last that is intact and holds a file; none of the stage that is named."""
    found = [newest_intact(place) for place in places(folder) if place.name.split(".")[0] != besides]
    holding = [save for save in found if save and file in save.files]
    return max(holding, key=lambda save: (save.path / RECORD).stat().st_mtime_ns, default=None)
