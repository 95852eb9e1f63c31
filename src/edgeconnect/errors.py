"""The kinds of error that users see."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Self

LONGEST = 200  # characters of another library's message
SENTENCE_END = re.compile(r"(?<=\w)[.!](?=\s)")
NAMED = 5  # names that an error lists before it counts the rest
OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory|ALLOC_FAILED")


def reason(error: BaseException) -> str:
    """Return the first sentence of another library's message, in one line, or the kind of error where it has none.

    What follows is often advice for programmers. Messages of our own (UserError) are kept whole.
    """
    words = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UserError):
        return words
    sentence = SENTENCE_END.split(words)[0].rstrip(".")
    return sentence if len(sentence) <= LONGEST else f"{sentence[:LONGEST]}..."


def printable(text: str, kept: str = "\n") -> str:
    """Escape control characters and undecodable bytes: a file's name cannot move the cursor of a terminal."""
    return "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in text)


def named(names: Sequence[str]) -> str:
    """List a few names and count the rest."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 picture`, `2,048 pictures`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether PyTorch or Python reports that memory is used up."""
    return isinstance(error, MemoryError) or bool(isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)))


class Stopped(BaseException):  # no error, and not to be taken for one: the run was asked to stop, and did
    """A signal asked to stop: outside of the training loop it means that everything is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class UserError(Exception):
    """A mistake that its author can correct: shown as one line, whatever it quotes, never as a traceback."""

    exit_code = 2
    is_everywhere = False  # all ranks of a run raise it, rank 0 reports it

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, kept=""))

    def everywhere(self) -> Self:
        """Mark what all ranks of a run raise."""
        self.is_everywhere = True
        return self


class IncompleteError(UserError):
    """Some pictures of many could not be done, the others are there."""

    exit_code = 1


class BadImageError(UserError):
    """One picture, mask or edge map that cannot be used, while the others can; `code` is that of check_data."""

    def __init__(self, path: Path | str, problem: str, code: str = "") -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem, self.code = str(path), problem, code

    def __reduce__(self) -> tuple[type["BadImageError"], tuple[str, str, str]]:
        return BadImageError, (self.path, self.problem, self.code)
