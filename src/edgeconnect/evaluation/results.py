"""Results of an evaluation: means in bins of the hole ratio, with intervals; every table and page is made of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from edgeconnect.evaluation.entries import NO_EDGES
from edgeconnect.evaluation.intervals import ratio_interval
from edgeconnect.evaluation.manifest import Item, Manifest, Preprocessing
from edgeconnect.evaluation.study import PAINTED, Failure
from edgeconnect.metrics.definitions import DEFINITIONS, TOLERANT, Definition
from edgeconnect.plain import plain

SCHEMA = 1
RESULTS = "results.json"
ALL = "all"
EDGE_SHARES = {  # each is the sum of one count over the sum of others
    f"{of}{name}{tolerance}": ({counts + hits: weight}, {counts + whole: 1.0 for whole in wholes})
    for of, counts in (("edge_", ""), (PAINTED, PAINTED))
    for tolerance, hits, drawn in (("", "true_positives", "drawn"), (TOLERANT, "matched", "lines"))
    for name, weight, wholes in (
        ("precision", 1.0, [drawn]),
        ("recall", 1.0, ["wanted"]),
        ("f1", 2.0, [drawn, "wanted"]),
    )
}

Rows = Mapping[str, Mapping[str, float]]
"""Metrics and counts of edges by name, by item id; nan where one does not apply."""


class Measured(NamedTuple):
    """What was measured of one method: every item, and the whole dataset, such as FID.

    `sees_edges` is the protocol of its edges, `provenance` says where its weights come from; both may be empty.
    """

    name: str
    sees_edges: str
    rows: Rows
    dataset: Mapping[str, float]
    provenance: Mapping[str, str] = {}


class Cell(NamedTuple):
    """The mean of one metric, with the bounds of its 95 % interval, over `n` items; all three are nan where n is 0.

    `capped` of the n are at the metric's cap. `empty` other items add nothing to it, as those without an edge.
    """

    value: float
    low: float
    high: float
    n: int
    capped: int
    empty: int


class Bin(NamedTuple):
    """The number of items whose hole ratio lies in a bin, and their mean hole ratio, nan of none."""

    items: int
    ratio: float


def labelled(name: str, edges: str) -> str:
    """Name a method with the protocol of its edges."""
    return f"{name} ({'no' if edges == NO_EDGES else edges} edges)" if edges else name


@dataclass(frozen=True)
class MethodResults:
    """What one method reached: cells by bin and metric, and metrics of the whole dataset by name."""

    name: str
    edges: str
    bins: Mapping[str, Mapping[str, Cell]]
    dataset: Mapping[str, float]
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name the method with the protocol of its edges."""
        return labelled(self.name, self.edges)

    @property
    def paints(self) -> bool:
        """Return whether it completed pictures."""
        return any(cell.n for name, cell in self.bins[ALL].items() if name not in EDGE_SHARES)

    @property
    def draws_edges(self) -> bool:
        """Return whether it drew edges that were measured."""
        drawn = (cell for name, cell in self.bins[ALL].items() if name in EDGE_SHARES and not name.startswith(PAINTED))
        return any(cell.n + cell.empty for cell in drawn)


@dataclass(frozen=True)
class EvaluationResults:
    """Everything that an evaluation reports; `metrics` are those that at least one method has, in their order.

    `sigma` is the scale of Canny that edges were measured with.
    """

    manifest: str
    setting: Preprocessing
    pictures: int
    bins: Mapping[str, Bin]
    metrics: Mapping[str, Definition]
    methods: tuple[MethodResults, ...]
    failures: tuple[Failure, ...]
    extractor: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    sigma: float = 0.0

    def best(self, metric: str, bin_: str) -> float:
        """Return the value that no method beats, nan where none has one."""
        cells = [method.bins[bin_][metric] for method in self.methods]
        choose = max if self.metrics[metric].higher_is_better else min
        return choose((cell.value for cell in cells if cell.n), default=math.nan)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries, as in results.json; None for nan."""
        contents = {
            "schema": SCHEMA,
            "manifest": self.manifest,
            "setting": asdict(self.setting),
            "pictures": self.pictures,
            "bins": self.bins,
            "measures": {
                name: {"what": d.what, "unit": d.unit, "higher_is_better": d.higher_is_better}
                for name, d in self.metrics.items()
            },
            "methods": [
                {"name": m.name, "edges": m.edges, "bins": m.bins, "set": m.dataset}
                | ({"provenance": m.provenance} if m.provenance else {})
                for m in self.methods
            ],
            "failures": self.failures,
        }
        measured_by = {"extractor": self.extractor, "weights": self.weights, "sigma": self.sigma}
        return dict(plain(contents | {name: value for name, value in measured_by.items() if value}))


def summarize(
    manifest: Manifest,
    methods: Sequence[Measured],
    failures: Sequence[Failure] = (),
    extractor: str = "",
    weights: Mapping[str, str] | None = None,
    sigma: float = 0.0,
) -> EvaluationResults:
    """Average what was measured in every bin.

    Items that any method failed at are left out for all, so that every mean is over the same items.
    `extractor` names the network of FID, `weights` holds the digest of each LPIPS network, `sigma` is that of Canny.
    """
    failed = {failure.id for failure in failures}
    items = [item for item in manifest.items if item.id not in failed]
    bins = {name: [item for item in items if manifest.bin(item) == name] for name in manifest.bins()} | {ALL: items}
    metrics = {n: d for n, d in DEFINITIONS.items() if any(is_measured(n, method.rows) for method in methods)}
    found = []
    for method in methods:
        cells = {bin_: {name: _cell(name, part, method.rows) for name in metrics} for bin_, part in bins.items()}
        found.append(MethodResults(method.name, method.sees_edges, cells, method.dataset, method.provenance))
    ratios = {name: [item.ratio for item in part] for name, part in bins.items()}
    sizes = {name: Bin(len(part), sum(part) / len(part) if part else math.nan) for name, part in ratios.items()}
    about = manifest.digest(), manifest.preprocessing, len({item.picture for item in items})
    return EvaluationResults(*about, sizes, metrics, tuple(found), tuple(failures), extractor, weights or {}, sigma)


def is_measured(name: str, rows: Rows) -> bool:
    """Return whether any item has the metric."""
    return any(not math.isnan(share(name, row)[0]) for row in rows.values())


def share(name: str, row: Mapping[str, float]) -> tuple[float, float]:
    """Return what is added up over items, and what that sum is divided by the sum of; nan where it was not measured."""
    parts, wholes = EDGE_SHARES.get(name, ({name: 1.0}, {}))
    part, whole = (sum(w * row.get(key, math.nan) for key, w in weights.items()) for weights in (parts, wholes))
    return part, whole if wholes else 1.0


def _cell(name: str, items: Sequence[Item], rows: Rows) -> Cell:
    shares = [(item.picture, share(name, rows[item.id])) for item in items]
    known = [(picture, part, whole) for picture, (part, whole) in shares if not math.isnan(part)]
    kept = [found for found in known if found[2]]
    interval = ratio_interval([(part, whole) for _, part, whole in kept], [picture for picture, _, _ in kept])
    capped = sum(part >= DEFINITIONS[name].cap for _, part, _ in kept)
    return Cell(*interval, n=len(kept), capped=capped, empty=len(known) - len(kept))
