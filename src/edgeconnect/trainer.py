"""The training loop: it counts, logs, samples, evaluates and saves, and never learns which method it trains."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Protocol

from edgeconnect.checkpoint import Checkpoints, Start
from edgeconnect.ema import EMA
from edgeconnect.engine import Engine, inference
from edgeconnect.logs import RunLog, progress, read_scalars
from edgeconnect.settings import Config
from edgeconnect.sheets import sample_rows, sheet
from edgeconnect.types import Batch, Method, Scalars, is_trained


class Feed(Protocol):
    """Where a trainer gets its pictures from; see `data.loader.Feed`."""

    evaluates: bool

    def epoch(self, pictures: int) -> int:
        """Return the epoch, from 1, that the last of so many pictures belongs to."""

    def batches(self, pictures: int) -> Iterator[Batch]:
        """Yield training batches without end, as if so many pictures had been drawn already."""

    def validation(self, limit: int | None = None) -> Iterator[Batch]:
        """Yield validation batches, the same ones every time."""


class Trainer:
    """Train one stage from where its checkpoints stand to MAX_ITERS."""

    def __init__(self, method: Method, engine: Engine, checkpoints: Checkpoints, log: RunLog, config: Config) -> None:
        self.method, self.engine, self.checkpoints, self.log = method, engine, checkpoints, log
        self.config, self.intervals, self.max_iters = config, config.log, config.optim.max_iters
        self.ema = EMA(method.networks, config.optim.ema_decay)
        self.step = self.saved = self.pictures = 0

    def restore(self, start: Start) -> None:
        """Go on from a checkpoint."""
        self.step = self.saved = start.step
        state = start.state or {}
        self.pictures = state.get("pictures", start.step * self.config.optim.batch_size)
        self.ema.load_state_dict(state.get("ema", {}))
        self.engine.scaler.load_state_dict(state.get("scaler") or self.engine.scaler.state_dict())

    def train(self, feed: Feed) -> None:
        """Run steps until the stage ends; save then, whatever SAVE_INTERVAL says."""
        for network in self.method.networks.values():
            network.train(is_trained(network))
        batches = itertools.islice(feed.batches(self.pictures), max(0, self.max_iters - self.step))
        with progress(self.max_iters, self.step, self.checkpoints.stage, "it") as bar:
            for batch in batches:
                scalars = self.advance(batch)
                if self.due(self.intervals.log_interval):
                    bar.set_postfix(self.record(feed.epoch(self.pictures), scalars), refresh=False)
                self.write_what_is_due(feed)
                bar.update()
        if self.step > self.saved:
            self.save()

    def write_what_is_due(self, feed: Feed) -> None:
        """Sample, evaluate, save at their intervals."""
        if self.due(self.intervals.sample_interval):
            self.sample(feed.validation(self.intervals.sample_size))
        if feed.evaluates and self.due(self.intervals.eval_interval):
            self.validate(feed)
        if self.due(self.intervals.save_interval):
            self.save()

    def advance(self, batch: Batch) -> Scalars:
        """Train on one batch; the only place that counts a step."""
        scalars = self.engine.step(self.method, self.engine.place(batch))
        self.ema.update()
        self.step += 1
        self.pictures += len(batch.name)
        return scalars

    def due(self, interval: int) -> bool:
        """Tell whether this step is a multiple of an interval; 0 is never."""
        return interval > 0 and self.step % interval == 0

    def record(self, epoch: int, scalars: Scalars) -> dict[str, str]:
        """Log a step and return what the progress bar shows: the measures, and with VERBOSE every loss."""
        values = read_scalars(scalars)
        self.log.train(epoch, self.step, values)
        verbose = self.config.run.verbose
        return {name: f"{value:.4g}" for name, value in values.items() if verbose or not name.startswith("l_")}

    def validate(self, feed: Feed) -> None:
        """Log the measures over the validation set, of the averaged weights where EMA is on."""
        with self.ema.applied():
            measured = evaluate(self.method, self.engine, feed.validation())
        self.log.validate(feed.epoch(self.pictures), self.step, measured)

    def sample(self, batches: Iterable[Batch]) -> None:
        """Write a sheet of completions."""
        rows = []
        with self.ema.applied(), inference(self.method), self.engine.autocast():
            for batch in map(self.engine.place, batches):
                rows += sample_rows(batch, self.method.complete(batch))
        self.log.sample(self.step, sheet(rows))

    def save(self) -> None:
        """Write the checkpoint of this step."""
        extra = {"ema": self.ema.state_dict(), "scaler": self.engine.scaler.state_dict()}
        self.checkpoints.save(self.method, self.step, self.pictures, self.config.flat(), extra)
        self.saved = self.step


def evaluate(method: Method, engine: Engine, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the means of a method's measures over all pictures; nothing of a training moves."""
    sums: dict[str, float] = defaultdict(float)
    count = 0
    with inference(method), engine.autocast():
        for batch in map(engine.place, batches):
            scalars = method.evaluate(batch, method.complete(batch))
            for name, value in read_scalars(scalars).items():
                sums[name] += value * len(batch.name)
            count += len(batch.name)
    return {name: total / count for name, total in sums.items()}
