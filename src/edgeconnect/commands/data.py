"""flist, scenes, masks, check-data: make data and check them."""

import argparse
import json
import os

from edgeconnect.atomic import expanded
from edgeconnect.commands.runs import add_run_options, load_config, require_folder
from edgeconnect.config.sections import SHAPES
from edgeconnect.data import flist


def add_flist_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `flist`."""
    sub.add_argument("--path", required=True, type=expanded, help="folder of pictures, searched with its subfolders")
    sub.add_argument("--output", required=True, type=expanded, help="list; with --split NAME_train, NAME_val, ...")
    shares = "shares of train, val, test, as 0.9 0.05 0.05"
    sub.add_argument("--split", nargs="+", type=float, metavar="SHARE", help=shares)
    sub.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    sub.add_argument("--relative", action="store_true", help="write paths relative to the list")
    sub.add_argument("--overwrite", action="store_true", help="replace lists that are there already")
    sub.set_defaults(action=write_flist)


def write_flist(arguments: argparse.Namespace) -> None:
    """Write file lists."""
    a = arguments
    flist.write_lists(a.path, a.output, a.split, a.seed, a.relative, a.overwrite)


def add_scene_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `scenes`."""
    sub.add_argument("--output", required=True, type=expanded, help="folder; gets images/ and, with --masks, masks/")
    sub.add_argument("--count", type=int, default=16, help="number of scenes (default: %(default)s)")
    sub.add_argument("--first", type=int, default=0, help="number of the first scene (default: %(default)s)")
    add_size_option(sub)
    sub.add_argument("--masks", metavar="FROM-TO", help="also write stroke masks of such hole ratios, as 0.2-0.4")
    sub.add_argument("--seed", type=int, default=0, help="seed of scenes and masks (default: %(default)s)")
    sub.set_defaults(action=scenes)


def add_size_option(sub: argparse.ArgumentParser) -> None:
    """Add --size, which scenes and masks share."""
    sides = "side, or height and width (default: 256)"
    sub.add_argument("--size", type=int, nargs="+", default=[256], metavar="SIDE", help=sides)


def scenes(arguments: argparse.Namespace) -> None:
    """Write built-in scenes."""
    from edgeconnect.data.scene_files import write_scenes

    a = arguments
    write_scenes(a.output, a.first, a.count, a.size, a.masks, a.seed)


def add_mask_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `masks`."""
    kinds, ratios = f"kinds, drawn in turn: {', '.join((*SHAPES, 'half'))}", (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    sub.add_argument("--output", required=True, type=expanded, help="new folder; gets 01-10/ ... 50-60/, masks.csv")
    sub.add_argument("--count", type=int, default=2000, help="number of masks in each bin (default: %(default)s)")
    add_size_option(sub)
    sub.add_argument("--kinds", nargs="+", default=["irregular"], metavar="KIND", help=f"{kinds} (default: irregular)")
    bins = f"bounds of the bins of hole ratios; a bin includes its upper bound (default: {' '.join(map(str, ratios))})"
    sub.add_argument("--bins", type=float, nargs="+", default=ratios, metavar="RATIO", help=bins)
    interior = "share of irregular masks and boxes that keep away from the border (default: %(default)s)"
    sub.add_argument("--interior", type=float, default=0.5, metavar="SHARE", help=interior)
    sub.add_argument("--seed", type=int, default=0, help="seed of the masks (default: %(default)s)")
    workers = "number of processes (default: all cores)"
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help=workers)
    sub.set_defaults(action=masks)


def masks(arguments: argparse.Namespace) -> None:
    """Write masks by hole ratio."""
    from edgeconnect.data.mask_files import MaskPlan, write_masks

    a = arguments
    write_masks(a.output, MaskPlan(a.size, a.kinds, a.bins, a.count, a.interior, a.seed), a.workers)


def add_check_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `check-data`."""
    add_run_options(sub)
    sub.add_argument("--json", action="store_true", help="print the whole report as JSON (fields: docs/data.md)")
    sub.add_argument("--quick", action="store_true", help="read 64 files of each list, as train.py does")
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads that read (default: all cores)")
    sub.set_defaults(action=check)


def check(arguments: argparse.Namespace) -> int:
    """Check the data and return 0, 1 for warnings, 2 for errors."""
    from edgeconnect.data import validation

    require_folder(arguments.checkpoints)
    report = validation.examine(load_config(arguments), quick=arguments.quick, workers=arguments.workers)
    print(json.dumps(report.to_json(), indent=1) if arguments.json else report.table())
    return report.severity
