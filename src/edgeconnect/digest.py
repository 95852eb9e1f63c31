"""Digests of files: which content a file has, and whether it is still whole."""

import contextlib
import hashlib
import zipfile
from pathlib import Path

from edgeconnect.errors import BadImageError, reason


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picture_digest(path: Path) -> str:
    """Return the SHA-256 of a listed file's bytes. Raises BadImageError where it cannot be read."""
    if not path.is_file():  # a pipe would be waited for without end
        raise BadImageError(path, "is no file, or not there; restore it, or take it off the list")
    try:
        return sha256_of(path)
    except OSError as error:
        raise BadImageError(path, f"cannot be read ({error.strerror}); change its permissions") from error


def file_digest(path: Path) -> str:
    """Return a digest of a file's content: of the checksums in an archive's directory, or else of every byte.

    PyTorch's files are archives, so theirs is read in a moment. Whether the content still is what the directory says
    is `damage`'s question.
    """
    with contextlib.suppress(zipfile.BadZipFile, OSError), zipfile.ZipFile(path) as archive:
        parts = [(part.filename.partition("/")[2], part.CRC, part.file_size) for part in archive.infolist()]
        return "zip:" + hashlib.sha256(repr(sorted(parts)).encode()).hexdigest()
    return f"sha256:{sha256_of(path)}"


def damage(path: Path, wanted: str) -> str:
    """Say what is wrong with a file that had this digest when it was written; nothing where it is whole."""
    try:
        if file_digest(path) != wanted:
            return f"{path.name} is cut off or changed"
        if wanted.startswith("zip:"):
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
            return f"{path.name} is damaged at {broken}" if broken else ""
    except (OSError, zipfile.BadZipFile) as error:
        return f"{path.name} cannot be read ({reason(error)})"
    return ""
