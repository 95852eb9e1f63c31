"""The frozen names and shapes of networks' states: `networks/layouts/NAME.json` is {network: {key: shape}}."""

import json
from pathlib import Path

from torch import nn


def layout_of(network: nn.Module) -> dict[str, list[int]]:
    """Return the shapes of a network's state by their names."""
    return {name: list(value.shape) for name, value in network.state_dict().items()}


def frozen(name: str) -> dict[str, dict[str, list[int]]]:
    """Read the layouts of a method's networks."""
    return json.loads((Path(__file__).parent / "networks/layouts" / f"{name}.json").read_text())
