"""What methods of two players, generators and discriminators, have in common."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgeconnect.config.sections import OptimizerConfig
from edgeconnect.types import Scalars


class Objective(NamedTuple):
    """The two players' losses of one batch, the fake they are about, and what to log."""

    losses: dict[str, Tensor]  # by the optimiser that they belong to
    fake: Tensor
    scalars: Scalars


def judged(discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the feature maps of both, for either role's loss, with weights that are normalised once.

    `fake` is not detached: `update` takes each loss into its own role's weights alone.
    """
    with parametrize.cached():
        return discriminator(real), discriminator(fake)


def by_role(discriminator: Tensor, generator: Tensor) -> dict[str, Tensor]:
    """Name the two losses; one that moves nothing, as that of a discriminator that rests, is left out."""
    both = {"discriminator": discriminator, "generator": generator}
    return {role: loss for role, loss in both.items() if loss.requires_grad}


def detached(scalars: Scalars) -> Scalars:
    """Cut scalars off the graph; they stay on the device."""
    return {name: value.detach() for name, value in scalars.items()}


def adam_pair(
    generators: Iterable[nn.Module], discriminators: Iterable[nn.Module], config: OptimizerConfig
) -> dict[str, torch.optim.Optimizer]:
    """One Adam for the generators at LR, one for the discriminators at LR * D2G_LR (section 4.2)."""
    return {
        "generator": adam(generators, config.lr, config),
        "discriminator": adam(discriminators, config.lr * config.d2g_lr, config),
    }


def adam(networks: Iterable[nn.Module], lr: float, config: OptimizerConfig) -> torch.optim.Optimizer:
    """One Adam for some networks."""
    parameters = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(parameters, lr=lr, betas=(config.beta1, config.beta2), fused=True)
