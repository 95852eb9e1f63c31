"""Losses that are not finite: noticed, named, their batch kept for inspection."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from edgeconnect.atomic import whole_folder
from edgeconnect.images import sheet, to_uint8, write_png
from edgeconnect.types import Batch, Scalars

LOSS = "l_"  # how the names of losses begin, and no measure's does
REMEMBERED = 100  # steps looked at together at most


class Accident(NamedTuple):
    """A step whose losses were not all finite."""

    step: int
    pictures: int  # drawn before it
    losses: dict[str, float]

    def culprits(self) -> str:
        """Name the losses that are not finite."""
        bad = [f"{name} is {value}" for name, value in self.losses.items() if not np.isfinite(value)]
        return ", ".join(bad) or "the sum of the losses is not finite"


def losses_of(scalars: Scalars) -> dict[str, float]:
    """Read the losses among scalars."""
    return {name: float(value) for name, value in scalars.items() if name.startswith(LOSS)}


class LossWatch:
    """Look at the losses of many steps with one transfer from the device."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int]] = []
        self._values: list[Tensor] = []
        self._names: list[str] = []

    def see(self, step: int, pictures: int, scalars: Scalars) -> None:
        """Remember the losses of a step, still on the device."""
        self._names = [name for name in scalars if name.startswith(LOSS)]
        if self._names:
            self._steps.append((step, pictures))
            self._values.append(torch.stack([scalars[name].float() for name in self._names]))

    def is_full(self) -> bool:
        """Tell whether it is time to look."""
        return len(self._steps) >= REMEMBERED

    def look(self) -> Accident | None:
        """Return the first accident since the last look."""
        values = torch.stack(self._values).cpu() if self._values else torch.zeros(0, 0)
        steps, self._steps, self._values = self._steps, [], []
        bad = (~values.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if not bad:
            return None
        step, pictures = steps[bad[0]]
        return Accident(step, pictures, dict(zip(self._names, values[bad[0]].tolist(), strict=True)))


def keep_batch(folder: Path, stage: str, accident: Accident, batch: Batch) -> Path:
    """Write the batch of an accident: its names and losses, its tensors, a sheet of what the networks saw."""
    place = folder / "nonfinite" / f"{stage}_{accident.step:07d}"
    losses = {name: value if np.isfinite(value) else str(value) for name, value in accident.losses.items()}
    report = {"stage": stage, "iteration": accident.step, "losses": losses, "files": batch.name}
    with whole_folder(place) as part:
        (part / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        torch.save(tensors(batch), part / "batch.pth")
        write_png(part / "batch.png", batch_sheet(batch))
    return place


def tensors(batch: Batch) -> Mapping[str, Tensor]:
    """Name the tensors of a batch."""
    return {name: value.detach().cpu() for name, value in batch._asdict().items() if isinstance(value, Tensor)}


def batch_sheet(batch: Batch) -> np.typing.NDArray[np.uint8]:
    """Lay out picture, gray, edges and mask of each item; what is not a number shows black."""
    planes = [to_uint8(value.nan_to_num(0, 1, 0)) for value in tensors(batch).values()]
    return sheet([[plane[i] for plane in planes] for i in range(len(batch.name))])
