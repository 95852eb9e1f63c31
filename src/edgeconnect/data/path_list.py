"""The paths of a list file, each made when it is asked for: a line costs 8 bytes, which reading processes share."""

import codecs
import contextlib
import hashlib
import os
import weakref
from abc import abstractmethod
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import eq
from pathlib import Path
from typing import Any, overload

import numpy as np

from edgeconnect.atomic import expanded
from edgeconnect.errors import UserError

COMMENT = "# "
LONG = 2_000_000  # paths, above which nothing passes over all of them but the opening of their list
HELD = 1 << 26  # bytes of a list that is kept in memory; of a longer one, lines are read when they are asked for
BLOCK = 1 << 22  # bytes
LINES = 1 << 12  # read at once
NEWLINE, SLASH, TILDE, BLANK, DELETE = b"\n/~ \x7f"


class Paths(Sequence[Path]):
    """Paths that are made when they are asked for, by `path_at`; a slice of them is a list."""

    @abstractmethod
    def path_at(self, index: int) -> Path:
        """Return the path at an index, from 0."""

    @overload
    def __getitem__(self, index: int) -> Path: ...
    @overload
    def __getitem__(self, index: slice) -> list[Path]: ...
    def __getitem__(self, index: int | slice) -> Path | list[Path]:
        if isinstance(index, slice):
            return [self.path_at(number) for number in range(*index.indices(len(self)))]
        return self.path_at(range(len(self))[index])


class PathList(Paths):
    """One path a line, any characters but the line's end, blanks around it and empty lines left out.

    A line that begins with `# ` is a comment unless a file has that very name. Relative paths count from the list's
    folder where the first of them exists there, else from the working directory. Raises OSError where the file cannot
    be read, ValueError where it is no text, UserError later where a long list is changed while it is in use.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key, self.base = path, key, ""
        self._open()
        self.stamp = self._stamp()
        self.size = os.fstat(self._file).st_size
        self.held = os.pread(self._file, self.size, 0) if self.size <= HELD else b""
        self.starts = self._index()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def path_at(self, index: int) -> Path:
        """Read a line."""
        return Path(self._name(self._read(*self.starts[index : index + 2].tolist())))

    def __iter__(self) -> Iterator[Path]:
        return map(Path, self.names())

    def names(self) -> Iterator[str]:
        """Yield the paths as text, which takes a third of the time."""
        for first in range(0, len(self), LINES):
            starts = self.starts[first : first + LINES + 1].tolist()
            data = self._read(starts[0], starts[-1])
            for start, end in pairwise(starts):
                yield self._name(data[start - starts[0] : end - starts[0]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self.held:
            self._open()

    def digest(self) -> str:
        """Return the SHA-256 of the file's bytes in hexadecimal."""
        hashed = hashlib.sha256()
        for position in range(0, self.size, BLOCK):
            hashed.update(self._read(position, position + BLOCK))
        return hashed.hexdigest()

    def _open(self) -> None:
        """Keep the file open, which reading processes inherit: of a list that is replaced the former one is read."""
        self._file = os.open(self.path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)

    def _stamp(self) -> tuple[int, int, int, int]:
        status = os.fstat(self._file)
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

    def _read(self, start: int, end: int) -> bytes:
        if self.held:
            return self.held[start:end]
        with contextlib.suppress(OSError):  # a network may forget a file that was replaced
            data = os.pread(self._file, end - start, start)  # no map of the file: one cut off would end the process
            if self._stamp() == self.stamp:
                return data
        remedy = "start again, and replace a list in one go, as scripts/flist.py does"
        raise UserError(f"{self.key}: {self.path} was changed while it was in use; {remedy}")

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield whole lines, each with its end, and where they begin."""
        position, length = len(codecs.BOM_UTF8) if self._read(0, 3) == codecs.BOM_UTF8 else 0, BLOCK
        while position < self.size:
            data = self._read(position, position + length)
            if len(data) < length:
                yield position, data.removesuffix(b"\n") + b"\n"
                return
            whole = data.rfind(b"\n") + 1
            if whole:
                yield position, data[:whole]
            position, length = position + whole, BLOCK if whole else 2 * length

    def _index(self) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Return where the lines that name a path begin, and the end of the last."""
        kept, based = array("q"), False
        for position, data in self._blocks():
            if b"\0" in data:
                raise ValueError("no text")
            view = np.frombuffer(data, np.uint8)
            ends = np.flatnonzero(view == NEWLINE)
            starts = np.concatenate(([0], ends[:-1] + 1))
            first, full = view[starts], starts < ends
            plain = (first > BLANK) & (first < DELETE) & (first != ord(COMMENT[0]))
            for number in np.flatnonzero(full & ~plain):  # perhaps a comment, or nothing but blanks
                full[number] = self._names_path(_text(data[starts[number] : ends[number]]))
            starts = starts[full]
            if not based:
                relative = view[starts] != SLASH
                relative &= (view[starts] != TILDE) | (view[starts + 1] != SLASH)
                names = (self._name(data[start : data.index(b"\n", start)]) for start in starts[relative])
                name = next((name for name in names if not name.startswith("/")), "")
                based = bool(name)
                if name and os.path.lexists(self.path.parent / name):
                    self.base = str(self.path.parent)
            kept.frombytes((starts + position).tobytes())
        kept.append(self.size)
        return np.frombuffer(kept, np.int64)

    def _names_path(self, text: str) -> bool:
        if not text.startswith(COMMENT):
            return bool(text)
        return os.path.lexists(self.path.parent / text) or os.path.lexists(text)

    def _name(self, data: bytes) -> str:
        """Return the path that a line, and whatever follows it, begins with."""
        text = _text(data.partition(b"\n")[0])
        if text.startswith("~"):
            text = str(expanded(text, variables=False))
        return os.path.join(self.base, text)  # noqa: PTH118 - a Path takes four times as long


def _text(line: bytes) -> str:
    return os.fsdecode(line).strip()
