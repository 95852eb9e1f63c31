"""Whole runs: from a configuration and a folder to trained stages, completed pictures, measures."""

import dataclasses
import logging
from contextlib import closing
from pathlib import Path

import torch

from edgeconnect import config as configuration
from edgeconnect.checkpoint import Checkpoints, load_generators
from edgeconnect.data.dataset import VAL, InpaintingDataset
from edgeconnect.data.loader import Feed, ordered_batches
from edgeconnect.engine import Engine, choose_device, choose_precision
from edgeconnect.errors import UserError
from edgeconnect.logs import RunLog, progress
from edgeconnect.methods import build
from edgeconnect.predict import Job, Predictor
from edgeconnect.settings import ALL, RANDOM, Config
from edgeconnect.storage import write_whole
from edgeconnect.trainer import Trainer, evaluate
from edgeconnect.types import Method
from edgeconnect.vgg import load_vgg

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
    return Engine(device, dtype, config.optim.grad_clip)


def train(config: Config, folder: Path) -> None:
    """Train MODEL, or one stage after the other for `all`, each to its own MAX_ITERS."""
    stages = ONE_AFTER_THE_OTHER if config.run.model == ALL else (config.run.model,)
    weights = config.losses
    if len(stages) > 1 and weights.vgg_weights != RANDOM and (weights.content_loss_weight or weights.style_loss_weight):
        load_vgg(weights.vgg_weights)  # fail before the first stage, not after it
    for stage in stages:
        train_stage(dataclasses.replace(config, run=dataclasses.replace(config.run, model=stage)), folder)


def train_stage(config: Config, folder: Path) -> None:
    """Train one stage from where its folder stands; a stage that has ended is left alone and said so."""
    stage, max_iters = config.run.model, config.optim.max_iters
    torch.manual_seed(config.run.seed)
    engine = make_engine(config, training=True)
    method = build(stage, config, engine.prepare)
    checkpoints = Checkpoints(folder, stage)
    start = checkpoints.begin(method)
    if start.step >= max_iters:
        log.info("stage %s: at iteration %d, nothing to do; raise MAX_ITERS to go on", stage, start.step)
        return
    log.info("stage %s: %s", stage, start.message)
    feed = Feed(config, pin_memory=engine.device.type == "cuda")
    log.info("%s", feed.describe())
    write_whole(folder / f"resolved_{stage}.yml", configuration.dump(config).encode())
    with closing(RunLog(folder, stage, start.step)) as run_log:
        trainer = Trainer(method, engine, checkpoints, run_log, config)
        trainer.restore(start)
        with torch.autograd.set_detect_anomaly(config.run.debug):
            try:
                trainer.train(feed)
            except KeyboardInterrupt:
                log.warning("stage %s: stopped at iteration %d, saved at %d", stage, trainer.step, trainer.saved)
                raise
    log.info("stage %s: iteration %d, saved in %s", stage, trainer.step, folder)


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
    """Complete pictures with the generators in a run's folder."""
    engine = make_engine(config)
    method = load_method(config, folder, engine, raw_edges, use_ema)
    predictor = Predictor(method, engine, config.data, config.run.seed, resize_mask, mirror)
    with progress(len(jobs), 0, "completing", "picture") as bar:
        for _ in predictor.run(jobs, config.run.debug):
            bar.update()
