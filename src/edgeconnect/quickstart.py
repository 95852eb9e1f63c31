"""The demo: train on built-in scenes, complete held-out ones, also with the checkpoint that ships, and compare."""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeconnect import run
from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.folder import folder_config
from edgeconnect.config import file as config_file
from edgeconnect.config.presets import preset, shipped_checkpoint
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.data import mask_shapes, masks
from edgeconnect.data.sources import open_source
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.evaluation.manifest import Item, Manifest, Preprocessing
from edgeconnect.evaluation.report import tables
from edgeconnect.evaluation.results import ALL, EvaluationResults, Measured, summarize
from edgeconnect.images import image_grid, write_png
from edgeconnect.metrics.images import compute_metrics
from edgeconnect.predict import Predictor
from edgeconnect.trained import load_run

TRAINED, SHIPPED = "trained", "shipped"
METRICS = {"psnr_rgb": "psnr_rgb", "ssim_gauss11": "ssim_rgb_gauss11", "l1_hole": "l1_hole"}  # as in summary.json
SHOWN, ENLARGED = 8, 2  # rows of the sheet, and how many times its pixels are larger

Picture = NDArray[np.uint8]

log = logging.getLogger(__name__)


class Example(NamedTuple):
    """One held-out picture, its hole, and by method the edges that it drew and what it made of it."""

    truth: Picture
    mask: masks.Mask
    edges: dict[str, Picture]
    completed: dict[str, Picture]


def demonstrate(folder: Path, overrides: Iterable[str]) -> None:
    """Run the preset in a folder, and leave `summary.json` and `sheet.png` there."""
    config = config_file.load(preset("demo"), [(f"--set {text}", text) for text in overrides]).config
    write_whole(folder / CONFIG_FILE, config_file.dump(config).encode())  # test.py and train.py go by it, too
    ships = shipped_checkpoint()
    run.train(config, folder)
    examples = list(complete(config, folder, ships))
    results = measure(examples, config)
    write_whole(folder / "summary.json", (json.dumps(summary(results), indent=1) + "\n").encode())
    rows = []
    for example in examples[:SHOWN]:  # input, edges, each method's completion, truth
        holed = np.where(example.mask[..., None], np.uint8(255), example.truth)
        drawn = [edge[..., None] for edge in example.edges.values()]
        rows.append([holed, *drawn, *example.completed.values(), example.truth])
    sheet = image_grid(rows).repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
    write_png(folder / "sheet.png", sheet)
    log.info("%s\nsee also %s and %s", tables.summary(results), folder / "summary.json", folder / "sheet.png")


def complete(config: Config, folder: Path, ships: Path) -> Iterable[Example]:
    """Complete VAL_FLIST with the networks that ship, with those just trained, and without learning.

    Their edges come from the known pixels only; each completion is the mean of the picture's and its mirror image's.
    """
    shipped = folder_config(ships).config
    shipped = replace(shipped, run=replace(config.run, model=shipped.run.model))  # on the same device
    runs = {SHIPPED: (shipped, ships), TRAINED: (config, folder)}
    predictors = {name: Predictor.of(load_run(*run), mirror=True) for name, run in runs.items()}
    source = open_source(config.data.val_flist, "VAL_FLIST", config.data.input_size)
    for index in range(len(source)):
        truth = source.read(index)
        rng = np.random.default_rng((config.run.seed, index))
        height, width, _ = truth.shape
        mask = mask_shapes.strokes(height, width, rng, mask_shapes.pixel_range(height, width, config.data.mask_ratio))
        damaged = np.where(mask[..., None], np.uint8(255), truth)
        learned = {name: predictor.complete(damaged, mask, index=index) for name, predictor in predictors.items()}
        completed = {name: done.merged for name, done in learned.items()}
        completed |= {name: CLASSICAL[name](damaged, mask) for name in ("telea", "navier_stokes")}
        yield Example(truth, mask, {name: done.edge for name, done in learned.items()}, completed)


def measure(examples: Sequence[Example], config: Config) -> EvaluationResults:
    """Measure every method on the same pictures and holes."""
    preprocessing = Preprocessing(config.data.input_size, 127, "hole", 0, "per-bin", config.run.seed)
    ratios = [float(example.mask.mean()) for example in examples]
    items = [Item(f"{n}", f"{n}", "strokes", -1, ratio, "", "") for n, ratio in enumerate(ratios)]
    names, methods = tuple(METRICS.values()), []
    for method in examples[0].completed:
        found = [compute_metrics(example.truth, example.completed[method], example.mask, names) for example in examples]
        methods.append(Measured(method, "", {f"{n}": metrics for n, metrics in enumerate(found)}, {}))
    return summarize(Manifest(preprocessing, tuple(items)), methods)


def summary(results: EvaluationResults) -> dict[str, Any]:
    """Return what `summary.json` holds: the means of every method by name."""
    means = {method.name: method.bins[ALL] for method in results.methods}
    return {
        "hole_ratio": results.bins[ALL].ratio,
        "images": results.pictures,
        "methods": {m: {shown: cells[name].value for shown, name in METRICS.items()} for m, cells in means.items()},
    }
