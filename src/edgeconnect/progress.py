"""How far a long task has come."""

import io
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Never, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from edgeconnect.launch import is_main

PAUSE = 30.0  # seconds between two lines of progress
T = TypeVar("T")
LINE = "{desc}: {n_fmt} of {total_fmt} ({percentage:.0f} %), {rate_noinv_fmt}, {remaining} left{postfix}"

log = logging.getLogger(__name__)


class LoggedProgress(tqdm):  # type: ignore[type-arg]  # tqdm takes no type while it runs
    """Log a line every half minute and at the end: in a file, a bar would be one endless line."""

    monitor_interval = 0  # no thread

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Log label, count, rate, time left and values."""
        if self.n > self.initial:
            log.info("%s", str(self))


@contextmanager
def progress(total: int, done: int, label: str, unit: str, leave: bool = True) -> Iterator["tqdm[Never]"]:
    """Show how far a task of `total` units is: a bar on a terminal, with messages above it; elsewhere plain lines."""
    if not (sys.stderr.isatty() and is_main()):
        sink = io.StringIO()
        with LoggedProgress(
            total=total, initial=done, desc=label, unit=f" {unit}", mininterval=PAUSE, bar_format=LINE, file=sink
        ) as lines:
            yield lines
        return
    bar: tqdm[Never] = tqdm(total=total, initial=done, desc=label, unit=unit, dynamic_ncols=True, leave=leave)
    with logging_redirect_tqdm([logging.getLogger("edgeconnect")]), bar:
        yield bar


def tracked(items: Iterable[T], total: int, label: str, unit: str, done: int = 0, leave: bool = False) -> Iterator[T]:
    """Yield the items and show how far they have come, `done` of them before; a bar vanishes without `leave`."""
    with progress(total, done, label, unit, leave) as bar:
        for item in items:
            yield item
            bar.update()
