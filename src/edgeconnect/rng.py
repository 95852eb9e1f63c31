"""The states of all random generators of a process: a run that resumes bit for bit needs them."""

import random
from typing import Any

import numpy as np
import torch


def seed(number: int) -> None:
    """Seed the generators of PyTorch, NumPy and Python with one number."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


class RandomState:
    """The generators of PyTorch, NumPy and Python, as something that a checkpoint holds."""

    def state_dict(self) -> dict[str, Any]:
        """Return their states as plain values and tensors."""
        _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        version, internal, gauss = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
            "python": [version, list(internal), gauss],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from such states; on another number of GPUs, theirs begin anew."""
        torch.set_rng_state(state["torch"])
        if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
        keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
