"""test: complete pictures; run: whatever MODE says."""

import argparse
import logging
from typing import TYPE_CHECKING

from edgeconnect.commands.evaluation import evaluate_run
from edgeconnect.commands.runs import (
    MOST_CANDIDATES,
    add_run_options,
    add_start_options,
    check_candidates,
    load_trained,
    output_in,
    overrides,
    shown,
    train,
)
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import CONFIG_FILE, MOSAIC, Config
from edgeconnect.config.validators import MAX_PIXELS
from edgeconnect.errors import UserError
from edgeconnect.launch import refuse_several

if TYPE_CHECKING:
    from edgeconnect.data.markers import Marking

log = logging.getLogger(__name__)


def add_test_options(sub: argparse.ArgumentParser) -> None:
    """Add what completing pictures takes."""
    add_run_options(sub)
    sub.add_argument("--input", help="picture, folder or list; default TEST_FLIST")
    sub.add_argument(
        "--mask", help="mask, folder or list; white, or what is not clear, is missing; one for all, or of each stem"
    )
    add_marker_options(sub)
    sub.add_argument("--edge", help="edge maps, one of each stem; default Canny's, or TEST_EDGE_FLIST with EDGE 2")
    sub.add_argument("--output", help="folder, or a .png for one picture; default results in the run's folder")
    sub.add_argument("--raw-edges", action="store_true", help="paint along G1's output alone, as published")
    sub.add_argument("--resize-mask", action="store_true", help="stretch masks of another shape, as published")
    sub.add_argument("--mirror", action="store_true", help="average with the completion of the mirror image")
    blend = "take gradients from the completion and colours from the rim (Poisson), as GLCIC does"
    sub.add_argument("--blend", action="store_true", help=blend)
    candidates = f"complete in K ways (1 to {MOST_CANDIDATES}) and keep what the run's discriminators find most real"
    sub.add_argument("--candidates", type=int, metavar="K", help=candidates)
    reject = "leave pictures out of which no candidate scores so much, from 0 to 1"
    sub.add_argument("--reject", type=float, metavar="SCORE", help=reject)
    sub.add_argument("--skip-existing", action="store_true", help="leave pictures out whose output is there already")
    sub.add_argument("--no-ema", action="store_true", help="use the last weights, not their moving average")
    sub.set_defaults(action=complete)


def add_marker_options(sub: argparse.ArgumentParser) -> None:
    """Add how holes are found that are painted into the pictures."""
    marker = "holes are painted into the pictures in this colour, as 0,255,0 or #00ff00; takes the place of --mask"
    sub.add_argument("--marker", metavar="COLOUR", help=marker)
    tolerance = "largest difference of a channel to --marker; 0: that very colour; 64 for JPEG (default: 8)"
    sub.add_argument("--tolerance", type=int, metavar="LEVELS", help=tolerance)
    region = "smaller marked regions are left as they are (default: 16)"
    sub.add_argument("--min-region", type=int, metavar="PIXELS", help=region)
    sub.add_argument("--original", help="unmarked pictures, one of each stem, in place of the marked ones' own pixels")
    sub.add_argument("--force", action="store_true", help="complete also what hardly was marked on purpose")


def add_mode_options(sub: argparse.ArgumentParser) -> None:
    """Add what any MODE takes."""
    add_test_options(sub)
    add_start_options(sub)
    sub.set_defaults(action=by_mode)


def by_mode(arguments: argparse.Namespace) -> None:
    """Do what MODE says, with the stage that MODEL names."""
    path = arguments.checkpoints / CONFIG_FILE
    mode = config_file.load(path if path.is_file() else None, overrides(arguments)).config.run.mode
    if mode == "train":
        return train(arguments)
    refuse_several(f"MODE {mode}")
    if mode == "test":
        complete(arguments, by_model=True)
    else:
        evaluate_run(arguments)


def marking_of(arguments: argparse.Namespace) -> "Marking | None":
    """Return how holes are marked, if they are. Raises UserError for options that contradict each other."""
    a = arguments
    if a.marker is None:
        numbers = {"--tolerance": a.tolerance, "--min-region": a.min_region, "--original": a.original}
        for option, value in (numbers | {"--force": a.force or None}).items():
            if value is not None:
                remedy = "name the colour of the holes, as --marker 0,255,0, or leave it out"
                raise UserError(f"{option}: means nothing without --marker; {remedy}")
        return None
    if a.mask:
        raise UserError(f"--mask: {a.mask} and --marker {a.marker} both say where the holes are; leave one out")
    from edgeconnect.data.markers import MIN_REGION, TOLERANCE, Marking, parse_colour
    from edgeconnect.data.mask_files import refuse_outside

    tolerance = TOLERANCE if a.tolerance is None else a.tolerance
    min_region = MIN_REGION if a.min_region is None else a.min_region
    refuse_outside("--tolerance", tolerance, 0, 255)
    refuse_outside("--min-region", min_region, 1, MAX_PIXELS)
    return Marking(parse_colour(a.marker), tolerance, min_region, a.force)


def refuse_with_candidates(arguments: argparse.Namespace) -> None:
    """Raise UserError for numbers out of range, and for options that do not go with --candidates."""
    from edgeconnect.data.mask_files import refuse_outside

    a = arguments
    if a.candidates is None:
        if a.reject is not None:
            raise UserError("--reject: means nothing without --candidates; say how many to try, as --candidates 8")
        return
    check_candidates(a.candidates, {"--mirror": a.mirror, "--raw-edges": a.raw_edges})
    refuse_outside("--reject", a.reject or 0.0, 0, 1)


def refuse_for_run(arguments: argparse.Namespace, config: Config) -> None:
    """Raise UserError for options that do not go with what a run completes."""
    a = arguments
    if a.blend and config.stage.predicts == "edge":
        problem = f"--blend: stage {config.stage.name} draws edges, which have no colours to take from the rim"
        raise UserError(f"{problem}; leave it out, or name a stage that paints with --model")
    if a.marker and config.data.corruption == MOSAIC and not a.original:
        problem = f"--marker: the run completes mosaics, and under {a.marker} there is none to see"
        raise UserError(f"{problem}; name the pictures without paint with --original")


def complete(arguments: argparse.Namespace, by_model: bool = False) -> None:
    """Complete pictures."""
    a = arguments
    marking = marking_of(a)
    refuse_with_candidates(a)
    a.set += ["RAW_EDGES=1"] if a.raw_edges else []
    config = load_trained(a, by_model)
    if shown(a, config):
        return
    refuse_for_run(a, config)
    from edgeconnect.data import jobs as listed
    from edgeconnect.predict import Predictor
    from edgeconnect.predict import complete as complete_jobs
    from edgeconnect.trained import load_run

    output = a.output or str(output_in(a.checkpoints, config, "results"))
    external = config.data.test_edge_flist if config.data.edge == "external" else ""
    pictures, masks = a.input or config.data.test_flist, "" if marking else a.mask or config.data.test_mask_flist
    jobs = listed.plan(pictures, masks, a.edge or external, output, marking, a.original or "")
    wanted = listed.unfinished(jobs) if a.skip_existing else jobs
    done = sorted(set(jobs) - set(wanted), key=lambda job: job.index)
    if done:
        log.info("%d of %d pictures are there already", len(done), len(jobs))
    if not wanted:
        return
    run = load_run(config, a.checkpoints, use_ema=not a.no_ema)
    verifier = None
    if a.candidates is not None:
        from edgeconnect.verification import load_verifier

        verifier = load_verifier(run, a.candidates, a.reject or 0.0, not a.no_ema)
    complete_jobs(Predictor.of(run, a.resize_mask, a.mirror, a.blend, verifier), wanted, config.run.debug, done)
    log.info("%d written to %s", len(wanted), output)
