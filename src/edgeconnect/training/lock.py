"""One run at a time in a folder."""

import contextlib
import fcntl
import json
import logging
import os
import platform
import time
from pathlib import Path

from edgeconnect.errors import UserError, reason

LOCK = "train.lock"

log = logging.getLogger(__name__)


class FolderLock:
    """Hold a run's folder while a context lasts.

    The kernel holds the lock for the process and drops it when that dies, however it dies; processes that read data
    do not inherit it. The file says who holds it, and stays. Raises UserError naming the owner.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK

    def __enter__(self) -> "FolderLock":
        """Take the lock."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a+", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror}); train in a folder of yours") from error
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            with self.file:
                raise UserError(
                    f"{self.path.parent}: another run trains here ({self._owner()}); wait for it, stop it, or give "
                    "another folder"
                ) from None
        except OSError as error:
            log.warning("%s: this file system has no locks (%s); see that one run alone trains here", self.path, error)
        self._write({"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        return self

    def __exit__(self, *_: object) -> None:
        """Let go; closing the file does."""
        self._write({})
        self.file.close()

    def _write(self, owner: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            self.file.truncate(0)
            self.file.write(json.dumps(owner) if owner else "")
            self.file.flush()

    def _owner(self) -> str:
        self.file.seek(0)
        try:
            owner = json.loads(self.file.read())
            return f"process {owner['pid']} on {owner['host']}, since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"its owner is not known: {reason(error)}"
