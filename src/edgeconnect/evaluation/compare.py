"""Evaluations side by side: the same items, the difference of each pair of methods and how sure it is."""

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgeconnect.errors import UserError
from edgeconnect.evaluation.evaluate import read_results
from edgeconnect.evaluation.intervals import Interval, mean_interval
from edgeconnect.evaluation.manifest import Manifest, read_manifest
from edgeconnect.evaluation.results import ALL, Rows, item_value
from edgeconnect.evaluation.study import MANIFEST, measures_of
from edgeconnect.metrics.definitions import DEFINITIONS


class Entry(NamedTuple):
    """A method of one of the folders."""

    folder: Path
    method: str
    rows: Rows
    failed: frozenset[str]

    @property
    def label(self) -> str:
        """Name the method and its folder."""
        return f"{self.folder.name}/{self.method}"


class Difference(NamedTuple):
    """The mean of a measure by two methods, and the mean difference `second - first` over the same items."""

    measure: str
    bin: str
    first: str
    second: str
    means: tuple[float, float]
    difference: Interval
    n: int

    @property
    def verdict(self) -> str:
        """Say which is better, where the interval leaves 0 out."""
        if self.n == 0 or self.difference.low <= 0 <= self.difference.high:
            return "no difference shown"
        better = (
            self.second if (self.difference.value > 0) == DEFINITIONS[self.measure].higher_is_better else self.first
        )
        return f"{better} is better"


def load(folders: Sequence[Path]) -> tuple[Manifest, list[Entry]]:
    """Read evaluations of one and the same manifest. Raises UserError where they differ."""
    manifests = [read_manifest(folder / MANIFEST) for folder in folders]
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if manifest.digest() != manifests[0].digest():
            raise UserError(
                f"{folder} and {folders[0]} evaluate different items; repeat one with --manifest of the other"
            )
    entries = []
    for folder in folders:
        found = read_results(folder)
        failed = frozenset(failure["id"] for failure in found["failures"])
        entries += [Entry(folder, m["name"], measures_of(folder, m["name"]), failed) for m in found["methods"]]
    return manifests[0], entries


def differences(manifest: Manifest, entries: Sequence[Entry], names: Sequence[str]) -> Iterator[Difference]:
    """Compare every two methods by every measure in every bin, item by item."""
    failed = frozenset().union(*(entry.failed for entry in entries))
    items = [item for item in manifest.items if item.id not in failed]
    for (one, other), name in itertools.product(itertools.combinations(entries, 2), names):
        for bin_ in (*manifest.bins(), ALL):
            shelf = [item for item in items if bin_ in (ALL, manifest.bin(item))]
            both = [(item, one.rows.get(item.id, {}), other.rows.get(item.id, {})) for item in shelf]
            pairs = [(item.picture, item_value(name, a), item_value(name, b)) for item, a, b in both]
            measured = [pair for pair in pairs if not (math.isnan(pair[1]) or math.isnan(pair[2]))]
            if measured:
                yield _difference(name, bin_, one, other, measured)


def _difference(
    name: str, bin_: str, one: Entry, other: Entry, pairs: Sequence[tuple[str, float, float]]
) -> Difference:
    pictures, first, second = zip(*pairs, strict=True)
    gaps = [b - a for a, b in zip(first, second, strict=True)]
    means = (math.fsum(first) / len(pairs), math.fsum(second) / len(pairs))
    return Difference(name, bin_, one.label, other.label, means, mean_interval(gaps, pictures), len(pairs))


def table(found: Sequence[Difference]) -> str:
    """Align differences for a terminal, a block for each measure and pair."""
    blocks = []
    for (name, first, second), group in itertools.groupby(found, key=lambda d: (d.measure, d.first, d.second)):
        arrow = DEFINITIONS[name].arrow
        lines = [f"{name} {arrow}   {second} - {first}"]
        lines += [
            f"  {d.bin:>9}  n={d.n:<6} {d.means[0]:9.4f} {d.means[1]:9.4f}  {d.difference.value:+.4f} "
            f"[{d.difference.low:+.4f}, {d.difference.high:+.4f}]  {d.verdict}"
            for d in group
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def as_json(manifest: Manifest, found: Sequence[Difference]) -> dict[str, Any]:
    """Return plain lists and dictionaries."""
    rows = [d._asdict() | {"difference": d.difference._asdict(), "verdict": d.verdict} for d in found]
    return {"schema": 1, "manifest": manifest.digest(), "differences": rows}
