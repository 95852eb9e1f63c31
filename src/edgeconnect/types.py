"""The contract that every module shares: batches, completions, methods."""

from collections.abc import Callable, Collection, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Batch(NamedTuple):
    """Pictures and their holes; all tensors float32 in [0, 1].

    On its way to the device, what has 8 bits or one comes as uint8 and bool, a quarter of the bytes: see `in_floats`.
    """

    image: Tensor  # (B, 3, H, W)
    gray: Tensor  # (B, 1, H, W)
    edge: Tensor  # (B, 1, H, W)
    mask: Tensor  # (B, 1, H, W), exactly 0 or 1; 1 = missing
    name: list[str]
    whole_ratio: Tensor | None = None  # hole ratio of the step's whole batch, where this is a part of it
    mosaic: Tensor | None = None  # (B, 3, H, W): what is seen of the picture in the hole; nothing, where there is none

    @property
    def tensors(self) -> list[Tensor]:
        """Return what has a value for each pixel."""
        return [*self[:4], *([] if self.mosaic is None else [self.mosaic])]

    def map(self, fn: Callable[[Tensor], Tensor]) -> "Batch":
        """Apply a function to each of these tensors and keep the names."""
        planes = fn(self.image), fn(self.gray), fn(self.edge), fn(self.mask)
        mosaic = None if self.mosaic is None else fn(self.mosaic)
        return Batch(*planes, self.name, self.whole_ratio, mosaic)

    @property
    def hole_ratio(self) -> Tensor:
        """Share of the pixels that are missing, (): in the step's whole batch, over all ranks and accumulated parts."""
        return self.mask.mean() if self.whole_ratio is None else self.whole_ratio

    def split(self, number: int) -> "list[Batch]":
        """Cut a batch into parts of equal size."""
        size = len(self.image) // number
        parts = (slice(start, start + size) for start in range(0, len(self.image), size))
        return [self.map(itemgetter(part))._replace(name=self.name[part]) for part in parts]


def in_floats(tensor: Tensor) -> Tensor:
    """Turn uint8, 255 for 1, and bool into float32 in [0, 1], the same bits on every device."""
    if tensor.dtype != torch.uint8:
        return tensor.float()
    return tensor.float() / torch.full((), 255.0, device=tensor.device)  # CUDA rounds a plain 255 twice


class Completion(NamedTuple):
    """What a method makes of a batch; a stage that predicts edges returns the edge map (1 channel) as picture."""

    merged: Tensor  # (B, C, H, W): known pixels bit-identical to the input
    raw: Tensor  # (B, C, H, W): the generator's output everywhere
    edge: Tensor  # (B, 1, H, W): the edges that guided it


Scalars = dict[str, Tensor]
"""Named 0-dimensional detached tensors, left on the device until somebody logs them."""

Metrics = dict[str, Tensor]
"""Named tensors of shape (B,), one value for each picture of a batch, left on the device."""

Update = Callable[[Mapping[str, Tensor]], None]
"""Takes {optimiser name: loss}, which may share a graph: every gradient first, then every step. See `Engine.update`."""

Prepare = Callable[[nn.Module], nn.Module]
"""Puts a network where and how it shall run. See `engine.Engine.prepare`."""


class Progress(NamedTuple):
    """Where a training stands when a step begins."""

    iteration: int  # of this step, from 1
    phase: int = 0  # of the stage's phases, from 0
    roles: Collection[str] | None = None  # that learn in this phase; None: all

    def learns(self, role: str) -> bool:
        """Return whether a role learns in this phase; what it alone needs may be left out of a step otherwise."""
        return self.roles is None or role in self.roles


class Stateful(Protocol):
    """Something that a checkpoint must hold, as plain values and tensors."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take a state over."""


class Method(Protocol):
    """Everything that the trainer and the predictor know of an inpainting method."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Networks by the names of the catalogue's row. Frozen ones are read and never written."""

    @property
    def optimizers(self) -> Mapping[str, torch.optim.Optimizer]:
        """Optimisers by role, such as `generator` and `discriminator`."""

    @property
    def stateful(self) -> Mapping[str, Stateful]:
        """Whatever else a checkpoint must hold, by name; often nothing."""

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Compute the losses of one batch and hand them to `update`; the scalars have the catalogue's names."""

    def complete(self, batch: Batch) -> Completion:
        """Fill the holes; height and width may be any."""

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """Compare each completed picture with the true one."""


def is_trained(network: nn.Module) -> bool:
    """Return whether any weight of a network learns."""
    return any(parameter.requires_grad for parameter in network.parameters())


def composite(known: Tensor, filled: Tensor, mask: Tensor) -> Tensor:
    """Take `filled` where mask is 1 and `known`, bit for bit, where it is 0."""
    return torch.where(mask > 0, filled, known)
