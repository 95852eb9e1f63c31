"""A toy method: what adding a method takes. One class, and one row of the catalogue.

    python tests/methods/toy.py train --checkpoints DIR --set METHOD=toy ...

runs the command line with it. docs/methods.md explains it line by line.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from edgeconnect.config.sections import Config
from edgeconnect.distributed import mean_over_ranks
from edgeconnect.methods.catalogue import METHODS, MethodRow, Network, Stage
from edgeconnect.types import Batch, Completion, Metrics, Prepare, Progress, Scalars, Stateful, Update, composite


class Brightness:
    """The mean colour of the pictures seen so far: a state that is no network."""

    def __init__(self) -> None:
        self.mean, self.batches = [0.5, 0.5, 0.5], 0

    def add(self, image: Tensor) -> None:
        """Take the colours of a batch, (B, 3, H, W), in."""
        colour = mean_over_ranks(image.mean(dim=(0, 2, 3))).tolist()
        self.batches += 1
        self.mean = [old + (new - old) / self.batches for old, new in zip(self.mean, colour, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Return mean and count."""
        return {"mean": self.mean, "batches": self.batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take mean and count over."""
        self.mean, self.batches = state["mean"], state["batches"]


class Toy:
    """Fill the hole by a painter, then repaint it by a finisher, which learns in the second phase only."""

    def __init__(self, config: Config, prepare: Prepare) -> None:
        def layers(channels: int) -> nn.Module:
            base = config.networks.base_channels
            return prepare(nn.Sequential(nn.Conv2d(channels, base, 3, padding=1), nn.ReLU(), nn.Conv2d(base, 3, 1)))

        self.painter, self.finisher = layers(4), layers(3)
        self.brightness = Brightness()
        self.networks = {"painter": self.painter, "finisher": self.finisher}
        self.optimizers = {
            "painter": torch.optim.Adam(self.painter.parameters(), lr=config.optim.lr),
            "finisher": torch.optim.SGD(self.finisher.parameters(), lr=config.optim.lr, momentum=0.9),
        }
        self.stateful: dict[str, Stateful] = {"brightness": self.brightness}

    def fill(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the painter's picture and the finisher's, (B, 3, H, W) in [0, 1]."""
        mean = batch.image.new_tensor(self.brightness.mean).view(1, 3, 1, 1)
        filled = batch.image * (1 - batch.mask) + mean * batch.mask
        painted = torch.sigmoid(self.painter(torch.cat([filled, batch.mask], dim=1)).float())
        return painted, torch.sigmoid(self.finisher(painted.detach()).float())

    def step(self, batch: Batch, update: Update, progress: Progress) -> Scalars:
        """Train the painter, in the second phase the finisher; two updates, one after the other."""
        if progress.phase == 0:
            self.brightness.add(batch.image)
        painted, _ = self.fill(batch)
        loss = (painted - batch.image).abs().mean()
        update({"painter": loss})
        _, finished = self.fill(batch)
        last = (finished - batch.image).square().mean()
        update({"finisher": last})
        return {"paint": loss.detach(), "finish": last.detach()}

    def complete(self, batch: Batch) -> Completion:
        """Fill the hole; there are no edges."""
        raw = self.fill(batch)[1]
        return Completion(composite(batch.image, raw, batch.mask), raw, torch.zeros_like(batch.mask))

    def evaluate(self, batch: Batch, completion: Completion) -> Metrics:
        """Mean absolute error of each picture."""
        return {"error": (batch.image - completion.merged).abs().mean(dim=(1, 2, 3))}


METHODS["toy"] = MethodRow(
    name="toy",
    source="the tests",
    stages=(
        Stage(
            number=1,
            name="fill",
            networks={
                "painter": Network("Toy_painter.pth", "weights"),
                "finisher": Network("Toy_finisher.pth", "weights"),
            },
            losses=("paint", "finish"),
            metrics={"error": "mae"},
            needs_edges=False,
            smallest_side=8,
        ),
    ),
    schedule=("fill",),
    completes="fill",
    build=lambda stage, config, prepare: Toy(config, prepare),
)

if __name__ == "__main__":
    from edgeconnect.cli import main

    raise SystemExit(main())
