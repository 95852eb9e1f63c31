"""Where numbers and weights come from: the code's commit, the command, the time."""

import datetime
import shlex
import subprocess
import sys
from pathlib import Path

from edgeconnect import __version__


def provenance() -> dict[str, str]:
    """Return commit, command line and time of this process, as text for reports and histories."""
    return {"time": now(), "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]), "commit": commit()}


def now() -> str:
    """Return the local time with its offset, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def commit() -> str:
    """Return the commit of the code, with `-dirty` where files were changed since; the version where git knows none."""
    here = Path(__file__).resolve().parent
    try:
        ask = ["git", "describe", "--always", "--dirty"]
        told = subprocess.run(ask, cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return told.stdout.strip() or __version__
