"""How much of a training's time goes by while it waits: for data, or for a processor that others use, too."""

import logging
import statistics
import time
from collections.abc import Iterator

from edgeconnect.engine import Engine, Mark
from edgeconnect.types import Batch

WINDOW = 100  # steps that are judged together
TOO_MUCH = 0.5
STALLED = 2.5  # times as long as in the fastest window

log = logging.getLogger(__name__)


class Wait:
    """The share of time spent waiting for batches, since the last reading; says once where it is most of the time.

    A batch is late while the device has nothing left to compute. The first one, before which reading processes start,
    does not count. On a processor it also says once that steps take far longer than they did.
    """

    def __init__(self, engine: Engine, workers: int) -> None:
        self.engine, self.workers, self.threads = engine, workers, engine.threads
        self.marks: list[tuple[Mark, Mark]] = []  # of batches: asked for, there
        self.waited, self.since = 0.0, time.perf_counter()  # since the last reading
        self.late = 0.0  # since the last judgement
        self.steps: list[float] = []  # seconds of each, likewise
        self.warned = False
        self.fastest = 0.0  # median of a window

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield the batches and measure how late each comes."""
        number, began = 0, time.perf_counter()
        while True:
            asked = self.engine.mark()
            batch = next(batches, None)
            if batch is None:
                return
            self.marks.append((asked, self.engine.mark()))
            now, number = time.perf_counter(), number + 1
            if number == 1:
                self.marks, self.since, began = [], now, now
            if number % WINDOW == 0:
                self._read()
                self._judge(self.late / (now - began))
                self._judge_pace()
                self.late, began = 0.0, now
            yield batch
            self.steps.append(time.perf_counter() - now)

    def share(self) -> float:
        """Return the share, in [0, 1], since it was last asked for."""
        self._read()
        now = time.perf_counter()
        share = self.waited / (now - self.since) if self.waited else 0.0
        self.waited, self.since = 0.0, now
        return min(1.0, share)

    def _read(self) -> None:
        seconds = sum(self.engine.seconds(*pair) for pair in self.marks)
        self.waited, self.late, self.marks = self.waited + seconds, self.late + seconds, []

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
            remedy = f", or set THREADS to less than {self.threads}, at best 1" if self.threads > 1 else ""
            log.warning("%s; stop them%s", problem, remedy)
            self.threads = 0  # once is enough
