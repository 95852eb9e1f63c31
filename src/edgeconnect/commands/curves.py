"""plot: the training curves of runs."""

import argparse
from pathlib import Path

from edgeconnect.config import validators
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import EDGECONNECT, stage_names


def add_plot_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `plot`."""
    sub.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders that train.py wrote to")
    sub.add_argument("--stage", help="1 edge, 2 inpaint, 3 edge_inpaint, 4 joint; default all that were trained")
    sub.add_argument("--columns", nargs="+", default=[], metavar="NAME", help="of the logs, as psnr; default all")
    sub.add_argument(
        "--smooth", type=float, default=0.9, metavar="WEIGHT", help="of the values before, 0 to 1; 0: off; default 0.9"
    )
    sub.add_argument("--log-scale", action="store_true", help="where every value is above 0")
    sub.add_argument(
        "--output", type=Path, help=".png, .svg or .pdf; default curves_<stage>.png in the first run's folder"
    )
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
    for path in curves.draw(a.runs, stage, curves.Look(tuple(a.columns), a.smooth, a.log_scale), a.output):
        print(path)
