"""One evaluation from beginning to end: complete, measure, sum up, write tables and the page."""

import json
import logging
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.stage import versions
from edgeconnect.errors import IncompleteError
from edgeconnect.evaluation.entries import Contender, Results
from edgeconnect.evaluation.feature_stats import LoaderOptions, cache_folder
from edgeconnect.evaluation.fid import score
from edgeconnect.evaluation.manifest import Manifest
from edgeconnect.evaluation.report import page, tables
from edgeconnect.evaluation.results import RESULTS, EvaluationResults, Measured, summarize
from edgeconnect.evaluation.study import Failure, Study, slug
from edgeconnect.images import write_png
from edgeconnect.metrics.inception import Inception
from edgeconnect.metrics.perceptual import Perceptual
from edgeconnect.progress import progress

PAGE = "report.html"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What to measure besides what two pictures and a hole allow, and how many hands do it."""

    names: tuple[str, ...]
    distances: dict[str, Perceptual]
    inception: Inception | None = None
    kid: bool = False
    batch_size: int = 8
    workers: int = 1
    shown: int = 6  # best and worst items of a method on the page


def evaluate(folder: Path, manifest: Manifest, contenders: Sequence[Contender], plan: Plan) -> EvaluationResults:
    """Evaluate every contender on every item and write the report into the folder; return the results.

    Raises UserError where the folder holds another evaluation, IncompleteError at the end where items failed.
    """
    study = Study(folder, manifest, plan.batch_size)
    for contender in contenders:
        if isinstance(contender, Results):
            contender.require(item.id for item in manifest.items)
    study.begin(contenders)
    failures: list[Failure] = []
    for contender in contenders:
        failures += list(_with_progress(study, contender))
    failed = {failure.id for failure in failures}
    measured = [_measured(study, contender, plan, failed) for contender in contenders]
    weights = {name: distance.digest for name, distance in plan.distances.items()}
    found = summarize(manifest, measured, failures, plan.inception.name if plan.inception else "", weights)
    write_report(study, found, measured, plan.shown)
    if failures:
        names = ", ".join(f"{failure.id} ({failure.method})" for failure in failures[:5])
        raise IncompleteError(
            f"{len({failure.id for failure in failures})} of {len(manifest.items)} items failed and count for no "
            f"method: {names}; {folder / RESULTS} has them all"
        )
    return found


def _with_progress(study: Study, contender: Contender) -> Sequence[Failure]:
    failures = []
    with progress(len(study.manifest.items), 0, contender.name, "item") as bar:
        for failure in study.complete(contender, bar.update):
            log.warning("%s: %s: %s", failure.method, failure.id, failure.why)
            failures.append(failure)
    return failures


def _measured(study: Study, contender: Contender, plan: Plan, failed: Set[str]) -> Measured:
    with progress(len(study.manifest.items), 0, f"measuring {contender.name}", "item", leave=False) as bar:
        rows = study.measure(contender, plan.names, plan.distances, plan.workers, bar.update)
    return Measured(contender.name, contender.sees_edges, rows, of_set(study, contender.name, plan, failed))


def of_set(study: Study, method: str, plan: Plan, failed: Set[str]) -> dict[str, float]:
    """Return FID, and KID, of the completed pictures against the true ones, each of these once; nothing of one."""
    kept = [(number, item) for number, item in enumerate(study.manifest.items) if item.id not in failed]
    if plan.inception is None:
        return {}
    if not all(study.picture(method, item).is_file() for _, item in kept):
        log.warning("%s paints no pictures: no FID", method)
        return {}
    truths = {study.folder / "truth" / f"{item.picture_hash}.png": number for number, item in kept}
    if len(truths) < 2:
        log.warning("%d pictures have no FID", len(truths))
        return {}
    for path, number in truths.items():
        if not path.is_file():
            write_png(path, study.sample(number).picture)
    lists = [study.folder / "truth.flist", study.folder / "pictures" / f"{slug(method)}.flist"]
    for path, names in zip(lists, (truths, [study.picture(method, item) for _, item in kept]), strict=True):
        write_whole(path, b"".join(os.fsencode(name.absolute()) + b"\n" for name in names))
    options = LoaderOptions(plan.workers, cache_folder())
    scores = score([str(path) for path in lists], plan.inception, options, plan.kid)
    return {"fid": scores.fid} | ({"kid": scores.kid.mean} if scores.kid else {})


def write_report(study: Study, found: EvaluationResults, measured: Sequence[Measured], shown: int) -> None:
    """Write the results as JSON, CSV, Markdown, LaTeX and as a page; what may differ between two equal runs, apart."""
    folder = study.folder
    write_whole(folder / RESULTS, (json.dumps(found.to_json(), indent=1) + "\n").encode())
    write_whole(folder / "results.csv", tables.as_csv(found).encode())
    write_whole(folder / "tables.md", tables.as_markdown(found).encode())
    write_whole(folder / "tables.tex", tables.as_latex(found).encode())
    write_whole(folder / "versions.json", (json.dumps(versions(), indent=1) + "\n").encode())
    page.write_page(folder / PAGE, study, found, {method.name: method.rows for method in measured}, shown)
