"""A finished study as one HTML page that needs no other file and no network."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from edgeconnect.atomic import write_whole
from edgeconnect.errors import counted, printable
from edgeconnect.evaluation.entries import GROUND_TRUTH, STRICT
from edgeconnect.evaluation.fid import FEW
from edgeconnect.evaluation.intervals import LEVEL, RESAMPLES
from edgeconnect.evaluation.report import charts, tables
from edgeconnect.evaluation.report.gallery import GAIN, Gallery
from edgeconnect.evaluation.results import ALL, EvaluationResults, Rows
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


def write_page(path: Path, study: Study, results: EvaluationResults, rows: Mapping[str, Rows], k: int = 6) -> None:
    """Write the page, with pictures of k items side by side and of each method's k worst and best ones.

    `rows` holds the metrics of every item by method. The same study gives the same bytes.
    Raises UserError where a picture of the study cannot be read any more.
    """
    write_whole(path, render(study, results, rows, k).encode())


def render(study: Study, results: EvaluationResults, rows: Mapping[str, Rows], k: int) -> str:
    """Return the page as text; fewer than k items are shown where many methods would make it too large."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"marker": charts.marker, "colour": charts.colour}
    template = environment.from_string(files("edgeconnect.evaluation.report").joinpath(TEMPLATE).read_text("utf-8"))
    gallery = Gallery(study, results, rows, k)
    shown = tables.tables(results)
    return template.render(
        name=printable(study.folder.resolve().name, kept=""),
        facts=list(facts(results)),
        methods=[(m.label, PROTOCOLS.get(m.edges, ""), tables.provenance(m)) for m in results.methods],
        metrics=results.metrics,
        summary=tables.overall(results, shown),
        curves={name: Markup(svg) for name, svg in charts.curves(results).items()},
        tables=shown,
        dataset=tables.of_dataset(results),
        extractor=results.extractor,
        few=FEW,
        failures=results.failures,
        gallery=gallery.side_by_side(),
        rankings=list(gallery.rankings()),
        gain=GAIN,
    )


def facts(results: EvaluationResults) -> Iterator[tuple[str, str]]:
    """Say what was evaluated and how to read the numbers."""
    setting, whole = results.setting, results.bins[ALL]
    ratio = f"{100 * whole.ratio:.1f} %" if whole.items else "unknown"
    side = f"centred squares of {setting.size} × {setting.size} pixels" if setting.size else "whole, as they are"
    yield "items", f"{whole.items:,}, each one picture with one hole, of {counted(results.pictures, 'picture')}"
    yield "pictures", side
    yield "pairing", f"{PAIRED[setting.pairing]}, seed {setting.seed}; mean hole ratio {ratio}"
    yield "masks", f"white means {setting.mask_polarity}, above {setting.mask_threshold}"
    drawn = f"percentile bootstrap over pictures, {RESAMPLES:,} resamples; the items of one picture are drawn together"
    yield "intervals", f"{100 * LEVEL:g} %: {drawn}"
    yield "manifest", results.manifest
