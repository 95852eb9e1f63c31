"""Files that appear whole or not at all."""

import contextlib
import hashlib
import os
from pathlib import Path

from edgeconnect.errors import UserError


def expanded(source: str) -> Path:
    """Resolve a leading `~/`; any other tilde is part of a name."""
    return Path(source).expanduser() if source == "~" or source.startswith("~/") else Path(source)


def write_whole(path: Path, data: bytes) -> None:
    """Write beside, flush, rename: neither a crash nor a full disk costs what was there.

    Raises UserError naming the file and the reason.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{path}: cannot be written ({reason}); nothing was overwritten") from error
    finally:
        discard(beside)


def discard(path: Path) -> None:
    """Remove a file that may not be there."""
    with contextlib.suppress(OSError):  # the folder is missing or read-only: nothing was written either
        path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Hash a file with SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(data: bytes) -> str:
    """Hash what is about to become a file."""
    return hashlib.sha256(data).hexdigest()
