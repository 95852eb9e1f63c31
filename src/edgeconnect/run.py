"""Whole runs: from a configuration and a folder to trained stages, completed pictures."""

import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import torch

from edgeconnect import rng
from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.saves import RECORD, SAVES, saves_in
from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.checkpoint.weights import load_generators, sources
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import ALL, RANDOM, Config
from edgeconnect.data import validation
from edgeconnect.data.loader import Feed
from edgeconnect.engine import Engine, choose_device, choose_precision
from edgeconnect.errors import UserError, reason
from edgeconnect.methods import build
from edgeconnect.networks.vgg import load_vgg
from edgeconnect.predict import Job, Predictor, incomplete
from edgeconnect.progress import progress
from edgeconnect.training.lock import FolderLock
from edgeconnect.training.logs import RunLog
from edgeconnect.training.signals import Signals, Stopped
from edgeconnect.training.trainer import Trainer
from edgeconnect.types import Method

ONE_AFTER_THE_OTHER = ("edge", "inpaint", "edge_inpaint")

log = logging.getLogger(__name__)


def make_engine(config: Config, training: bool = False) -> Engine:
    """Choose device and precision and say which; PRECISION auto completes pictures in float32, as published."""
    device = choose_device(config.run.device, config.run.gpu)
    auto_completes = config.run.precision == "auto" and not training
    dtype = torch.float32 if auto_completes else choose_precision(config.run.precision, device)
    torch.backends.cudnn.benchmark = training  # pictures to complete come in many sizes, each would be tuned for
    if len(config.run.gpu) > 1 and device.type == "cuda":
        log.warning("GPU: %s names several; one process trains on one GPU, here %s", list(config.run.gpu), device)
    log.info("device %s, precision %s", device, str(dtype).removeprefix("torch."))
    careful = device.type == "cpu" or config.optim.skip_nonfinite > 0
    return Engine(device, dtype, config.optim.grad_clip, careful)


def train(
    config: Config, folder: Path, resume: str = "auto", init_from: Path | None = None, check: bool = False
) -> None:
    """Train MODEL, or one stage after the other for `all`, each to its own MAX_ITERS.

    `resume` is auto, never or must; `init_from` names a folder whose weights a stage begins with; `check` has a quick
    look at the data first. Raises Stopped after a signal, with everything saved.
    """
    if (folder / RECORD).is_file():
        raise UserError(f"{folder} is a save, not a run's folder; begin another run with --init-from {folder}")
    stages = ONE_AFTER_THE_OTHER if config.run.model == ALL else (config.run.model,)
    begun = max((i for i, stage in enumerate(stages) if saves_in(folder / SAVES / stage)), default=0)
    with FolderLock(folder), Signals() as signals:
        if check:
            look_at_data(config)
        weights = config.losses
        if (
            len(stages) > 1
            and weights.vgg_weights != RANDOM
            and weights.content_loss_weight + weights.style_loss_weight
        ):
            load_vgg(weights.vgg_weights)  # fail before the first stage, not after it
        for number, stage in enumerate(stages):
            chosen = dataclasses.replace(config, run=dataclasses.replace(config.run, model=stage))
            due = "auto" if resume == "must" and number > begun else resume
            train_stage(chosen, folder, due, begins_with(init_from, stage, stages), signals)


def begins_with(folder: Path | None, stage: str, stages: Sequence[str]) -> Path | None:
    """Return the folder of --init-from for a stage; of `all`, those that it has weights for, and not the last one."""
    if folder is None or len(stages) == 1:
        return folder
    held = {name: bool(sources(folder, [f"{name}_generator"])) for name in stages[:2]}
    if not any(held.values()):
        raise UserError(f"--init-from: {folder} holds no generator; give a folder with EdgeModel_gen.pth or its like")
    return folder if held.get(stage) else None


def look_at_data(config: Config) -> None:
    """Say what a quick look at the data warns of; raise UserError where training would meet errors."""
    report = validation.examine(config, quick=True, workers=os.cpu_count() or 1)
    relevant = [finding for finding in report.findings if "TEST" not in finding.where]
    errors = [finding.line() for finding in relevant if finding.severity == "error"]
    for line in (*errors[1:], *(finding.line() for finding in relevant if finding.severity == "warning")):
        log.warning("%s", line)
    if errors:
        raise UserError(f"{errors[0]} (scripts/check_data.py looks at every file; --no-check trains all the same)")


def train_stage(config: Config, folder: Path, resume: str, init_from: Path | None, signals: Signals) -> None:
    """Train one stage from where its folder stands; a stage that has ended is left alone and said so."""
    stage, max_iters = config.run.model, config.optim.max_iters
    rng.seed(config.run.seed)
    engine = make_engine(config, training=True)
    method = build(stage, config, engine.prepare)
    checkpoints = Checkpoints(folder, stage, config.log.keep_checkpoints)
    start = checkpoints.begin(method, config, resume, init_from)
    owed = bool((start.state or {}).get("owed"))
    if start.step >= max_iters and not owed:
        log.info("stage %s: at iteration %d, nothing to do; raise MAX_ITERS to go on", stage, start.step)
        return
    log.info("stage %s: %s", stage, start.message)
    feed = Feed(config, pin_memory=engine.device.type == "cuda")
    log.info("%s", feed.describe())
    write_whole(folder / f"resolved_{stage}.yml", config_file.dump(config).encode())
    with closing(RunLog(folder, stage, start.step, start.step - owed)) as run_log:
        trainer = Trainer(method, engine, checkpoints, run_log, config, signals)
        trainer.restore(start)
        del start  # optimisers and averages have been taken over
        with torch.autograd.set_detect_anomaly(config.run.debug), worker_deaths_explained():
            try:
                trainer.train(feed)
            except Stopped:
                log.warning("stage %s: stopped at iteration %d, saved at %d", stage, trainer.step, trainer.saved)
                raise
    log.info("stage %s: iteration %d, saved in %s", stage, trainer.step, folder)


@contextmanager
def worker_deaths_explained() -> Iterator[None]:
    """Turn what PyTorch says of a data-reading process that died into a UserError."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        cause = reason(error.__cause__ or error)
        raise UserError(
            f"a process that reads data died ({cause}); 'Killed' means that memory ran out: lower NUM_WORKERS, or "
            "--set NUM_WORKERS=0 to see what it meets"
        ) from error


def evaluated_stage(config: Config) -> str:
    """Name the stage that completes pictures; `all` ends with edge_inpaint."""
    return "edge_inpaint" if config.run.model == ALL else config.run.model


def load_method(config: Config, folder: Path, engine: Engine, raw_edges: bool = False, use_ema: bool = True) -> Method:
    """Build MODEL (`all`: edge_inpaint) and load its generators."""
    method = build(evaluated_stage(config), config, engine.prepare, raw_edges)
    averaged = load_generators(folder, method, use_ema)
    if averaged:
        log.info("EMA weights for %s", ", ".join(averaged))
    return method


def complete(
    config: Config,
    folder: Path,
    jobs: list[Job],
    done: Sequence[Job] = (),
    raw_edges: bool = False,
    resize_mask: bool = False,
    use_ema: bool = True,
    mirror: bool = False,
) -> None:
    """Complete pictures with the generators in a run's folder; one that cannot be stops no other.

    `done` are those of the same command that are there already. Raises IncompleteError at the end where some are not.
    """
    engine = make_engine(config)
    method = load_method(config, folder, engine, raw_edges, use_ema)
    predictor = Predictor(method, engine, config.data, config.run.seed, resize_mask, mirror)
    failed = []
    with progress(len(jobs), 0, "completing", "picture") as bar:
        for outcome in predictor.run(jobs, config.run.debug, done):
            if outcome.failure:
                failed.append(outcome.job)
                log.warning("%s", outcome.failure)
            bar.update()
    if failed:
        raise incomplete(failed, [*jobs, *done])
