"""evaluate: what a paper reports of trained runs, classical methods and others' results."""

import argparse
import logging
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from edgeconnect.commands.runs import load_trained, require_folder, shown
from edgeconnect.errors import IncompleteError, UserError
from edgeconnect.evaluation.request import (
    GROUPS,
    EvaluateRequest,
    check_numbers,
    configured,
    load_options,
    manifest_of,
    open_entries,
    output_of,
    refuse_overlap,
    with_lists,
)
from edgeconnect.progress import progress
from edgeconnect.threads import in_threads

if TYPE_CHECKING:
    from edgeconnect.evaluation.manifest import Manifest

log = logging.getLogger(__name__)


def add_evaluate_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`: the fields of EvaluateRequest."""
    sub.argument_default = argparse.SUPPRESS
    groups = {title: sub.add_argument_group(title) for title in GROUPS}
    for known in fields(EvaluateRequest):
        more = {name: value for name, value in known.metadata.items() if name != "group"}
        if known.default:
            usual = " ".join(known.default) if isinstance(known.default, tuple) else known.default
            more["help"] += f" (default: {usual})"
        groups[known.metadata["group"]].add_argument(f"--{known.name.replace('_', '-')}", **more)
    sub.set_defaults(action=evaluate)


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate as the command line says."""
    names = {known.name for known in fields(EvaluateRequest)}
    request = EvaluateRequest(**{name: value for name, value in vars(arguments).items() if name in names})
    if request.checkpoints:
        require_folder(request.checkpoints)
    run_request(request)


def evaluate_run(arguments: argparse.Namespace) -> None:
    """Evaluate a run as its configuration says (MODE 3). Raises UserError for options that mean nothing to it."""
    a = arguments
    others = {"--input": a.input, "--mask": a.mask, "--edge": a.edge, "--raw-edges": a.raw_edges, "--no-ema": a.no_ema}
    others |= {"--resize-mask": a.resize_mask, "--skip-existing": a.skip_existing, "--resume": a.resume != "auto"}
    others |= {"--init-from": a.init_from, "--no-check": a.no_check}
    given = [option for option, value in others.items() if value]
    if given:
        raise UserError(f"{', '.join(given)}: means nothing to MODE 3, eval; leave it out, or use scripts/evaluate.py")
    config = load_trained(a, by_model=True)
    if not shown(a, config):
        output = Path(a.output) if a.output else None
        run_request(EvaluateRequest(a.checkpoints, config.run.model, a.set, mirror=a.mirror, output=output))


def run_request(request: EvaluateRequest) -> None:
    """Evaluate, and say where the report is."""
    from edgeconnect.evaluation.evaluate import PAGE
    from edgeconnect.evaluation.evaluate import evaluate as run
    from edgeconnect.evaluation.report import tables
    from edgeconnect.evaluation.results import RESULTS, read_results

    check_numbers(request)
    config = configured(request)
    request = with_lists(request, config.data)
    if request.export:
        manifest = manifest_of(request, config.data)
        refuse_overlap(request, manifest, [], request.export, "--export")
        export(manifest, request.export, request.workers)
        return
    output = output_of(request, config)
    entries = open_entries(request)
    options = load_options(request, config, entries)
    manifest = manifest_of(request, config.data)
    refuse_overlap(request, manifest, entries, output, "--output")
    try:
        run(output, manifest, entries, options)
    finally:
        if (output / RESULTS).is_file() and sys.exc_info()[0] in (None, IncompleteError):
            print(tables.summary(read_results(output)))
            for entry in entries:
                if entry.provenance:
                    log.info("%s: %s", entry.name, ", ".join(f"{k} {v}" for k, v in entry.provenance.items()))
            log.info("the report: %s", output / PAGE)


def export(manifest: "Manifest", folder: Path, workers: int) -> None:
    """Write what somebody else's program needs to take part: damaged pictures and masks, named by item."""
    from edgeconnect.evaluation.study import MANIFEST, Study
    from edgeconnect.images import write_png

    study = Study(folder, manifest)
    study.claim()

    def write(number: int) -> None:
        item = study.load(number)
        write_png(folder / "masks" / f"{item.id}.png", item.mask.astype("uint8") * 255)
        write_png(folder / "damaged" / f"{item.id}.png", item.picture * ~item.mask[..., None])

    count = len(manifest.items)
    with progress(count, 0, "exporting", "item") as bar:
        for _ in in_threads(write, range(count), workers):
            bar.update()
    log.info("%d items in %s; evaluate with --manifest %s", count, folder, folder / MANIFEST)
