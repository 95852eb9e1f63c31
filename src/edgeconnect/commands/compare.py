"""compare: the differences between evaluations of the same items."""

import argparse
import json
from pathlib import Path

from edgeconnect.atomic import write_whole
from edgeconnect.errors import UserError


def add_compare_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `compare`."""
    sub.add_argument("folders", nargs="+", type=Path, help="of evaluations of the same manifest")
    sub.add_argument("--measures", nargs="+", default=["psnr_rgb", "ssim_rgb_gauss11", "l1_hole"], metavar="NAME")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.add_argument("--output", type=Path, help="also write the JSON there")
    sub.set_defaults(action=compare)


def compare(arguments: argparse.Namespace) -> None:
    """Print the paired differences of every two methods."""
    from edgeconnect.evaluation.compare import as_json, differences, load, table
    from edgeconnect.metrics.definitions import DEFINITIONS

    a = arguments
    unknown = [name for name in a.measures if name not in DEFINITIONS]
    if unknown:
        raise UserError(f"--measures: {unknown[0]} is none of: {', '.join(DEFINITIONS)}")
    manifest, entries = load(a.folders)
    found = list(differences(manifest, entries, a.measures))
    if not found:
        raise UserError(f"--measures: {', '.join(a.measures)}: no two methods have them both")
    text = json.dumps(as_json(manifest, found), indent=1)
    print(text if a.json else table(found))
    if a.output:
        write_whole(a.output, (text + "\n").encode())
