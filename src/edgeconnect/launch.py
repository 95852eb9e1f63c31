"""The processes (ranks) that train one run, as torchrun's environment names them; this needs no PyTorch."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

from edgeconnect.errors import UserError

LEAVING = 60.0  # seconds that other ranks have to end after this one


def rank() -> int:
    """Return the number of this process, from 0, among all of the run."""
    return int(os.environ.get("RANK", 0))


def is_main() -> bool:
    """Return whether this is the one rank that writes files and speaks for all."""
    return rank() == 0


def count() -> int:
    """Return how many ranks were started."""
    return int(os.environ.get("WORLD_SIZE", 1))


def own_gpu(listed: tuple[int, ...]) -> int:
    """Return the number of this rank's GPU: that of GPU at its place on this machine; else its place itself."""
    local = int(os.environ.get("LOCAL_RANK", rank()))
    return listed[local] if len(listed) >= int(os.environ.get("LOCAL_WORLD_SIZE", count())) else local


def refuse_several(what: str) -> None:
    """Raise UserError where torchrun started several ranks of what runs in one process."""
    if count() > 1:
        problem = f"{what} runs in one process, torchrun started {count()}"
        raise UserError(f"{problem}; start it without torchrun").everywhere()


@contextlib.contextmanager
def ranks(number: int) -> Iterator[None]:
    """Be rank 0, and start the others on this machine, each with this process's own command line; 1 starts none.

    They are in sessions of their own: a terminal's Ctrl-C reaches rank 0, which tells them.
    """
    if number == 1:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mine = {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number), "RANK": "0", "LOCAL_RANK": "0"}
    mine |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    before = dict(os.environ)
    os.environ |= mine
    command = [sys.executable, *sys.orig_argv[1:]]
    others = [
        subprocess.Popen(command, env=os.environ | {"RANK": str(n), "LOCAL_RANK": str(n)}, start_new_session=True)
        for n in range(1, number)
    ]
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    former = {number: signal.signal(number, lambda asked, _: sys.exit(128 + asked)) for number in heard}
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # before they have found each other
        for other in others:
            other.kill()
        raise
    finally:
        for signal_number, handler in former.items():
            signal.signal(signal_number, handler)
        for name in mine:
            del os.environ[name]
        os.environ |= {name: before[name] for name in mine if name in before}
        for other in others:
            with contextlib.suppress(subprocess.TimeoutExpired):
                other.wait(LEAVING)
            other.kill()
