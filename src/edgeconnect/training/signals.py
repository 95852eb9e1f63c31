"""Signals to a run that trains: finish the step, save and stop; or save and continue."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from edgeconnect.distributed import most
from edgeconnect.errors import Stopped
from edgeconnect.launch import is_main

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAVING = signal.SIGUSR1
NOTICE = "finishing the step, then saving; a second one stops at once"


class Signals:
    """Remember signals while a context lasts, for the training loop to handle between two steps.

    SIGTERM, SIGINT and SIGHUP ask it to stop, a second one ends the process at once; SIGUSR1 asks for a save. Signals
    that were ignored before (`nohup`) stay ignored. Outside the main thread nothing is caught. What one rank is asked,
    all do: `agreed` is the signal to stop at, once all of them know.
    """

    def __init__(self) -> None:
        self.stop = self.agreed = 0
        self._save = self._saves = self._interrupts = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Signals":
        """Begin to listen."""
        if threading.current_thread() is threading.main_thread():
            for number in (*STOPPING, SAVING):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave signals to whoever had them before."""
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == SAVING:
            self._save = True
        elif self.stop:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        else:
            self.stop = number
            with contextlib.suppress(OSError):  # logging here could meet itself halfway through a line
                os.write(2, f"\n{signal.Signals(number).name}: {NOTICE}\n".encode() if is_main() else b"")
            if self._interrupts:
                raise Stopped(number)

    @contextlib.contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal raise Stopped here, where the next batch is waited for: storage may hang."""
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def agree(self) -> None:
        """Tell the other ranks what this one was asked, and learn what they were."""
        wanted, self._save = self._save, False
        self.agreed, saves = most([self.stop, wanted])
        self._saves = self._saves or bool(saves)

    def save_wanted(self) -> bool:
        """Return, once, whether a save was asked for and all ranks know."""
        wanted, self._saves = self._saves, False
        return wanted

    def raise_if_stopped(self) -> None:
        """Raise Stopped on every rank where somebody asked one to stop."""
        self.agree()
        if self.agreed:
            raise Stopped(self.agreed)
