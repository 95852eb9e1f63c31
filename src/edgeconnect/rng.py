"""The states of all random generators of a run: one that resumes bit for bit needs them."""

import logging
import random
from typing import Any

import numpy as np
import torch

from edgeconnect.distributed import gather, world_size
from edgeconnect.launch import rank

log = logging.getLogger(__name__)


def seed(number: int) -> None:
    """Seed the generators of PyTorch, NumPy and Python with one number."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def seed_rank(number: int, step: int) -> None:
    """Let each rank draw numbers of its own from here on."""
    seed(int(np.random.SeedSequence((number, rank(), step)).generate_state(1, np.uint64)[0] >> 1))


class RandomState:
    """The generators of PyTorch, NumPy and Python of every rank, as something that a checkpoint holds."""

    def __init__(self) -> None:
        self.others: list[dict[str, Any]] = []

    def share(self) -> None:
        """Take the states of the other ranks, for rank 0 to save."""
        self.others = gather(self.own())[1:]

    def state_dict(self) -> dict[str, Any]:
        """Return the states, those of ranks but this one as they were shared."""
        return self.own() | {"others": self.others}

    def own(self) -> dict[str, Any]:
        """Return the states of this rank as plain values and tensors."""
        _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
        version, internal, gauss = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
            "python": [version, list(internal), gauss],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the states of this rank; on another number of ranks or GPUs, theirs begin anew."""
        states = [state, *state.get("others", [])]
        if len(states) != world_size():
            log.info("random numbers begin anew: %d ranks, the save knows those of %d", world_size(), len(states))
            return
        state = states[rank()]
        torch.set_rng_state(state["torch"])
        if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])
        keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
