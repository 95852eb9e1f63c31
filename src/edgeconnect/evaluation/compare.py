"""Evaluations side by side: the same items, the difference of each pair of methods and how sure it is."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeconnect.errors import UserError, printable
from edgeconnect.evaluation.evaluate import read_results
from edgeconnect.evaluation.intervals import Interval, difference_interval
from edgeconnect.evaluation.manifest import Manifest, read_manifest
from edgeconnect.evaluation.report import tables
from edgeconnect.evaluation.results import ALL, Rows, share
from edgeconnect.evaluation.study import MANIFEST, measures_of
from edgeconnect.metrics.definitions import DEFINITIONS

FEWEST = 6  # pictures: fewer that all say the same are no proof, as a sign test of them cannot pass 5 % either


class Entry(NamedTuple):
    """A method of one of the folders, named by both and by the edges that it sees."""

    label: str
    rows: Rows
    failed: frozenset[str]


class Difference(NamedTuple):
    """A measure by two methods, and the difference `second - first`, over the same `n` items of `pictures`."""

    measure: str
    bin: str
    first: str
    second: str
    means: tuple[float, float]
    difference: Interval
    n: int
    pictures: int

    @property
    def verdict(self) -> str:
        """Say which is better, where the interval leaves 0 out."""
        if self.pictures < FEWEST or self.difference.low <= 0 <= self.difference.high:
            return "no difference shown"
        better = (
            self.second if (self.difference.value > 0) == DEFINITIONS[self.measure].higher_is_better else self.first
        )
        return f"{better} is better"


def load(folders: Sequence[Path]) -> tuple[Manifest, list[Entry]]:
    """Read evaluations of one and the same manifest. Raises UserError where they differ."""
    folders = list({folder.resolve(): folder for folder in folders}.values())
    manifests = [read_manifest(folder / MANIFEST) for folder in folders]
    for folder, manifest in zip(folders[1:], manifests[1:], strict=True):
        if manifest.digest() != manifests[0].digest():
            raise UserError(
                f"{folder} and {folders[0]} evaluate different items; repeat one with --manifest of the other"
            )
    entries = []
    for folder, where in zip(folders, _told_apart(folders), strict=True):
        found = read_results(folder)
        failed = frozenset(failure["id"] for failure in found["failures"])
        for method in found["methods"]:
            name = f"{where}/{tables.label(method)}"
            entries.append(Entry(name, measures_of(folder, method["name"]), failed))
    if len(entries) < 2:
        raise UserError(f"{folders[0]}: holds one method; name another evaluation beside it")
    return manifests[0], entries


def _told_apart(folders: Sequence[Path]) -> list[str]:
    """Name folders by as many of their last parts as it takes."""
    parts = [folder.resolve().parts for folder in folders]
    depth = next(n for n in itertools.count(1) if len({path[-n:] for path in parts}) == len(parts))
    return [printable("/".join(path[-depth:]), kept="") for path in parts]


def differences(manifest: Manifest, entries: Sequence[Entry], names: Sequence[str]) -> Iterator[Difference]:
    """Compare every two methods by every measure in every bin, item by item."""
    failed = frozenset().union(*(entry.failed for entry in entries))
    items = [item for item in manifest.items if item.id not in failed]
    for (one, other), name in itertools.product(itertools.combinations(entries, 2), names):
        for bin_ in (*manifest.bins(), ALL):
            shelf = [item for item in items if bin_ in (ALL, manifest.bin(item))]
            shares = [[share(name, entry.rows.get(item.id, {})) for entry in (one, other)] for item in shelf]
            grid = np.array(shares).reshape(-1, 2, 2)  # items, methods, part and whole
            kept = ~np.isnan(grid).any(axis=(1, 2))
            pictures = [item.picture for item in itertools.compress(shelf, kept)]
            parts, wholes = grid[kept].sum(axis=0).T
            if wholes.all():
                difference = difference_interval(grid[kept, 0], grid[kept, 1], pictures)
                means = tuple((parts / wholes).tolist())
                counts = len(pictures), len(set(pictures))
                yield Difference(name, bin_, one.label, other.label, means, difference, *counts)


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
