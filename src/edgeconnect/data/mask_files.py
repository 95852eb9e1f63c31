"""Write masks as PNG, a folder for each range of hole ratios, and a table of them."""

import csv
import io
import itertools
import logging
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from edgeconnect.atomic import whole_folder, write_whole
from edgeconnect.data import mask_shapes
from edgeconnect.data.mask_shapes import Pixels
from edgeconnect.errors import UserError
from edgeconnect.images import write_png

TABLE = "masks.csv"
CHUNK = 32  # masks a process takes at a time

Watch = Callable[[int], object]

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


class Row(NamedTuple):
    """What the table says of a mask."""

    file: str  # below the folder
    kind: str
    seed: int  # of this mask alone
    ratio: float
    touches_border: int


@dataclass(frozen=True)
class MaskSet:
    """Masks by number: `count` in each bin, the kinds in turn.

    What is drawn depends on the seed, the bin, the number in it and the kind: neither a larger count nor other bins
    nor the number of processes changes a mask.
    """

    height: int
    width: int
    kinds: tuple[str, ...]
    bins: tuple[Bin, ...]
    count: int
    interior: float  # share of the irregular masks, and of the boxes, that keep away from the border
    seed: int

    def __len__(self) -> int:
        return len(self.bins) * self.count

    def write(self, folder: Path, index: int) -> Row:
        """Draw a mask and write it, white where pixels are missing."""
        chosen, number = self.bins[index // self.count], index % self.count
        kind = self.kinds[number % len(self.kinds)]
        words = (self.seed, *(round(share * 1e9) for share in chosen), number)
        seed = int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 11  # exact in spreadsheets
        rng, pixels = np.random.default_rng(seed), chosen.pixels(self.height, self.width)
        mask = mask_shapes.draw(kind, self.height, self.width, rng, pixels, self._touches_border(kind, number))
        file = f"{chosen}/mask_{number:06d}.png"
        write_png(folder / file, mask.astype(np.uint8) * 255)
        return Row(file, kind, seed, np.count_nonzero(mask) / mask.size, int(mask_shapes.at_border(mask)))

    def _touches_border(self, kind: str, number: int) -> bool | None:
        """Spread the interior masks evenly over those of a kind that knows them."""
        if kind not in mask_shapes.INTERIOR:
            return None
        turn = number // len(self.kinds)
        return math.floor((turn + 1) * self.interior) == math.floor(turn * self.interior)

    def refuse_unreachable(self) -> None:
        """Raise UserError where a bin holds no whole number of pixels, or a kind cannot have its hole ratios."""
        for each in self.bins:
            least, most = each.pixels(self.height, self.width)
            if least > most:
                raise UserError(f"--bins: no number of {self.width}x{self.height} pixels is in {each} %; widen the bin")
        for kind in self.kinds:
            inside = kind in mask_shapes.INTERIOR and self.interior > 0
            reached = [each for each in self.bins if self._reaches(kind, each, False if inside else None)]
            if missed := [each for each in self.bins if each not in reached]:
                what = f"--interior: {kind} away from the border" if inside else f"--kinds: {kind}"
                remedy = "give --interior 0, or other --bins" if inside else "give it its own --bins, or leave it out"
                listed = ", ".join(map(str, reached)) or "none"
                raise UserError(f"{what} cannot reach {', '.join(map(str, missed))} %, it reaches {listed}; {remedy}")

    def _reaches(self, kind: str, chosen: Bin, touches_border: bool | None) -> bool:
        pixels = chosen.pixels(self.height, self.width)
        return mask_shapes.reaches(kind, self.height, self.width, pixels, touches_border)


def mask_set(
    size: Sequence[int], kinds: Sequence[str], edges: Sequence[float], count: int, interior: float, seed: int
) -> MaskSet:
    """Describe masks by side, or height and width, and by the edges of adjoining bins of hole ratios.

    Raises UserError where the numbers make no sense or a kind cannot reach a bin.
    """
    if count < 1 or seed < 0 or len(size) not in (1, 2) or min(size) < 16 or not 0 <= interior <= 1:
        raise UserError(
            "masks: --count is at least 1, --seed at least 0, --size is 16 or more, --interior is from 0 to 1"
        )
    unknown = next((kind for kind in kinds if kind not in mask_shapes.GENERATORS), None)
    if unknown is not None or not kinds:
        raise UserError(f"--kinds: {unknown or 'nothing'} is none of: {', '.join(mask_shapes.GENERATORS)}")
    bins = tuple(itertools.starmap(Bin, itertools.pairwise(edges)))
    if not bins or not all(0 <= low < high <= 1 for low, high in bins):
        raise UserError(
            f"--bins: {' '.join(f'{edge:g}' for edge in edges)} are no two or more rising hole ratios from 0 to 1"
        )
    masks = MaskSet(size[0], size[-1], tuple(kinds), bins, count, interior, seed)
    masks.refuse_unreachable()
    return masks


def write_masks(folder: Path, masks: MaskSet, workers: int, watch: Watch | None = None) -> None:
    """Write `01-10/mask_000000.png` ... and `masks.csv` into a new folder, whole or not at all, in so many processes.

    `watch` is told of every few masks how many they are. Raises UserError where the folder is in use.
    """
    if workers < 1:
        raise UserError(f"--workers: {workers} is no number of processes; give 1 or more")
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--output: {folder} is there already; name a new folder or an empty one")
    with whole_folder(folder) as part:
        write_whole(part / TABLE, _table(_written(part, masks, workers, watch or (lambda _: None))))
    log.info("%d masks and %s written to %s", len(masks), TABLE, folder)


def _written(folder: Path, masks: MaskSet, workers: int, watch: Watch) -> list[Row]:
    """Write all and return their rows in order."""
    chunks = [range(first, min(first + CHUNK, len(masks))) for first in range(0, len(masks), CHUNK)]
    rows: list[Row] = []

    def note(more: list[Row]) -> None:
        rows.extend(more)
        watch(len(more))

    write = partial(_write_some, folder, masks)
    if workers == 1:
        for chunk in chunks:
            note(write(chunk))
        return rows
    pool = ProcessPoolExecutor(min(workers, len(chunks)), initializer=_settle)
    try:
        for more in pool.map(write, chunks):
            note(more)
    except BrokenProcessPool:
        raise UserError(f"--workers: one of {workers} processes was killed; give fewer, or free memory") from None
    finally:
        pool.shutdown(cancel_futures=True)
    return rows


def _write_some(folder: Path, masks: MaskSet, indices: Iterable[int]) -> list[Row]:
    return [masks.write(folder, index) for index in indices]


def _settle() -> None:
    """Keep a process to its own core, leave a terminal's Ctrl-C to its parent, and let it not outlive that."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _table(rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    return text.getvalue().encode()
