"""From a data set to batches: shuffled without end for training, in order for validation."""

import hashlib
import logging
import signal
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from edgeconnect.config.sections import TRAIN, VAL, Config
from edgeconnect.data.dataset import Drawn, InpaintingDataset
from edgeconnect.data.items import FIXED_EPOCH, collate
from edgeconnect.errors import BadImageError, UserError
from edgeconnect.types import Batch

log = logging.getLogger(__name__)


class BadImages:
    """Name every file that was passed over, once, and raise UserError when they are more than BAD_IMAGE_LIMIT."""

    def __init__(self, limit: int) -> None:
        self.limit, self.names = limit, set[str]()

    def note(self, error: BadImageError) -> None:
        """Count a file."""
        if error.path in self.names:
            return
        self.names.add(error.path)
        log.warning("skipped (%d of at most %d): %s", len(self.names), self.limit, error)
        if len(self.names) > self.limit:
            raise UserError(
                f"{len(self.names)} files cannot be used, BAD_IMAGE_LIMIT allows {self.limit}; the last: {error} "
                "(scripts/check_data.py names them all)"
            )


class Feed:
    """What one stage trains on and is shown; without VAL_FLIST, samples show training pictures."""

    def __init__(self, config: Config, pin_memory: bool = False) -> None:
        self.seed, self.workers, self.pin_memory = config.run.seed, config.run.num_workers, pin_memory
        self.batch_size = config.optim.batch_size
        self.bad = BadImages(config.data.bad_image_limit)
        self.training = InpaintingDataset(config.data, TRAIN, self.seed)
        self.evaluates = bool(config.data.val_flist)
        self.shown = InpaintingDataset(config.data, VAL, self.seed) if self.evaluates else self.training

    def describe(self) -> str:
        """Say how many pictures there are."""
        held_out = f"{len(self.shown)} for validation" if self.evaluates else "no VAL_FLIST: samples show these, too"
        return f"{len(self.training)} pictures to train on; {held_out}"

    def identity(self) -> str:
        """Count the pictures to train on, and hash their names."""
        source = self.training.source
        names = hashlib.sha256(
            "\n".join(source.name(index) for index in range(len(source))).encode(errors="surrogateescape")
        )
        return f"{len(source)} pictures ({names.hexdigest()[:8]})"

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
            worker_init_fn=_settle,
            generator=torch.Generator(),  # its own, or each start would draw from the run's
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            for error in batch.skipped:
                self.bad.note(error)
            yield batch.batch

    def validation(self, limit: int | None = None) -> Iterator[Batch]:
        """Yield the first `limit` pictures, or all."""
        return ordered_batches(self.shown, self.batch_size, limit, self.bad)


def ordered_batches(
    dataset: InpaintingDataset, batch_size: int, limit: int | None = None, bad: BadImages | None = None
) -> Iterator[Batch]:
    """Yield the first `limit` pictures in order, the last batch as small as it comes, the same masks every time.

    With ON_BAD_IMAGE `skip`, bad pictures are noted in `bad` and left out: nothing stands in where it is measured.
    """
    count = len(dataset) if limit is None else min(limit, len(dataset))
    for first in range(0, count, batch_size):
        items = []
        for index in range(first, min(first + batch_size, count)):
            try:
                items.append(dataset[FIXED_EPOCH, index])
            except BadImageError as error:
                if bad is None or dataset.config.on_bad_image == "stop":
                    raise
                bad.note(error)
        if items:
            yield collate(items)


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


class _Guarded(Dataset[Drawn | UserError]):
    """Hand a user's mistake over as a value: a worker's exception would arrive as a traceback in a string."""

    def __init__(self, dataset: InpaintingDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, item: tuple[int, int]) -> Drawn | UserError:
        try:
            return self.dataset.draw(*item)
        except UserError as error:
            return error

    @staticmethod
    def collate(items: list[Drawn | UserError]) -> Drawn | UserError:
        """Return the first mistake, or the items as one batch."""
        drawn = [item for item in items if isinstance(item, Drawn)]
        if len(drawn) < len(items):
            return next(item for item in items if isinstance(item, UserError))
        try:
            return Drawn(collate([item.batch for item in drawn]), [error for item in drawn for error in item.skipped])
        except UserError as error:
            return error


def _settle(_: int) -> None:
    """Keep a worker to its own core, and leave it to its parent to heed signals: both get a terminal's Ctrl-C."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
