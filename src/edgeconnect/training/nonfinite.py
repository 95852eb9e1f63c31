"""Losses and weights that are not finite: noticed, named, the batch kept for inspection."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgeconnect.atomic import whole_folder
from edgeconnect.errors import UserError, named
from edgeconnect.images import image_grid, to_uint8, write_png
from edgeconnect.launch import rank
from edgeconnect.types import Batch, Scalars

DRIFT = 1e-5  # relative difference of weight norms between ranks that GPUs of two kinds may come to
REMEMBERED = 100  # steps whose losses are read together at most


class NonFiniteLossError(UserError):
    """A loss became nan or infinite: the weights since then are worth nothing."""


class BadStep(NamedTuple):
    """A step whose losses were not all finite."""

    step: int
    pictures: int  # drawn before it
    losses: dict[str, float]

    def is_named(self) -> bool:
        """Return whether one of the losses is not finite: they are those of this rank."""
        return not all(map(np.isfinite, self.losses.values()))

    def describe(self) -> str:
        """Name the losses that are not finite."""
        bad = [f"{name} is {value}" for name, value in self.losses.items() if not np.isfinite(value)]
        return ", ".join(bad) or "the sum of the losses is not finite"


class LossWatch:
    """Check the named losses of many steps with one transfer from the device."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._steps: list[tuple[int, int]] = []
        self._values: list[Tensor] = []

    def read(self, scalars: Scalars) -> dict[str, float]:
        """Return the losses among scalars."""
        return {name: float(scalars[name]) for name in self.names if name in scalars}

    def add(self, step: int, pictures: int, scalars: Scalars) -> None:
        """Remember the losses of a step, still on the device."""
        self.names = [name for name in self.names if name in scalars]  # a term may be switched off
        if self.names:
            self._steps.append((step, pictures))
            self._values.append(torch.stack([scalars[name].float() for name in self.names]))

    def is_full(self) -> bool:
        """Return whether it is time to check."""
        return len(self._steps) >= REMEMBERED

    def check(self) -> BadStep | None:
        """Return the first bad step since the last check."""
        values = torch.stack(self._values).cpu() if self._values else torch.zeros(0, 0)
        steps, self._steps, self._values = self._steps, [], []
        bad = (~values.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if not bad:
            return None
        step, pictures = steps[bad[0]]
        return BadStep(step, pictures, dict(zip(self.names, values[bad[0]].tolist(), strict=True)))


def weights_problem(norms: Sequence[Mapping[str, float]]) -> str:
    """Say what is wrong with networks by the norms of their weights, on each rank; nothing where all is well."""
    for name in norms[0]:
        found = [norm[name] for norm in norms]
        if not np.isfinite(found).all():
            return f"weights of {name} are not finite"
        if not np.allclose(found, found[0], DRIFT, 0):
            return f"weights of {name} differ between ranks, by norms of {min(found)} to {max(found)}"
    return ""


def kept_bad_loss(folder: Path, stage: str, bad: BadStep, batch: Batch, saved: int) -> NonFiniteLossError:
    """Keep the batch of a bad step; return what says what happened, where to look, and what may help."""
    place = keep_batch(folder, stage, bad, batch)
    return NonFiniteLossError(
        f"stage {stage}, iteration {bad.step}: {bad.describe()}; "
        f"pictures: {named(batch.name)}, kept in {place}; the last save is of iteration {saved}; "
        "look at them, lower LR, set GRAD_CLIP or PRECISION: fp32, or pass over such batches with SKIP_NONFINITE"
    )


def keep_batch(folder: Path, stage: str, bad: BadStep, batch: Batch) -> Path:
    """Write the batch of a bad step: its names and losses, its tensors, a grid of what the networks saw."""
    place = folder / "nonfinite" / f"{stage}_{bad.step:07d}{f'_rank{rank()}' if rank() else ''}"
    losses = {name: value if np.isfinite(value) else str(value) for name, value in bad.losses.items()}
    report = {"stage": stage, "iteration": bad.step, "losses": losses, "files": batch.name}
    tensors = {name: value.detach().cpu() for name, value in batch._asdict().items() if isinstance(value, Tensor)}
    with whole_folder(place) as part:
        (part / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        torch.save(tensors, part / "batch.pth")
        planes = [to_uint8(value.nan_to_num(0, 1, 0)) for value in tensors.values()]  # what is no number shows black
        write_png(part / "batch.png", image_grid([[plane[i] for plane in planes] for i in range(len(batch.name))]))
    return place
