"""Evaluations side by side: the same items, the difference of each pair of methods and how sure it is."""

import itertools
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tabulate import tabulate

from edgeconnect.data.files import unique_suffixes
from edgeconnect.errors import UserError, counted, named, printable, reason
from edgeconnect.evaluation.intervals import Interval, difference_interval
from edgeconnect.evaluation.manifest import Manifest, read_manifest
from edgeconnect.evaluation.report import tables
from edgeconnect.evaluation.results import ALL, EDGE_SHARES, RESULTS, Rows, is_measured, labelled, share
from edgeconnect.evaluation.study import MANIFEST, measures_of
from edgeconnect.metrics.definitions import DEFINITIONS

FEWEST = 6  # pictures: fewer that all say the same are no proof, as a sign test of them cannot pass 5 % either

log = logging.getLogger(__name__)


class ComparedMethod(NamedTuple):
    """A method of one of the folders; `label` names it by folder, name and the edges that it sees."""

    name: str
    label: str
    rows: Rows
    failed: frozenset[str] = frozenset()
    sigma: float = 0.0  # of Canny in measures of edges, where it was recorded


Pair = tuple[ComparedMethod, ComparedMethod]


class Difference(NamedTuple):
    """The means of two methods, and the difference `second - first`, over the same `n` items of `pictures`.

    As in the tables, n leaves out items that add nothing to either mean, as those without an edge.
    """

    measure: str
    bin: str
    first: str
    second: str
    means: tuple[float, float]
    difference: Interval
    n: int
    pictures: int

    @property
    def doubt(self) -> str:
        """Return why no difference is shown, nothing where one is."""
        if self.pictures < FEWEST:
            return f"fewer than {FEWEST} pictures"
        return "the interval holds 0" if self.difference.low <= 0 <= self.difference.high else ""

    @property
    def second_is_better(self) -> bool:
        """Return whether the second mean is on the better side."""
        return (self.difference.value > 0) == DEFINITIONS[self.measure].higher_is_better

    @property
    def verdict(self) -> str:
        """Say which is better, where there is no doubt."""
        if self.doubt:
            return "no difference shown"
        return f"{self.second if self.second_is_better else self.first} is better"


def load(folders: Sequence[Path]) -> tuple[Manifest, list[ComparedMethod]]:
    """Read evaluations of one and the same manifest. Raises UserError where they differ."""
    first, *others = folders
    manifest = read_manifest(first / MANIFEST)
    for folder in others:
        if read_manifest(folder / MANIFEST).digest() != manifest.digest():
            both = f"{folder} and {first}"
            raise UserError(f"{both} evaluate different items; repeat one with --manifest of the other")
    methods = []
    for folder, suffix in unique_suffixes(folder.resolve() for folder in folders).items():
        where = printable("/".join(suffix), kept="")
        failed, labels, sigma = read_methods(folder / RESULTS)
        for name, label in labels.items():
            methods.append(ComparedMethod(name, f"{where}/{label}", measures_of(folder, name), failed, sigma))
    if len(methods) < 2:
        raise UserError(f"{first}: holds one method; name another evaluation beside it")
    return manifest, methods


def read_methods(path: Path) -> tuple[frozenset[str], dict[str, str], float]:
    """Return the ids of failed items, the labels of methods by name and the scale of Canny, 0 where none is recorded.

    Raises UserError for damaged results.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
        failed = frozenset(failure["id"] for failure in found["failures"])
        labels = {method["name"]: labelled(method["name"], method["edges"]) for method in found["methods"]}
        return failed, labels, float(found.get("sigma", 0))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: holds no results ({reason(error)}); give a folder of evaluate.py") from error


def choose_pairs(methods: Sequence[ComparedMethod], baseline: str = "", every: bool = False) -> list[Pair]:
    """Pair the baseline, by default the first method, with each other method, or every two methods.

    Raises UserError where the baseline is the name or label of no method, or of several.
    """
    if every:
        return list(itertools.combinations(methods, 2))
    found = [method for method in methods if baseline in (method.name, method.label)] if baseline else methods[:1]
    if len(found) != 1:
        labels = ", ".join(method.label for method in methods)
        raise UserError(f"--baseline: {baseline} is the name of {counted(len(found), 'method')}; give one of: {labels}")
    return [(found[0], method) for method in methods if method is not found[0]]


def require_metrics(methods: Sequence[ComparedMethod], names: Sequence[str]) -> None:
    """Raise UserError for a metric that no method has; warn of those that lack one, and of edges of several scales."""
    for name in names:
        if name not in DEFINITIONS:
            raise UserError(f"--measures: {name} is none of: {', '.join(DEFINITIONS)}")
        lacking = [method.label for method in methods if not is_measured(name, method.rows)]
        if len(lacking) == len(methods):
            known = [other for other in DEFINITIONS if any(is_measured(other, method.rows) for method in methods)]
            raise UserError(f"--measures: no method has {name}; they have {', '.join(known)}")
        if lacking:
            log.warning("--measures: %s was not measured for %s", name, named(lacking))
    scales = sorted({method.sigma for method in methods})
    if len(scales) > 1 and not EDGE_SHARES.keys().isdisjoint(names):
        said = ", ".join(f"{scale:g}" if scale else "not recorded" for scale in scales)
        log.warning("--measures: edges of several scales of Canny are compared (%s); evaluate with one --sigma", said)


def differences(manifest: Manifest, pairs: Sequence[Pair], names: Sequence[str]) -> Iterator[Difference]:
    """Compare pairs of methods by every metric in every bin, item by item.

    Items that any of the methods failed at are left out for all.
    """
    failed = frozenset().union(*(method.failed for pair in pairs for method in pair))
    items = [item for item in manifest.items if item.id not in failed]
    for name, (one, other) in itertools.product(names, pairs):
        for bin_ in (*manifest.bins(), ALL):
            part = [item for item in items if bin_ in (ALL, manifest.bin(item))]
            shares = [[share(name, method.rows.get(item.id, {})) for method in (one, other)] for item in part]
            grid = np.array(shares).reshape(-1, 2, 2)  # items, methods, part and whole
            kept = ~np.isnan(grid).any(axis=(1, 2)) & grid[..., 1].any(axis=1)
            pictures = [item.picture for item in itertools.compress(part, kept)]
            parts, wholes = grid[kept].sum(axis=0).T
            if wholes.all():
                difference = difference_interval(grid[kept, 0], grid[kept, 1], pictures)
                means = tuple((parts / wholes).tolist())
                counts = len(pictures), len(set(pictures))
                yield Difference(name, bin_, one.label, other.label, means, difference, *counts)


def table(found: Sequence[Difference]) -> str:
    """Align differences for a terminal, a block for each metric and first method."""
    heads = ("", "hole ratio", "n", "mean", "compared with", "difference", "95 % interval", "")
    blocks = []
    for (name, first), group in itertools.groupby(found, key=lambda d: (d.measure, d.first)):
        rows = []
        for d in group:
            one, other = (tables.number(mean, DEFINITIONS[name].unit) for mean in d.means)
            conclusion = "better" if d.second_is_better else "worse"
            conclusion = f"{d.verdict}: {d.doubt}" if d.doubt else conclusion
            value, low, high = (f"{part:+.4f}" for part in d.difference)
            rows.append((d.second, d.bin, d.n, other, one, value, f"[{low}, {high}]", conclusion))
        aligned = tabulate(rows, heads, tablefmt="plain", disable_numparse=True)
        blocks.append(f"{name} {DEFINITIONS[name].arrow} compared with {first}\n{aligned}")
    return "\n\n".join(blocks)
