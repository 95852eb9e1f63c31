"""From the measures of every item to what a paper reports: means in bins of the hole ratio, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from edgeconnect.evaluation.intervals import Interval, ratio_interval
from edgeconnect.evaluation.manifest import Item, Manifest
from edgeconnect.evaluation.study import Failure
from edgeconnect.metrics.definitions import DEFINITIONS

SCHEMA = 1
ALL = "all"
EDGE_SHARES = {  # each is the sum of one count over the sum of others
    "edge_precision": ({"true_positives": 1.0}, {"drawn": 1.0}),
    "edge_recall": ({"true_positives": 1.0}, {"wanted": 1.0}),
    "edge_f1": ({"true_positives": 2.0}, {"drawn": 1.0, "wanted": 1.0}),
}

Rows = Mapping[str, Mapping[str, float]]
"""Measures by name, by item id."""


class Measured(NamedTuple):
    """What one method did: the measures of its items, and measures of all its pictures together, such as FID."""

    name: str
    sees_edges: str
    rows: Rows
    of_set: Mapping[str, float]


def results(manifest: Manifest, methods: Sequence[Measured], failures: Sequence[Failure]) -> dict[str, Any]:
    """Sum up as plain lists and dictionaries, None for what was not measured.

    Items that any method failed at are left out for all, so that every mean is over the same items.
    """
    failed = {failure.id for failure in failures}
    items = [item for item in manifest.items if item.id not in failed]
    shelves = {name: [item for item in items if manifest.bin(item) == name] for name in manifest.bins()}
    shelves[ALL] = items
    names = [name for name in DEFINITIONS if any(_applies(name, method.rows) for method in methods)]
    return {
        "schema": SCHEMA,
        "manifest": manifest.digest(),
        "setting": _plain(asdict(manifest.setting)),
        "pictures": len({item.picture for item in items}),
        "bins": {name: {"items": len(shelf), "ratio": _mean_ratio(shelf)} for name, shelf in shelves.items()},
        "measures": {name: _described(name) for name in names},
        "methods": [
            {
                "name": method.name,
                "edges": method.sees_edges,
                "bins": {bin_: _cells(names, shelf, method.rows) for bin_, shelf in shelves.items()},
                "set": _plain(dict(method.of_set)),
            }
            for method in methods
        ],
        "failures": [failure._asdict() for failure in failures],
    }


def _applies(name: str, rows: Rows) -> bool:
    needed = EDGE_SHARES[name][1] if name in EDGE_SHARES else {name: 1.0}
    return any(not math.isnan(row.get(part, math.nan)) for row in rows.values() for part in needed)


def _described(name: str) -> dict[str, Any]:
    definition = DEFINITIONS[name]
    return {"what": definition.what, "unit": definition.unit, "higher_is_better": definition.higher_is_better}


def _mean_ratio(items: Sequence[Item]) -> float | None:
    return sum(item.ratio for item in items) / len(items) if items else None


def _cells(names: Sequence[str], items: Sequence[Item], rows: Rows) -> dict[str, Any]:
    """Return {measure: mean, its interval, n, how many of n are capped}."""
    return {name: cell(name, items, rows) for name in names}


def cell(name: str, items: Sequence[Item], rows: Rows) -> dict[str, Any]:
    """Sum one measure up over items; those that add nothing to it, as without an edge, are `empty` and not in `n`."""
    shares = [(item.picture, share(name, rows[item.id])) for item in items]
    known = [(picture, part, whole) for picture, (part, whole) in shares if not math.isnan(part)]
    kept = [found for found in known if found[2]]
    interval = ratio_interval([(part, whole) for _, part, whole in kept], [picture for picture, _, _ in kept])
    capped = sum(part >= DEFINITIONS[name].cap for _, part, _ in kept)
    return {**_plain(Interval._asdict(interval)), "n": len(kept), "capped": capped, "empty": len(known) - len(kept)}


def share(name: str, row: Mapping[str, float]) -> tuple[float, float]:
    """Return what is added up over items, and what that sum is divided by the sum of; nan where it was not measured."""
    parts, wholes = EDGE_SHARES.get(name, ({name: 1.0}, {}))
    part, whole = (sum(w * row.get(key, math.nan) for key, w in weights.items()) for weights in (parts, wholes))
    return part, whole if wholes else 1.0


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Make JSON of values: None for nan, lists for tuples."""
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in plain.items()}
