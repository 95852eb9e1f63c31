"""Write masks as PNG, a folder for each range of hole ratios, and a table of them."""

import contextlib
import csv
import itertools
import logging
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edgeconnect.atomic import whole_folder
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.data import mask_shapes
from edgeconnect.data.mask_shapes import Pixels
from edgeconnect.errors import UserError, reason
from edgeconnect.images import write_png
from edgeconnect.progress import tracked

TABLE = "masks.csv"
COLUMNS = ("file", "kind", "seed", "ratio", "touches_border")  # the seed of this mask alone, the file below the folder
CHUNK = 32  # masks a process takes at a time
MOST = 1_000_000  # masks in a bin
SMALLEST = 16  # pixels a side
LARGEST_SEED = 2**64 - 1

log = logging.getLogger(__name__)


class Bin(NamedTuple):
    """A range of hole ratios, without its lower end and with its upper one; written in percent, `01-10`."""

    low: float
    high: float

    def __str__(self) -> str:
        return "-".join(f"{round(100 * share, 9):02.9g}" for share in self)

    def pixels(self, height: int, width: int) -> Pixels:
        """Return how many missing pixels lie in the range."""
        low, high = (math.floor(share * height * width + 1e-6) for share in self)
        return Pixels(low + 1, high)


class MaskPlan:
    """Which masks to draw: `count` in each bin, the kinds in turn.

    What is drawn depends on the seed, the bin, the number in it and the kind: neither a larger count nor other bins
    nor the number of processes changes a mask.
    """

    def __init__(
        self, size: Sequence[int], kinds: Sequence[str], edges: Sequence[float], count: int, interior: float, seed: int
    ) -> None:
        """Plan masks by side, or height and width, and by the edges of adjoining bins of hole ratios.

        `interior` is the share of the irregular masks, and of the boxes, that keep away from the border.
        Raises UserError where a number makes no sense or a kind cannot reach a bin.
        """
        self.height, self.width = checked_size(size)
        self.kinds, self.count, self.interior, self.seed = kinds, count, interior, seed
        self.bins = [Bin(*ends) for ends in itertools.pairwise(edges)]
        refuse_outside("--count", count, 1, MOST)
        refuse_outside("--seed", seed, 0, LARGEST_SEED)
        refuse_outside("--interior", interior, 0, 1)
        unknown = next((kind for kind in kinds if kind not in mask_shapes.GENERATORS), None)
        if unknown is not None or not kinds:
            raise UserError(f"--kinds: {unknown or 'nothing'} is none of: {', '.join(mask_shapes.GENERATORS)}")
        if not self.bins or not all(0 <= low < high <= 1 for low, high in self.bins):
            named = " ".join(f"{edge:g}" for edge in edges)
            raise UserError(f"--bins: {named} are no two or more rising hole ratios from 0 to 1")
        self._refuse_unreachable()

    def __len__(self) -> int:
        return len(self.bins) * self.count

    def write(self, folder: Path, index: int) -> tuple[str, str, int, float, int]:
        """Draw a mask and write it, white where pixels are missing; return its row of the table."""
        chosen, number = self.bins[index // self.count], index % self.count
        kind = self.kinds[number % len(self.kinds)]
        words = (self.seed, *(round(share * 1e9) for share in chosen), number)
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 11  # exact in spreadsheets
        rng, pixels = np.random.default_rng(seed), chosen.pixels(self.height, self.width)
        touches_border = None
        if kind in mask_shapes.INTERIOR:  # the interior ones are spread evenly over those of their kind
            turn = number // len(self.kinds)
            touches_border = math.floor((turn + 1) * self.interior) == math.floor(turn * self.interior)
        mask = mask_shapes.draw(kind, self.height, self.width, rng, pixels, touches_border)
        file = f"{chosen}/mask_{number:06d}.png"
        write_png(folder / file, mask.astype(np.uint8) * 255)
        return file, kind, seed, np.count_nonzero(mask) / mask.size, int(mask_shapes.at_border(mask))

    def _refuse_unreachable(self) -> None:
        """Raise UserError where a bin holds no whole number of pixels, or a kind cannot have its hole ratios."""
        pixels = {each: each.pixels(self.height, self.width) for each in self.bins}
        for each in self.bins:
            if pixels[each].least > pixels[each].most:
                raise UserError(f"--bins: no number of {self.width}x{self.height} pixels is in {each} %; widen the bin")
        for kind in self.kinds:
            inside = kind in mask_shapes.INTERIOR and self.interior > 0
            touches, size = False if inside else None, (self.height, self.width)
            reached = [each for each in self.bins if mask_shapes.reaches(kind, *size, pixels[each], touches)]
            if missed := [each for each in self.bins if each not in reached]:
                what = f"--interior: {kind} away from the border" if inside else f"--kinds: {kind}"
                remedy = "give --interior 0, or other --bins" if inside else "give it its own --bins, or leave it out"
                listed = ", ".join(map(str, reached)) or "none"
                raise UserError(f"{what} cannot reach {', '.join(map(str, missed))} %, it reaches {listed}; {remedy}")


def refuse_outside(option: str, value: float, low: float, high: float) -> None:
    """Raise UserError where the value of an option is not in [low, high]."""
    if not low <= value <= high:
        raise UserError(f"{option}: {value} is out of range; give a number from {low} to {high}")


def checked_size(size: Sequence[int]) -> tuple[int, int]:
    """Return height and width of --size, one side or both. Raises UserError where they make no picture."""
    if len(size) not in (1, 2):
        raise UserError(f"--size: {' '.join(map(str, size))} is neither a side nor a height and a width")
    height, width = size[0], size[-1]
    refuse_outside("--size", min(size), SMALLEST, MAX_PIXELS)
    refuse_outside(f"--size: pixels of {height}x{width}", height * width, SMALLEST, MAX_PIXELS)
    return height, width


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Turn what drawing raises where memory is short into a UserError."""
    try:
        yield
    except (MemoryError, cv2.error) as error:
        raise UserError(f"--size: takes more memory than there is ({reason(error)}); give smaller sides") from error


def write_masks(folder: Path, plan: MaskPlan, workers: int) -> None:
    """Write `01-10/mask_000000.png` ... and `masks.csv` into a new folder, whole or not at all, in so many processes.

    Raises UserError where the folder is in use.
    """
    if workers < 1:
        raise UserError(f"--workers: {workers} is no number of processes; give 1 or more")
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output: {folder} is there already; name a new folder or an empty one")
    with whole_folder(folder) as part, (part / TABLE).open("w", newline="") as file, memory_explained():
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(tracked(_rows(part, plan, workers), len(plan), "drawing", "mask"))
    log.info("masks written to %s, listed in %s: %d", folder, TABLE, len(plan))


def _rows(folder: Path, plan: MaskPlan, workers: int) -> Iterator[tuple[object, ...]]:
    """Write all masks and yield their rows in order."""
    write = partial(plan.write, folder)
    if workers == 1:
        yield from map(write, range(len(plan)))
        return
    pool = ProcessPoolExecutor(min(workers, len(plan)), initializer=_settle)
    try:
        yield from pool.map(write, range(len(plan)), chunksize=CHUNK)
    except BrokenProcessPool:
        raise UserError(f"--workers: one of {workers} processes was killed; give fewer, or free memory") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _settle() -> None:
    """Keep a process to its own core, leave a terminal's Ctrl-C to its parent, and let it not outlive that."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)
