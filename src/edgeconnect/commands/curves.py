"""plot: the training curves of runs."""

import argparse
from pathlib import Path

from edgeconnect.config import validators
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import EDGECONNECT, stage_names


def add_plot_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `plot`."""
    add = sub.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, which hold log_<stage>.csv")
    add("--stage", help="1 edge, 2 inpaint, 3 edge_inpaint, 4 joint; default all that were trained")
    add("--columns", nargs="+", default=[], metavar="NAME", help="columns of the logs, such as psnr; default all")
    add("--smooth", type=float, default=0.9, metavar="WEIGHT", help="smoothing from 0 (off) to below 1; default 0.9")
    add("--log-scale", action="store_true", help="logarithmic axis where every value is above 0")
    where = ".png, .svg or .pdf; default RUN/curves_<stage>.png, in the first RUN"
    add("--output", type=Path, metavar="FILE", help=where)
    sub.set_defaults(action=plot)


def plot(arguments: argparse.Namespace) -> None:
    """Draw the curves and name the files."""
    a = arguments
    if not 0 <= a.smooth < 1:
        raise UserError(f"--smooth: {a.smooth:g} is no weight; give 0 or more, below 1")
    try:
        stage = validators.numbered(EDGECONNECT.numbers(), *stage_names())(a.stage) if a.stage else ""
    except ValueError as error:
        raise UserError(f"--stage: {a.stage} {error}") from error
    from edgeconnect.evaluation import curves

    if a.output and a.output.suffix.lower() not in curves.FORMATS:
        raise UserError(f"--output: {a.output} ends in none of {', '.join(curves.FORMATS)}")
    for path in curves.draw(a.runs, stage, curves.PlotOptions(tuple(a.columns), a.smooth, a.log_scale), a.output):
        print(path)
