"""Complete a picture in several ways, judge each by the run's own discriminators, keep the most real."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from edgeconnect.checkpoint.saves import intact
from edgeconnect.checkpoint.weights import LoadedWeights, described, load_completing, load_network, trained_source
from edgeconnect.engine import Engine, inference
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.methods.edgeconnect import Joint
from edgeconnect.methods.verified import CANDIDATES, SMALLEST, refuse_resting, tried, ways
from edgeconnect.trained import LoadedRun
from edgeconnect.types import Batch, Completion

log = logging.getLogger(__name__)

BatchOf = Callable[[float], Batch]
"""Makes the batch of one, whose known edges are Canny's at SIGMA times a scale."""


class Verified(NamedTuple):
    """The most real completion, none where none is real enough, and what is said of every candidate."""

    completion: Completion | None
    report: list[dict[str, Any]]


@dataclass(frozen=True)
class Verifier:
    """Try the first `count` of `verified.CANDIDATES`; keep the one whose picture D2 finds the most real.

    One whose edges or picture score less than `least`, from 0 to 1, is dropped. `judges` are the discriminators' files.
    """

    method: Joint
    engine: Engine
    count: int
    least: float = 0.0
    judges: tuple[LoadedWeights, ...] = ()

    def complete(self, batch_of: BatchOf) -> Verified:
        """Complete a batch of one in every way and keep the best.

        Raises BadImageError naming a picture that is too small to be judged.
        """
        placed = cache(lambda scale: self.engine.place(batch_of(scale)))
        refuse_small(placed(1.0))
        best: Completion | None = None
        kept: dict[str, Any] = {}  # what is said of the best
        report = []
        with inference(self.method), self.engine.autocast():
            for one in CANDIDATES[: self.count]:
                made = tried(self.method, placed(one.scale), one)
                edges, picture = made.edges.item(), made.pictures.item()
                report.append(asdict(one) | {"edges": edges, "picture": picture, "kept": False})
                if min(edges, picture) >= self.least and (best is None or picture > kept["picture"]):
                    best, kept = made.completion, report[-1]
        if best is not None:
            kept["kept"] = True
        return Verified(best, report)


def refuse_small(batch: Batch) -> None:
    """Raise BadImageError where the discriminators would see less than a patch."""
    height, width = batch.mask.shape[-2:]
    if min(height, width) < SMALLEST:
        raise BadImageError(Path(batch.name[0]), f"is {width}x{height}; judges need {SMALLEST}x{SMALLEST} or more")


def load_verifier(run: LoadedRun, count: int, least: float = 0.0, use_ema: bool = True) -> Verifier:
    """Load the generators of a stage that draws and paints, and the discriminators that the run trained for them.

    Raises UserError where the method has no such stage, a discriminator is missing, or did not learn.
    """
    config, folder = run.config, run.folder
    row, stage = config.row, config.stage
    if not (stage.draws_edges and stage.paints_as):
        raise UserError(
            f"--candidates: stage {stage.name} of {row.name} does not both draw edges and paint; leave it out"
        )
    if config.run.raw_edges:
        raise UserError("--candidates: RAW_EDGES is 1, and candidates differ in the edges that they join; set it to 0")
    different = ways(config.data)
    if count > different:
        problem = f"--candidates: {count}, but only {different} differ where Canny's scale is not a fixed SIGMA above 0"
        raise UserError(f"{problem}; give {different} at most")
    method = Joint(replace(config, run=replace(config.run, model="joint")), run.engine.prepare)
    refuse_resting(method)
    load_completing(folder, stage, method.networks, use_ema)
    newest, judges = cache(intact), []
    for name, network in row.stage("joint").networks.items():
        if not network.completes:
            trainers = [stage.name, *row.trainers_of(name)]
            source = trained_source(folder, network, trainers, newest)
            if source is None:
                raise UserError(
                    f"--candidates: {folder} holds no {network.file}, which judges; copy it there, or train it"
                )
            iteration = load_network(source.path, network, method.networks[name])
            judges.append(described(source, network, iteration))
    log.info("judges: %s", ", ".join(map(str, judges)))
    return Verifier(method, run.engine, count, least, tuple(judges))
