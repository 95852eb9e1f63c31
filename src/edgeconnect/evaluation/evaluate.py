"""One evaluation from beginning to end: complete, measure, sum up, write tables and the page."""

import json
import logging
import os
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import torch

from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.stage import versions
from edgeconnect.config.sections import DataConfig
from edgeconnect.errors import IncompleteError
from edgeconnect.evaluation.entries import Entry
from edgeconnect.evaluation.fid import LoaderOptions, cache_folder, score
from edgeconnect.evaluation.manifest import Manifest
from edgeconnect.evaluation.report import page, tables
from edgeconnect.evaluation.results import ALL, RESULTS, EvaluationResults, Measured, summarize
from edgeconnect.evaluation.study import Study, slug
from edgeconnect.images import write_png
from edgeconnect.metrics.inception import Inception
from edgeconnect.metrics.perceptual import Perceptual
from edgeconnect.provenance import provenance

PAGE = "report.html"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured, and how: `metrics` need two pictures and a mask, `distances` and `inception` networks."""

    metrics: tuple[str, ...]
    distances: dict[str, Perceptual]
    inception: Inception | None = None
    kid: bool = False
    batch_size: int = 8
    workers: int = 1
    shown: int = 6  # best and worst items of a method on the page
    overwrite: bool = False  # results of runs that have changed
    sigma: float = DataConfig().sigma  # scale of Canny in the measures of edges
    device: str = "cpu"  # where the networks are that measure


def evaluate(
    folder: Path, manifest: Manifest, entries: Sequence[Entry], options: EvaluationOptions
) -> EvaluationResults:
    """Evaluate every entry on every item and write the report into the folder; return the results.

    Raises UserError where the folder holds another evaluation; items that failed are in the results' failures.
    """
    study = Study(folder, manifest, options.batch_size, options.workers)
    for entry in entries:
        entry.prepare(manifest)
    study.begin(entries, options.overwrite)
    failures = [failure for entry in entries for failure in study.complete(entry)]
    failed = {failure.id for failure in failures}
    measured = []
    for entry in entries:
        rows = study.measure(entry, options.metrics, options.distances, options.sigma)
        dataset = measure_dataset(study, entry, options, failed)
        measured.append(Measured(entry.name, entry.sees_edges, rows, dataset, entry.provenance))
    extractor = options.inception.name if options.inception else ""
    weights = {name: distance.digest for name, distance in options.distances.items()}
    found = summarize(manifest, measured, failures, extractor, weights, options.sigma)
    write_report(study, found, measured, options)
    return found


def require_all(found: EvaluationResults, folder: Path) -> None:
    """Raise IncompleteError where items failed."""
    if found.failures:
        failed = len({failure.id for failure in found.failures})
        names = ", ".join(f"{failure.id} ({failure.method})" for failure in found.failures[:5])
        count = f"{failed} of {failed + found.bins[ALL].items} items failed and count for no method"
        raise IncompleteError(f"{count}: {names}; {folder / RESULTS} has them all")


def measure_dataset(study: Study, entry: Entry, options: EvaluationOptions, failed: Set[str]) -> dict[str, float]:
    """Return FID, and KID, of the completed pictures against the true ones, each of these once; nothing of one."""
    if options.inception is None:
        return {}
    if not entry.paints:
        log.warning("%s paints no pictures: no FID", entry.name)
        return {}
    kept = [(number, item) for number, item in enumerate(study.manifest.items) if item.id not in failed]
    truths = {study.folder / "truth" / f"{item.picture_hash}.png": number for number, item in kept}
    if len(truths) < 2:
        log.warning("FID needs 2 pictures or more, there are %d: no FID", len(truths))
        return {}
    for path, number in truths.items():
        if not path.is_file():
            write_png(path, study.load(number).picture)
    lists = [study.folder / "truth.flist", study.folder / "pictures" / f"{slug(entry.name)}.flist"]
    for path, names in zip(
        lists, (truths, [study.file("pictures", entry.name, item.id) for _, item in kept]), strict=True
    ):
        write_whole(path, b"".join(os.fsencode(name.absolute()) + b"\n" for name in names))
    loader = LoaderOptions(options.workers, cache_folder())
    scores = score([str(path) for path in lists], options.inception, loader, options.kid)
    return {"fid": scores.fid} | ({"kid": scores.kid.mean} if scores.kid else {})


def write_report(
    study: Study, found: EvaluationResults, measured: Sequence[Measured], options: EvaluationOptions
) -> None:
    """Write the results as JSON, CSV, Markdown, LaTeX and as a page; what may differ between two equal runs, apart."""
    folder = study.folder
    write_whole(folder / RESULTS, (json.dumps(found.to_json(), indent=1) + "\n").encode())
    write_whole(folder / "results.csv", tables.as_csv(found).encode())
    write_whole(folder / "tables.md", tables.as_markdown(found).encode())
    write_whole(folder / "tables.tex", tables.as_latex(found).encode())
    device = torch.cuda.get_device_name(options.device) if options.device.startswith("cuda") else options.device
    origin = versions() | provenance() | {"device": device, "batch size": str(options.batch_size)}
    write_whole(folder / "versions.json", (json.dumps(origin, indent=1) + "\n").encode())
    rows = {method.name: method.rows for method in measured}
    write_whole(folder / PAGE, page.render(study, found, rows, options.shown).encode())
