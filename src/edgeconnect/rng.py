"""Every random state of a process: what a run needs besides its numbered items to go on bit for bit."""

import random
from typing import Any

import numpy as np
import torch


def seed(number: int) -> None:
    """Begin anew: all of them from one number."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def states() -> dict[str, Any]:
    """Return the states of PyTorch's, NumPy's and Python's generators, as plain values and tensors."""
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
        "python": [version, list(internal), gauss],
    }


def restore(states: dict[str, Any]) -> None:
    """Go on from such states; on another number of GPUs, theirs begin anew."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
