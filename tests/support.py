"""What several test modules build: tiny configurations, random batches, a one-parameter method."""

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgeconnect.config import file as config_file
from edgeconnect.config.sections import Config
from edgeconnect.engine import Engine
from edgeconnect.methods.build import build
from edgeconnect.methods.catalogue import METHODS, MethodRow, Network, Stage
from edgeconnect.types import Batch, Completion, Method, Metrics, Progress, Scalars, Update, composite

PARITY = Path(__file__).parent / "parity"
SHARED = Path(__file__).resolve().parents[2] / "shared"
STAGES = ("edge", "inpaint", "edge_inpaint", "joint")
OTHERS = ("glcic", "se_contextual", "partialconv")  # methods of one stage
SIDES = {"glcic": 64}  # of the smallest pictures to train on, where they are not 32
TINY = {"BASE_CHANNELS": 4, "RESIDUAL_BLOCKS": 1, "INPUT_SIZE": 32, "BATCH_SIZE": 2, "NUM_WORKERS": 0}
PLAIN = {  # losses that need no VGG
    "CONTENT_LOSS_WEIGHT": 0,
    "STYLE_LOSS_WEIGHT": 0,
    "SE_CONTEXTUAL.CONTEXTUAL_LOSS_WEIGHT": 0,
    "PARTIALCONV.PERCEPTUAL_LOSS_WEIGHT": 0,
    "PARTIALCONV.STYLE_LOSS_WEIGHT": 0,
}


def tiny_config(**keys: Any) -> Config:
    """Build a configuration of tiny networks without VGG."""
    overrides = [(name, f"{name}={value}") for name, value in (TINY | PLAIN | keys).items()]
    return config_file.load(None, overrides).config


def tiny_method(stage: str, engine: Engine | None = None, seed: int = 0, **keys: Any) -> Method:
    """Build a stage of EdgeConnect, or a method of one stage, with tiny networks from a seed."""
    torch.manual_seed(seed)
    chosen: dict[str, Any] = {"METHOD" if stage in OTHERS else "MODEL": stage, "INPUT_SIZE": SIDES.get(stage, 32)}
    chosen |= {"LR": 1, "D2G_LR": 1} if stage == "glcic" else {}  # Adadelta's rate has no unit
    return build(tiny_config(**chosen | keys), (engine or Engine(torch.device("cpu"))).prepare)


def batch_for(stage: str, size: int = 2) -> Batch:
    """Draw a batch as small as a stage of EdgeConnect, or a method of one stage, trains on."""
    return random_batch(size, *[SIDES.get(stage, 32)] * 2)


def random_batch(size: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> Batch:
    """Draw a batch with a rectangular hole."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand((size, 3, height, width), generator=rng)
    mask = torch.zeros(size, 1, height, width)
    mask[..., height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = 1
    edge = (torch.rand((size, 1, height, width), generator=rng) > 0.9).float()
    return Batch(image, image.mean(1, keepdim=True), edge, mask, [f"{i}.png" for i in range(size)])


class Brightness(nn.Module):
    """A network of one parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(0.2))


FAKE = Stage(
    number=1,
    name="inpaint",
    networks={"inpaint_generator": Network("InpaintingModel_gen.pth", "generator")},
    losses=("l_g2",),
    metrics={"psnr": "psnr", "mae": "mae"},
)
METHODS["fake"] = MethodRow(
    "fake", "of the tests", (FAKE,), ("inpaint",), "inpaint", build=lambda stage, config, prepare: FakeMethod()
)


class FakeMethod:
    """Fill every hole with one learned brightness: enough to test what surrounds a method."""

    def __init__(self, lr: float = 0.01) -> None:
        self.network = Brightness()
        self.networks = {"inpaint_generator": self.network}
        self.optimizers = {"generator": torch.optim.Adam(self.network.parameters(), lr=lr)}
        self.stateful: dict[str, Any] = {}
        self.seen: list[list[str]] = []

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        self.seen.append(batch.name)
        loss = (self.complete(batch).raw - batch.image).square().mean()
        update({"generator": loss})
        return {"l_g2": loss.detach(), "psnr": -loss.detach()}

    def complete(self, batch: Batch) -> Completion:
        raw = torch.ones_like(batch.image) * self.network.value
        return Completion(composite(batch.image, raw, batch.mask), raw, batch.edge)

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        return {"mae": (batch.image - completion.merged).abs().mean(dim=(1, 2, 3))}


class FakeFeed:
    """Serve random batches; the same ones for validation every time."""

    def __init__(self, evaluates: bool = True, validation: int = 3) -> None:
        self.evaluates, self.count = evaluates, validation

    def identity(self) -> str:
        return "random batches"

    def epoch(self, pictures: int) -> int:
        return (pictures - 1) // 4 + 1

    def batches(self, pictures: int):
        step = pictures  # one name a batch, so it counts as one picture
        while True:
            step += 1
            yield random_batch(seed=step)._replace(name=[f"batch {step}"])

    def validation(self, limit: int | None = None):
        for seed in range(self.count if limit is None else min(limit, self.count)):
            yield random_batch(1, seed=100 + seed)


def log_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a log without what differs between equal runs: how long they waited for data."""
    with path.open(newline="") as file:
        return [{name: value for name, value in row.items() if name != "wait"} for row in csv.DictReader(file)]


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Copy a network's parameters and buffers."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """Name the entries that are not bit-identical."""
    return {name for name in one if not torch.equal(one[name], other[name])}
