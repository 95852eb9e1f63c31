"""demo: train on built-in scenes and compare."""

import argparse
from pathlib import Path


def add_demo_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `demo`."""
    sub.add_argument("--checkpoints", default="checkpoints/demo", type=Path, help="the run's folder")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the preset")
    sub.set_defaults(action=demonstrate)


def demonstrate(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    from edgeconnect import quickstart

    quickstart.demonstrate(arguments.checkpoints, arguments.set)
