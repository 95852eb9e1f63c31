"""How far a long task has come."""

import sys
from typing import Never

from tqdm import tqdm

QUIET_REFRESH = 30.0  # seconds between lines of progress where nobody watches a terminal


def progress(total: int, done: int, label: str, unit: str) -> "tqdm[Never]":
    """Show rate and time left; where nobody watches a terminal, a line every half minute."""
    watched = sys.stderr.isatty()
    pause = 0.1 if watched else QUIET_REFRESH
    return tqdm(total=total, initial=done, desc=label, unit=unit, dynamic_ncols=watched, mininterval=pause)
