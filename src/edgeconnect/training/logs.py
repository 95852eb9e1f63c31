"""What a run leaves to read: CSV, TensorBoard, grids of samples."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from edgeconnect.atomic import explained, keep_aside, write_whole
from edgeconnect.distributed import mean_over_ranks
from edgeconnect.images import to_uint8, write_png
from edgeconnect.plain import csv_text
from edgeconnect.types import Batch, Completion, composite


class CsvLog:
    """Rows of scalars under a header; rows that a resumed run is about to write again are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        """Keep the rows up to `step`; rename what is no log, and where this run starts at 0 that of an earlier one."""
        self.path = path
        self.columns, *rows = self._read()
        if step and "iteration" in self.columns:
            place = self.columns.index("iteration")
            complete = [row for row in rows if len(row) == len(self.columns) and row[place].isdecimal()]
            kept = [row for row in complete if int(row[place]) <= step]
            write_whole(path, csv_text([self.columns, *kept]).encode())
        else:
            self.columns = []
            if path.is_file():
                keep_aside(path)

    def write(self, row: Mapping[str, float]) -> None:
        """Append one row; columns that are new extend the header, and are empty in the rows before."""
        new = [name for name in row if name not in self.columns]
        if new:
            _, *rows = self._read()
            self.columns = [*self.columns, *new]
            write_whole(self.path, csv_text([self.columns, *(row + [""] * len(new) for row in rows)]).encode())
        values = [row.get(name, "") for name in self.columns]
        with explained(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(csv_text([[f"{value:.7g}" if isinstance(value, float) else str(value) for value in values]]))

    def _read(self) -> list[list[str]]:
        """Return the header, empty where there is no file, and the rows."""
        text = self.path.read_text("utf-8", errors="replace") if self.path.is_file() else ""
        return list(csv.reader(text.splitlines())) or [[]]


class RunLog:
    """The logs of one stage: `log_<stage>.csv`, `tensorboard/<stage>`, `samples/<stage>/`.

    They continue after `step`, those of the validation after `validated`.
    """

    def __init__(self, folder: Path, stage: str, step: int, validated: int | None = None) -> None:
        self.folder, self.stage = folder, stage
        self.training = CsvLog(folder / f"log_{stage}.csv", step)
        self.validation = CsvLog(folder / f"log_{stage}_val.csv", step if validated is None else validated)
        self.events = folder / "tensorboard" / stage
        with explained(self.events):
            self.board = SummaryWriter(str(self.events), purge_step=step + 1)

    def train(self, epoch: int, step: int, scalars: Mapping[str, float]) -> None:
        """Record the scalars of a training step."""
        self._record(self.training, "train", epoch, step, scalars)

    def validate(self, epoch: int, step: int, scalars: Mapping[str, float]) -> None:
        """Record the means over the validation set."""
        if scalars:  # none where no picture could be read
            self._record(self.validation, "val", epoch, step, scalars)

    def _record(self, log: CsvLog, group: str, epoch: int, step: int, scalars: Mapping[str, float]) -> None:
        log.write({"epoch": epoch, "iteration": step, **scalars})
        with explained(self.events):
            for name, value in scalars.items():
                self.board.add_scalar(f"{group}/{name}", value, step)

    def sample(self, step: int, grid: NDArray[np.uint8]) -> Path:
        """Write a grid of completions, (H, W, 3), as PNG and to TensorBoard."""
        path = self.folder / "samples" / self.stage / f"{step:07d}.png"
        write_png(path, grid)
        with explained(self.events):
            self.board.add_image("samples", grid, step, dataformats="HWC")
        return path

    def close(self) -> None:
        """Flush what is buffered."""
        with explained(self.events):
            self.board.close()


def sample_rows(batch: Batch, completion: Completion, predicts: str) -> list[list[NDArray[np.uint8]]]:
    """Arrange each picture of a batch as input, edges, completion, merged, truth; `predicts` is image or edge."""
    seen = torch.ones_like(batch.image) if batch.mosaic is None else batch.mosaic
    holed = composite(batch.image, seen, batch.mask)
    truth = batch.edge if predicts == "edge" else batch.image
    columns = [to_uint8(tensor) for tensor in (holed, completion.edge, completion.raw, completion.merged, truth)]
    return [[column[i] for column in columns] for i in range(len(batch.name))]


def read_scalars(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Bring scalars to the processor in one transfer, and average them over the ranks."""
    values = torch.stack([value.detach().float() for value in scalars.values()]) if scalars else torch.zeros(0)
    return dict(zip(scalars, mean_over_ranks(values.double().cpu()).tolist(), strict=True))
