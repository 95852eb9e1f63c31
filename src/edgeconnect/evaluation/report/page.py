"""A finished study as one HTML page that needs no other file and no network."""

from collections.abc import Mapping
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from edgeconnect.errors import counted, printable
from edgeconnect.evaluation.entries import GROUND_TRUTH, STRICT
from edgeconnect.evaluation.fid import FEW
from edgeconnect.evaluation.intervals import LEVEL, RESAMPLES
from edgeconnect.evaluation.report import charts, tables
from edgeconnect.evaluation.report.gallery import GAIN, Gallery
from edgeconnect.evaluation.results import EvaluationResults, Rows
from edgeconnect.evaluation.study import Study

TEMPLATE = "report.html.jinja"
PROTOCOLS = {
    STRICT: "sees the edges of the known pixels alone",
    GROUND_TRUTH: "sees edges of the undamaged picture, which tell of what is missing",
    "": "sees no edges",
}


def render(study: Study, results: EvaluationResults, rows: Mapping[str, Rows], k: int) -> str:
    """Return the page, with pictures of k items side by side and of each method's k worst and best ones.

    Fewer are shown where many methods would make it too large. `rows` holds the metrics of every item by method.
    The same study gives the same bytes. Raises UserError where a picture of it cannot be read any more.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"marker": charts.marker, "colour": charts.colour, "counted": counted}
    template = environment.from_string(files("edgeconnect.evaluation.report").joinpath(TEMPLATE).read_text("utf-8"))
    gallery = Gallery(study, results, rows, k)
    shown = tables.tables(results)
    return template.render(
        name=printable(study.folder.resolve().name, kept=""),
        results=results,
        methods=[(m.label, PROTOCOLS.get(m.edges, ""), tables.provenance(m)) for m in results.methods],
        summary=tables.overall(results, shown),
        curves={name: Markup(svg) for name, svg in charts.curves(results).items()},
        tables=shown,
        dataset=tables.of_dataset(results),
        few=FEW,
        gallery=gallery.side_by_side(),
        rankings=list(gallery.rankings()),
        gain=GAIN,
        level=LEVEL,
        resamples=RESAMPLES,
    )
