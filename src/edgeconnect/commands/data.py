"""flist, scenes, masks, check-data: what a run's data are made with, and whether they will do."""

import argparse
import json
import os
from pathlib import Path

from edgeconnect.commands.runs import add_run_options, load_config, require_folder
from edgeconnect.config.sections import SHAPES
from edgeconnect.data import flist
from edgeconnect.progress import progress


def add_flist_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `flist`."""
    sub.add_argument("--path", required=True, type=Path, help="folder, searched with its subfolders")
    sub.add_argument("--output", required=True, type=Path, help="the list; with --split, NAME_train, NAME_val, ...")
    sub.add_argument("--split", nargs="+", type=float, metavar="SHARE", help="such as 0.9 0.05 0.05: train val test")
    sub.add_argument("--seed", type=int, default=0, help="seed of the split")
    sub.add_argument("--relative", action="store_true", help="write paths relative to the list")
    sub.set_defaults(action=write_lists)


def write_lists(arguments: argparse.Namespace) -> None:
    """Write the lists of pictures."""
    a = arguments
    flist.write_lists(a.path, a.output, a.split, a.seed, a.relative)


def add_scene_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `scenes`."""
    sub.add_argument("--output", required=True, type=Path, help="folder; gets images/ and, with --masks, masks/")
    sub.add_argument("--count", type=int, default=16, help="how many scenes")
    sub.add_argument("--first", type=int, default=0, help="number of the first scene")
    sub.add_argument("--size", type=int, nargs="+", default=[256], metavar="SIDE", help="side, or height and width")
    sub.add_argument("--masks", metavar="FROM-TO", help="also write stroke masks of such hole ratios, as 0.2-0.4")
    sub.add_argument("--seed", type=int, default=0, help="seed of the masks")
    sub.set_defaults(action=scenes)


def scenes(arguments: argparse.Namespace) -> None:
    """Write built-in scenes."""
    from edgeconnect.data.scene_files import write_scenes

    a = arguments
    write_scenes(a.output, a.first, a.count, a.size, a.masks, a.seed)


def add_mask_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `masks`."""
    kinds = ", ".join((*SHAPES, "half"))
    sub.add_argument("--output", required=True, type=Path, help="new folder; gets 01-10/ ... 50-60/ and masks.csv")
    sub.add_argument("--count", type=int, default=2000, help="masks in each bin")
    sub.add_argument("--size", type=int, nargs="+", default=[256], metavar="SIDE", help="side, or height and width")
    sub.add_argument("--kinds", nargs="+", default=["irregular"], metavar="KIND", help=f"in turn: {kinds}")
    sub.add_argument(
        "--bins",
        type=float,
        nargs="+",
        default=[0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
        metavar="RATIO",
        help="edges of the ranges of hole ratios; the upper one belongs to a bin",
    )
    sub.add_argument(
        "--interior",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="share that stays off the border, of irregular and boxes",
    )
    sub.add_argument("--seed", type=int, default=0, help="seed of the masks")
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; default all cores")
    sub.set_defaults(action=masks)


def masks(arguments: argparse.Namespace) -> None:
    """Write masks by hole ratio."""
    from edgeconnect.data.mask_files import mask_set, write_masks

    a = arguments
    wanted = mask_set(a.size, a.kinds, a.bins, a.count, a.interior, a.seed)
    with progress(len(wanted), 0, "drawing", "mask", leave=False) as bar:
        write_masks(a.output, wanted, a.workers, bar.update)


def add_check_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `check-data`."""
    add_run_options(sub)
    sub.add_argument("--json", action="store_true", help="print the whole report as JSON, see docs/data.md")
    sub.add_argument("--quick", action="store_true", help="look at 64 files of each list, as train.py does")
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads that read; default all cores")
    sub.set_defaults(action=check)


def check(arguments: argparse.Namespace) -> int:
    """Look at the data and return 0, 1 for warnings, 2 for errors."""
    from edgeconnect.data import validation

    require_folder(arguments.checkpoints)
    config = load_config(arguments)
    files = validation.count_files(config.data, arguments.quick)
    with progress(files, 0, "reading", "file", leave=False) as bar:
        report = validation.examine(config, quick=arguments.quick, workers=arguments.workers, watch=bar.update)
    print(json.dumps(report.to_json(), indent=1) if arguments.json else report.table())
    return report.severity
