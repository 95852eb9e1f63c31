"""train, and what every command on a run's folder shares: its options, its configuration."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.folder import folder_config
from edgeconnect.checkpoint.saves import RECORD
from edgeconnect.config import file as config_file
from edgeconnect.config.file import Loaded
from edgeconnect.config.presets import preset, presets
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.errors import UserError
from edgeconnect.launch import count, is_main, ranks
from edgeconnect.methods.catalogue import METHODS

MOST_CANDIDATES = 24  # `verified.CANDIDATES`, which need PyTorch

log = logging.getLogger(__name__)


def check_candidates(wanted: int, others: Mapping[str, bool]) -> None:
    """Raise UserError for a --candidates out of range, and for others, where given, that do not go with it."""
    from edgeconnect.data.mask_files import refuse_outside

    refuse_outside("--candidates", wanted, 1, MOST_CANDIDATES)
    for option, is_given in others.items():
        if is_given:
            raise UserError(f"{option}: does not go with --candidates, which chooses among completions; leave one out")


def add_run_options(sub: argparse.ArgumentParser) -> None:
    """Add what every run takes."""
    stages = "; ".join(f"{row.name}: {row.listed()}" for row in METHODS.values())
    sub.add_argument("--checkpoints", "--path", default="checkpoints", type=Path, help="the run's folder")
    sub.add_argument("--model", help=f"stage by number or name ({stages}); all trains one after the other")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the configuration")
    sub.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")


def add_train_options(sub: argparse.ArgumentParser) -> None:
    """Add what training takes."""
    add_run_options(sub)
    add_start_options(sub)
    sub.set_defaults(action=train)


def add_start_options(sub: argparse.ArgumentParser) -> None:
    """Add how training begins."""
    names = ", ".join(presets())
    sub.add_argument("--preset", metavar="NAME", help=f"begin config.yml with a preset ({names}) or another file")
    sub.add_argument(
        "--resume",
        default="auto",
        choices=("auto", "never", "must"),
        help="auto: continue where the stage stands; never: start over, keep former saves; must: continue or refuse",
    )
    sub.add_argument("--init-from", type=Path, metavar="DIR", help="begin with the weights in DIR, at iteration 0")
    sub.add_argument("--no-check", action="store_true", help="do not look at the data first (scripts/check_data.py)")


def train(arguments: argparse.Namespace) -> None:
    """Train, in the ranks that torchrun started, or in one for each GPU that is named."""
    config = prepare(arguments) if count() == 1 else None
    if count() == 1 and not config:
        return
    from edgeconnect.device import gpus_to_share
    from edgeconnect.distributed import from_main, joined, main_first

    with ranks(gpus_to_share(config.run) if config else 1), joined():
        with main_first():
            config = config or prepare(arguments)
        if from_main(config is not None) and config:
            train_run(arguments, config)


def train_run(arguments: argparse.Namespace, config: Config) -> None:
    """Train as the options of the command line say."""
    from edgeconnect import run

    a = arguments
    given = tuple(dict.fromkeys(text.partition("=")[0].strip() for text in a.set))
    run.train(config, a.checkpoints, run.TrainOptions(a.resume, a.init_from, not a.no_check, given))


def prepare(arguments: argparse.Namespace) -> Config | None:
    """Read the configuration to train by; return none where it is only shown.

    A folder that is new and has no list of pictures gets its config.yml, to be edited.
    """
    a = arguments
    if a.checkpoints.is_file():
        require_folder(a.checkpoints)
    if a.init_from and is_main():
        require_folder(a.init_from, "--init-from")
    path = a.checkpoints / CONFIG_FILE
    if a.preset and is_main():
        text = preset(a.preset).read_bytes()
        if path.is_file() and path.read_bytes() != text:
            raise UserError(f"--preset: {path} is there already; leave --preset out to use it, or give another folder")
        write_whole(path, text)
    is_new = not path.is_file()
    config = load_config(a)
    if shown(a, config):
        return None
    if is_new and not config.data.train_flist:
        log.info("set TRAIN_FLIST and the other lists in %s, then run again", path)
        return None
    return config


def load_config(arguments: argparse.Namespace) -> Config:
    """Read config.yml of the run's folder to train by; put the example there first where there is none.

    A folder that cannot be written to goes by the defaults.
    """
    path: Path = arguments.checkpoints / CONFIG_FILE
    if not path.is_file() and not arguments.dry_run:
        try:
            write_whole(path, config_file.example().encode())
            log.info("%s was not there: copied from the example; edit it, or use --set KEY=VALUE", path)
        except UserError as error:
            if not path.parent.is_dir():
                raise
            log.warning("no configuration: defaults (%s)", error)
    return told(config_file.load(path if path.is_file() else None, overrides(arguments)))


def load_trained(arguments: argparse.Namespace, by_model: bool = False) -> Config:
    """Read the configuration of a trained run to complete pictures by; with `by_model`, MODEL names the stage."""
    require_folder(arguments.checkpoints)
    path = arguments.checkpoints / CONFIG_FILE
    if not path.is_file():
        log.info("%s does not exist: defaults, and --set", path)
    return told(folder_config(arguments.checkpoints, overrides(arguments), by_model))


def overrides(arguments: argparse.Namespace) -> list[tuple[str, str]]:
    """Return what the command line says of the configuration: (where it stands, KEY=VALUE)."""
    chosen = [(f"--set {text}", text) for text in arguments.set]
    return [*chosen, *([(f"--model {arguments.model}", f"MODEL={arguments.model}")] if arguments.model else [])]


def told(loaded: Loaded) -> Config:
    """Log the notes of a configuration and return it."""
    for note in loaded.notes if is_main() else ():
        log.warning("%s", note)
    return loaded.config


def output_in(folder: Path | None, config: Config, what: str) -> Path:
    """Name where what a run makes goes: a folder for each stage but the usual one, so that none replaces another's.

    Raises UserError without a run, and for a save, which training may remove.
    """
    if folder is None or (folder / RECORD).is_file():
        reason = f"; {folder} is a save, which training may remove" if folder else "; name a folder for what is written"
        raise UserError(f"--output is missing{reason}")
    return folder / (what if config.stage.name == config.row.completes else f"{what}_{config.stage.name}")


def require_folder(folder: Path, option: str = "--checkpoints") -> None:
    """Raise UserError where an option names no folder."""
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{option}: {folder} {problem}; name the folder that holds the checkpoints")


def shown(arguments: argparse.Namespace, config: Config) -> bool:
    """Print the configuration where --dry-run asks for it."""
    if arguments.dry_run and is_main():
        print(config_file.dump(config), end="")
    return bool(arguments.dry_run)
