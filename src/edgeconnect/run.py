"""Whole runs: from a configuration and a folder to trained stages, completed pictures, measures."""

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch

from edgeconnect import config as configuration
from edgeconnect import randomness
from edgeconnect.checkpoint import Checkpoints
from edgeconnect.data.dataset import VAL, InpaintingDataset
from edgeconnect.data.loader import Feed, ordered_batches
from edgeconnect.engine import Engine, choose_device, choose_precision
from edgeconnect.errors import UserError, reason
from edgeconnect.lock import FolderLock
from edgeconnect.logs import RunLog, progress
from edgeconnect.methods import build
from edgeconnect.predict import Job, Predictor, incomplete
from edgeconnect.saves import SAVES
from edgeconnect.settings import ALL, RANDOM, Config
from edgeconnect.signals import Signals, Stopped
from edgeconnect.storage import write_whole
from edgeconnect.trainer import Trainer, evaluate
from edgeconnect.types import Method
from edgeconnect.vgg import load_vgg
from edgeconnect.weights import load_generators

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


def train(config: Config, folder: Path, resume: str = "auto", init_from: Path | None = None) -> None:
    """Train MODEL, or one stage after the other for `all`, each to its own MAX_ITERS.

    `resume` is auto, never or must; `init_from` names a folder whose weights a stage begins with. Raises Stopped after
    a signal, with everything saved.
    """
    stages = ONE_AFTER_THE_OTHER if config.run.model == ALL else (config.run.model,)
    if resume == "must" and any((folder / SAVES / stage).is_dir() for stage in stages):
        resume = "must" if len(stages) == 1 else "auto"  # stages that have not begun yet have nothing to go on from
    weights = config.losses
    if len(stages) > 1 and weights.vgg_weights != RANDOM and (weights.content_loss_weight or weights.style_loss_weight):
        load_vgg(weights.vgg_weights)  # fail before the first stage, not after it
    with FolderLock(folder), Signals() as signals:
        for stage in stages:
            chosen = dataclasses.replace(config, run=dataclasses.replace(config.run, model=stage))
            begun = stage == "edge_inpaint" and len(stages) > 1  # `all` began it with the stages before
            train_stage(chosen, folder, resume, None if begun else init_from, signals)


def train_stage(config: Config, folder: Path, resume: str, init_from: Path | None, signals: Signals) -> None:
    """Train one stage from where its folder stands; a stage that has ended is left alone and said so."""
    stage, max_iters = config.run.model, config.optim.max_iters
    randomness.seed(config.run.seed)
    engine = make_engine(config, training=True)
    method = build(stage, config, engine.prepare)
    checkpoints = Checkpoints(folder, stage, config.log.keep_checkpoints)
    start = checkpoints.begin(method, config, resume, init_from)
    if start.step >= max_iters:
        log.info("stage %s: at iteration %d, nothing to do; raise MAX_ITERS to go on", stage, start.step)
        return
    log.info("stage %s: %s", stage, start.message)
    feed = Feed(config, pin_memory=engine.device.type == "cuda")
    log.info("%s", feed.describe())
    write_whole(folder / f"resolved_{stage}.yml", configuration.dump(config).encode())
    owed = bool((start.state or {}).get("owed"))
    with closing(RunLog(folder, stage, start.step, start.step - owed)) as run_log:
        trainer = Trainer(method, engine, checkpoints, run_log, config, signals)
        trainer.restore(start)
        with torch.autograd.set_detect_anomaly(config.run.debug), worker_deaths_explained():
            try:
                trainer.train(feed)
            except (KeyboardInterrupt, Stopped):
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


def load_method(config: Config, folder: Path, engine: Engine, raw_edges: bool = False, use_ema: bool = True) -> Method:
    """Build MODEL (`all`: edge_inpaint) and load its generators."""
    stage = "edge_inpaint" if config.run.model == ALL else config.run.model
    method = build(stage, config, engine.prepare, raw_edges)
    averaged = load_generators(folder, method, use_ema)
    if averaged:
        log.info("EMA weights for %s", ", ".join(averaged))
    return method


def measure(config: Config, folder: Path) -> dict[str, float]:
    """Evaluate MODEL on VAL_FLIST (MODE 3) and return the means of its measures."""
    if not config.data.val_flist:
        raise UserError("VAL_FLIST is empty; MODE 3 evaluates on it")
    engine = make_engine(config)
    method = load_method(config, folder, engine)
    dataset = InpaintingDataset(config.data, VAL, config.run.seed)
    return evaluate(method, engine, ordered_batches(dataset, config.optim.batch_size))


def complete(
    config: Config,
    folder: Path,
    jobs: list[Job],
    raw_edges: bool = False,
    resize_mask: bool = False,
    use_ema: bool = True,
    mirror: bool = False,
) -> None:
    """Complete pictures with the generators in a run's folder; one that cannot be stops no other.

    Raises IncompleteError at the end where some are not there.
    """
    engine = make_engine(config)
    method = load_method(config, folder, engine, raw_edges, use_ema)
    predictor = Predictor(method, engine, config.data, config.run.seed, resize_mask, mirror)
    failed = []
    with progress(len(jobs), 0, "completing", "picture") as bar:
        for outcome in predictor.run(jobs, config.run.debug):
            if outcome.failure:
                failed.append(outcome.job)
                log.warning("%s", outcome.failure)
            bar.update()
    if failed:
        raise incomplete(failed, jobs)
