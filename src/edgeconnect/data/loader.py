"""From a data set to batches: shuffled without end for training, in order for validation."""

import itertools
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import wait
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from edgeconnect.config.sections import TRAIN, VAL, Config
from edgeconnect.data.dataset import Drawn, InpaintingDataset
from edgeconnect.data.items import FIXED_EPOCH, collate
from edgeconnect.data.path_list import LONG
from edgeconnect.distributed import world_size
from edgeconnect.errors import BadImageError, UserError, reason
from edgeconnect.launch import rank
from edgeconnect.types import Batch

ROUNDS = 8  # of the network that shuffles long lists
ORDERED = 1 << 14  # items whose order is known ahead
SHOWN_AT_ONCE = 16  # pictures of a batch at most where nothing learns; how many ranks share BATCH_SIZE does not matter

log = logging.getLogger(__name__)


class Feed:
    """What one stage trains on and is shown; without VAL_FLIST, samples show training pictures."""

    def __init__(self, config: Config, pin_memory: bool = False) -> None:
        self.seed, self.workers, self.pin_memory = config.run.seed, config.run.num_workers, pin_memory
        self.batch_size = config.optim.batch_size
        self.own = self.batch_size // world_size()  # of each batch, on this rank
        self.shown_at_once = min(self.batch_size, SHOWN_AT_ONCE)
        self.bad_images, self.bad_image_limit = set[str](), config.data.bad_image_limit
        needs_edges, smallest = config.stage.needs_edges, config.stage.smallest_side
        self.training = InpaintingDataset(config.data, TRAIN, self.seed, needs_edges, smallest)
        self.evaluates = bool(config.data.val_flist)
        self.shown = InpaintingDataset(config.data, VAL, self.seed, needs_edges) if self.evaluates else self.training
        self.validated: list[tuple[int, int]] = []  # items of a pass; its loader keeps its processes for the next one
        workers = min(self.workers, -(-len(self.shown) // self.shown_at_once))
        reader = _Reader(self.shown, stand_in=False)
        self._validating = self._loader(reader, self.validated, self.shown_at_once, workers, kept=workers > 0)

    def describe(self) -> str:
        """Say how many pictures there are."""
        held_out = f"{len(self.shown)} for validation" if self.evaluates else "no VAL_FLIST: samples show these, too"
        return f"{len(self.training)} pictures to train on; {held_out}"

    def identity(self) -> str:
        """Describe the pictures to train on, so that others are noticed."""
        return self.training.source.identity()

    def epoch(self, pictures: int) -> int:
        """Return the epoch, from 1, that the last of so many pictures belongs to."""
        return max(0, pictures - 1) // len(self.training) + 1

    def batches(self, pictures: int) -> Iterator[Batch]:
        """Yield this rank's parts of shuffled batches without end, as if so many pictures had been drawn already."""
        items = own_items(epoch_items(len(self.training), self.seed, pictures), self.batch_size)
        return self._serve(self._loader(_Reader(self.training, stand_in=True), items, self.own, self.workers))

    def validation(self, limit: int | None = None) -> Iterator[Batch]:
        """Yield the first `limit` pictures, or this rank's part of all, in order, the last batch as it comes.

        They have the same masks every time.
        With ON_BAD_IMAGE `skip`, bad pictures are left out: nothing stands in where it is measured.
        """
        count, size = len(self.shown), self.shown_at_once
        shown = range(count if limit is None else min(limit, count))
        if limit is None:  # whole batches to each rank: their measures do not depend on the number of ranks
            batches = -(-count // size)
            shown = shown[size * (batches * rank() // world_size()) : size * (batches * (rank() + 1) // world_size())]
        self.validated[:] = [(FIXED_EPOCH, index) for index in shown]
        yield from self._serve(self._validating)

    def _loader(
        self, reader: "_Reader", items: Iterable[tuple[int, int]], size: int, workers: int, kept: bool = False
    ) -> "DataLoader[Drawn | UserError]":
        return DataLoader(
            reader,
            batch_size=size,
            sampler=items,
            num_workers=workers,
            collate_fn=collate_served,
            pin_memory=self.pin_memory,
            worker_init_fn=_initialize_worker,
            generator=torch.Generator(),  # its own, or each start would draw from the run's
            persistent_workers=kept,
        )

    def _serve(self, loader: "DataLoader[Drawn | UserError]") -> Iterator[Batch]:
        for served in fetched(loader) if loader.num_workers else loader:
            if isinstance(served, UserError):
                raise served
            for error in served.skipped:
                self._note(error)
            if served.batch is not None:
                yield served.batch

    def _note(self, error: BadImageError) -> None:
        """Name every skipped file once; raise UserError when they are more than BAD_IMAGE_LIMIT."""
        if error.path in self.bad_images:
            return
        self.bad_images.add(error.path)
        count, limit = len(self.bad_images), self.bad_image_limit
        log.warning("skipped (%d of at most %d): %s", count, limit, error)
        if count > limit:
            problem = f"{count} files cannot be used, BAD_IMAGE_LIMIT allows {limit}; the last: {error}"
            raise UserError(f"{problem} (scripts/check_data.py names them all)")


def epoch_items(length: int, seed: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (epoch, index) without end, from `start` items after the beginning of epoch 1.

    Every epoch is its own seeded permutation: NumPy's up to 2,000,000 items, above that the one of `shuffled`.
    """
    first, skip = divmod(start, length)
    for epoch in itertools.count(first + 1):
        drawn = np.random.default_rng((seed, epoch)).permutation(length) if length <= LONG else None
        for begin in range(skip, length, ORDERED):
            places = np.arange(begin, min(begin + ORDERED, length))
            order = shuffled(places, length, (seed, epoch)) if drawn is None else drawn[places]
            yield from ((epoch, index) for index in order.tolist())
        skip = 0


def shuffled(places: NDArray[np.int64], length: int, seed: tuple[int, ...]) -> NDArray[np.int64]:
    """Return what a seeded permutation of 0 ... length - 1 has at these places, without drawing the rest of it.

    A Feistel network whose halves are digits to the base of the root of `length` and whose rounds are tables of random
    numbers (Luby and Rackoff 1988); what falls outside goes through again (Black and Rogaway 2002), which few do.
    """
    base = math.isqrt(length - 1) + 1
    rounds = np.random.default_rng(seed).integers(base, size=(ROUNDS, base))
    numbers, outside = places.copy(), np.ones(len(places), bool)
    while outside.any():
        left, right = np.divmod(numbers[outside], base)
        for table in rounds:
            left, right = right, (left + table[right]) % base
        numbers[outside] = left * base + right
        outside = numbers >= length
    return numbers


def own_items(items: Iterator[tuple[int, int]], batch_size: int) -> Iterator[tuple[int, int]]:
    """Yield this rank's contiguous part of each batch."""
    own = batch_size // world_size()
    while batch := list(itertools.islice(items, batch_size)):
        yield from batch[own * rank() : own * (rank() + 1)]


class _Reader(Dataset[Drawn | UserError]):
    """Read items; a user's mistake becomes a value, for a worker's exception would arrive as text with a traceback."""

    def __init__(self, dataset: InpaintingDataset, stand_in: bool) -> None:
        self.dataset, self.stand_in = dataset, stand_in

    def __getitem__(self, item: tuple[int, int]) -> Drawn | UserError:
        try:
            return self.dataset.draw(*item, self.stand_in)
        except UserError as error:
            return error


def collate_served(items: list[Drawn | UserError]) -> Drawn | UserError:
    """Return the first mistake, or the items as one batch."""
    served = [item for item in items if isinstance(item, Drawn)]
    if len(served) < len(items):
        return next(item for item in items if isinstance(item, UserError))
    batches = [item.batch for item in served if item.batch is not None]
    try:
        return Drawn(collate(batches) if batches else None, [error for item in served for error in item.skipped])
    except UserError as error:
        return error


_interrupted: list[object] = []  # iterators whose processes are waited for at the program's end, after the save
_deaths: list[RuntimeError] = []  # of reading processes, in PyTorch's words


def fetched(loader: "DataLoader[Drawn | UserError]") -> Iterator[Drawn | UserError]:
    """Yield what reading processes serve; the death of one raises UserError here, never in the middle of a step.

    When this generator is closed, the processes are ended: one that hangs in a read would keep the program from ending.
    At the end of its items a loader with persistent workers keeps them.
    """
    batches, kept = _started(loader), False
    workers = batches._workers
    _defer_deaths()
    try:
        while True:
            if _deaths:
                raise _deaths[0]
            served = next(batches, None)
            if served is None:
                kept = loader.persistent_workers
                return
            yield served
    except GeneratorExit:
        raise
    except (RuntimeError, OSError, EOFError) as error:  # the latter two where a process dies while it hands over
        if not _deaths and not wait([worker.sentinel for worker in workers], timeout=1):
            raise
        why = reason(_deaths[0] if _deaths else error)
        remedy = "'Killed' means that memory ran out: lower NUM_WORKERS, or --set NUM_WORKERS=0 to see what it meets"
        raise UserError(f"a process that reads data died ({why}); {remedy}") from error
    except BaseException:  # a signal that does not wait for the batch
        _interrupted.append(batches)
        raise
    finally:
        if not kept:
            loader._iterator = None  # or the loader would hold what is to end
        if not kept and not loader.pin_memory:  # whose thread may wait for the rest of what a process was writing
            with batches._workers_done_event._cond:  # who dies with it keeps it for ever
                for worker in workers:
                    worker.terminate()
                for worker in workers:
                    worker.join(1)
        del batches  # joins them
        _deaths.clear()


def _started(loader: "DataLoader[Drawn | UserError]") -> Any:
    """Return a loader's iterator, with the processes that were kept or new ones."""
    try:
        return iter(loader)
    except RuntimeError:  # one that was kept has died since
        loader._iterator = None
        return iter(loader)


def _defer_deaths() -> None:
    """Keep what PyTorch's handler of SIGCHLD, there once processes read, raises: it would come at any instant."""
    former = signal.getsignal(signal.SIGCHLD)
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and callable(former) and not isinstance(former, partial):
        signal.signal(signal.SIGCHLD, partial(_keep_death, former))  # stays


def _keep_death(former: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None) -> None:
    try:
        former(number, frame)
    except RuntimeError as error:
        _deaths.append(error)


def _initialize_worker(_: int) -> None:
    """Keep a worker to its own core; a terminal's Ctrl-C reaches it, too, but its parent decides what follows."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
