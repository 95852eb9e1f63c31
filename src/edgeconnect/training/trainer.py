"""The training loop: it counts, logs, samples, evaluates and saves, and never learns which method it trains."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Protocol

from edgeconnect import rng
from edgeconnect.checkpoint.stage import Checkpoints, Start
from edgeconnect.checkpoint.weights import Contents
from edgeconnect.config.sections import Config
from edgeconnect.engine import Engine, all_finite, inference
from edgeconnect.errors import UserError, named
from edgeconnect.images import sheet
from edgeconnect.progress import progress
from edgeconnect.training.best import Best
from edgeconnect.training.ema import EMA
from edgeconnect.training.logs import RunLog, read_scalars
from edgeconnect.training.nonfinite import LOSS, Accident, LossWatch, keep_batch, losses_of
from edgeconnect.training.samples import sample_rows
from edgeconnect.training.signals import Signals
from edgeconnect.types import Batch, Method, Scalars, is_trained

log = logging.getLogger(__name__)


class Feed(Protocol):
    """Where a trainer gets its pictures from; see `data.loader.Feed`."""

    evaluates: bool

    def identity(self) -> str:
        """Tell the pictures to train on from others."""

    def epoch(self, pictures: int) -> int:
        """Return the epoch, from 1, that the last of so many pictures belongs to."""

    def batches(self, pictures: int) -> Iterator[Batch]:
        """Yield training batches without end, as if so many pictures had been drawn already."""

    def validation(self, limit: int | None = None) -> Iterator[Batch]:
        """Yield validation batches, the same ones every time."""


class Trainer:
    """Train one stage from where its checkpoints stand to MAX_ITERS, or until a signal asks to stop."""

    def __init__(
        self,
        method: Method,
        engine: Engine,
        checkpoints: Checkpoints,
        log: RunLog,
        config: Config,
        signals: Signals | None = None,
    ) -> None:
        self.method, self.engine, self.checkpoints, self.log = method, engine, checkpoints, log
        self.config, self.intervals, self.max_iters = config, config.log, config.optim.max_iters
        self.signals = signals or Signals()
        self.ema = EMA(method.networks, config.optim.ema_decay)
        self.losses = LossWatch()
        self.step = self.saved = self.pictures = 0
        self.passed_over = 0  # batches whose loss was not finite
        self.best = Best(config)
        self.owed = False  # a signal came before this step's evaluation was done
        self.data = ""  # what the feed says of itself

    def restore(self, start: Start) -> None:
        """Go on from a checkpoint."""
        self.step = self.saved = start.step
        state = start.state or {}
        self.pictures = state.get("pictures", start.step * self.config.optim.batch_size)
        self.passed_over, self.owed = state.get("passed_over", 0), state.get("owed", False)
        self.data = state.get("data", "")
        self.best.restore(state)
        if self.best.step == self.step > 0:
            self.checkpoints.saves.mark_best(self.step)  # in case that the run died before it was
        self.ema.load_state_dict(state.get("ema", {}))
        self.engine.scaler.load_state_dict(state.get("scaler") or self.engine.scaler.state_dict())
        if state:
            rng.restore(state["random"])

    def train(self, feed: Feed) -> None:
        """Run steps until the stage ends or a signal comes; save then, whatever SAVE_INTERVAL says.

        Raises Stopped after a signal, UserError where a loss is not finite or the feed gives out.
        """
        for network in self.method.networks.values():
            network.train(is_trained(network))
        before, self.data = self.data, feed.identity()
        if before not in ("", self.data):
            log.warning("TRAIN_FLIST was %s, is %s; it goes on, not as it would have", before, self.data)
        self.evaluate_what_is_owed(feed)
        with progress(self.max_iters, self.step, self.checkpoints.stage, "it") as bar:
            for batch in takewhile(self.signals.going_on, self.batches(feed)):
                scalars = self.advance(batch)
                if self.due(self.intervals.log_interval):
                    bar.set_postfix(self.record(feed.epoch(self.pictures), scalars), refresh=False)
                self.write_what_is_due(feed)
                bar.update()
        self.look(feed)
        self.save_what_is_new()
        self.signals.raise_if_stopped()

    def evaluate_what_is_owed(self, feed: Feed) -> None:
        """Do the evaluation that a signal kept the save at hand from, and save again that it is done."""
        if self.owed:
            self.owed = False
            self.save(best=feed.evaluates and self.validate(feed))

    def batches(self, feed: Feed) -> Iterator[Batch]:
        """Yield what is left to train on; where the feed gives out, save before saying so."""
        try:
            yield from islice(feed.batches(self.pictures), max(0, self.max_iters - self.step))
        except (UserError, RuntimeError):  # PyTorch's word for a process that died
            self.look(feed)
            self.save_what_is_new()
            raise

    def write_what_is_due(self, feed: Feed) -> None:
        """Sample, evaluate, save at their intervals, or as a signal asks; nothing of it after a bad loss."""
        sampling, saving = self.due(self.intervals.sample_interval), self.due(self.intervals.save_interval)
        evaluating = feed.evaluates and self.due(self.intervals.eval_interval)
        saving = self.signals.save_wanted() or saving
        if sampling or saving or evaluating or self.losses.is_full() or self.due(self.intervals.log_interval):
            self.look(feed)
        if sampling:
            self.sample(feed.validation(self.intervals.sample_size))
        best = evaluating and self.validate(feed)
        if best or saving:
            self.save(best)

    def advance(self, batch: Batch) -> Scalars:
        """Train on one batch; the only place that counts a step."""
        scalars = self.engine.step(self.method, self.engine.place(batch))
        if self.engine.refused:
            self.pass_over(Accident(self.step + 1, self.pictures, losses_of(scalars)), batch)
        else:
            self.ema.update()
            self.losses.see(self.step + 1, self.pictures, scalars)
        self.step += 1
        self.pictures += len(batch.name)
        return scalars

    def pass_over(self, accident: Accident, batch: Batch) -> None:
        """Leave a batch behind that moved no weight; raise UserError where SKIP_NONFINITE allows no more."""
        allowed = self.config.optim.skip_nonfinite
        if self.passed_over >= allowed:
            self.save_what_is_new()
            raise self.accident(accident, batch)
        self.passed_over += 1
        what = f"iteration {accident.step}: {accident.culprits()}; batch passed over ({self.passed_over} of {allowed})"
        log.warning("%s: %s", what, ", ".join(batch.name))

    def look(self, feed: Feed) -> None:
        """Raise UserError where a loss since the last look was not finite; its batch is drawn again, to be kept."""
        accident = self.losses.look()
        if accident:
            raise self.accident(accident, next(iter(feed.batches(accident.pictures))))

    def accident(self, accident: Accident, batch: Batch) -> UserError:
        """Keep the batch of an accident and say what happened, where to look, and what may help."""
        place = keep_batch(self.checkpoints.folder, self.checkpoints.stage, accident, batch)
        return UserError(
            f"stage {self.checkpoints.stage}, iteration {accident.step}: {accident.culprits()}; "
            f"pictures: {named(batch.name)}, kept in {place}; the last save is of iteration {self.saved}; "
            "look at them, lower LR, set GRAD_CLIP or PRECISION: fp32, or pass over such batches with SKIP_NONFINITE"
        )

    def due(self, interval: int) -> bool:
        """Tell whether this step is a multiple of an interval; 0 is never."""
        return interval > 0 and self.step % interval == 0

    def record(self, epoch: int, scalars: Scalars) -> dict[str, str]:
        """Log a step and return what the progress bar shows: the measures, and with VERBOSE every loss."""
        values = read_scalars(scalars)
        self.log.train(epoch, self.step, values)
        verbose = self.config.run.verbose
        return {name: f"{value:.4g}" for name, value in values.items() if verbose or not name.startswith(LOSS)}

    def validate(self, feed: Feed) -> bool:
        """Log the measures over the validation set, of the averaged weights where EMA is on.

        Returns whether they are the best so far. A signal ends it early; the next start does it again.
        """
        with self.ema.applied():
            measured = evaluate(self.method, self.engine, takewhile(self.signals.going_on, feed.validation()))
        if self.signals.stop:
            self.owed, self.saved = True, -1
            return False
        self.log.validate(feed.epoch(self.pictures), self.step, measured)
        return self.best.beaten(self.step, measured)

    def sample(self, batches: Iterable[Batch]) -> None:
        """Write a sheet of completions."""
        rows = []
        with self.ema.applied(), inference(self.method), self.engine.autocast():
            for batch in map(self.engine.place, batches):
                rows += sample_rows(batch, self.method.complete(batch))
        self.log.sample(self.step, sheet(rows))

    def save(self, best: bool = False) -> None:
        """Write the checkpoint of this step. Raises UserError where weights are not finite: good saves stay."""
        broken = [name for name, network in self.method.networks.items() if not all_finite(network)]
        if broken:
            raise UserError(
                f"stage {self.checkpoints.stage}, iteration {self.step}: weights of {', '.join(broken)} are not "
                f"finite; not saved, the last save is of iteration {self.saved}; lower LR, or set GRAD_CLIP"
            )
        extra: Contents = {"ema": self.ema.state_dict(), "scaler": self.engine.scaler.state_dict()}
        extra |= {"passed_over": self.passed_over, "owed": self.owed, "data": self.data}
        extra |= self.best.state()
        self.checkpoints.save(self.method, self.step, self.pictures, self.config, extra, best)
        self.saved = self.step

    def save_what_is_new(self) -> None:
        """Save steps that no save holds."""
        if self.step != self.saved:
            self.save()


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
