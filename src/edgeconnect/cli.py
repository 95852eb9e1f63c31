"""The command line: parse, act, say in one line what went wrong, return an exit code.

What needs PyTorch is imported by the command that uses it: `--help` and `flist` answer at once.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from edgeconnect import __version__
from edgeconnect import config as configuration
from edgeconnect.data import flist
from edgeconnect.errors import UserError, is_out_of_memory, printable, reason
from edgeconnect.settings import CONFIG_FILE, Config
from edgeconnect.storage import write_whole

USER_ERROR, INTERRUPTED = 2, 130
COMMANDS = ("train", "test", "eval", "run", "flist", "scenes", "demo")

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
    parsed = parser(door=command).parse_args(arguments)
    try:
        parsed.action(parsed)
    except (UserError, OSError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return USER_ERROR
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"error: {reason(error)}; lower BATCH_SIZE or INPUT_SIZE, or give smaller pictures", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def parser(door: str | None = None) -> argparse.ArgumentParser:
    """Describe every command; a door shows its own name in the usage."""
    top = argparse.ArgumentParser(prog="edgeconnect", description="Image inpainting: edges first, colours next.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        prog = Path(sys.argv[0]).name if door == name else None
        return commands.add_parser(name, prog=prog, help=about, description=about)

    add_run_options(add("train", "Train a stage, or go on where it stands."), train)
    add_test_options(add("test", "Complete pictures with the trained generators."), test)
    add_run_options(add("eval", "Measure a stage on VAL_FLIST."), evaluate)
    add_test_options(add("run", "Do what MODE in config.yml says: train, test or eval."), by_mode)
    add_flist_options(add("flist", "List the pictures below a folder."))
    add_scene_options(add("scenes", "Write built-in scenes, and masks for them, as PNG."))
    add_demo_options(add("demo", "Train on built-in scenes and compare with classical inpainting."))
    return top


def add_run_options(sub: argparse.ArgumentParser, action: object) -> None:
    """Add what every run takes."""
    sub.add_argument("--checkpoints", "--path", default="checkpoints", type=Path, help="the run's folder")
    sub.add_argument("--model", help="1 edge, 2 inpaint, 3 edge_inpaint, 4 joint; all trains 1, 2 and 3")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the configuration")
    sub.add_argument("--dry-run", action="store_true", help="print the resolved configuration and stop")
    sub.set_defaults(action=action, by_mode=False)


def add_test_options(sub: argparse.ArgumentParser, action: object) -> None:
    """Add what completing pictures takes."""
    add_run_options(sub, action)
    sub.add_argument("--input", help="picture, folder or list; default TEST_FLIST")
    sub.add_argument("--mask", help="mask (white = missing), folder or list; one for all, or one of each stem")
    sub.add_argument(
        "--edge", help="edge maps to go by, one of each stem; default Canny's, or TEST_EDGE_FLIST with EDGE 2"
    )
    sub.add_argument("--output", help="folder, or a .png for one picture; default <checkpoints>/results")
    sub.add_argument("--raw-edges", action="store_true", help="paint along G1's output alone, as published")
    sub.add_argument("--resize-mask", action="store_true", help="stretch masks of another shape, as published")
    sub.add_argument("--mirror", action="store_true", help="average with the completion of the mirror image")
    sub.add_argument("--no-ema", action="store_true", help="use the last weights, not their moving average")


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
    loaded = configuration.load(path if path.is_file() else None, [*default, *chosen, *named])
    for note in loaded.notes:
        log.warning("%s", note)
    return loaded.config


def copy_example(path: Path) -> None:
    """Put the example configuration into a run's folder; one that cannot be written to goes by the defaults."""
    try:
        write_whole(path, configuration.example().encode())
        log.info("%s was not there: copied from the example; edit it, or use --set KEY=VALUE", path)
    except UserError as error:
        if not path.parent.is_dir():
            raise
        log.warning("no configuration: defaults (%s)", error)


def require_folder(folder: Path) -> None:
    """Raise UserError where --checkpoints names no folder."""
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"--checkpoints: {folder} {problem}; name the folder that holds the checkpoints")


def shown(arguments: argparse.Namespace, config: Config) -> bool:
    """Print the configuration where --dry-run asks for it."""
    if arguments.dry_run:
        print(configuration.dump(config), end="")
    return bool(arguments.dry_run)


def train(arguments: argparse.Namespace) -> None:
    """Train."""
    from edgeconnect import run

    if arguments.checkpoints.is_file():
        require_folder(arguments.checkpoints)
    config = load_config(arguments)
    if not shown(arguments, config):
        run.train(config, arguments.checkpoints)


def test(arguments: argparse.Namespace) -> None:
    """Complete pictures."""
    from edgeconnect import run
    from edgeconnect.predict import plan

    require_folder(arguments.checkpoints)
    config = load_config(arguments, model="" if arguments.by_mode else "edge_inpaint")
    if shown(arguments, config):
        return
    external = config.data.test_edge_flist if config.data.edge == "external" else ""
    output = arguments.output or str(arguments.checkpoints / "results")
    jobs = plan(
        arguments.input or config.data.test_flist,
        arguments.mask or config.data.test_mask_flist,
        arguments.edge or external,
        output,
    )
    run.complete(
        config,
        arguments.checkpoints,
        jobs,
        raw_edges=arguments.raw_edges,
        resize_mask=arguments.resize_mask,
        use_ema=not arguments.no_ema,
        mirror=arguments.mirror,
    )
    log.info("%d written to %s", len(jobs), output)


def evaluate(arguments: argparse.Namespace) -> None:
    """Measure a stage."""
    from edgeconnect import run

    require_folder(arguments.checkpoints)
    config = load_config(arguments)
    if not shown(arguments, config):
        print(json.dumps(run.measure(config, arguments.checkpoints), indent=1))


def by_mode(arguments: argparse.Namespace) -> None:
    """Do what MODE says."""
    path = arguments.checkpoints / CONFIG_FILE
    chosen = [(f"--set {text}", text) for text in arguments.set]
    mode = configuration.load(path if path.is_file() else None, chosen).config.run.mode
    arguments.by_mode = True
    {"train": train, "test": test, "eval": evaluate}[mode](arguments)


def add_flist_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `flist`."""
    sub.add_argument("--path", required=True, type=Path, help="folder, searched with its subfolders")
    sub.add_argument("--output", required=True, type=Path, help="the list; with --split, NAME_train, NAME_val, ...")
    sub.add_argument("--split", nargs="+", type=float, metavar="SHARE", help="such as 0.9 0.05 0.05: train val test")
    sub.add_argument("--seed", type=int, default=0, help="of the split")
    sub.add_argument("--relative", action="store_true", help="write paths relative to the list")
    sub.set_defaults(action=lambda a: flist.write_lists(a.path, a.output, a.split, a.seed, a.relative))


def add_scene_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `scenes`."""
    sub.add_argument("--output", required=True, type=Path, help="folder; gets images/ and, with --masks, masks/")
    sub.add_argument("--count", type=int, default=16)
    sub.add_argument("--first", type=int, default=0, help="number of the first scene")
    sub.add_argument("--size", type=int, nargs="+", default=[256], metavar="SIDE", help="side, or height and width")
    sub.add_argument("--masks", metavar="FROM-TO", help="also write stroke masks of such hole ratios, as 0.2-0.4")
    sub.add_argument("--seed", type=int, default=0)
    sub.set_defaults(action=scenes)


def add_demo_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `demo`."""
    sub.add_argument("--checkpoints", default="checkpoints/demo", type=Path, help="the run's folder")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the preset")
    sub.set_defaults(action=demonstrate)


def scenes(arguments: argparse.Namespace) -> None:
    """Write built-in scenes."""
    from edgeconnect.data.scene_files import write_scenes

    a = arguments
    write_scenes(a.output, a.first, a.count, a.size, a.masks, a.seed)


def demonstrate(arguments: argparse.Namespace) -> None:
    """Run the demo."""
    from edgeconnect import showcase

    showcase.demonstrate(arguments.checkpoints, arguments.set)
