"""How much of a training's time goes by while it waits for data."""

import logging
import time
from collections.abc import Callable, Iterator

from edgeconnect.types import Batch

WINDOW = 100  # steps that are judged together
TOO_MUCH = 0.5

log = logging.getLogger(__name__)


class Wait:
    """The share of time spent waiting for batches, since the last reading; says once where it is most of the time.

    `is_idle` returns whether the device has nothing left to compute: only then is a batch late. The first one, before
    which reading processes start, does not count.
    """

    def __init__(self, is_idle: Callable[[], bool], workers: int) -> None:
        self.is_idle, self.workers = is_idle, workers
        self.waited, self.since = 0.0, time.perf_counter()
        self.warned = False

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches and measure how late each comes."""
        number, late, began = 0, 0.0, time.perf_counter()
        while True:
            asked = time.perf_counter()
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
