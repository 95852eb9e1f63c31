"""The phases of a stage: until when, at which learning rates, and which roles learn."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from torch.optim import Optimizer

from edgeconnect.config.sections import COSINE, OptimizerConfig
from edgeconnect.errors import UserError


@dataclass(frozen=True)
class Phase:
    """The part of a stage from after iteration `start` to `end`; `rates` are the learning rates of roles that learn."""

    end: int
    rates: Mapping[str, float]
    start: int = 0
    cosine: bool = False
    warm_up: int = 0

    def rates_at(self, iteration: int) -> dict[str, float]:
        """Return the rates of an iteration, from 1: they rise for the stage's first `warm_up` iterations.

        With `cosine` they fall to 0 along half a cosine over the phase (Loshchilov and Hutter, arXiv:1608.03983).
        """
        factor = min(1.0, iteration / self.warm_up) if self.warm_up else 1.0
        if self.cosine:
            passed = (iteration - 1 - self.start) / (self.end - self.start)
            factor *= (1 + math.cos(math.pi * min(passed, 1.0))) / 2
        return {role: factor * rate for role, rate in self.rates.items()}


def phases_of(config: OptimizerConfig, stage: str, roles: list[str]) -> list[Phase]:
    """Return the phases of a stage up to MAX_ITERS; without PHASES a single one at LR.

    A phase's `lr` takes the place of LR; the role `discriminator` learns at D2G_LR times that, unless `lr` names a
    rate for each role. Raises UserError where a phase names a role that the method does not have.
    """
    phases: list[Phase] = []
    shape = config.lr_schedule == COSINE, config.lr_warm_up
    for part in config.phases.get(stage, []) or [{"end": config.max_iters}]:
        lr, learning = part.get("lr", config.lr), part.get("train", roles)
        named = lr if isinstance(lr, dict) else {}
        unknown = [role for role in (*named, *learning) if role not in roles]
        if unknown:
            raise UserError(f"PHASES: {stage} has no role {unknown[0]}; its roles are {', '.join(roles)}")
        usual = config.lr if named else lr
        by_role = {"discriminator": usual * config.d2g_lr} | named
        rates = {role: by_role.get(role, usual) for role in learning}
        phases.append(Phase(min(part["end"], config.max_iters), rates, phases[-1].end if phases else 0, *shape))
        if part["end"] >= config.max_iters:
            break
    return phases


def phase_at(phases: list[Phase], iteration: int) -> int:
    """Return the number, from 0, of the phase that an iteration (from 1) belongs to; the last one after its end."""
    return next((number for number, phase in enumerate(phases) if iteration <= phase.end), len(phases) - 1)


def set_rates(optimizers: Mapping[str, Optimizer], rates: Mapping[str, float]) -> None:
    """Set the learning rate of each optimiser that learns."""
    for role, rate in rates.items():
        for group in optimizers[role].param_groups:
            group["lr"] = rate
