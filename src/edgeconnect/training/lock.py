"""One run at a time in a folder."""

import contextlib
import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from edgeconnect.errors import UserError, reason

LOCK = "train.lock"

log = logging.getLogger(__name__)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold a run's folder while a context lasts.

    The kernel holds the lock for the process and drops it when that dies, however it dies; processes that read data
    do not inherit it. The file says who holds it, and stays. Raises UserError naming the owner.
    """
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); train in a folder of yours") from error
    with file:  # closing it lets go
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            problem = f"{folder}: another run trains here ({_owner(file)})"
            raise UserError(f"{problem}; wait for it, stop it, or give another folder") from None
        except OSError as error:
            log.warning("%s: this file system has no locks (%s); see that one run alone trains here", path, error)
        owner = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        _write(file, json.dumps(owner))
        try:
            yield
        finally:
            _write(file, "")


def _write(file: TextIO, text: str) -> None:
    with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
        file.truncate(0)
        file.write(text)
        file.flush()


def _owner(file: TextIO) -> str:
    file.seek(0)
    try:
        owner = json.loads(file.read())
        return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its owner is not known: {reason(error)}"
