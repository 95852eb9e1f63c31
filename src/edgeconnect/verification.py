"""Complete a picture in several ways, judge each by the run's own discriminators, keep the most real."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from edgeconnect.checkpoint.saves import intact
from edgeconnect.checkpoint.weights import load_completing, load_network, trained_source
from edgeconnect.engine import Engine, inference
from edgeconnect.errors import UserError
from edgeconnect.methods.edgeconnect import Joint
from edgeconnect.methods.verified import CANDIDATES, Scored, refuse_resting, tried
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

    One whose edges or picture score less than `least`, from 0 to 1, is dropped.
    """

    method: Joint
    engine: Engine
    count: int
    least: float = 0.0

    def complete(self, batch_of: BatchOf) -> Verified:
        """Complete a batch of one in every way and keep the best."""
        placed = cache(lambda scale: self.engine.place(batch_of(scale)))
        with inference(self.method), self.engine.autocast():
            found = [tried(self.method, placed(one.scale), one) for one in CANDIDATES[: self.count]]
            scores = [(one.edges.item(), one.pictures.item()) for one in found]
        real = [number for number, both in enumerate(scores) if min(both) >= self.least]
        chosen = max(real, key=lambda number: scores[number][1], default=None)
        pairs = zip(found, scores, strict=True)
        report = [described(one, *both, number == chosen) for number, (one, both) in enumerate(pairs)]
        return Verified(None if chosen is None else found[chosen].completion, report)


def described(scored: Scored, edges: float, picture: float, is_kept: bool) -> dict[str, Any]:
    """Return what can be said of a candidate in JSON."""
    return asdict(scored.candidate) | {"edges": edges, "picture": picture, "kept": is_kept}


def load_verifier(run: LoadedRun, folder: Path, count: int, least: float = 0.0, use_ema: bool = True) -> Verifier:
    """Load the generators of a stage that draws and paints, and the discriminators that the run trained for them.

    Raises UserError where the method has no such stage, a discriminator is missing, or did not learn.
    """
    config, folder = run.config, folder.resolve()
    row, stage = config.row, config.stage
    if not (stage.draws_edges and stage.paints_as):
        raise UserError(
            f"--candidates: stage {stage.name} of {row.name} does not both draw edges and paint; leave it out"
        )
    method = Joint(replace(config, run=replace(config.run, model="joint")), run.engine.prepare)
    refuse_resting(method)
    load_completing(folder, stage, method.networks, use_ema)
    newest = cache(intact)
    for name, network in row.stage("joint").networks.items():
        if not network.completes:
            trainers = [stage.name, *row.trainers_of(name)]
            source = trained_source(folder, network, trainers, newest)
            if source is None:
                raise UserError(
                    f"--candidates: {folder} holds no {network.file}, which judges; copy it there, or train it"
                )
            load_network(source.path, network, method.networks[name])
            log.info("%s judges", source.path)
    return Verifier(method, run.engine, count, least)
