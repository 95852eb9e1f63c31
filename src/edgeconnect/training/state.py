"""What a training must remember besides its networks, as named parts that a checkpoint holds."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch.optim import Optimizer

from edgeconnect.types import Stateful


@dataclass
class TrainState:
    """How far a stage has come."""

    step: int = 0
    pictures: int = 0  # drawn so far
    passed_over: int = 0  # batches whose loss was not finite
    evaluation_pending: bool = False  # a signal came before the evaluation of this step was done
    data: str = ""  # what the pictures to train on are, see `Feed.identity`

    def state_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the fields over. Raises TypeError for one that there is not."""
        self.__dict__.update(asdict(TrainState(**state)))


class Group:
    """Several parts as one."""

    def __init__(self, parts: Mapping[str, Stateful]) -> None:
        self.parts = parts

    def state_dict(self) -> dict[str, Any]:
        """Return the state of every part by its name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the state of every part over. Raises KeyError where one is missing."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])


class Optimizers(Group):
    """The optimisers by role. Their moments are restored, but not their settings, which the configuration gives."""

    def __init__(self, optimizers: Mapping[str, Optimizer]) -> None:
        super().__init__(optimizers)
        self.optimizers = optimizers

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the moments over. Raises ValueError where they are of other parameters."""
        for role, optimizer in self.optimizers.items():
            groups = zip(optimizer.param_groups, state[role]["param_groups"], strict=True)
            ours = [group | {"params": theirs["params"]} for group, theirs in groups]  # also says where moments go
            optimizer.load_state_dict(state[role] | {"param_groups": ours})
