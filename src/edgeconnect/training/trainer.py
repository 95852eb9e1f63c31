"""The training loop: it counts, logs, samples, evaluates and saves, and never learns which method it trains."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import torch

from edgeconnect.checkpoint.stage import Checkpoints, Start
from edgeconnect.config.sections import Config
from edgeconnect.distributed import gather, leave, most, together, world_size
from edgeconnect.engine import Engine, inference, weight_norm
from edgeconnect.errors import Stopped, UserError, reason
from edgeconnect.images import image_grid
from edgeconnect.launch import is_main
from edgeconnect.progress import progress
from edgeconnect.rng import RandomState, seed_rank
from edgeconnect.training.best import Best
from edgeconnect.training.ema import EMA
from edgeconnect.training.logs import RunLog, read_scalars, sample_rows
from edgeconnect.training.nonfinite import BadStep, LossWatch, NonFiniteLossError, kept_bad_loss, weights_problem
from edgeconnect.training.phases import phase_at, phases_of, set_rates
from edgeconnect.training.signals import Signals
from edgeconnect.training.state import Group, Optimizers, TrainState
from edgeconnect.training.waiting import Wait
from edgeconnect.types import Batch, Method, Progress, Scalars, Stateful, is_trained

if TYPE_CHECKING:
    from edgeconnect.data.loader import Feed

log = logging.getLogger(__name__)


class Trainer:
    """Train one stage from where its checkpoints stand to the end of its phases, or until a signal asks to stop.

    Of several ranks the first alone logs and saves; the others have no `log`.
    """

    def __init__(
        self,
        method: Method,
        engine: Engine,
        checkpoints: Checkpoints,
        log: RunLog | None,
        config: Config,
        signals: Signals | None = None,
    ) -> None:
        self.method, self.engine, self.checkpoints, self.log = method, engine, checkpoints, log
        self.config, self.stage, self.intervals = config, config.stage, config.log
        self.signals = signals or Signals()
        self.phases = phases_of(config.optim, self.stage.name, list(method.optimizers))
        averaged = [name for name in self.stage.completing if name in self.stage.trained]
        self.ema = EMA({name: method.networks[name] for name in averaged}, config.optim.ema_decay)
        self.state, self.best, self.losses = TrainState(), Best(config), LossWatch(self.stage.losses)
        self.wait = Wait(engine, config.run.num_workers)
        self.saved = 0  # step of the last save
        self.random = RandomState()
        self.parts: dict[str, Stateful] = {
            "train": self.state,
            "optimizers": Optimizers(method.optimizers),
            "ema": self.ema,
            "scaler": engine.scaler,
            "best": self.best,
            "random": self.random,
            "method": Group(method.stateful),
        }

    def restore(self, start: Start) -> None:
        """Continue from a checkpoint. Raises UserError where its state is not that of such a training."""
        self.saved = start.step
        self.state.step, self.state.pictures = start.step, start.step * self.config.optim.batch_size
        if start.state or world_size() > 1:
            seed_rank(self.config.run.seed, start.step)
        for name, part in self.parts.items():
            state = (start.state or {}).get(name)
            try:
                if state:
                    part.load_state_dict(state)
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                problem = f"the part `{name}` of the newest save cannot be restored ({reason(error)})"
                remedy = "remove that save to resume from the one before"
                raise UserError(f"{self.checkpoints.saves.place}: {problem}; {remedy}") from error
        if self.best.step == self.state.step > 0 and is_main():
            self.checkpoints.saves.mark_best(self.state.step)  # in case that the run died before it was

    def train(self, feed: "Feed") -> None:
        """Run steps until the stage ends or a signal comes; save then, whatever SAVE_INTERVAL says.

        Raises Stopped after a signal, UserError where a loss is not finite or a picture cannot be used. Whatever error
        leaves this function, the steps before it are saved first.
        """
        for network in self.method.networks.values():
            network.train(is_trained(network))
        before, self.state.data = self.state.data, feed.identity()
        if before not in ("", self.state.data) and is_main():
            log.warning("TRAIN_FLIST was %s, is %s: the run continues with other pictures", before, self.state.data)
        try:
            self.run_steps(feed)
            self.check_losses(feed)
        except NonFiniteLossError:
            raise
        except Exception as error:
            self.save_before_leaving(alone=not (isinstance(error, UserError) and error.is_everywhere))
            raise
        self.save_what_is_new()
        self.signals.raise_if_stopped()

    def run_steps(self, feed: "Feed") -> None:
        """Do what an interrupted evaluation left to do, then every step that is left, with what is due after it."""
        if self.state.evaluation_pending:
            self.state.evaluation_pending = False
            self.save(best=feed.evaluates and self.validate(feed))
        end = self.phases[-1].end
        remaining = max(0, end - self.state.step)
        with progress(end, self.state.step, self.stage.name, "it") as bar:
            for batch in islice(self.fetch_together(feed.batches(self.state.pictures)), remaining):
                scalars = self.advance(batch)
                if self.due(self.intervals.log_interval):
                    bar.set_postfix(self.record(feed.epoch(self.state.pictures), scalars), refresh=False)
                self.write_what_is_due(feed)
                bar.update()

    def fetch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches until a signal asks to stop, which does not wait for the next one."""
        with suppress(Stopped):
            while not self.signals.stop:
                with self.signals.interrupting():
                    batch = next(batches, None)
                if batch is None:
                    return
                yield batch

    def fetch_together(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield this rank's batches as long as every rank has one and none is asked to stop."""
        own = self.wait.watch(self.fetch(batches))
        while True:
            with together():
                batch = next(own, None)
            self.signals.agree()
            if self.signals.agreed or batch is None:
                return
            yield batch

    def write_what_is_due(self, feed: "Feed") -> None:
        """Sample, evaluate, save at their intervals, or as a signal asks; nothing of it after a bad loss."""
        sampling, saving = self.due(self.intervals.sample_interval), self.due(self.intervals.save_interval)
        evaluating = feed.evaluates and self.due(self.intervals.eval_interval)
        saving = self.signals.save_wanted() or saving
        if sampling or saving or evaluating or self.losses.is_full() or self.due(self.intervals.log_interval):
            self.check_losses(feed)
        if sampling:
            with together():
                self.sample(feed.validation(self.intervals.sample_size))
        best = evaluating and self.validate(feed)
        if best or saving:
            self.save(best)

    def advance(self, batch: Batch) -> Scalars:
        """Train on one batch; the only place that counts a step."""
        step = self.state.step + 1
        number = phase_at(self.phases, step)
        phase = self.phases[number]
        set_rates(self.method.optimizers, phase.rates_at(step))
        batch = self.engine.place(batch)
        scalars = self.engine.step(self.method, batch, Progress(step, number, phase.rates.keys()))
        if self.engine.refused:
            self.pass_over(BadStep(step, self.state.pictures, self.losses.read(scalars)), batch)
        else:
            self.ema.update()
            self.losses.add(step, self.state.pictures, scalars)
        self.state.step += 1
        self.state.pictures += len(batch.name) * world_size()
        return scalars

    def pass_over(self, bad: BadStep, batch: Batch) -> None:
        """Leave a batch behind that moved no weight; raise NonFiniteLossError where SKIP_NONFINITE allows no more."""
        allowed = self.config.optim.skip_nonfinite
        is_anyones = most([bad.is_named()])[0]
        is_ours = bad.is_named() or not is_anyones
        if self.state.passed_over >= allowed:
            self.save_what_is_new()
            with together():
                if is_ours:
                    raise self.nonfinite(bad, batch)
        self.state.passed_over += 1
        what = f"iteration {bad.step}: {bad.describe()}; batch passed over ({self.state.passed_over} of {allowed})"
        if is_ours:
            log.warning("%s: %s", what, ", ".join(batch.name))

    def check_losses(self, feed: "Feed") -> None:
        """Raise NonFiniteLossError where a loss since the last check was not finite; its batch is drawn again."""
        bad = self.losses.check()
        first = -most([-bad.step if bad else -self.state.step - 1])[0]  # the next step's are bad on all ranks
        with together():
            if bad and bad.step == first:
                raise self.nonfinite(bad, self.engine.place(next(iter(feed.batches(bad.pictures)))))

    def nonfinite(self, bad: BadStep, batch: Batch) -> NonFiniteLossError:
        """Keep the batch of a bad step and say what happened, where to look, and what may help."""
        return kept_bad_loss(self.checkpoints.folder, self.stage.name, bad, batch, self.saved)

    def due(self, interval: int) -> bool:
        """Return whether this step is a multiple of an interval; 0 is never."""
        return interval > 0 and self.state.step % interval == 0

    def record(self, epoch: int, scalars: Scalars) -> dict[str, str]:
        """Log a step and return what the progress bar shows: the metrics, and with VERBOSE every loss."""
        values = read_scalars(scalars)
        number = phase_at(self.phases, self.state.step)
        rate = next(iter(self.phases[number].rates_at(self.state.step).values()))
        wait = round(self.wait.share(), 4)
        with together():
            if self.log:
                self.log.train(epoch, self.state.step, values | {"phase": number + 1, "lr": rate, "wait": wait})
        shown = [name for name in values if self.config.run.verbose or name not in self.stage.losses]
        return {name: f"{values[name]:.4g}" for name in shown} | {"wait": f"{wait:.0%}"}

    def validate(self, feed: "Feed") -> bool:
        """Log the metrics over the validation set, of the averaged weights where EMA is on.

        Returns whether they are the best so far. A signal ends it early; the next start does it again.
        """
        with self.ema.applied():
            measured = evaluate(self.method, self.engine, self.fetch(feed.validation()))
        self.signals.agree()
        if self.signals.agreed:
            self.state.evaluation_pending, self.saved = True, -1
            return False
        with together():
            if self.log:
                self.log.validate(feed.epoch(self.state.pictures), self.state.step, measured)
        return self.best.update(self.state.step, measured)

    def sample(self, batches: Iterator[Batch]) -> None:
        """Write a grid of completions, on rank 0."""
        if not self.log:
            return
        rows = []
        with self.ema.applied(), inference(self.method), self.engine.autocast():
            for batch in map(self.engine.place, self.fetch(batches)):
                rows += sample_rows(batch, self.method.complete(batch), self.stage.predicts)
        if not rows:
            first = self.intervals.sample_size
            log.warning("iteration %d: none of the first %d pictures can be shown", self.state.step, first)
        elif not self.signals.stop:
            self.log.sample(self.state.step, image_grid(rows))

    def save(self, best: bool = False) -> None:
        """Write the checkpoint of this step. Raises UserError where weights are not good: good saves stay.

        They are neither where one is not finite, nor where ranks have come to hold different ones.
        """
        step, networks = self.state.step, self.method.networks
        norms = gather({name: weight_norm(network) for name, network in networks.items()})
        self.random.share()
        with together():
            problem = weights_problem(norms)
            if problem:
                problem = f"stage {self.stage.name}, iteration {step}: {problem}; not saved"
                remedy = "lower LR, or set GRAD_CLIP"
                raise UserError(f"{problem}, the last save is of iteration {self.saved}; {remedy}")
            if is_main():
                self.checkpoints.save(networks, step, self.parts, best)
        self.saved = step

    def save_what_is_new(self) -> None:
        """Save steps that no save holds."""
        if self.state.step != self.saved:
            self.save()

    def save_before_leaving(self, alone: bool) -> None:
        """Save steps that no save holds, unless a loss was bad or an error came while weights were moving.

        With `alone`, the other ranks know nothing of the error, and will find this one gone.
        """
        try:
            whole = self.engine.is_whole()
            if alone:
                leave(abort=not whole)
            bad = most([not whole or bool(self.losses.check())])[0]
            if not bad:
                self.save_what_is_new()
        except (UserError, RuntimeError) as error:
            log.error("iteration %d is not saved: %s", self.state.step, error)


def evaluate(method: Method, engine: Engine, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the mean of each metric over all pictures of all ranks; nothing of a training moves."""
    values = defaultdict(list)
    with together(), inference(method), engine.autocast():
        for batch in map(engine.place, batches):
            for name, value in method.evaluate(batch, method.complete(batch)).items():
                values[name].append(value)
    every = gather({name: torch.cat(parts).cpu() for name, parts in values.items()})
    names = dict.fromkeys(name for own in every for name in own)  # a rank may have had no picture
    return {name: float(torch.cat([own[name] for own in every if name in own]).double().mean()) for name in names}
