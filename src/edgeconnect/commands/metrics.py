"""metrics: measure completed pictures against the true ones."""

import argparse
import json
import logging
import os
from pathlib import Path

from edgeconnect.atomic import write_whole
from edgeconnect.config import validators
from edgeconnect.errors import IncompleteError, UserError, counted, named
from edgeconnect.progress import tracked
from edgeconnect.threads import in_threads

NETWORKS = ("alex", "vgg", "squeeze")

log = logging.getLogger(__name__)


def add_metrics_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `metrics`."""
    add, cores = sub.add_argument, os.cpu_count() or 1
    add("--data-path", required=True, help="true pictures: a folder, a list, or one picture")
    add("--output-path", required=True, help="completed pictures of the same stems and sizes: likewise")
    add("--mask", default="", help="masks, read as by test.py: likewise; default: none, no metrics of holes")
    add("--mask-threshold", type=int, default=127, metavar="N", help="brighter pixels are white; default 127")
    add("--mask-polarity", choices=("hole", "known"), default="hole", help="what white means; default hole")
    add("--resize-mask", action="store_true", help="stretch masks of another shape, as test.py does")
    add("--lpips", nargs="+", choices=NETWORKS, default=[], help="also measure LPIPS by these networks")
    add("--weights", nargs="+", default=[], metavar="PATH", help="torchvision weights, one for each; default downloads")
    add("--device", type=validators.device, default="auto", help="auto, cpu, cuda or cuda:N, for LPIPS; default auto")
    add("--csv", type=Path, metavar="FILE", help="write a line for each picture")
    add("--json", action="store_true", help="print the means as JSON instead of a table")
    add("--workers", type=int, default=cores, metavar="N", help=f"threads that measure; default {cores}")
    sub.set_defaults(action=compare)


def compare(arguments: argparse.Namespace) -> None:
    """Measure every pair; raise IncompleteError at the end where some could not be."""
    from edgeconnect.data.masks import LARGE_HOLES
    from edgeconnect.evaluation.pairs import Measurer, PairReport, find_pairs
    from edgeconnect.metrics.definitions import MASK, obtainable

    a = arguments
    if a.workers < 1:
        raise UserError(f"--workers: {a.workers} threads measure nothing; give 1 or more")
    pairs = find_pairs(a.data_path, a.output_path, a.mask)
    networks = {}
    if a.lpips or a.weights:
        from edgeconnect.device import choose_device
        from edgeconnect.metrics.perceptual import load_networks

        networks = load_networks(a.lpips, a.weights, choose_device(a.device, (0,)))
    names = obtainable({MASK} if a.mask else ())
    measurer = Measurer(names, networks, a.mask_threshold, a.mask_polarity, a.resize_mask)
    rows = []
    for row in tracked(in_threads(measurer.row, pairs, a.workers), len(pairs), "measuring", "picture"):
        rows.append(row)
        if row.failure:
            log.warning("%s", row.failure)
    report = PairReport(rows, (*names, *networks))
    if report.hole_ratio > LARGE_HOLES:
        log.warning("--mask: the median hole takes %.0f %%; does white mean known?", 100 * report.hole_ratio)
    print(json.dumps(report.to_json(), indent=1) if a.json else report.table())
    if a.csv:
        write_whole(a.csv, report.to_csv())
    failed = [str(row.pair.truth) for row in rows if row.failure]
    if failed:
        number = f"{len(failed)} of {counted(len(rows), 'picture')} could not be measured and are in no mean"
        raise IncompleteError(f"{number}: {named(failed)}; replace what is named above")
