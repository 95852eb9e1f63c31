"""What an evaluation is asked for: the options of the command, and what they name, found and opened.

What needs PyTorch is imported by the function that uses it: `--help` answers at once.
"""

# ruff: noqa: RUF009 - `option` makes a dataclass field

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeconnect.atomic import expanded
from edgeconnect.checkpoint.folder import folder_config
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import DRAWN_MASKS, Config, DataConfig
from edgeconnect.errors import UserError

if TYPE_CHECKING:
    from edgeconnect.evaluation.entries import Entry
    from edgeconnect.evaluation.evaluate import EvaluationOptions
    from edgeconnect.evaluation.manifest import Manifest

CLASSICAL = ("telea", "navier_stokes", "biharmonic")
WHAT, WHO, HOW = GROUPS = ("what is evaluated", "who", "how")
RUN = "[NAME=]FOLDER[:STAGE]"

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
    seed: int = option(0, WHAT, "seed of the pairing and of drawn masks (default: 0)", type=int)
    manifest: Path | None = option(None, WHAT, "manifest.json of an evaluation, to take its items again", type=Path)
    runs: Sequence[str] = option((), WHO, "trained runs (default: --checkpoints)", metavar=RUN, nargs="+")
    methods: Sequence[str] = option(CLASSICAL, WHO, "classical methods, or none", metavar="NAME", nargs="+")
    results: Sequence[str] = option((), WHO, "others' results, <id>.png for an item", metavar="NAME=FOLDER", nargs="+")
    edges: str = option("strict", WHO, "edges that runs see", choices=("strict", "ground-truth"))
    mirror: bool = option(False, WHO, "average with the completion of the mirror image", action="store_true")
    output: Path | None = option(None, HOW, "folder of the report (default: evaluation in --checkpoints)", type=Path)
    overwrite: bool = option(False, HOW, "complete anew what other weights or settings made", action="store_true")
    export: Path | None = option(None, HOW, "folder for damaged pictures and masks; nothing is evaluated", type=Path)
    lpips: Sequence[str] = option((), HOW, "networks to measure LPIPS with", choices=("alex", "vgg"), nargs="+")
    lpips_weights: Sequence[str] = option((), HOW, "files of --lpips (default: download)", metavar="PATH", nargs="+")
    fid: bool = option(False, HOW, "measure FID of all pictures together", action="store_true")
    fid_weights: str = option("", HOW, "weights of pytorch-fid (default: download)", metavar="PATH")
    kid: bool = option(False, HOW, "measure FID and KID", action="store_true")
    batch_size: int = option(8, HOW, "pictures that a run completes together", type=int)
    workers: int = option(os.cpu_count() or 1, HOW, "threads that read, write and measure", type=int)
    shown: int = option(6, HOW, "best and worst items of each method on the page", type=int)

    @property
    def overrides(self) -> list[tuple[str, str]]:
        """Return what overrides a configuration, with where it was written."""
        return [(f"--set {text}", text) for text in self.set]


def check_numbers(request: EvaluateRequest) -> None:
    """Raise UserError for a number out of its range."""
    from edgeconnect.evaluation.manifest import LARGEST_SIDE, SMALLEST_SIDE

    for name, value, least, most in (
        ("--size", request.size or SMALLEST_SIDE, SMALLEST_SIDE, LARGEST_SIDE),
        ("--seed", request.seed, 0, 2**53),
        ("--batch-size", request.batch_size, 1, 10**6),
        ("--workers", request.workers, 1, 1000),
        ("--shown", request.shown, 0, 10**6),
    ):
        if not least <= value <= most:
            raise UserError(f"{name}: {value} is too {'small' if value < least else 'large'}; give {least} to {most}")


def configured(request: EvaluateRequest) -> Config:
    """Read the configuration of --checkpoints, or take the defaults; MODEL is the stage that is asked for."""
    if request.checkpoints is None:
        return config_file.load(None, request.overrides).config
    model = [(f"--model {request.model}", f"MODEL={request.model}")] if request.model else []
    return folder_config(request.checkpoints, [*request.overrides, *model]).config


def output_of(request: EvaluateRequest, config: Config) -> Path:
    """Name the folder of the report; without --output, stages of a run have one each."""
    if request.output:
        return request.output
    if request.checkpoints is None:
        raise UserError("--output is missing; name a folder for the report")
    usual = config.stage.name == config.row.completes
    return request.checkpoints / ("evaluation" if usual else f"evaluation_{config.stage.name}")


def with_lists(request: EvaluateRequest, data: DataConfig) -> EvaluateRequest:
    """Fill in the pictures and masks of the configuration where the command line names none."""
    if request.manifest:
        if request.pictures or request.masks or request.size is not None:
            log.warning("--manifest: its own pictures, masks and size count, not --pictures, --masks and --size")
        return replace(request, pictures="", masks="")
    usual = data.val_mask_flist or data.train_mask_flist
    if data.mask in DRAWN_MASKS:
        usual = "irregular" if data.mask == "block" else data.mask
    pictures, masks = request.pictures or data.test_flist or data.val_flist, request.masks or data.test_mask_flist
    if not masks and "block" in data.mask:
        log.warning("MASK %s: its blocks are left out, the masks are %s; --masks names others", data.mask, usual)
    if not pictures or not (masks or usual):
        missing = "--masks" if pictures else "--pictures"
        raise UserError(f"{missing} is missing, and no list in the configuration stands in; name a folder or a list")
    return replace(request, pictures=pictures, masks=masks or usual)


def manifest_of(request: EvaluateRequest, data: DataConfig) -> "Manifest":
    """Read --manifest, or pair pictures with masks."""
    from edgeconnect.data import files, mask_shapes
    from edgeconnect.data.dataset import refuse_inverted
    from edgeconnect.evaluation.manifest import Preprocessing, read_manifest
    from edgeconnect.evaluation.pairing import compose, verify

    if request.manifest:
        manifest = read_manifest(request.manifest)
        verify(manifest, request.workers)
        return manifest
    if request.masks not in mask_shapes.GENERATORS:
        refuse_inverted(files.list_images(request.masks, "--masks"), data, "--masks")
    size = data.input_size if request.size is None else request.size
    reading = (size, data.mask_threshold, data.mask_polarity, data.max_pixels)
    preprocessing = Preprocessing(*reading, request.pairing, request.seed)
    return compose(request.pictures, request.masks, preprocessing, request.workers)


def refuse_overlap(
    request: EvaluateRequest, manifest: "Manifest", entries: "Sequence[Entry]", place: Path, option: str
) -> None:
    """Raise UserError where a folder to write lies inside or around what is read: next time it would be read, too."""
    from edgeconnect.evaluation.entries import Results, Run

    target = Path(os.path.realpath(place))
    runs = [entry for entry in entries if isinstance(entry, Run)]
    read = [expanded(source) for source in (request.pictures, request.masks) if source]
    read += [expanded(run.edge_list) for run in runs if run.edge_list]
    read += [entry.folder for entry in entries if isinstance(entry, Results)]
    beside = {
        Path(name).parent for item in manifest.items for name in (item.picture, item.mask) if Path(name).is_file()
    }
    beside |= {run.folder for run in runs} | ({request.checkpoints} if request.checkpoints else set())
    for source in (*read, *beside):  # reports may lie inside the folder of a run, and inside that of a listed picture
        real = Path(os.path.realpath(source))
        inside = source in read and real in target.parents
        if source.exists() and (inside or target == real or target in real.parents):
            raise UserError(f"{option}: {place} lies inside or around {source}, which is read; choose another folder")


def open_entries(request: EvaluateRequest) -> "list[Entry]":
    """Open everything that is to be evaluated."""
    from edgeconnect.evaluation.entries import Classical, Results, RunName, open_run, parse_run

    if "none" in request.methods and len(request.methods) > 1:
        raise UserError(f"--methods: {' '.join(request.methods)}: none stands alone")
    methods = [name for name in request.methods if name != "none"]
    unknown = [name for name in methods if name not in CLASSICAL]
    if unknown:
        raise UserError(f"--methods: {unknown[0]} is none of: {', '.join(CLASSICAL)}, none")
    runs = [parse_run(text) for text in request.runs]
    if not runs and request.checkpoints:
        runs = [RunName(request.checkpoints, request.model)]
    found: list[Entry] = [open_run(run, request.overrides, request.edges, request.mirror) for run in runs]
    found += [Classical(name) for name in methods]
    for text in request.results:
        name, sign, folder = text.partition("=")
        if not sign or not name.strip(". ") or not name.isprintable():
            raise UserError(f"--results: {text} has no name; write NAME=FOLDER")
        found.append(Results(name, Path(folder)))
    if not found:
        raise UserError("nobody to evaluate; give --runs, --methods or --results")
    return found


def load_options(request: EvaluateRequest, config: Config, entries: "Sequence[Entry]") -> "EvaluationOptions":
    """Load the networks that measure, onto the device of the first run, or else the configuration's."""
    from edgeconnect.engine import choose_device
    from edgeconnect.evaluation.entries import Run
    from edgeconnect.evaluation.evaluate import EvaluationOptions
    from edgeconnect.metrics.definitions import MASK, obtainable
    from edgeconnect.metrics.inception import Inception
    from edgeconnect.metrics.perceptual import load_networks

    devices = [entry.run.engine.device for entry in entries if isinstance(entry, Run)]
    device = devices[0] if devices else choose_device(config.run.device, config.run.gpu)
    distances = load_networks(request.lpips, request.lpips_weights, device, "--lpips-weights")
    inception = None
    if request.fid or request.kid:
        inception = Inception(request.fid_weights, 2048, device, option="--fid-weights")
        log.info("extractor %s", inception.name)
        inception.network.eval()  # before the work: weights that are missing or do not fit are said now
    how = (request.kid, request.batch_size, request.workers, request.shown, request.overwrite)
    return EvaluationOptions(obtainable({MASK}), distances, inception, *how, device=str(device))
