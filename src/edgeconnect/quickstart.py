"""First light: train both stages on built-in scenes, complete held-out ones, compare with classical inpainting."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgeconnect import run
from edgeconnect.atomic import write_whole
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.data import mask_shapes, masks
from edgeconnect.data.sources import open_source
from edgeconnect.evaluation.baselines import CLASSICAL
from edgeconnect.images import image_grid, write_png
from edgeconnect.metrics.images import measure
from edgeconnect.metrics.summary import summarize as statistics
from edgeconnect.predict import load_run

PRESET = {
    "MODEL": "edge_inpaint",
    "TRAIN_FLIST": "scenes:3000",
    "VAL_FLIST": "scenes:3000-3064",  # held out
    "INPUT_SIZE": 64,
    "MASK": "strokes",
    "MASK_RATIO": "0.2-0.4",
    "SIGMA": 1,
    "BASE_CHANNELS": 24,
    "RESIDUAL_BLOCKS": 6,
    "NUM_WORKERS": 0,  # scenes this small are remembered, and two cores are busy enough
    "PRECISION": "bf16",
    "BATCH_SIZE": 8,
    "LR": 1e-3,
    "BETA1": 0.5,
    "BETA2": 0.99,
    "EMA_DECAY": 0.99,
    "CONTENT_LOSS_WEIGHT": 0,  # both need a pretrained VGG, and the demo needs no network
    "STYLE_LOSS_WEIGHT": 0,
    "INPAINT_ADV_LOSS_WEIGHT": 0.01,
    "SAVE_INTERVAL": 0,
    "SAMPLE_INTERVAL": 0,
}
COURSE = (  # stage, the iteration at which it ends, learning rate: as in the paper, the last part is a slower one
    ("edge", 300, 1e-3),
    ("inpaint", 300, 1e-3),
    ("edge_inpaint", 3300, 1e-3),
    ("edge_inpaint", 4100, 2e-4),
)
OURS = "edgeconnect"
MEASURES = {"psnr_rgb": "psnr_rgb", "ssim_gauss11": "ssim_rgb_gauss11", "l1_hole": "l1_hole"}  # as shown: as defined
SHOWN, ENLARGED = 8, 2  # rows of the sheet, and how many times its pixels are larger

Picture = NDArray[np.uint8]

log = logging.getLogger(__name__)


class Trial(NamedTuple):
    """One held-out picture, its hole, its edges as drawn, and what each method made of it."""

    truth: Picture
    mask: masks.Mask
    edge: Picture
    completed: dict[str, Picture]


class Summary(NamedTuple):
    """What `summary.json` holds: measures by method and name."""

    hole_ratio: float
    images: int
    methods: dict[str, dict[str, float]]


def demonstrate(folder: Path, overrides: Iterable[str]) -> None:
    """Run the preset in a folder, and leave `summary.json` and `sheet.png` there."""
    config = prepare(folder, overrides)
    for stage, max_iters, lr in COURSE:
        part = {"MODEL": stage, "MAX_ITERS": min(max_iters, config.optim.max_iters), "LR": lr}
        run.train(config_file.build(config.flat() | part), folder)
    trials = list(complete(config, folder))
    summary = summarize(trials)
    write_whole(folder / "summary.json", json.dumps(summary._asdict(), indent=1).encode())
    rows = image_grid([row(trial) for trial in trials[:SHOWN]])
    write_png(folder / "sheet.png", rows.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1))
    log.info("%s\nsee also %s and %s", table(summary), folder / "summary.json", folder / "sheet.png")


def prepare(folder: Path, overrides: Iterable[str]) -> Config:
    """Put the preset into the run's folder, so that test.py and train.py go by it, too."""
    preset = [(f"{key}={value}", f"{key}={value}") for key, value in PRESET.items()]
    chosen = [(f"--set {text}", text) for text in overrides]
    config = config_file.load(None, [*preset, *chosen]).config
    write_whole(folder / CONFIG_FILE, config_file.dump(config).encode())
    return config


def complete(config: Config, folder: Path) -> Iterable[Trial]:
    """Complete VAL_FLIST without learning, and with the trained networks.

    Their edges come from the known pixels only; each completion is the mean of the picture's and its mirror image's.
    """
    predictor = load_run(config, folder).predictor(mirror=True)
    source = open_source(config.data.val_flist, "VAL_FLIST", config.data.input_size)
    for index in range(len(source)):
        truth = source.read(index)
        rng = np.random.default_rng((config.run.seed, index))
        pixels = mask_shapes.pixel_range(truth.shape[0], truth.shape[1], config.data.mask_ratio)
        mask = mask_shapes.strokes(truth.shape[0], truth.shape[1], rng, pixels)
        damaged = np.where(mask[..., None], np.uint8(255), truth)
        ours = predictor.complete(damaged, mask, index=index)
        others = {name: CLASSICAL[name](damaged, mask) for name in ("telea", "navier_stokes")}
        yield Trial(truth, mask, ours.edge, {OURS: ours.merged, **others})


def summarize(trials: list[Trial]) -> Summary:
    """Average every method's measures over the same pictures and holes."""
    return Summary(
        hole_ratio=float(np.mean([trial.mask.mean() for trial in trials])),
        images=len(trials),
        methods={name: means(trials, name) for name in trials[0].completed},
    )


def means(trials: list[Trial], method: str) -> dict[str, float]:
    """Average one method's measures over the trials."""
    names = tuple(MEASURES.values())
    rows = [measure(trial.truth, trial.completed[method], trial.mask, names) for trial in trials]
    found = statistics(rows, names)
    return {shown: found[name].mean for shown, name in MEASURES.items()}


def row(trial: Trial) -> list[Picture]:
    """Lay one trial out: input, edges, each method's completion, truth."""
    holed = np.where(trial.mask[..., None], np.uint8(255), trial.truth)
    return [holed, trial.edge[..., None], *trial.completed.values(), trial.truth]


def table(summary: Summary) -> str:
    """Write the measures as text, one method a line."""
    lines = [f"{summary.images} held-out scenes, mean hole ratio {summary.hole_ratio:.2f}"]
    names = list(summary.methods[OURS])
    lines.append(f"{'':15}" + "".join(f"{name:>14}" for name in names))
    for method, measures in summary.methods.items():
        lines.append(f"{method:15}" + "".join(f"{measures[name]:>14.4f}" for name in names))
    return "\n".join(lines)
