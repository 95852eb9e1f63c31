"""Inception weights that are random but seeded, under the package's key names."""

from pathlib import Path

import torch
from pytorch_fid import inception
from torch import Tensor


def random_state(seed: int = 0) -> dict[str, Tensor]:
    """Return a state dict that keeps the scale of what passes the network, without the counters that nothing uses."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = inception._inception_v3(num_classes=1008, aux_logits=False, weights=None).state_dict()
    state = {}
    for name, value in shapes.items():
        if value.ndim == 4:
            state[name] = torch.randn(value.shape, generator=generator) * (2 / value[0].numel()) ** 0.5
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = torch.ones(value.shape)
        elif not name.endswith("num_batches_tracked"):
            state[name] = torch.randn(value.shape, generator=generator) / 10
    return state


def saved(path: Path, state: object) -> Path:
    """Write a file of weights."""
    torch.save(state, path)
    return path
