"""Pairs of true and completed pictures in files, measured one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from edgeconnect import images
from edgeconnect.atomic import expanded
from edgeconnect.data import files, masks
from edgeconnect.errors import BadImageError, UserError, named
from edgeconnect.metrics.images import Picture, measure

Distance = Callable[[Picture, Picture], list[float]]
"""Compares batches, (B, H, W, 3). See `metrics.perceptual.Perceptual`."""


@dataclass(frozen=True)
class Pair:
    """A true picture, its completion, and the mask of what was missing, if it is known."""

    truth: Path
    completed: Path
    mask: Path | None = None


@dataclass(frozen=True)
class Row:
    """What was measured of a pair, nan where a measure does not apply; `failure` says in one line why nothing was."""

    pair: Pair
    measures: Mapping[str, float] = field(default_factory=dict)
    hole_ratio: float = float("nan")
    failure: str = ""


@dataclass(frozen=True)
class MaskReading:
    """How mask files are read: as MASK_THRESHOLD, MASK_POLARITY and `test.py --resize-mask` say."""

    threshold: int = 127
    polarity: str = "hole"
    resize: bool = False


def plan(data: str, results: str, mask: str = "") -> list[Pair]:
    """Pair true pictures, completed ones and masks by file stem; each is a folder, a list, or one picture.

    A single true picture and a single result belong together whatever their names; a single mask file serves all.
    Raises UserError naming what has no partner.
    """
    truths, completed = files.list_images(data, "--data-path"), files.list_images(results, "--output-path")
    if not len(truths) == len(completed) == 1:
        paired = files.pair(truths, completed, "result", shared=False)
        surplus = [str(path) for path in completed if path not in set(paired)]
        if surplus:
            raise UserError(f"no true picture for the results {named(surplus)}; remove them, or add the pictures")
        completed = paired
    if not mask:
        return [Pair(*parts) for parts in zip(truths, completed, strict=True)]
    found = files.pair(truths, files.list_images(mask, "--mask"), "mask", shared=not expanded(mask).is_dir())
    return [Pair(*parts) for parts in zip(truths, completed, found, strict=True)]


@dataclass(frozen=True)
class Measurer:
    """Measure pairs by the measures `names` of `images.measure` and by the networks in `perceptual`, named alike."""

    names: Sequence[str]
    perceptual: Mapping[str, Distance] = field(default_factory=dict)
    reading: MaskReading = field(default_factory=MaskReading)

    @property
    def columns(self) -> tuple[str, ...]:
        """Name every measure in the order of the rows."""
        return (*self.names, *self.perceptual)

    def run(self, pairs: Sequence[Pair], workers: int) -> Iterator[Row]:
        """Yield each pair's row, in order, from so many threads; a picture that cannot be used stops no other."""
        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(self.row, pairs)

    def row(self, pair: Pair) -> Row:
        """Read and measure one pair."""
        try:
            truth, completed, mask = self.read(pair)
        except BadImageError as error:
            return Row(pair, failure=str(error))
        measures = measure(truth, completed, mask, self.names)
        for name, distance in self.perceptual.items():
            measures[name] = distance(truth[None], completed[None])[0]
        return Row(pair, measures, float("nan") if mask is None else float(mask.mean()))

    def read(self, pair: Pair) -> tuple[Picture, Picture, masks.Mask | None]:
        """Decode a pair and its mask (True = missing); raises BadImageError also where their sizes disagree."""
        truth, completed = images.read_image(pair.truth), images.read_image(pair.completed)
        if truth.shape != completed.shape:
            raise BadImageError(
                pair.completed,
                f"is {_size(completed)}, {pair.truth} is {_size(truth)}; compare pictures of one size",
            )
        if pair.mask is None:
            return truth, completed, None
        gray = files.read_mask(pair.mask, self.reading.threshold)
        if images.is_stretched(gray.shape, truth.shape) and not self.reading.resize:
            raise BadImageError(
                pair.mask,
                f"the mask is {_size(gray)}, {pair.truth} is {_size(truth)}; give the mask that it was completed with, "
                "or --resize-mask to stretch it as test.py does",
            )
        gray = images.resize(gray, *truth.shape[:2])
        return truth, completed, masks.binarize(gray, self.reading.threshold, self.reading.polarity)


def _size(array: Picture) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
