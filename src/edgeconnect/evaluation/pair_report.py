"""What was measured of pairs of pictures: a row for each in CSV, means on screen or as JSON."""

import csv
import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgeconnect.errors import IncompleteError, named, printable
from edgeconnect.evaluation.pairs import Row
from edgeconnect.metrics.definitions import DEFINITIONS
from edgeconnect.metrics.summary import Statistic, summarize

COLUMNS = 100


@dataclass(frozen=True)
class PairReport:
    """Every pair's row, in order, and the measures, in the order of the tables."""

    rows: Sequence[Row]
    names: Sequence[str]

    @property
    def measured(self) -> list[Row]:
        """Return the rows that hold measures; every mean is over them."""
        return [row for row in self.rows if not row.failure]

    @property
    def failed(self) -> list[Row]:
        """Return the others."""
        return [row for row in self.rows if row.failure]

    @property
    def hole_ratio(self) -> float:
        """Return the median hole ratio, nan without masks."""
        ratios = [row.hole_ratio for row in self.measured]
        return float(np.median(ratios)) if ratios else math.nan

    def statistics(self) -> dict[str, Statistic]:
        """Sum up every measure over the pictures that could be used."""
        return summarize([row.measures for row in self.measured], self.names)

    def to_csv(self) -> bytes:
        """Return a line for each pair, the failed ones too; empty cells were not measured."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["picture", "result", "hole_ratio", *self.names, "failure"])
        for row in self.rows:
            values = [row.hole_ratio, *(row.measures.get(name, math.nan) for name in self.names)]
            cells = ["" if math.isnan(value) else repr(value) for value in values]
            writer.writerow([row.pair.truth, row.pair.completed, *cells, row.failure])
        return text.getvalue().encode(errors="surrogateescape")

    def to_json(self) -> dict[str, object]:
        """Return plain dictionaries; null stands for what has no value."""
        return {
            "pictures": len(self.rows),
            "measured": len(self.measured),
            "failed": {str(row.pair.truth): row.failure for row in self.failed},
            "median_hole_ratio": _plain(self.hole_ratio),
            "measures": {
                name: {key: _plain(value) for key, value in statistic._asdict().items()}
                | {
                    "unit": DEFINITIONS[name].unit,
                    "higher_is_better": DEFINITIONS[name].higher_is_better,
                    "definition": DEFINITIONS[name].what,
                }
                for name, statistic in self.statistics().items()
            },
        }

    def table(self) -> str:
        """Return the means as lines, and what each measure is."""
        return printable("\n".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        width = max(len(name) for name in self.names)
        yield f"{len(self.measured)} of {len(self.rows)} pictures measured"
        yield f"{'':{width}}   {'mean':>10}{'std':>10}{'n':>7}"
        for name, (mean, std, n, capped, unmeasured) in self.statistics().items():
            definition = DEFINITIONS[name]
            notes = [definition.unit] if definition.unit else []
            notes += [f"{capped} capped at {definition.cap:g}"] if capped else []
            notes += [f"{unmeasured} not measured"] if unmeasured else []
            yield f"{name:{width}} {definition.arrow} {mean:10.4f}{std:10.4f}{n:7}  {', '.join(notes)}".rstrip()
        yield ""
        for name in self.names:
            start, indent = f"{name:{width}}   ", " " * (width + 3)
            yield from textwrap.wrap(start + DEFINITIONS[name].what, COLUMNS, subsequent_indent=indent)

    def incomplete(self) -> IncompleteError:
        """Name the pictures that no mean includes."""
        names = named([str(row.pair.truth) for row in self.failed])
        return IncompleteError(
            f"{len(self.failed)} of {len(self.rows)} pictures could not be measured and are in no mean: {names}; "
            "mend what is said above"
        )


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
