"""The command line: parse, act, say in one line what went wrong, return an exit code.

What needs PyTorch is imported by the command that uses it: `--help` and `flist` answer at once.
"""

import argparse
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from edgeconnect import __version__
from edgeconnect.commands import compare, complete, curves, data, demo, evaluation, fid, metrics, runs
from edgeconnect.errors import UserError, is_out_of_memory, printable, reason
from edgeconnect.training.signals import Stopped

INTERRUPTED = 130
COMMANDS = (
    *("train", "test", "run", "evaluate", "compare", "metrics", "fid-score", "plot"),
    *("flist", "scenes", "masks", "check-data", "demo"),
)

log = logging.getLogger("edgeconnect")


class Printable(logging.Formatter):
    """Show messages without what a file's name could do to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Escape control characters."""
        return printable(super().format(record))


def main(argv: Sequence[str] | None = None, command: str | None = None) -> int:
    """Act on the arguments and return the exit code; a door such as train.py names its command."""
    arguments = [*([command] if command else []), *(sys.argv[1:] if argv is None else argv)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable())
    log.handlers, log.level = [handler], logging.INFO
    threading.excepthook = say_in_one_line
    parsed = parser(door=command).parse_args(arguments)
    try:
        return parsed.action(parsed) or 0
    except (UserError, OSError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code if isinstance(error, UserError) else UserError.exit_code
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {reason(error)}; lower BATCH_SIZE or INPUT_SIZE, or give smaller pictures", file=sys.stderr)
        return UserError.exit_code
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def say_in_one_line(arguments: threading.ExceptHookArgs) -> None:
    """Report what a thread meets: TensorBoard writes its events in one, and traces a full disk."""
    if isinstance(arguments.exc_value, OSError):
        log.error("%s: %s", arguments.thread.name if arguments.thread else "thread", arguments.exc_value)
    else:
        threading.__excepthook__(arguments)


def parser(door: str | None = None) -> argparse.ArgumentParser:
    """Describe every command; a door shows its own name in the usage."""
    top = argparse.ArgumentParser(
        prog="edgeconnect", description="Image inpainting: edges first, colours next.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        prog = Path(sys.argv[0]).name if door == name else None
        return commands.add_parser(name, prog=prog, help=about, description=about, allow_abbrev=False)

    runs.add_train_options(add("train", "Train a stage, or go on where it stands."))
    complete.add_test_options(add("test", "Complete pictures with the trained generators."))
    complete.add_mode_options(add("run", "Do what MODE in config.yml says: train, test or evaluate."))
    evaluation.add_evaluate_options(add("evaluate", "Evaluate runs, classical methods and others' results."))
    compare.add_compare_options(add("compare", "Compare evaluations of the same items."))
    metrics.add_metrics_options(add("metrics", "Measure completed pictures against the true ones."))
    fid.add_fid_options(add("fid-score", "Compare two sets of pictures by FID and KID."))
    curves.add_plot_options(add("plot", "Draw the training curves of runs."))
    data.add_flist_options(add("flist", "List the pictures below a folder."))
    data.add_scene_options(add("scenes", "Write built-in scenes, and masks for them, as PNG."))
    data.add_mask_options(add("masks", "Write masks by hole ratio, as PNG."))
    data.add_check_options(add("check-data", "Look for bad data before training meets it."))
    demo.add_demo_options(add("demo", "Train on built-in scenes and compare with classical inpainting."))
    return top
