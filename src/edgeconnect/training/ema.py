"""A moving average of the weights that complete pictures."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var")  # of batch normalisation


class EMA:
    """Average the weights of networks: average = d * average + (1 - d) * weights. Without a decay it does nothing.

    Early on d is (1 + n) / (10 + n) after n updates, so that a short run is not dominated by its start.
    """

    def __init__(self, networks: Mapping[str, nn.Module], decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.networks = networks
        self.shadow = {name: _copy(network) for name, network in self.networks.items()} if decay else {}

    @torch.no_grad()
    def update(self) -> None:
        """Take weights and running statistics of one more step in; spectral-norm vectors are taken over as they are."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, shadow in self.shadow.items():
            state = self.networks[name].state_dict()
            averaged = {key for key, _ in self.networks[name].named_parameters()}
            averaged |= {key for key in state if key.endswith(STATISTICS)}
            averages, weights = zip(*((shadow[key], state[key]) for key in state if key in averaged), strict=True)
            torch._foreach_lerp_(averages, weights, 1 - decay)
            for key in state.keys() - averaged:
                shadow[key].copy_(state[key])

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; averages that it does not hold begin at the weights as they are."""
        self.updates = int(state.get("updates", 0))
        for name, shadow in self.shadow.items():
            for key, value in state.get("shadow", {}).get(name, self.networks[name].state_dict()).items():
                shadow[key].copy_(value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages into the networks for a while; without EMA, do nothing."""
        kept = {name: _copy(self.networks[name]) for name in self.shadow}
        for name, shadow in self.shadow.items():
            self.networks[name].load_state_dict(shadow)
        try:
            yield
        finally:
            for name, state in kept.items():
                self.networks[name].load_state_dict(state)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in network.state_dict().items()}
