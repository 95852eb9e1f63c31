"""From a data set to batches: shuffled without end for training, in order for validation."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeconnect.config import Config
from edgeconnect.data.dataset import FIXED_EPOCH, TRAIN, VAL, InpaintingDataset, collate
from edgeconnect.errors import UserError
from edgeconnect.types import Batch


class Feed:
    """What one stage trains on and is shown; without VAL_FLIST, samples show training pictures."""

    def __init__(self, config: Config, pin_memory: bool = False) -> None:
        self.seed, self.workers, self.pin_memory = config.run.seed, config.run.num_workers, pin_memory
        self.batch_size = config.optim.batch_size
        self.training = InpaintingDataset(config.data, TRAIN, self.seed)
        self.evaluates = bool(config.data.val_flist)
        self.shown = InpaintingDataset(config.data, VAL, self.seed) if self.evaluates else self.training

    def describe(self) -> str:
        """Say how many pictures there are."""
        held_out = f"{len(self.shown)} for validation" if self.evaluates else "no VAL_FLIST: samples show these, too"
        return f"{len(self.training)} pictures to train on; {held_out}"

    def epoch(self, pictures: int) -> int:
        """Return the epoch, from 1, that the last of so many pictures belongs to."""
        return max(0, pictures - 1) // len(self.training) + 1

    def batches(self, pictures: int) -> Iterator[Batch]:
        """Yield shuffled batches without end, as if so many pictures had been drawn already."""
        loader = DataLoader(
            _Guarded(self.training),
            batch_size=self.batch_size,
            sampler=EpochSampler(len(self.training), self.seed, pictures),
            num_workers=self.workers,
            collate_fn=_Guarded.collate,
            pin_memory=self.pin_memory,
            worker_init_fn=_one_thread,
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch

    def validation(self, limit: int | None = None) -> Iterator[Batch]:
        """Yield the first `limit` pictures, or all."""
        return ordered_batches(self.shown, self.batch_size, limit)


def ordered_batches(dataset: InpaintingDataset, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
    """Yield the first `limit` pictures in order, the last batch as small as it comes, the same masks every time."""
    count = len(dataset) if limit is None else min(limit, len(dataset))
    for first in range(0, count, batch_size):
        indices = range(first, min(first + batch_size, count))
        yield collate([dataset[FIXED_EPOCH, index] for index in indices])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield (epoch, index) without end from any position: every epoch is its own seeded permutation."""

    def __init__(self, length: int, seed: int, start: int = 0) -> None:
        self.length, self.seed, self.start = length, seed, start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Continue at `start` items after the beginning of epoch 1."""
        epoch, skip = divmod(self.start, self.length)
        while True:
            epoch += 1
            order = np.random.default_rng((self.seed, epoch)).permutation(self.length)
            yield from ((epoch, int(index)) for index in order[skip:])
            skip = 0


class _Guarded(Dataset[Batch | UserError]):
    """Hand a user's mistake over as a value: a worker's exception would arrive as a traceback in a string."""

    def __init__(self, dataset: InpaintingDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, item: tuple[int, int]) -> Batch | UserError:
        try:
            return self.dataset[item]
        except UserError as error:
            return error

    @staticmethod
    def collate(items: list[Batch | UserError]) -> Batch | UserError:
        """Return the first mistake, or the items as one batch."""
        try:
            return next((item for item in items if isinstance(item, UserError)), None) or collate(
                [item for item in items if isinstance(item, Batch)]
            )
        except UserError as error:
            return error


def _one_thread(_: int) -> None:
    """Keep a worker to its own core."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
