"""fid-score: FID and KID of folders."""

import argparse
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgeconnect.errors import UserError, counted

if TYPE_CHECKING:
    import torch

DIMS = (64, 192, 768, 2048)

log = logging.getLogger(__name__)


def add_fid_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `fid-score`."""
    cores = min(8, len(os.sched_getaffinity(0)))
    sub.add_argument(
        "--path", required=True, nargs="+", metavar="SIDE", help="two folders, lists, or .npz of statistics, in any mix"
    )
    sub.add_argument("--gpu", type=int, help="its number; -1: processor; default the first GPU, if there is one")
    sub.add_argument(
        "--batch-size", type=int, default=50, help="changes nothing: taken as pytorch-fid's program has it"
    )
    sub.add_argument("--dims", type=int, default=2048, choices=DIMS, help="the layer, by its features; default 2048")
    sub.add_argument("--workers", type=int, default=cores, help=f"threads that read; default {cores}")
    sub.add_argument("--weights", default="", metavar="PATH", help="pytorch-fid's weights; default its download")
    sub.add_argument("--kid", action="store_true", help="also KID, for few pictures the better number")
    sub.add_argument("--kid-size", type=int, default=1000, help="pictures in each of its 100 subsets; default 1000")
    sub.add_argument("--save-stats", type=Path, metavar="OUT.npz", help="write the statistics of one --path and stop")
    sub.add_argument("--no-cache", action="store_true", help="neither use nor keep statistics of the same pictures")
    sub.add_argument("--json", action="store_true", help="print JSON")
    sub.set_defaults(action=fid_score)


def fid_score(arguments: argparse.Namespace) -> None:
    """Compare two sides, or write the statistics of one."""
    a = arguments
    refuse(a)
    from edgeconnect.evaluation import feature_stats, fid
    from edgeconnect.metrics.inception import Inception

    extractor = Inception(a.weights, a.dims, device_of(a.gpu))
    options = feature_stats.LoaderOptions(a.workers, None if a.no_cache else feature_stats.cache_folder())
    if a.save_stats:
        made = feature_stats.stats_of(a.path[0], extractor, options)
        feature_stats.write_archive(a.save_stats, made)
        log.info("statistics of %s written to %s", counted(made.n, "picture"), a.save_stats)
        return
    scores = fid.score(a.path, extractor, options, a.kid, a.kid_size)
    print(json.dumps(scores.to_json(), indent=1) if a.json else scores.table())


def refuse(arguments: argparse.Namespace) -> None:
    """Raise UserError for options that make no sense."""
    a = arguments
    for option, value, least in (
        ("--batch-size", a.batch_size, 1),
        ("--workers", a.workers, 1),
        ("--kid-size", a.kid_size, 2),
    ):
        if value < least:
            raise UserError(f"{option}: {value} is too small; give {least} or more")
    if len(a.path) != (1 if a.save_stats else 2):
        raise UserError(f"--path: {len(a.path)} given; give two to compare, or one with --save-stats")
    if a.save_stats and (a.save_stats.suffix != ".npz" or a.path[0].lower().endswith(".npz")):
        raise UserError(f"--save-stats: {a.save_stats} of {a.path[0]}; give a folder, and a name that ends in .npz")


def device_of(gpu: int | None) -> "torch.device":
    """Return the GPU of this number, or the processor for -1; None means the first GPU, if there is one."""
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu == -1 or (gpu is None and not available):
        return torch.device("cpu")
    if not 0 <= (gpu or 0) < available:
        raise UserError(f"--gpu: {gpu} is not there: this machine shows {available} CUDA devices; leave it out, or -1")
    return torch.device("cuda", gpu or 0)
