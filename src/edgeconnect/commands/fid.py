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
    add = sub.add_argument
    add("--path", required=True, nargs="+", metavar="SIDE", help="two sides: folders, lists, or .npz of statistics")
    add("--gpu", type=int, metavar="N", help="number of the GPU, -1 for the processor; default the first GPU, if any")
    add("--batch-size", type=int, default=50, metavar="N", help="accepted without effect: no digit depends on it")
    add("--dims", type=int, default=2048, choices=DIMS, help="features of the layer that is compared; default 2048")
    add("--workers", type=int, default=cores, metavar="N", help=f"threads that read pictures; default {cores}")
    add("--weights", default="", metavar="PATH", help="weights of pytorch-fid's network; default its download")
    add("--kid", action="store_true", help="also measure KID, which is the better number for few pictures")
    add("--kid-size", type=int, default=1000, metavar="N", help="pictures in each of KID's 100 subsets; default 1000")
    add("--save-stats", type=Path, metavar="OUT.npz", help="write the statistics of one --path and stop")
    add("--no-cache", action="store_true", help="neither read nor write the cache of statistics")
    add("--json", action="store_true", help="print JSON instead of text")
    sub.set_defaults(action=fid_score)


def fid_score(arguments: argparse.Namespace) -> None:
    """Compare two sides, or write the statistics of one."""
    a = arguments
    numbers = ("--batch-size", a.batch_size, 1), ("--workers", a.workers, 1), ("--kid-size", a.kid_size, 2)
    for option, value, least in numbers:
        if value < least:
            raise UserError(f"{option}: {value} is too small; give {least} or more")
    if len(a.path) != (1 if a.save_stats else 2):
        raise UserError(f"--path: {len(a.path)} given; give two to compare, or one with --save-stats")
    if a.save_stats and (a.save_stats.suffix != ".npz" or a.path[0].lower().endswith(".npz")):
        raise UserError(f"--save-stats: {a.save_stats} of {a.path[0]}; give a folder, and a name that ends in .npz")
    from edgeconnect.evaluation import fid
    from edgeconnect.metrics.inception import Inception

    extractor = Inception(a.weights, a.dims, device_of(a.gpu))
    options = fid.LoaderOptions(a.workers, None if a.no_cache else fid.cache_folder())
    if a.save_stats:
        made = fid.stats_of(a.path[0], extractor, options)
        fid.write_archive(a.save_stats, made)
        log.info("statistics of %s written to %s", counted(made.n, "picture"), a.save_stats)
        return
    scores = fid.score(a.path, extractor, options, a.kid, a.kid_size)
    print(json.dumps(scores.to_json(), indent=1) if a.json else scores.table())


def device_of(gpu: int | None) -> "torch.device":
    """Return the GPU of this number, or the processor for -1; None means the first GPU, if there is one."""
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu == -1 or (gpu is None and not available):
        return torch.device("cpu")
    if not 0 <= (gpu or 0) < available:
        raise UserError(f"--gpu: {gpu} is not there: this machine shows {available} CUDA devices; leave it out, or -1")
    return torch.device("cuda", gpu or 0)
