"""train, and what every command on a run's folder shares: its options, its configuration."""

import argparse
import logging
from pathlib import Path

from edgeconnect.atomic import write_whole
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.errors import UserError

log = logging.getLogger(__name__)


def add_run_options(sub: argparse.ArgumentParser) -> None:
    """Add what every run takes."""
    sub.add_argument("--checkpoints", "--path", default="checkpoints", type=Path, help="the run's folder")
    sub.add_argument("--model", help="1 edge, 2 inpaint, 3 edge_inpaint, 4 joint; all trains 1, 2 and 3")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the configuration")
    sub.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def add_resume_options(sub: argparse.ArgumentParser) -> None:
    """Add how training begins."""
    sub.add_argument(
        "--resume",
        default="auto",
        choices=("auto", "never", "must"),
        help="auto: go on where the stage stands; never: start over, its saves are kept aside; must: go on or refuse",
    )
    sub.add_argument("--init-from", type=Path, metavar="DIR", help="begin with the weights in DIR, at iteration 0")
    sub.add_argument("--no-check", action="store_true", help="do not look at the data first (scripts/check_data.py)")


def add_train_options(sub: argparse.ArgumentParser) -> None:
    """Add what training takes."""
    add_run_options(sub)
    add_resume_options(sub)
    sub.set_defaults(action=train)


def load_config(arguments: argparse.Namespace, model: str = "") -> Config:
    """Read config.yml of the run's folder, putting the example there first where there is none.

    `model` replaces MODEL of the file, but not what the command line says.
    """
    path: Path = arguments.checkpoints / CONFIG_FILE
    if not path.is_file() and not arguments.dry_run:
        copy_example(path)
    default = [("default", f"MODEL={model}")] if model else []
    chosen = [(f"--set {text}", text) for text in arguments.set]
    named = [(f"--model {arguments.model}", f"MODEL={arguments.model}")] if arguments.model else []
    loaded = config_file.load(path if path.is_file() else None, [*default, *chosen, *named])
    for note in loaded.notes:
        log.warning("%s", note)
    return loaded.config


def copy_example(path: Path) -> None:
    """Put the example configuration into a run's folder; one that cannot be written to goes by the defaults."""
    try:
        write_whole(path, config_file.example().encode())
        log.info("%s was not there: copied from the example; edit it, or use --set KEY=VALUE", path)
    except UserError as error:
        if not path.parent.is_dir():
            raise
        log.warning("no configuration: defaults (%s)", error)


def require_folder(folder: Path, option: str = "--checkpoints") -> None:
    """Raise UserError where an option names no folder."""
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{option}: {folder} {problem}; name the folder that holds the checkpoints")


def shown(arguments: argparse.Namespace, config: Config) -> bool:
    """Print the configuration where --dry-run asks for it."""
    if arguments.dry_run:
        print(config_file.dump(config), end="")
    return bool(arguments.dry_run)


def train(arguments: argparse.Namespace) -> None:
    """Train."""
    from edgeconnect import run

    if arguments.checkpoints.is_file():
        require_folder(arguments.checkpoints)
    if arguments.init_from:
        require_folder(arguments.init_from, "--init-from")
    config = load_config(arguments)
    if not shown(arguments, config):
        a = arguments
        run.train(config, a.checkpoints, a.resume, a.init_from, check=not a.no_check)
