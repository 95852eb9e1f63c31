"""The phases of a stage: until when, at which learning rates, and which roles learn."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch.optim import Optimizer

from edgeconnect.config.sections import OptimizerConfig
from edgeconnect.errors import UserError


@dataclass(frozen=True)
class Phase:
    """The part of a stage that ends with iteration `end`; `rates` holds the learning rate of each role that learns."""

    end: int
    rates: Mapping[str, float]


def phases_of(config: OptimizerConfig, stage: str, roles: list[str]) -> list[Phase]:
    """Return the phases of a stage up to MAX_ITERS; without PHASES a single one at LR.

    A phase's `lr` takes the place of LR; the role `discriminator` learns at D2G_LR times that, unless `lr` names a
    rate for each role. Raises UserError where a phase names a role that the method does not have.
    """
    phases = []
    for part in config.phases.get(stage, []) or [{"end": config.max_iters}]:
        lr, learning = part.get("lr", config.lr), part.get("train", roles)
        named = lr if isinstance(lr, dict) else {}
        unknown = [role for role in (*named, *learning) if role not in roles]
        if unknown:
            raise UserError(f"PHASES: {stage} has no role {unknown[0]}; its roles are {', '.join(roles)}")
        usual = config.lr if named else lr
        by_role = {"discriminator": usual * config.d2g_lr} | named
        rates = {role: by_role.get(role, usual) for role in learning}
        phases.append(Phase(min(part["end"], config.max_iters), rates))
        if part["end"] >= config.max_iters:
            break
    return phases


def phase_at(phases: list[Phase], iteration: int) -> int:
    """Return the number, from 0, of the phase that an iteration (from 1) belongs to; the last one after its end."""
    return next((number for number, phase in enumerate(phases) if iteration <= phase.end), len(phases) - 1)


def set_rates(optimizers: Mapping[str, Optimizer], phase: Phase) -> None:
    """Set the learning rate of each optimiser that learns in a phase."""
    for role, rate in phase.rates.items():
        for group in optimizers[role].param_groups:
            group["lr"] = rate
