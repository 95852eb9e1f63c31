"""What a run leaves to read: CSV, TensorBoard, grids of samples."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from edgeconnect.atomic import explained, keep_aside, write_whole
from edgeconnect.images import write_png


class CsvLog:
    """Rows of scalars under a header; rows that a resumed run is about to write again are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns = self._continue(step)

    def _continue(self, step: int) -> list[str]:
        """Keep the rows up to `step`; where this run starts at 0, rename the log of an earlier one."""
        if not self.path.is_file():
            return []
        if step == 0:
            keep_aside(self.path)
            return []
        rows = list(csv.reader(self.path.read_text("utf-8", errors="replace").splitlines()))
        if not rows or "iteration" not in rows[0]:
            keep_aside(self.path)
            return []
        header, column = rows[0], rows[0].index("iteration")
        kept = [
            row for row in rows[1:] if len(row) == len(header) and row[column].isdecimal() and int(row[column]) <= step
        ]
        write_whole(self.path, _csv([header, *kept]).encode())
        return header

    def write(self, row: Mapping[str, float]) -> None:
        """Append one row; columns that are new extend the header."""
        if not row.keys() <= set(self.columns):
            self._add_columns([name for name in row if name not in self.columns])
        with explained(self.path), self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_csv([[_plain(row.get(name, "")) for name in self.columns]]))

    def _add_columns(self, names: list[str]) -> None:
        """Extend the header; rows that are there already have no value in the new columns."""
        self.columns = [*self.columns, *names]
        rows = list(csv.reader(self.path.read_text("utf-8").splitlines()))[1:] if self.path.is_file() else []
        write_whole(self.path, _csv([self.columns, *(row + [""] * len(names) for row in rows)]).encode())


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _plain(value: float | str) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)


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


def read_scalars(scalars: Mapping[str, Tensor]) -> dict[str, float]:
    """Bring scalars to the processor in one transfer."""
    values = torch.stack([value.detach().float() for value in scalars.values()]).tolist() if scalars else []
    return dict(zip(scalars, values, strict=True))
