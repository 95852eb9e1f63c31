"""The command line: parse, act, report in one line what went wrong, return an exit code.

What needs PyTorch is imported by the command that uses it: `--help` and `flist` answer at once.
"""

import argparse
import logging
import sys
import threading
import warnings
from collections.abc import Sequence

from edgeconnect import __version__
from edgeconnect.commands import compare, complete, curves, data, demo, evaluation, export, fid, metrics, runs
from edgeconnect.errors import Stopped, UserError, is_out_of_memory, printable, reason
from edgeconnect.launch import is_main, refuse_several

INTERRUPTED = 130
COMMANDS = {
    "train": ("Train a stage, or resume it where it stands.", runs.add_train_options),
    "test": ("Complete pictures with the trained generators, by default those of stage 3.", complete.add_test_options),
    "export": ("Write what test.py uses as published checkpoints.", export.add_export_options),
    "run": ("Do what MODE in config.yml says: train, test or evaluate.", complete.add_mode_options),
    "evaluate": ("Evaluate runs, classical methods and others' results.", evaluation.add_evaluate_options),
    "compare": ("Compare evaluations of the same items.", compare.add_compare_options),
    "metrics": ("Measure completed pictures against the true ones.", metrics.add_metrics_options),
    "fid-score": ("Compare two sets of pictures by FID and KID.", fid.add_fid_options),
    "plot": ("Draw the training curves of runs.", curves.add_plot_options),
    "flist": ("List the pictures below a folder.", data.add_flist_options),
    "scenes": ("Write built-in scenes, and masks for them, as PNG.", data.add_scene_options),
    "masks": ("Write masks by hole ratio, as PNG.", data.add_mask_options),
    "check-data": ("Look for bad data before training meets it.", data.add_check_options),
    "demo": ("Train on built-in scenes and compare with classical inpainting.", demo.add_demo_options),
}
SEVERAL = ("train", "run")  # what torchrun may start several processes of
TAKES_MEMORY = {"batch_size": "--batch-size", "workers": "--workers", "size": "--size"}  # options, by their attributes

log = logging.getLogger("edgeconnect")


class Printable(logging.Formatter):
    """Show messages without what a file's name could do to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Escape control characters."""
        return printable(super().format(record))


class ShowDefaults(argparse.HelpFormatter):
    """End the help of each option with its default, unless it has none or the help names it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if action.nargs == 0 or default in (None, "", [], argparse.SUPPRESS) or "default" in text:
            return text
        return f"{text} (default: {' '.join(default) if isinstance(default, list) else '%(default)s'})"


def main(argv: Sequence[str] | None = None, command: str | None = None) -> int:
    """Act on the arguments and return the exit code; a script such as train.py names its command."""
    arguments = [*([command] if command else []), *(sys.argv[1:] if argv is None else argv)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Printable())
    log.handlers, log.level = [handler], logging.INFO if is_main() else logging.WARNING
    threading.excepthook = say_in_one_line
    parsed, unknown = parser(script=command).parse_known_args(arguments)
    if unknown:
        parsed.usage_error(f"unrecognized arguments: {' '.join(unknown)}")  # the command's own, not the top parser's
    warnings.filterwarnings("ignore", "This DataLoader will create", UserWarning)  # NUM_WORKERS is the user's choice
    try:
        if parsed.command not in SEVERAL:
            refuse_several(parsed.command)
        return parsed.action(parsed) or 0
    except (UserError, OSError) as error:
        if is_main() or not (isinstance(error, UserError) and error.is_everywhere):
            print(f"error: {printable(str(error))}", file=sys.stderr)
        return error.exit_code if isinstance(error, UserError) else UserError.exit_code
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {reason(error)}; {memory_remedy(parsed)}", file=sys.stderr)
        return UserError.exit_code
    except Stopped as stopped:
        if is_main():
            print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def memory_remedy(parsed: argparse.Namespace) -> str:
    """Return what lowers the memory that a command takes."""
    if parsed.command in ("train", "run", "demo"):
        return "lower BATCH_SIZE, INPUT_SIZE or BASE_CHANNELS"
    named = [option for attribute, option in TAKES_MEMORY.items() if hasattr(parsed, attribute)]
    return f"lower {' or '.join(named)}" if named else "give it less or smaller pictures at once"


def say_in_one_line(arguments: threading.ExceptHookArgs) -> None:
    """Report what a thread meets: TensorBoard writes its events in one, and traces a full disk."""
    if isinstance(arguments.exc_value, OSError):
        log.error("%s: %s", arguments.thread.name if arguments.thread else "thread", arguments.exc_value)
    else:
        threading.__excepthook__(arguments)


def parser(script: str | None = None) -> argparse.ArgumentParser:
    """Describe every command; that of a script such as train.py has the script's name as its program."""
    started = sys.argv[0] if sys.argv[0].endswith(".py") and not sys.argv[0].endswith("__main__.py") else "edgeconnect"
    top = argparse.ArgumentParser(
        prog=started, description="Image inpainting: edges first, colours next.", allow_abbrev=False
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, (about, add_options) in COMMANDS.items():
        prog = started if name == script else f"{started} {name}"
        sub = commands.add_parser(
            name, prog=prog, help=about, description=about, allow_abbrev=False, formatter_class=ShowDefaults
        )
        add_options(sub)
        sub.set_defaults(usage_error=sub.error)
    return top
