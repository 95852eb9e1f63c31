"""A finished study as one HTML page that needs no other file and no network."""

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from edgeconnect.atomic import write_whole
from edgeconnect.errors import printable
from edgeconnect.evaluation.entries import GROUND_TRUTH, STRICT
from edgeconnect.evaluation.fid import FEW
from edgeconnect.evaluation.intervals import LEVEL, RESAMPLES
from edgeconnect.evaluation.report import charts, tables
from edgeconnect.evaluation.report.gallery import GAIN, Gallery
from edgeconnect.evaluation.results import ALL, Rows
from edgeconnect.evaluation.study import Study

TEMPLATE = "report.html.jinja"
PROTOCOLS = {
    STRICT: "sees the edges of the known pixels alone",
    GROUND_TRUTH: "sees edges of the undamaged picture, which tell of what is missing",
    "": "sees no edges",
}
PAIRED = {
    "per-bin": "each picture with a hole of each bin",
    "all": "each picture with each mask",
    "stem": "each picture with the mask of its name",
}

Results = Mapping[str, Any]
"""See `results.results`."""


class Cell(NamedTuple):
    """A mean, what is to be said of it, and whether no other of its column beats it."""

    value: str
    note: str
    best: bool


class Row(NamedTuple):
    """A method, by name and by number, which its mark and colour go by; empty cells were not measured."""

    label: str
    number: int
    cells: list[Cell]


class Grid(NamedTuple):
    """One measure in every bin."""

    measure: str
    arrow: str
    unit: str
    columns: list[tuple[str, str]]
    rows: list[Row]


def write_page(path: Path, study: Study, results: Results, rows: Mapping[str, Rows], k: int = 6) -> None:
    """Write the page, with pictures of k items side by side and of each method's k worst and best ones.

    `rows` holds the measures of every item by method. The same study gives the same bytes.
    Raises UserError where a picture of the study cannot be read any more.
    """
    write_whole(path, render(study, results, rows, k).encode())


def render(study: Study, results: Results, rows: Mapping[str, Rows], k: int) -> str:
    """Return the page as text; fewer than k items are shown where many methods would make it too large."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"mark": charts.mark, "colour": charts.colour}
    template = environment.from_string(files("edgeconnect.evaluation.report").joinpath(TEMPLATE).read_text("utf-8"))
    gallery = Gallery(study, results, rows, k)
    grids = list(bin_grids(results))
    return template.render(
        name=printable(study.folder.resolve().name, kept=""),
        facts=list(facts(results)),
        contenders=[(tables.label(method), PROTOCOLS.get(method["edges"], "")) for method in results["methods"]],
        measures=results["measures"],
        summary=summary(results, grids),
        curves={name: Markup(svg) for name, svg in charts.curves(results).items()},
        grids=grids,
        sets=set_rows(results),
        extractor=results.get("extractor", ""),
        few=FEW,
        failures=results["failures"],
        exhibits=gallery.side_by_side(),
        rankings=list(gallery.rankings()),
        gain=GAIN,
    )


def facts(results: Results) -> Iterator[tuple[str, str]]:
    """Say what was evaluated and how to read the numbers."""
    setting, items = results["setting"], results["bins"][ALL]["items"]
    side = setting["size"]
    yield "items", f"{items:,}, each one picture with one hole, of {results['pictures']:,} pictures"
    yield "pictures", f"centred squares of {side} × {side} pixels" if side else "whole, as they are"
    yield "pairing", f"{PAIRED[setting['pairing']]}, seed {setting['seed']}; mean hole ratio {_percent(results)}"
    yield "masks", f"white means {setting['mask_polarity']}, above {setting['mask_threshold']}"
    drawn = f"percentile bootstrap over pictures, {RESAMPLES:,} resamples; the items of one picture are drawn together"
    yield "intervals", f"{100 * LEVEL:g} %: {drawn}"
    yield "manifest", results["manifest"]


def _percent(results: Results) -> str:
    ratio = results["bins"][ALL]["ratio"]
    return "unknown" if ratio is None else f"{100 * ratio:.1f} %"


def bin_grids(results: Results) -> Iterator[Grid]:
    """Arrange each measure with methods down and bins across, the last of them all items together."""
    numbers = {tables.label(method): number for number, method in enumerate(results["methods"])}
    for table in tables.tables(results):
        columns = [(name, count) for name, _, count in (column.partition(" ") for column in table.columns)]
        rows = [Row(label, numbers[label], _cells(texts, best)) for label, texts, best in table.rows]
        yield Grid(table.measure, table.arrow, table.unit, columns, rows)


def _cells(texts: Sequence[str], best: Sequence[bool]) -> list[Cell]:
    parts = (text.partition(" ") for text in texts)
    return [Cell(value, note, is_best) for (value, _, note), is_best in zip(parts, best, strict=True)]


def summary(results: Results, grids: Sequence[Grid]) -> list[Row]:
    """Arrange all items together, with methods down and measures across."""
    last = [{row.number: row.cells[-1] for row in grid.rows} for grid in grids]
    names = enumerate(map(tables.label, results["methods"]))
    return [Row(name, number, [column.get(number, Cell("", "", False)) for column in last]) for number, name in names]


def set_rows(results: Results) -> tuple[list[str], list[Row]]:
    """Return the names of what is measured of all pictures together, such as FID, and each method's values."""
    names = list(dict.fromkeys(name for method in results["methods"] for name in method["set"]))
    rows = []
    for number, method in enumerate(results["methods"]):
        values = [method["set"].get(name) for name in names]
        cells = [Cell("" if value is None else f"{value:.5g}", "", False) for value in values]
        rows.append(Row(tables.label(method), number, cells))
    return names, rows
