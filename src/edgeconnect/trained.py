"""Trained stages, ready to complete batches."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parametrize

from edgeconnect.checkpoint.weights import LoadedWeights, load_completing
from edgeconnect.config.sections import Config
from edgeconnect.engine import Engine, inference, make_engine
from edgeconnect.images import to_uint8
from edgeconnect.methods.build import build
from edgeconnect.methods.catalogue import Stage
from edgeconnect.types import Batch, Completion, Method

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRun:
    """A trained stage of a run, ready to complete pictures."""

    config: Config
    engine: Engine
    method: Method
    weights: list[LoadedWeights]
    folder: Path

    @property
    def stage(self) -> Stage:
        """Return the stage's entry in the catalogue."""
        return self.config.stage

    def provenance(self) -> dict[str, str]:
        """Name the stage, and each file that its weights came from, with iteration and digest."""
        return {"stage": self.stage.name} | {str(weights): weights.digest for weights in self.weights}


def load_run(
    config: Config, folder: Path, use_ema: bool = True, folded: bool = True, given_edges: bool = False
) -> LoadedRun:
    """Build METHOD's stage MODEL and load the networks that complete pictures from a run's folder, or from a save.

    With `given_edges`, a stage that draws edges and paints is built as the one that paints along those of the batch.
    With `folded`, normalised weights take the place of what they are computed from, and the networks can only complete.
    Raises UserError where the stage was not trained there, or its weights do not fit the configuration.
    """
    engine, folder = make_engine(config), folder.resolve()  # `best` may move meanwhile
    model = config.stage.paints_as if given_edges and config.stage.paints_as else config.run.model
    method = build(replace(config, run=replace(config.run, model=model)), engine.prepare)
    weights = load_completing(folder, config.stage, method.networks, use_ema)
    if folded:
        for network in method.networks.values():
            fold(network)
    log.info("stage %s: %s", config.stage.name, ", ".join(map(str, weights)))
    return LoadedRun(config, engine, method, weights, folder)


def fold(network: nn.Module) -> None:
    """Put normalised weights, which no longer change, in the place of what they are computed from."""
    for layer in network.eval().modules():
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight")


def complete_batch(
    method: Method, engine: Engine, batch: Batch, mirror: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return pictures, (B, H, W, 3 or 1), what was painted everywhere, alike, and the edges gone by, (B, H, W).

    `mirror` averages them with those of the mirror images.
    """
    with inference(method), engine.autocast():
        placed = engine.place(batch)
        made = method.complete(placed)
        if mirror:
            mirrored = method.complete(placed.map(lambda tensor: tensor.flip(-1)))
            made = Completion(*((one + other.flip(-1)) / 2 for one, other in zip(made, mirrored, strict=True)))
    return in_bytes(made)


def in_bytes(made: Completion) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the pictures, what was painted everywhere, and the edges of a completion, as `complete_batch` does."""
    return to_uint8(made.merged), to_uint8(made.raw), to_uint8(made.edge)[..., 0]
