"""evaluate: what a paper reports of trained runs, classical methods and others' results."""

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgeconnect.checkpoint.folder import folder_config
from edgeconnect.commands.runs import load_trained, require_folder, shown
from edgeconnect.config.sections import DRAWN_MASKS, SHAPES, Config
from edgeconnect.errors import IncompleteError, UserError
from edgeconnect.progress import progress

if TYPE_CHECKING:
    from edgeconnect.evaluation.entries import Contender
    from edgeconnect.evaluation.evaluate import Plan
    from edgeconnect.evaluation.manifest import Manifest

CLASSICAL = ("telea", "navier_stokes", "biharmonic")
SMALLEST = 16  # side of a picture

log = logging.getLogger(__name__)


def add_evaluate_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `evaluate`."""
    cores = os.cpu_count() or 1
    what, who, how = (sub.add_argument_group(name) for name in ("what is evaluated", "who", "how"))
    what.add_argument("--checkpoints", type=Path, help="a run's folder: its config.yml has the defaults of the others")
    what.add_argument("--model", help="stage of that run; default 3, edge_inpaint")
    what.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override the configuration")
    what.add_argument("--pictures", default="", help="folder, list, scenes:FROM-TO; default TEST_FLIST or VAL_FLIST")
    what.add_argument("--masks", default="", help="folder, list, or a generator such as strokes; default as configured")
    what.add_argument("--pairing", choices=("per-bin", "all", "stem"), default="per-bin", help="of pictures and masks")
    what.add_argument("--size", type=int, help="side of the centred square; 0: as they are; default INPUT_SIZE")
    what.add_argument("--seed", type=int, default=0, help="of the pairing and of drawn masks")
    what.add_argument("--manifest", type=Path, help="the items of an earlier evaluation: its pictures, masks, size")
    who.add_argument("--runs", nargs="+", default=[], metavar="[NAME=]FOLDER[:STAGE]", help="default --checkpoints")
    who.add_argument("--methods", nargs="+", default=list(CLASSICAL), metavar="NAME", help="classical ones, or none")
    who.add_argument("--results", nargs="+", default=[], metavar="NAME=FOLDER", help="somebody else's, <id>.png each")
    who.add_argument("--edges", choices=("strict", "ground-truth"), default="strict", help="what runs see of the edges")
    who.add_argument("--mirror", action="store_true", help="runs average with the mirror image's completion")
    how.add_argument("--output", type=Path, help="default <checkpoints>/evaluation")
    how.add_argument("--export", type=Path, metavar="DIR", help="write damaged pictures and masks for others and stop")
    how.add_argument("--lpips", nargs="+", choices=("alex", "vgg"), default=[], help="also measure LPIPS")
    how.add_argument("--lpips-weights", nargs="+", default=[], metavar="PATH", help="of --lpips, in its order")
    how.add_argument("--fid", action="store_true", help="also measure FID of all pictures together")
    how.add_argument("--fid-weights", default="", metavar="PATH", help="pytorch-fid's weights; default its download")
    how.add_argument("--kid", action="store_true", help="also KID; implies --fid")
    how.add_argument("--batch-size", type=int, default=8)
    how.add_argument("--workers", type=int, default=cores, help="threads that read and measure; default all cores")
    how.add_argument("--shown", type=int, default=6, help="best and worst items of each method on the page")
    sub.set_defaults(action=evaluate)


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate and say where the report is."""
    from edgeconnect.evaluation.evaluate import PAGE
    from edgeconnect.evaluation.evaluate import evaluate as run
    from edgeconnect.evaluation.report import tables
    from edgeconnect.evaluation.results import RESULTS, read_results

    a = arguments
    config = configured(a)
    if a.export:
        export(manifest_of(a, config), a.export)
        return
    output = a.output or (a.checkpoints / "evaluation" if a.checkpoints else None)
    if output is None:
        raise UserError("--output is missing; name a folder for the report")
    who, how = contenders(a), plan(a)
    try:
        run(output, manifest_of(a, config), who, how)
    finally:
        if (output / RESULTS).is_file() and sys.exc_info()[0] in (None, IncompleteError):
            print(tables.summary(read_results(output)))
            log.info("the report: %s", output / PAGE)


def evaluate_run(arguments: argparse.Namespace) -> None:
    """Evaluate a run as its configuration says (MODE 3)."""
    config = load_trained(arguments, by_model=True)
    if shown(arguments, config):
        return
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_evaluate_options(parser)
    chosen = [part for text in arguments.set for part in ("--set", text)]
    model = ["--model", config.run.model]
    evaluate(parser.parse_args(["--checkpoints", str(arguments.checkpoints), *model, *chosen]))


def configured(a: argparse.Namespace) -> Config:
    """Read the configuration of --checkpoints, or take the defaults."""
    from edgeconnect.config import file as config_file

    for option, value, least in (
        ("--size", a.size or SMALLEST, SMALLEST),
        ("--seed", a.seed, 0),
        ("--batch-size", a.batch_size, 1),
        ("--workers", a.workers, 1),
        ("--shown", a.shown, 0),
    ):
        if value < least:
            raise UserError(f"{option}: {value} is too small; give {least} or more")
    if a.checkpoints:
        require_folder(a.checkpoints)
        model = [(f"--model {a.model}", f"MODEL={a.model}")] if a.model else []
        return folder_config(a.checkpoints, [*((f"--set {text}", text) for text in a.set), *model]).config
    return config_file.load(None, [(f"--set {text}", text) for text in a.set]).config


def manifest_of(a: argparse.Namespace, config: Config) -> "Manifest":
    """Read --manifest, or pair pictures with masks."""
    from edgeconnect.evaluation.manifest import Setting, compose, read_manifest, verify

    if a.manifest:
        if a.pictures or a.masks or a.size is not None:
            log.warning("--manifest: its own pictures, masks and size count, not --pictures, --masks and --size")
        manifest = read_manifest(a.manifest)
        verify(manifest, a.workers)
        return manifest
    data = config.data
    drawn = data.mask if data.mask in SHAPES else "irregular"
    usual = drawn if data.mask in DRAWN_MASKS else data.val_mask_flist or data.train_mask_flist
    pictures = a.pictures or data.test_flist or data.val_flist
    masks = a.masks or data.test_mask_flist or usual
    if not pictures or not masks:
        missing = "--masks" if pictures else "--pictures"
        raise UserError(f"{missing} is missing, and no list in the configuration stands in; name a folder or a list")
    size = data.input_size if a.size is None else a.size
    setting = Setting(size, data.mask_threshold, data.mask_polarity, data.max_pixels, a.pairing, a.seed)
    return compose(pictures, masks, setting, a.workers)


def contenders(a: argparse.Namespace) -> list["Contender"]:
    """Open everybody that is to be evaluated."""
    from edgeconnect.evaluation.entries import Classical, Results, open_run

    if "none" in a.methods and len(a.methods) > 1:
        raise UserError(f"--methods: {' '.join(a.methods)}: none stands alone")
    methods = [] if a.methods == ["none"] else a.methods
    unknown = [name for name in methods if name not in CLASSICAL]
    if unknown:
        raise UserError(f"--methods: {unknown[0]} is none of: {', '.join(CLASSICAL)}, none")
    overrides = [(f"--set {text}", text) for text in a.set]
    own = [f"{a.checkpoints}:{a.model}" if a.model else str(a.checkpoints)] if a.checkpoints else []
    found: list[Contender] = [open_run(spec, overrides, a.edges, a.mirror) for spec in a.runs or own]
    found += [Classical(name) for name in methods]
    for text in a.results:
        name, sign, folder = text.partition("=")
        if not sign or not name.strip(". ") or not name.isprintable():
            raise UserError(f"--results: {text} has no name; write NAME=FOLDER")
        found.append(Results(name, Path(folder)))
    if not found:
        raise UserError("nobody to evaluate; give --runs, --methods or --results")
    return found


def plan(a: argparse.Namespace) -> "Plan":
    """Load what measuring takes."""
    from edgeconnect.engine import choose_device
    from edgeconnect.evaluation.evaluate import Plan
    from edgeconnect.metrics.definitions import MASK, obtainable
    from edgeconnect.metrics.inception import Inception
    from edgeconnect.metrics.perceptual import load_networks

    device = choose_device("auto", (0,))
    distances = load_networks(a.lpips, a.lpips_weights, device, "--lpips-weights")
    inception = Inception(a.fid_weights, 2048, device, option="--fid-weights") if a.fid or a.kid else None
    if inception:
        log.info("extractor %s", inception.name)
        inception.network.eval()  # before the work: weights that are missing or do not fit are said now
    return Plan(obtainable({MASK}), distances, inception, a.kid, a.batch_size, a.workers, a.shown)


def export(manifest: "Manifest", folder: Path) -> None:
    """Write what somebody else's program needs to take part: damaged pictures and masks, named by item."""
    from edgeconnect.evaluation.study import MANIFEST, Study
    from edgeconnect.images import write_png

    study = Study(folder, manifest)
    study.claim()
    with progress(len(manifest.items), 0, "exporting", "item") as bar:
        for number, item in enumerate(manifest.items):
            sample = study.sample(number)
            write_png(folder / "masks" / f"{item.id}.png", sample.hole.astype("uint8") * 255)
            write_png(folder / "damaged" / f"{item.id}.png", sample.picture * ~sample.hole[..., None])
            bar.update()
    log.info("%d items in %s; evaluate with --manifest %s", len(manifest.items), folder, folder / MANIFEST)
