"""compare: the differences between evaluations of the same items."""

import argparse
import json
import logging
from pathlib import Path

from edgeconnect.atomic import write_whole
from edgeconnect.errors import UserError, counted
from edgeconnect.plain import plain

METRICS = ("psnr_rgb", "ssim_rgb_gauss11", "l1_hole")

log = logging.getLogger(__name__)


def add_compare_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `compare`."""
    measures = f"what the methods are compared by; default {' '.join(METRICS)}"
    sub.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="evaluations of the same manifest")
    sub.add_argument("--measures", nargs="+", default=list(METRICS), metavar="NAME", help=measures)
    pairs = sub.add_mutually_exclusive_group()
    pairs.add_argument("--baseline", default="", metavar="NAME", help="compare with this method; default the first")
    pairs.add_argument("--all-pairs", action="store_true", help="compare every two methods")
    sub.add_argument("--json", action="store_true", help="print JSON instead of tables")
    sub.add_argument("--output", type=Path, metavar="FILE", help="also write the JSON to this file")
    sub.set_defaults(action=compare)


def compare(arguments: argparse.Namespace) -> None:
    """Print the paired differences of methods."""
    from edgeconnect.evaluation.compare import choose_pairs, differences, load, require_metrics, table

    a = arguments
    names = list(dict.fromkeys(a.measures))
    manifest, methods = load(a.folders)
    require_metrics(methods, names)
    pairs = choose_pairs(methods, a.baseline, a.all_pairs)
    found = list(differences(manifest, pairs, names))
    if not found:
        raise UserError(f"--measures: {pairs[0][0].label} and others share no {', '.join(names)}; give --baseline")
    failed = frozenset().union(*(method.failed for method in methods))
    if failed:
        log.warning("left out, as a method failed at them: %s", counted(len(failed), "item"))
    rows = [plain(d) | {"verdict": d.verdict, "doubt": d.doubt} for d in found]
    text = json.dumps({"schema": 1, "manifest": manifest.digest(), "differences": rows}, indent=1)
    print(text if a.json else table(found))
    if a.output:
        write_whole(a.output, (text + "\n").encode())
