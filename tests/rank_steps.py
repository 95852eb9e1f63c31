"""A few steps of every stage on the same global batches, in as many ranks as there are.

    python tests/rank_steps.py FILE

writes the weights that each rank came to.
"""

import itertools
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.optim import SGD

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "methods"))

import toy  # noqa: F401 - into the catalogue
from support import STAGES, state_of, tiny_config

from edgeconnect.data.loader import Feed
from edgeconnect.distributed import gather, joined
from edgeconnect.engine import Engine, parameters
from edgeconnect.methods.build import build
from edgeconnect.training.trainer import evaluate
from edgeconnect.types import Progress

STEPS, LR = 5, 0.01
KEYS: dict[str, dict[str, Any]] = {stage: {"MODEL": stage} for stage in STAGES}
KEYS |= {"toy": {"METHOD": "toy"}}
KEYS |= {"glcic": {"METHOD": "glcic", "INPUT_SIZE": 64, "GLCIC.LOCAL_SIZE": 1}}  # patches are drawn for each rank
KEYS |= {
    "se_contextual": {"METHOD": "se_contextual", "SE_CONTEXTUAL.LOCAL_SIZE": 1},
    "partialconv": {"METHOD": "partialconv"},
}
KEYS |= {"perceptual": {"MODEL": "inpaint", "CONTENT_LOSS_WEIGHT": 0.1, "STYLE_LOSS_WEIGHT": 250}}
DATA = {
    "TRAIN_FLIST": "scenes:16",
    "VAL_FLIST": "scenes:16-22",
    "MASK": "strokes",
    "MASK_RATIO": "0.05-0.6",
    "SIGMA": 1,
    "BATCH_SIZE": 4,
}


def train(name: str, grad_clip: float = 1.0) -> dict[str, Tensor]:
    """Return the measures of the first weights, and all networks after a few steps of gradient descent.

    Adam would hide a wrong scale, and makes whole steps of what rounding leaves of a gradient that is zero, such as
    that of a bias before an instance normalisation. All is in float64: in float32 a sign that rounding turns at a ReLU
    or in an absolute difference moves these tiny networks by more than the tolerance.
    """
    with patch.object(torch.Tensor, "float", torch.Tensor.double):
        return train_in_float64(name, grad_clip)


def train_in_float64(name: str, grad_clip: float) -> dict[str, Tensor]:
    config = tiny_config(**DATA, VGG_WEIGHTS="random", **KEYS[name])
    torch.manual_seed(0)
    engine = Engine(torch.device("cpu"), grad_clip=grad_clip)
    method = build(config, lambda network: engine.prepare(network).double())
    method.optimizers.update({role: SGD(parameters(adam), LR) for role, adam in method.optimizers.items()})
    feed = Feed(config)
    measured = evaluate(method, engine, feed.validation())
    for number, batch in enumerate(itertools.islice(feed.batches(0), STEPS), start=1):
        engine.step(method, engine.place(batch), Progress(number, number // 3))
    networks = method.networks.items()
    weights = {f"{name}.{key}": value for name, network in networks for key, value in state_of(network).items()}
    return weights | {name: torch.tensor(value, dtype=torch.float64) for name, value in measured.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined():
        found = gather({name: train(name) for name in KEYS})
    torch.save(found, sys.argv[1])
