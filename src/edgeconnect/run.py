"""Training runs: from a configuration and a folder to trained stages."""

import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from edgeconnect import rng
from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.folder import record_start
from edgeconnect.checkpoint.saves import RECORD, SAVES, saves_in
from edgeconnect.checkpoint.stage import Checkpoints, Start
from edgeconnect.checkpoint.weights import trained_source
from edgeconnect.config.file import dump
from edgeconnect.config.sections import Config, OptimizerConfig
from edgeconnect.data import validation
from edgeconnect.data.loader import Feed
from edgeconnect.distributed import copy_from_main, from_main, joined, main_first, together, world_size
from edgeconnect.engine import Engine, make_engine
from edgeconnect.errors import Stopped, UserError
from edgeconnect.launch import is_main
from edgeconnect.methods.build import build
from edgeconnect.methods.catalogue import ALL
from edgeconnect.methods.perceptual import check_features
from edgeconnect.training.lock import folder_lock
from edgeconnect.training.logs import RunLog
from edgeconnect.training.phases import phase_at, phases_of
from edgeconnect.training.signals import Signals
from edgeconnect.training.trainer import Trainer
from edgeconnect.types import Method

LOOKED_AT = 10_000  # pictures; their mean colour is within half a grey level of that of any number
NOWHERE = Start(0, None, "")  # where a rank stands until rank 0 tells it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainOptions:
    """How a training begins.

    `resume` is auto, never or must; `init_from` names a folder whose weights a stage begins with; `check` has a quick
    look at the data first; `given` names the keys that the command line set, for the run's history.
    """

    resume: str = "auto"
    init_from: Path | None = None
    check: bool = False
    given: tuple[str, ...] = ()


def train(config: Config, folder: Path, options: TrainOptions = TrainOptions()) -> None:
    """Train MODEL, or for `all` one stage of the method's schedule after the other, each to the end of its phases.

    Of a schedule, stages before the last one that has begun are left alone: it keeps the weights that it began with.
    Raises Stopped after a signal, with everything saved.
    """
    if (folder / RECORD).is_file():
        raise UserError(f"{folder} is a save, not a run's folder; begin another run with --init-from {folder}")
    stages = config.row.schedule if config.run.model == ALL else (config.run.model,)
    with joined(), held(folder), Signals() as signals:
        with together():
            check_shares(config.optim)
            check_weights(config, stages)
            if options.check and is_main():
                check_data(config)
        if len(stages) > 1:
            with main_first():  # which downloads them
                check_features(config)  # fail before the first stage, not after it
        begun = from_main(max((i for i, stage in enumerate(stages) if saves_in(folder / SAVES / stage)), default=0))
        for number, stage in enumerate(stages):
            chosen = dataclasses.replace(config, run=dataclasses.replace(config.run, model=stage))
            resume = options.resume
            if number < begun and resume != "never":
                log.info("stage %s: not trained further, %s has begun; --model %s does", stage, stages[begun], stage)
                continue
            if resume == "must" and number > begun:
                resume = "auto"
            with together():
                init_from = initial_weights(options, chosen, stages) if is_main() else None
            start = dataclasses.replace(options, resume=resume, init_from=init_from)
            train_stage(chosen, folder, start, signals)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder's lock while a context lasts: rank 0 for all."""
    with ExitStack() as stack:
        with together():
            if is_main():
                stack.enter_context(folder_lock(folder))
        yield


def check_shares(config: OptimizerConfig) -> None:
    """Raise UserError where a batch cannot be divided among the ranks and the parts that they accumulate."""
    parts = world_size() * config.grad_accumulation
    if config.batch_size % parts:
        problem = f"BATCH_SIZE: {config.batch_size} pictures are not divisible by {world_size()} ranks"
        problem += f" x GRAD_ACCUMULATION {config.grad_accumulation}"
        raise UserError(f"{problem}; set a multiple of {parts}, it counts all ranks' pictures together")


def check_weights(config: Config, stages: Sequence[str]) -> None:
    """Raise UserError where all losses of a stage weigh nothing."""
    values = config.flat()
    for stage in map(config.row.stage, stages):
        if stage.weights and not any(values[key] for key in stage.weights):
            raise UserError(f"{', '.join(stage.weights)}: all are 0, stage {stage.name} would learn nothing; set one")


def initial_weights(options: TrainOptions, config: Config, stages: Sequence[str]) -> Path | None:
    """Return the folder of --init-from for a stage.

    In a schedule, a stage that the folder has no weights of, and the last one, start from the stages before them.
    """
    folder = options.init_from
    if folder is None or len(stages) == 1:
        return folder
    trained = [
        stage
        for stage in map(config.row.stage, stages[:-1])
        if any(trained_source(folder, stage.networks[name], [stage.name]) for name in stage.completing)
    ]
    if not trained:
        raise UserError(f"--init-from: {folder} holds no weights of {', '.join(stages[:-1])}; give a run's folder")
    return folder if config.stage in trained else None


def check_data(config: Config) -> None:
    """Log what a quick look at the data warns of; raise UserError where training would meet errors."""
    report = validation.examine(config, quick=True, workers=os.cpu_count() or 1)
    relevant = [finding for finding in report.findings if "TEST" not in finding.where]
    errors = [finding.line() for finding in relevant if finding.severity == "error"]
    for line in (*errors[1:], *(finding.line() for finding in relevant if finding.severity == "warning")):
        log.warning("%s", line)
    if errors:
        raise UserError(f"{errors[0]} (scripts/check_data.py looks at every file; --no-check trains all the same)")


def look(config: Config, engine: Engine, method: Method) -> None:
    """Let a method that wants to know the training pictures, such as their mean colour, see many of them once."""
    if config.row.look:
        feed = Feed(config)
        count = min(len(feed.training), LOOKED_AT)
        log.info("a look at %d of %d pictures", count, len(feed.training))
        batches = islice(feed.batches(0), -(-count // feed.own))
        config.row.look(method.networks, map(engine.place, batches))


def train_stage(config: Config, folder: Path, options: TrainOptions, signals: Signals) -> None:
    """Train one stage from where its folder stands; one that has ended is left alone."""
    stage = config.stage.name
    rng.seed(config.run.seed)
    with together():
        engine = make_engine(config, training=True)
        method = build(config, engine.prepare)
        checkpoints = Checkpoints(folder, config)
        begun = checkpoints.begin(method.networks, options.resume, options.init_from) if is_main() else NOWHERE
        if begun.is_fresh:
            look(config, engine, method)
    start = from_main(begun)
    copy_from_main([value for network in method.networks.values() for value in network.state_dict().values()])
    pending = bool(start.state and start.state["train"].get("evaluation_pending"))
    if start.step >= phases_of(config.optim, stage, list(method.optimizers))[-1].end and not pending:
        log.info("stage %s: at iteration %d, nothing to do; raise MAX_ITERS to continue", stage, start.step)
        return
    with ExitStack() as stack:
        with together():
            logs = is_main() and stack.enter_context(closing(RunLog(folder, stage, start.step, start.step - pending)))
            trainer = Trainer(method, engine, checkpoints, logs or None, config, signals)
            trainer.restore(start)
            log.info("stage %s: %s", stage, start.message)
            feed = Feed(config, pin_memory=engine.device.type == "cuda")
            log.info("%s", feed.describe())
            if is_main():
                write_whole(folder / f"resolved_{stage}.yml", dump(config).encode())
                phase = phase_at(trainer.phases, start.step + 1)
                record_start(folder, config, start.step, phase, start.changes, options.given)
        del begun, start  # optimisers and averages have been taken over
        with torch.autograd.set_detect_anomaly(config.run.debug):
            try:
                trainer.train(feed)
            except Stopped:
                if is_main():
                    step = trainer.state.step
                    log.warning("stage %s: stopped at iteration %d, saved at %d", stage, step, trainer.saved)
                raise
    log.info("stage %s: iteration %d, saved in %s", stage, trainer.state.step, folder)
