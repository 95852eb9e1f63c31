"""The demo, in seconds: what it leaves behind, and that it compares on equal terms."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgeconnect import quickstart
from edgeconnect.config.file import load
from edgeconnect.config.presets import preset, shipped_checkpoint
from edgeconnect.images import read_image
from edgeconnect.metrics.images import compute_metrics

EXAMPLES = Path(__file__).resolve().parents[1] / "examples/images"
TINY = ("BASE_CHANNELS=4", "RESIDUAL_BLOCKS=1", "MAX_ITERS=1", "VAL_FLIST=scenes:5-8", "TRAIN_FLIST=scenes:4")


@pytest.fixture
def demo(tmp_path, command):
    code, said = command("demo", "--checkpoints", tmp_path / "demo", *(part for t in TINY for part in ("--set", t)))
    assert code == 0, said
    return tmp_path / "demo", said


def test_demo_leaves_summary_sheet_and_a_folder_that_test_py_takes(demo, tmp_path, command):
    folder, said = demo
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["images"] == 3
    assert 0.2 <= summary["hole_ratio"] <= 0.4
    assert list(summary["methods"]) == ["shipped", "trained", "telea", "navier_stokes"]
    for measures in summary["methods"].values():
        assert list(measures) == ["psnr_rgb", "ssim_gauss11", "l1_hole"]
    assert "navier_stokes" in said
    assert read_image(folder / "sheet.png").shape == (2 * (3 * 64 + 2 * 4), 2 * (8 * 64 + 7 * 4), 3)
    command("scenes", "--output", tmp_path, "--count", 1, "--size", 40, "--masks", "0.2-0.3")
    code, said = command(
        *("test", "--checkpoints", folder, "--input", tmp_path / "images", "--mask", tmp_path / "masks"),
        *("--output", tmp_path / "out"),
    )
    assert code == 0, said


def test_every_method_sees_the_same_hole_and_no_truth(demo):
    folder, _ = demo
    config = load(folder / "config.yml").config
    examples = list(quickstart.complete(config, folder, shipped_checkpoint()))
    for example in examples:
        for completed in example.completed.values():
            assert (completed[~example.mask] == example.truth[~example.mask]).all()
    summary = quickstart.summary(quickstart.measure(examples, config))
    assert json.loads((folder / "summary.json").read_text()) == summary
    expected = np.mean([compute_metrics(t.truth, t.completed["telea"], t.mask)["psnr_rgb"] for t in examples])
    assert summary["methods"]["telea"]["psnr_rgb"] == pytest.approx(expected)


def numbers(scenes):
    begin, _, end = scenes.removeprefix("scenes:").rpartition("-")
    return int(begin or 0), int(end)


def test_held_out_scenes_are_not_trained_on():
    first, last = numbers(load(preset("demo")).config.data.val_flist)
    examples = {int(path.stem.removeprefix("scene_")) for path in EXAMPLES.glob("*.png")}
    for path in (preset("demo"), shipped_checkpoint() / "config.yml"):
        begin, end = numbers(load(path).config.data.train_flist)
        assert not set(range(begin, end)) & ({*range(first, last)} | examples)
