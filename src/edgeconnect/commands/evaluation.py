"""evaluate: what a paper reports of trained runs, classical methods and others' results.

What needs PyTorch or SciPy is imported by the function that uses it: `--help` answers at once.
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeconnect.atomic import expanded
from edgeconnect.checkpoint.folder import folder_config
from edgeconnect.commands.metrics import NETWORKS
from edgeconnect.commands.runs import check_candidates, load_trained, output_in, require_folder, shown
from edgeconnect.config import file as config_file
from edgeconnect.config.file import Override
from edgeconnect.config.sections import DRAWN_MASKS, Config, DataConfig
from edgeconnect.config.validators import MAX_SIGMA
from edgeconnect.data import files, mask_shapes
from edgeconnect.errors import UserError
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.evaluation.manifest import LARGEST_SIDE, SMALLEST_SIDE, Manifest, Preprocessing, read_manifest

if TYPE_CHECKING:
    from edgeconnect.evaluation.entries import Entry, Run
    from edgeconnect.evaluation.evaluate import EvaluationOptions

WHAT, WHO, HOW = "what is evaluated", "who", "how"  # groups of options
RUN = "[NAME=]FOLDER[:STAGE]"
OF_COMPLETING = (  # options of test that mean nothing to MODE 3
    *("input", "mask", "edge", "raw_edges", "no_ema", "resize_mask", "skip_existing", "init_from", "no_check"),
    *("blend", "reject", "marker", "tolerance", "min_region", "original", "force"),
)

log = logging.getLogger(__name__)


def option(default: Any, group: str, about: str, **more: Any) -> Any:
    """Declare one option: its default, its group in --help and what it means; `more` is for argparse."""
    return field(default=default, metadata={"group": group, "help": about, **more})


@dataclass(frozen=True)
class EvaluateRequest:
    """What is to be evaluated, on what and how: one field for each option of the command."""

    checkpoints: Path | None = option(None, WHAT, "run folder; its config.yml has the defaults of others", type=Path)
    model: str = option("", WHAT, "stage of that run, by number or name (default: the one that completes)")
    set: Sequence[str] = option((), WHAT, "override the configuration", action="append", metavar="KEY=VALUE")
    pictures: str = option("", WHAT, "folder, list or scenes:FROM-TO (default: TEST_FLIST, else VAL_FLIST)")
    masks: str = option("", WHAT, "folder, list or a generator such as strokes (default: as configured)")
    pairing: str = option("per-bin", WHAT, "which masks a picture gets", choices=("per-bin", "all", "stem"))
    size: int | None = option(None, WHAT, "side of the square, 0: whole pictures (default: INPUT_SIZE)", type=int)
    seed: int = option(0, WHAT, "seed of the pairing and of drawn masks", type=int)
    manifest: Path | None = option(None, WHAT, "manifest.json of an evaluation, to take its items again", type=Path)
    runs: Sequence[str] = option((), WHO, "trained runs (default: --checkpoints)", metavar=RUN, nargs="+")
    methods: Sequence[str] = option(tuple(CLASSICAL), WHO, "classical methods, or none", metavar="NAME", nargs="+")
    results: Sequence[str] = option((), WHO, "others' results, <id>.png for an item", metavar="NAME=FOLDER", nargs="+")
    edges: str = option("strict", WHO, "edges that runs see", choices=("none", "strict", "ground-truth"))
    sigma: float | None = option(None, HOW, "scale of Canny in measures of edges (default: SIGMA)", type=float)
    mirror: bool = option(False, WHO, "average with the completion of the mirror image", action="store_true")
    candidates: int | None = option(None, WHO, "runs also as the most real of K completions", type=int, metavar="K")
    output: Path | None = option(None, HOW, "folder of the report (default: evaluation in --checkpoints)", type=Path)
    overwrite: bool = option(False, HOW, "complete anew what other weights or settings made", action="store_true")
    export: Path | None = option(None, HOW, "folder for damaged pictures and masks; nothing is evaluated", type=Path)
    lpips: Sequence[str] = option((), HOW, "networks to measure LPIPS with", choices=NETWORKS, nargs="+")
    lpips_weights: Sequence[str] = option((), HOW, "files of --lpips (default: download)", metavar="PATH", nargs="+")
    fid: bool = option(False, HOW, "measure FID of all pictures together", action="store_true")
    fid_weights: str = option("", HOW, "weights of pytorch-fid (default: download)", metavar="PATH")
    kid: bool = option(False, HOW, "measure FID and KID", action="store_true")
    batch_size: int = option(8, HOW, "pictures that a run completes together", type=int)
    workers: int = option(os.cpu_count() or 1, HOW, "threads that read, write and measure", type=int)
    shown: int = option(6, HOW, "best and worst items of each method on the page", type=int)


def add_evaluate_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`: the fields of EvaluateRequest."""
    groups = {title: sub.add_argument_group(title) for title in (WHAT, WHO, HOW)}
    for known in fields(EvaluateRequest):
        more = dict(known.metadata)
        default = list(known.default) if isinstance(known.default, tuple) else known.default
        groups[more.pop("group")].add_argument(f"--{known.name.replace('_', '-')}", default=default, **more)
    sub.set_defaults(action=evaluate)


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate as the command line says."""
    run_request(EvaluateRequest(**{known.name: vars(arguments)[known.name] for known in fields(EvaluateRequest)}))


def evaluate_run(arguments: argparse.Namespace) -> None:
    """Evaluate a run as its configuration says (MODE 3). Raises UserError for options that mean nothing to it."""
    a = arguments
    given = [name for name in OF_COMPLETING if not (vars(a)[name] is None or vars(a)[name] is False)]
    given += ["resume"] if a.resume != "auto" else []
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UserError(f"{options}: means nothing to MODE 3, eval; leave it out, or use scripts/evaluate.py")
    config = load_trained(a, by_model=True)
    if not shown(a, config):
        output = Path(a.output) if a.output else None
        how = {"mirror": a.mirror, "candidates": a.candidates, "output": output}
        run_request(EvaluateRequest(a.checkpoints, config.run.model, a.set, **how))


def run_request(request: EvaluateRequest) -> None:
    """Evaluate, and say where the report is."""
    from edgeconnect.evaluation.evaluate import PAGE, require_all
    from edgeconnect.evaluation.evaluate import evaluate as run
    from edgeconnect.evaluation.report import tables
    from edgeconnect.evaluation.study import Study

    check_numbers(request)
    overrides = [(f"--set {text}", text) for text in request.set]
    config = configured(request, overrides)
    pictures, masks = find_lists(request, config.data)
    if request.export:
        manifest = find_items(request, config.data, pictures, masks)
        refuse_overlap("--export", request.export, [pictures, masks], [request.checkpoints], manifest)
        Study(request.export, manifest, workers=request.workers).export()
        return
    output = request.output or output_in(request.checkpoints, config, "evaluation")
    entries = open_entries(request, overrides)
    options = load_options(request, config, entries)
    manifest = find_items(request, config.data, pictures, masks)
    lists = [pictures, masks, *(source for entry in entries for source in entry.lists)]
    refuse_overlap("--output", output, lists, [request.checkpoints, *(entry.folder for entry in entries)], manifest)
    found = run(output, manifest, entries, options)
    print(tables.summary(found))
    for method in found.methods:
        if method.provenance:
            log.info("%s: %s", method.name, ", ".join(f"{k} {v}" for k, v in method.provenance.items()))
    log.info("the report: %s", output / PAGE)
    require_all(found, output)


def check_numbers(request: EvaluateRequest) -> None:
    """Raise UserError for a number out of its range."""
    for name, value, least, most in (
        ("--size", request.size or SMALLEST_SIDE, SMALLEST_SIDE, LARGEST_SIDE),
        ("--seed", request.seed, 0, 2**53),
        ("--batch-size", request.batch_size, 1, 10**6),
        ("--workers", request.workers, 1, 1000),
        ("--shown", request.shown, 0, 10**6),
    ):
        if not least <= value <= most:
            raise UserError(f"{name}: {value} is too {'small' if value < least else 'large'}; give {least} to {most}")
    if request.candidates is not None:
        others = {"--mirror": request.mirror, f"--edges {request.edges}": request.edges != "strict"}
        check_candidates(request.candidates, others)
    if request.sigma is not None and not 0 < request.sigma <= MAX_SIGMA:
        raise UserError(f"--sigma: {request.sigma:g} is no scale; give a number above 0, {MAX_SIGMA} at the most")


def configured(request: EvaluateRequest, overrides: Sequence[Override]) -> Config:
    """Read the configuration of --checkpoints, or take the defaults; MODEL is the stage that is asked for."""
    if request.checkpoints is None:
        return config_file.load(None, overrides).config
    require_folder(request.checkpoints)
    model = [(f"--model {request.model}", f"MODEL={request.model}")] if request.model else []
    return folder_config(request.checkpoints, [*overrides, *model]).config


def find_lists(request: EvaluateRequest, data: DataConfig) -> tuple[str, str]:
    """Return what names the pictures and the masks, in options or else the configuration; nothing with a manifest."""
    if request.manifest:
        if request.pictures or request.masks or request.size is not None:
            log.warning("--manifest: its own pictures, masks and size count, not --pictures, --masks and --size")
        return "", ""
    usual = data.val_mask_flist or data.train_mask_flist
    if data.mask in DRAWN_MASKS:
        usual = {"block": "irregular", "rectangle": "boxes"}.get(data.mask, data.mask)
    pictures, masks = request.pictures or data.test_flist or data.val_flist, request.masks or data.test_mask_flist
    if not masks and ("block" in data.mask or data.mask == "rectangle"):
        log.warning("MASK %s: what it draws is left out, the masks are %s; --masks names others", data.mask, usual)
    if not pictures or not (masks or usual):
        missing = "--masks" if pictures else "--pictures"
        raise UserError(f"{missing} is missing, and no list in the configuration stands in; name a folder or a list")
    return pictures, masks or usual


def find_items(request: EvaluateRequest, data: DataConfig, pictures: str, masks: str) -> Manifest:
    """Read --manifest, or pair pictures with masks."""
    from edgeconnect.data.dataset import refuse_inverted
    from edgeconnect.evaluation.pairing import compose, verify

    if request.manifest:
        manifest = read_manifest(request.manifest)
        verify(manifest, request.workers)
        return manifest
    if masks not in mask_shapes.GENERATORS:
        refuse_inverted(files.list_images(masks, "--masks"), data, "--masks")
    size = data.input_size if request.size is None else request.size
    reading = (size, data.mask_threshold, data.mask_polarity, data.max_pixels)
    return compose(pictures, masks, Preprocessing(*reading, request.pairing, request.seed), request.workers)


def refuse_overlap(
    option: str, place: Path, lists: Sequence[str], folders: Sequence[Path | None], manifest: Manifest
) -> None:
    """Raise UserError where a folder to write lies around what is read, or inside a folder that is listed.

    Next time it would be read, too. It may lie inside `folders`, and beside pictures that are listed in a file.
    """
    listed = [expanded(source) for source in lists if source]
    names = {name for item in manifest.items for name in (item.picture, item.mask)}
    beside = {Path(name).parent for name in names if Path(name).is_file()} | {folder for folder in folders if folder}
    target = Path(os.path.realpath(place))
    for source in (*listed, *beside):
        real = Path(os.path.realpath(source))
        inside = source in listed and target.is_relative_to(real)
        if source.exists() and (inside or real.is_relative_to(target)):
            raise UserError(f"{option}: {place} lies inside or around {source}, which is read; choose another folder")


def open_entries(request: EvaluateRequest, overrides: Sequence[Override]) -> "list[Entry]":
    """Open everything that is to be evaluated."""
    from edgeconnect.evaluation.entries import Classical, Results, Run, parse_run

    methods = [] if list(request.methods) == ["none"] else request.methods
    if "none" in methods:
        raise UserError(f"--methods: {' '.join(methods)}: none stands alone")
    unknown = [name for name in methods if name not in CLASSICAL]
    if unknown:
        raise UserError(f"--methods: {unknown[0]} is none of: {', '.join(CLASSICAL)}, none")
    runs = [parse_run(text) for text in request.runs]
    if not runs and request.checkpoints:
        runs = [(request.checkpoints, request.model, "")]
    opened = [Run(*run, overrides, request.edges, request.mirror) for run in runs]
    found: list[Entry] = [*opened, *(best_of(opened, request.candidates) if request.candidates else [])]
    found += [Classical(name) for name in methods]
    for text in request.results:
        name, sign, folder = text.partition("=")
        if not sign or not name.strip(". ") or not name.isprintable():
            raise UserError(f"--results: {text} has no name; write NAME=FOLDER")
        found.append(Results(name, Path(folder)))
    if not found:
        raise UserError("nobody to evaluate; give --runs, --methods or --results")
    return found


def best_of(runs: "Sequence[Run]", count: int) -> "list[Entry]":
    """Open the runs that can judge themselves, and warn of others. Raises UserError where none can."""
    from edgeconnect.evaluation.entries import BestOf

    found: list[Entry] = []
    problems = []
    for run in runs:
        try:
            found.append(BestOf(run, count))
        except UserError as error:
            problems.append(error)
    if problems and not found:
        raise problems[0]
    for problem in problems:
        log.warning("%s", problem)
    return found


def load_options(request: EvaluateRequest, config: Config, entries: "Sequence[Entry]") -> "EvaluationOptions":
    """Load the networks that measure, onto the device of the first run, or else the configuration's."""
    from edgeconnect.device import choose_device
    from edgeconnect.evaluation.entries import Run
    from edgeconnect.evaluation.evaluate import EvaluationOptions
    from edgeconnect.metrics.definitions import MASK, obtainable
    from edgeconnect.metrics.inception import Inception
    from edgeconnect.metrics.perceptual import load_networks

    devices = (entry.run.engine.device for entry in entries if isinstance(entry, Run))
    device = next(devices, None) or choose_device(config.run.device, config.run.gpu)
    distances = load_networks(request.lpips, request.lpips_weights, device, "--lpips-weights")
    inception = None
    if request.fid or request.kid:
        inception = Inception(request.fid_weights, 2048, device, option="--fid-weights")
        log.info("extractor %s", inception.name)
        inception.network.eval()  # before the work: weights that are missing or do not fit are said now
    how = (request.kid, request.batch_size, request.workers, request.shown, request.overwrite)
    sigma = choose_sigma(request, config, [entry for entry in entries if isinstance(entry, Run)])
    return EvaluationOptions(obtainable({MASK}), distances, inception, *how, sigma, device=str(device))


def choose_sigma(request: EvaluateRequest, config: Config, runs: "Sequence[Run]") -> float:
    """Return the scale of Canny that edges are measured with, and warn of runs that were trained with another.

    SIGMA 0 and -1 are no scale: the default stands in.
    """
    usual = runs[0].config.data.sigma if runs and not request.checkpoints else config.data.sigma
    sigma = request.sigma or (usual if usual > 0 else DataConfig().sigma)
    for run in runs:
        if run.config.data.sigma != sigma:
            log.warning("%s: trained with SIGMA %g, measured with %g", run.name, run.config.data.sigma, sigma)
    return sigma
