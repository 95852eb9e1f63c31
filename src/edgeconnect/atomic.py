"""Files and folders that appear whole or not at all."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeconnect.errors import UserError

REPLACED = ".replaced"
OURS = re.compile(r"\.[0-9a-f]{16}\.\d+\.part")  # the names that `beside_of` makes


def expanded(source: str, variables: bool = True) -> Path:
    """Resolve a leading `~/` and, unless a file has that very name, variables such as `$HOME`.

    Any other tilde and variables that are not set are part of a name.
    """
    if variables and not os.path.lexists(source):
        source = os.path.expandvars(source)
    if source == "~" or source.startswith("~/"):
        return Path(os.path.expanduser(source))  # noqa: PTH111 - Path's own raises where there is no home
    return Path(source)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all. Raises UserError naming the file and the reason."""
    with _whole_file(path) as beside:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file likewise. A copy, no link: `cp` onto one of a link's names would change the other."""
    with _whole_file(target) as beside:
        shutil.copyfile(source, beside)


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[Path]:
    """Give a file to write, flush it, rename it: neither a crash nor a full disk costs what was there."""
    beside = beside_of(path)
    with explained(path):
        try:
            yield beside
            flush(beside)
            beside.replace(path)
        finally:
            discard(beside)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder to fill; flush it and its files, then rename it to `path`, in place of what is there.

    Raises UserError naming the folder and the reason; what was there stays until the new one is complete.
    """
    beside, former = beside_of(path), path.with_name(f".{path.name}{REPLACED}")
    with explained(path):
        try:
            beside.mkdir(parents=True)
            yield beside
            for file in beside.iterdir():
                flush(file)
            flush(beside)
            if path.exists():
                path.rename(former)
            beside.rename(path)
            flush(path.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            bring_back(former)


def bring_back(former: Path) -> None:
    """Give a replaced folder its name again where its successor did not come to be; remove it otherwise."""
    path = former.with_name(former.name.removesuffix(REPLACED).removeprefix("."))
    if former.exists() and not path.exists():
        former.rename(path)
    else:
        shutil.rmtree(former, ignore_errors=True)


def beside_of(path: Path) -> Path:
    """Name what becomes a file: briefly, for names may be as long as the file system allows."""
    return path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{os.getpid()}.part")


def sweep(folder: Path) -> None:
    """Remove what a run that died was about to write into a folder, and bring back what it was about to replace."""
    for former in folder.glob(f".*{REPLACED}"):
        bring_back(former)
    for leftover in folder.glob(".*.part"):
        if OURS.fullmatch(leftover.name):
            shutil.rmtree(leftover, ignore_errors=True)  # a folder, or else a file
            discard(leftover)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the system refuses into a UserError naming the file."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"{path}: cannot be written ({why}); nothing was overwritten") from error


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk; some file systems cannot say so of folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(handle)


def keep_aside(path: Path) -> Path:
    """Give a file or folder another name, `name.old-1.pth`, and return it."""
    aside = free_name(path)
    with explained(path):
        path.rename(aside)
    return aside


def discard(path: Path) -> None:
    """Remove a file that may not be there."""
    with contextlib.suppress(OSError):  # the folder is missing or read-only: nothing was written either
        path.unlink(missing_ok=True)


def free_name(path: Path) -> Path:
    """Return `name.old-1.csv`, or the first number not taken."""
    number = 1
    while (free := path.with_name(f"{path.stem}.old-{number}{path.suffix}")).exists():
        number += 1
    return free
