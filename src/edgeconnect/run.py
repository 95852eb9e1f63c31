"""Training runs: from a configuration and a folder to trained stages."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import torch

from edgeconnect import rng
from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.folder import record_start
from edgeconnect.checkpoint.saves import RECORD, SAVES, saves_in
from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.checkpoint.weights import trained_source
from edgeconnect.config.file import dump
from edgeconnect.config.sections import Config
from edgeconnect.data import validation
from edgeconnect.data.loader import Feed
from edgeconnect.engine import make_engine
from edgeconnect.errors import UserError
from edgeconnect.methods.build import build
from edgeconnect.methods.catalogue import ALL
from edgeconnect.training.lock import folder_lock
from edgeconnect.training.logs import RunLog
from edgeconnect.training.phases import phase_at, phases_of
from edgeconnect.training.signals import Signals, Stopped
from edgeconnect.training.trainer import Trainer

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
    begun = max((i for i, stage in enumerate(stages) if saves_in(folder / SAVES / stage)), default=0)
    with folder_lock(folder), Signals() as signals:
        if options.check:
            check_data(config)
        if len(stages) > 1:
            config.row.check_weights(config)  # fail before the first stage, not after it
        for number, stage in enumerate(stages):
            chosen = dataclasses.replace(config, run=dataclasses.replace(config.run, model=stage))
            resume = options.resume
            if number < begun and resume != "never":
                log.info("stage %s: not trained further, %s has begun; --model %s does", stage, stages[begun], stage)
                continue
            if resume == "must" and number > begun:
                resume = "auto"
            start = dataclasses.replace(options, resume=resume, init_from=initial_weights(options, chosen, stages))
            train_stage(chosen, folder, start, signals)


def initial_weights(options: TrainOptions, config: Config, stages: Sequence[str]) -> Path | None:
    """Return the folder of --init-from for a stage.

    In a schedule, a stage that the folder has no weights of, and the last one, start from the stages before them.
    """
    folder = options.init_from
    if folder is None or len(stages) == 1:
        return folder
    held = [
        stage
        for stage in map(config.row.stage, stages[:-1])
        if any(trained_source(folder, stage.networks[name], [stage.name]) for name in stage.completing)
    ]
    if not held:
        raise UserError(f"--init-from: {folder} holds no weights of {', '.join(stages[:-1])}; give a run's folder")
    return folder if config.stage in held else None


def check_data(config: Config) -> None:
    """Log what a quick look at the data warns of; raise UserError where training would meet errors."""
    report = validation.examine(config, quick=True, workers=os.cpu_count() or 1)
    relevant = [finding for finding in report.findings if "TEST" not in finding.where]
    errors = [finding.line() for finding in relevant if finding.severity == "error"]
    for line in (*errors[1:], *(finding.line() for finding in relevant if finding.severity == "warning")):
        log.warning("%s", line)
    if errors:
        raise UserError(f"{errors[0]} (scripts/check_data.py looks at every file; --no-check trains all the same)")


def train_stage(config: Config, folder: Path, options: TrainOptions, signals: Signals) -> None:
    """Train one stage from where its folder stands; one that has ended is left alone."""
    stage = config.stage.name
    rng.seed(config.run.seed)
    engine = make_engine(config, training=True)
    method = build(config, engine.prepare)
    checkpoints = Checkpoints(folder, config)
    start = checkpoints.begin(method.networks, options.resume, options.init_from)
    pending = bool(start.state and start.state["train"].get("evaluation_pending"))
    if start.step >= phases_of(config.optim, stage, list(method.optimizers))[-1].end and not pending:
        log.info("stage %s: at iteration %d, nothing to do; raise MAX_ITERS to continue", stage, start.step)
        return
    with closing(RunLog(folder, stage, start.step, start.step - pending)) as run_log:
        trainer = Trainer(method, engine, checkpoints, run_log, config, signals)
        trainer.restore(start)
        log.info("stage %s: %s", stage, start.message)
        feed = Feed(config, pin_memory=engine.device.type == "cuda")
        log.info("%s", feed.describe())
        write_whole(folder / f"resolved_{stage}.yml", dump(config).encode())
        phase = phase_at(trainer.phases, start.step + 1)
        record_start(folder, config, start.step, phase, start.changes, options.given)
        del start  # optimisers and averages have been taken over
        with torch.autograd.set_detect_anomaly(config.run.debug):
            try:
                trainer.train(feed)
            except Stopped:
                log.warning("stage %s: stopped at iteration %d, saved at %d", stage, trainer.state.step, trainer.saved)
                raise
    log.info("stage %s: iteration %d, saved in %s", stage, trainer.state.step, folder)
