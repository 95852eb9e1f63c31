"""How much of a training's time goes by while it waits: for data, or for a processor that others use, too."""

import logging
import statistics
import time
from collections.abc import Callable, Iterator

from edgeconnect.types import Batch

WINDOW = 100  # steps that are judged together
TOO_MUCH = 0.5
STALLED = 2.5  # times as long as in the fastest window

log = logging.getLogger(__name__)


class Wait:
    """The share of time spent waiting for batches, since the last reading; says once where it is most of the time.

    `is_idle` returns whether the device has nothing left to compute: only then is a batch late. The first one, before
    which reading processes start, does not count. Where `threads` of a processor compute, it also says once that steps
    take far longer than they did.
    """

    def __init__(self, is_idle: Callable[[], bool], workers: int, threads: int = 0) -> None:
        self.is_idle, self.workers, self.threads = is_idle, workers, threads
        self.waited, self.since = 0.0, time.perf_counter()
        self.warned = False
        self.steps: list[float] = []  # seconds of each since the last judgement
        self.fastest = 0.0  # median of a window

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches and measure how late each comes."""
        number, late = 0, 0.0
        began = now = time.perf_counter()
        while True:
            asked = time.perf_counter()
            self.steps.append(asked - now)
            batch = next(batches, None)
            if batch is None:
                return
            now, number = time.perf_counter(), number + 1
            if number == 1:
                self.waited, self.since, began = 0.0, now, now
            elif self.is_idle():
                self.waited, late = self.waited + now - asked, late + now - asked
            if number % WINDOW == 0:
                self._judge(late / (now - began))
                self._judge_pace()
                late, began = 0.0, now
            yield batch

    def share(self) -> float:
        """Return the share, in [0, 1], since it was last asked for."""
        now = time.perf_counter()
        share = self.waited / (now - self.since) if self.waited else 0.0
        self.waited, self.since = 0.0, now
        return share

    def _judge(self, share: float) -> None:
        if share > TOO_MUCH and not self.warned:
            self.warned = True
            remedy = f"raise NUM_WORKERS (now {self.workers}), or set EDGE_CACHE"
            log.warning("%.0f %% of the time of %d steps was spent waiting for data: %s", 100 * share, WINDOW, remedy)

    def _judge_pace(self) -> None:
        pace, self.steps = statistics.median(self.steps), []
        self.fastest = min(pace, self.fastest or pace)
        if self.threads and pace > STALLED * self.fastest:
            problem = f"steps take {pace:.2g} s, they took {self.fastest:.2g}: other programs use the processor"
            log.warning("%s; stop them, or set THREADS to less than %d, at best 1", problem, self.threads)
            self.threads = 0  # once is enough
