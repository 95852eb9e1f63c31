"""test: complete pictures; run: whatever MODE says."""

import argparse
import logging

from edgeconnect.checkpoint.saves import RECORD
from edgeconnect.commands.evaluation import evaluate_run
from edgeconnect.commands.runs import add_resume_options, add_run_options, load_config, require_folder, shown, train
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import CONFIG_FILE
from edgeconnect.errors import UserError

log = logging.getLogger(__name__)


def add_test_options(sub: argparse.ArgumentParser) -> None:
    """Add what completing pictures takes."""
    add_run_options(sub)
    sub.add_argument("--input", help="picture, folder or list; default TEST_FLIST")
    sub.add_argument("--mask", help="mask (white = missing), folder or list; one for all, or one of each stem")
    sub.add_argument(
        "--edge", help="edge maps to go by, one of each stem; default Canny's, or TEST_EDGE_FLIST with EDGE 2"
    )
    sub.add_argument("--output", help="folder, or a .png for one picture; default <checkpoints>/results")
    sub.add_argument("--raw-edges", action="store_true", help="paint along G1's output alone, as published")
    sub.add_argument("--resize-mask", action="store_true", help="stretch masks of another shape, as published")
    sub.add_argument("--mirror", action="store_true", help="average with the completion of the mirror image")
    sub.add_argument("--skip-existing", action="store_true", help="leave pictures out whose output is there already")
    sub.add_argument("--no-ema", action="store_true", help="use the last weights, not their moving average")
    sub.set_defaults(action=test, by_mode=False)


def add_mode_options(sub: argparse.ArgumentParser) -> None:
    """Add what any MODE takes."""
    add_test_options(sub)
    add_resume_options(sub)
    sub.set_defaults(action=by_mode)


def test(arguments: argparse.Namespace) -> None:
    """Complete pictures."""
    from edgeconnect import run
    from edgeconnect.predict import plan, unfinished

    require_folder(arguments.checkpoints)
    if (arguments.checkpoints / RECORD).is_file() and not arguments.output:
        raise UserError(f"--output is missing; {arguments.checkpoints} is a save, which training may remove")
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
    wanted = unfinished(jobs) if arguments.skip_existing else jobs
    done = sorted(set(jobs) - set(wanted), key=lambda job: job.index)
    if done:
        log.info("%d of %d pictures are there already", len(done), len(jobs))
    if not wanted:
        return
    run.complete(
        config,
        arguments.checkpoints.resolve(),  # `best` may move meanwhile
        wanted,
        done=done,
        raw_edges=arguments.raw_edges,
        resize_mask=arguments.resize_mask,
        use_ema=not arguments.no_ema,
        mirror=arguments.mirror,
    )
    log.info("%d written to %s", len(wanted), output)


def by_mode(arguments: argparse.Namespace) -> None:
    """Do what MODE says."""
    path = arguments.checkpoints / CONFIG_FILE
    chosen = [(f"--set {text}", text) for text in arguments.set]
    mode = config_file.load(path if path.is_file() else None, chosen).config.run.mode
    arguments.by_mode = True
    {"train": train, "test": test, "eval": evaluate_run}[mode](arguments)
