"""Pairs of true and completed pictures in files: measured one by one, a row for each in CSV, means as text or JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from edgeconnect import images
from edgeconnect.atomic import expanded
from edgeconnect.data import files, masks
from edgeconnect.errors import BadImageError, UserError, counted, named, printable
from edgeconnect.metrics.definitions import DEFINITIONS
from edgeconnect.metrics.images import Picture, compute_metrics
from edgeconnect.plain import csv_text, plain

TEXT = 70  # characters of a line

Distance = Callable[[Picture, Picture], list[float]]
"""Compares batches, (B, H, W, 3). See `metrics.perceptual.Perceptual`."""


class Pair(NamedTuple):
    """A true picture, its completion, and the mask of what was missing, if it is known."""

    truth: Path
    completed: Path
    mask: Path | None = None


class Row(NamedTuple):
    """What was measured of a pair, nan where a metric does not apply; `failure` says in one line why nothing was."""

    pair: Pair
    metrics: Mapping[str, float] = {}
    hole_ratio: float = float("nan")
    failure: str = ""


def find_pairs(data: str, results: str, mask: str = "") -> list[Pair]:
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
    found: Sequence[Path | None] = [None] * len(truths)
    if mask:
        found = files.pair(truths, files.list_images(mask, "--mask"), "mask", shared=not expanded(mask).is_dir())
    return [Pair(*parts) for parts in zip(truths, completed, found, strict=True)]


@dataclass(frozen=True)
class Measurer:
    """Measures pairs by the metrics `names` that need no network, and by the networks in `perceptual`.

    Masks are read by MASK_THRESHOLD, MASK_POLARITY and `test.py --resize-mask`.
    """

    names: Sequence[str]
    perceptual: Mapping[str, Distance] = field(default_factory=dict)
    threshold: int = 127
    polarity: str = "hole"
    resize_mask: bool = False

    def row(self, pair: Pair) -> Row:
        """Read and measure one pair; a picture that cannot be used makes a row with its failure."""
        try:
            truth, completed, mask = self.read(pair)
        except BadImageError as error:
            return Row(pair, failure=str(error))
        metrics = compute_metrics(truth, completed, mask, self.names)
        for name, distance in self.perceptual.items():
            metrics[name] = distance(truth[None], completed[None])[0]
        return Row(pair, metrics, float("nan") if mask is None else float(mask.mean()))

    def read(self, pair: Pair) -> tuple[Picture, Picture, masks.Mask | None]:
        """Decode a pair and its mask (True = missing); raises BadImageError also where their sizes disagree."""
        truth, completed = images.read_image(pair.truth), images.read_image(pair.completed)
        if truth.shape != completed.shape:
            problem = f"is {_size(completed)}, {pair.truth} is {_size(truth)}; compare pictures of one size"
            raise BadImageError(pair.completed, problem)
        if pair.mask is None:
            return truth, completed, None
        gray = masks.read_mask(pair.mask, self.threshold, self.polarity, picture=pair.truth)
        if images.is_stretched(gray.shape, truth.shape) and not self.resize_mask:
            sizes = f"the mask is {_size(gray)}, {pair.truth} is {_size(truth)}"
            remedy = "give the mask that it was completed with, or --resize-mask to stretch it as test.py does"
            raise BadImageError(pair.mask, f"{sizes}; {remedy}")
        gray = images.resize(gray, *truth.shape[:2])
        return truth, completed, masks.binarize(gray, self.threshold, self.polarity)


def _size(array: Picture) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


class Statistic(NamedTuple):
    """Mean and standard deviation (divided by n) of n pictures; nan of none.

    `capped` of the n are at the metric's cap; `unmeasured` others have no value.
    """

    mean: float
    std: float
    n: int
    capped: int
    unmeasured: int


@dataclass(frozen=True)
class PairReport:
    """The rows of all pairs, in order, and the names of the metrics, in the order of the tables."""

    rows: Sequence[Row]
    names: Sequence[str]

    @property
    def measured(self) -> list[Row]:
        """Return the rows that hold metrics; every mean is over them."""
        return [row for row in self.rows if not row.failure]

    @property
    def hole_ratio(self) -> float:
        """Return the median hole ratio, nan without masks."""
        ratios = [row.hole_ratio for row in self.measured]
        return float(np.median(ratios)) if ratios else float("nan")

    def statistics(self) -> dict[str, Statistic]:
        """Sum every metric up over the pairs that could be measured; nan is no value."""
        found = {}
        for name in self.names:
            values = np.array([row.metrics[name] for row in self.measured], dtype=np.float64)
            known = values[~np.isnan(values)]
            mean, std = (known.mean(), known.std()) if len(known) else (np.nan, np.nan)
            capped = np.count_nonzero(known >= DEFINITIONS[name].cap)
            found[name] = Statistic(float(mean), float(std), len(known), int(capped), len(values) - len(known))
        return found

    def to_csv(self) -> bytes:
        """Return a line for each pair, the failed ones too; empty cells were not measured."""
        lines: list[list[object]] = [["picture", "result", "hole_ratio", *self.names, "failure"]]
        for row in self.rows:
            values = [row.metrics.get(name) for name in self.names]
            lines.append([row.pair.truth, row.pair.completed, row.hole_ratio, *values, row.failure])
        return csv_text(lines).encode(errors="surrogateescape")

    def to_json(self) -> dict[str, object]:
        """Return plain dictionaries; None stands for what has no value."""
        measures = {}
        for name, found in self.statistics().items():
            d = DEFINITIONS[name]
            about = {"unit": d.unit, "higher_is_better": d.higher_is_better, "definition": d.what}
            measures[name] = found._asdict() | about
        report = {
            "pictures": len(self.rows),
            "measured": len(self.measured),
            "failed": {row.pair.truth: row.failure for row in self.rows if row.failure},
            "median_hole_ratio": self.hole_ratio,
            "measures": measures,
        }
        return dict(plain(report))

    def table(self) -> str:
        """Return the means as lines, and what each metric is."""
        rows = []
        for name, found in self.statistics().items():
            d = DEFINITIONS[name]
            capped = f"{found.capped} capped at {d.cap:g}" if found.capped else ""
            unmeasured = f"{found.unmeasured} not measured" if found.unmeasured else ""
            notes = ", ".join(filter(None, (d.unit, capped, unmeasured)))
            rows.append((f"{name} {d.arrow}", found.mean, found.std, found.n, notes))
        means = tabulate(rows, ("", "mean", "std", "n", ""), tablefmt="plain", floatfmt=".4f")
        legend = [(name, DEFINITIONS[name].what) for name in self.names]
        about = tabulate(legend, tablefmt="plain", maxcolwidths=[None, TEXT])
        head = f"{len(self.measured)} of {counted(len(self.rows), 'picture')} measured"
        return printable("\n".join([head, means, "", about]))
